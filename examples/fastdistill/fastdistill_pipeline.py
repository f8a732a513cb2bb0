"""Text to SQL with a teacher: ask, clean, run, compare, keep, export, with a report at each gate.

    OLLAMA_MODEL=qwen3:0.6b python examples/fastdistill/fastdistill_pipeline.py
    FASTDISTILL_PROVIDER=openrouter OPENROUTER_API_KEY=... OPENROUTER_BASE_URL=... \\
        OPENROUTER_MODEL=... python examples/fastdistill/fastdistill_pipeline.py --questions 500

Without FASTDISTILL_DATA_PATH and FASTDISTILL_DB_PATH, questions with gold SQL are made about a
bundled database. A run that was broken off goes on; FASTDISTILL_RUN_ID names it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from stillroom.console import Console, quiet_libraries
from stillroom.data.text_to_sql.build_database import build_database
from stillroom.data.text_to_sql.databases.all_databases import database_of
from stillroom.data.text_to_sql.questions import make_questions
from stillroom.errors import ConfigError
from stillroom.files import write_json_lines
from stillroom.pipeline.options import EXIT_USAGE, CommandParser, add_verbose, guarded, whole_number
from stillroom.pipeline.records import (
    CanonicalizeFields,
    CleanSqlOutput,
    ComputeHash,
    DeduplicateByField,
    FilterByBool,
    KeepByScore,
    LoadDataFromFileSystem,
    MarkTime,
    Pipeline,
    RuleFilter,
    ScoreFromExecEval,
    SQLiteExecEval,
    TextGeneration,
    WriteManifest,
    WriteMlxDataset,
    WriteQualityReport,
    WriteTimingReport,
)
from stillroom.pipeline.records.config.run_settings import read_run_config
from stillroom.pipeline.records.teacher_steps.llms import LLM, llm_from_environment

HOME = Path("outputs/fastdistill")
SYSTEM_PROMPT = "Return SQL only."
TEMPLATE = "Schema: {{ schema }}\nQuestion: {{ instruction }}\nSQL:"
DATABASE = "shop"


def example_data(count: int, folder: Path = HOME) -> tuple[Path, Path]:
    """Make questions about a bundled database; return the files of both."""
    database = database_of(DATABASE)
    path = build_database(database, folder / f"{DATABASE}.db")
    questions = make_questions([database], count)
    return write_json_lines(folder / "questions.jsonl", questions), path


def data_paths(count: int) -> tuple[Path, Path]:
    """Name the questions and the database: of the environment, or made here."""
    given = [os.environ.get(f"FASTDISTILL_{name}_PATH", "").strip() for name in ("DATA", "DB")]
    if any(given) and not all(given):
        raise ConfigError(["FASTDISTILL_DATA_PATH and FASTDISTILL_DB_PATH go together"])
    return (Path(given[0]), Path(given[1])) if all(given) else example_data(count)


def sql_pipeline(data: Path, database: Path, llm: LLM, batch_size: int) -> Pipeline:
    """Connect the steps from questions to the kept answers."""
    with Pipeline("fastdistill-text2sql", "Questions to SQL that gives the right rows") as pipeline:
        hashed = (
            LoadDataFromFileSystem(name="raw", data_files=str(data))
            >> MarkTime(name="mark_raw", label="raw")
            >> CanonicalizeFields(name="canonical", fields=["schema", "instruction"])
            >> MarkTime(name="mark_canonical", label="canonical")
            >> ComputeHash(name="schema_hash", fields=["schema"], output_field="schema_hash")
            >> ComputeHash(
                name="sample_id",
                fields=["task_id", "schema_hash", "canonical_input", "decode_profile"],
                output_field="sample_id",
            )
            >> DeduplicateByField(name="dedup", field="sample_id")
            >> MarkTime(name="mark_hashed", label="hashed")
        )
        hashed >> WriteManifest(name="manifest_canonical", stage="canonical")
        teacher = (
            hashed
            >> TextGeneration(
                name="teacher",
                llm=llm,
                system_prompt=SYSTEM_PROMPT,
                template=TEMPLATE,
                columns=["schema", "instruction"],
                input_batch_size=batch_size,
            )
            >> MarkTime(name="mark_teacher", label="teacher")
        )
        teacher >> WriteManifest(name="manifest_candidates", stage="teacher_candidates")
        judged = (
            teacher
            >> CleanSqlOutput(name="clean")
            >> RuleFilter(name="rules", min_chars=8)
            >> MarkTime(name="mark_filtered", label="filtered")
            >> SQLiteExecEval(name="execute", db_path=str(database))
            >> ScoreFromExecEval(name="score")
            >> KeepByScore(name="keep_score", min_score=1.0)
            >> MarkTime(name="mark_eval", label="eval")
        )
        judged >> WriteQualityReport(
            name="report_teacher", stage="teacher_eval", judge_score_field="teacher_score"
        )
        distilled = (
            judged
            >> FilterByBool(name="selected")
            >> MarkTime(name="mark_selected", label="selected")
            >> MarkTime(name="distilled", label="distilled")
        )
        distilled >> [
            WriteQualityReport(
                name="report_distilled", stage="distilled", judge_score_field="teacher_score"
            ),
            WriteManifest(name="manifest_distilled", stage="distilled"),
            WriteTimingReport(
                name="timing",
                ordered_labels=[
                    "raw", "canonical", "hashed", "teacher", "filtered", "eval", "selected",
                    "distilled",
                ],
            ),
            WriteMlxDataset(name="export", prompt_template=TEMPLATE, system_prompt=SYSTEM_PROMPT),
        ]  # fmt: skip
    return pipeline


def run(questions: int, console: Console) -> None:
    """Run the pipeline by the environment, and say what came of it."""
    config = read_run_config({}, {"artifacts_dir": str(HOME / "artifacts")})
    settings, gate = config.settings, config.gate
    data, database = data_paths(questions)
    pipeline = sql_pipeline(data, database, llm_from_environment(), settings.llm_batch_size or 8)
    pipeline.cache_dir = None if settings.cache_dir is None else Path(settings.cache_dir)
    result = pipeline.run(
        load_groups=settings.load_groups,
        dataset_batch_size=settings.dataset_batch_size,
        artifacts_dir=os.environ.get("FASTDISTILL_ARTIFACTS_DIR") or settings.artifacts_dir,
        run_id=settings.run_id,
        gate=None if gate is None else gate.gate,
        gate_stage=None if gate is None else gate.stage,
    )
    console.line("distilled", f"{len(result['default']['train'])} records in {result.folder}")


def main(argv: list[str] | None = None) -> int:
    """Read the options and run."""
    parser = CommandParser(
        "fastdistill_pipeline.py",
        "Text to SQL with the teacher that FASTDISTILL_PROVIDER names (default ollama).",
        ("python examples/fastdistill/fastdistill_pipeline.py --questions 200",),
    )
    parser.add_argument(
        "--questions", type=whole_number(1), default=200, metavar="N",
        help="questions to make where FASTDISTILL_DATA_PATH names none (default 200)",
    )  # fmt: skip
    parser.add_argument(
        "--data-only", action="store_true", help=f"make questions and database in {HOME}, and end"
    )
    add_verbose(parser)
    args = parser.read(argv)
    quiet_libraries()
    console = Console(args.verbose)

    def work() -> None:
        if args.data_only:
            for path in example_data(args.questions):
                console.line("written", str(path))
        else:
            run(args.questions, console)

    return guarded(work, parser, args, config_code=EXIT_USAGE)


if __name__ == "__main__":
    sys.exit(main())
