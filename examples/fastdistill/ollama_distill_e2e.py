"""Teacher and student side by side on the same questions: SQL, execution, agreement, timing.

    OLLAMA_MODEL=qwen3:8b OLLAMA_STUDENT_MODEL=qwen3:0.6b \\
        python examples/fastdistill/ollama_distill_e2e.py

The teacher's pipeline is that of fastdistill_pipeline.py; the student is asked the questions whose
answers were kept. OLLAMA_STUDENT_MODEL is the student (default: the teacher's model), on the same
provider. FASTDISTILL_EVAL_DATA_PATH and FASTDISTILL_EVAL_DB_PATH name other questions for the
student; FASTDISTILL_SKIP_DISTILL=1 asks the student alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fastdistill_pipeline import HOME, SYSTEM_PROMPT, TEMPLATE, data_paths, run
from stillroom.console import Console, quiet_libraries
from stillroom.errors import ConfigError
from stillroom.files import read_json
from stillroom.pipeline.options import EXIT_USAGE, CommandParser, add_verbose, guarded, whole_number
from stillroom.pipeline.records import (
    CanonicalizeFields,
    CleanSqlOutput,
    ComputeHash,
    LoadDataFromFileSystem,
    MarkTime,
    Pipeline,
    ScoreFromExecEval,
    SQLiteExecEval,
    TextGeneration,
    WriteQualityReport,
    WriteScoreAgreementReport,
    WriteTimingReport,
)
from stillroom.pipeline.records.config.run_settings import as_switch, from_variable, read_run_config
from stillroom.pipeline.records.teacher_steps.llms import LLM, llm_from_environment


def evaluation(data: Path, database: Path, teacher: LLM, student: LLM, batch: int) -> Pipeline:
    """Connect the steps that ask teacher and student the same questions and compare them."""

    def asked(who: str, llm: LLM) -> TextGeneration:
        return TextGeneration(
            name=who,
            llm=llm,
            system_prompt=SYSTEM_PROMPT,
            template=TEMPLATE,
            columns=["schema", "instruction"],
            input_batch_size=batch,
            output_mappings={"generation": f"{who}_sql"},
        )

    def judged(who: str) -> tuple[CleanSqlOutput, SQLiteExecEval, ScoreFromExecEval]:
        passed, matched = f"{who}_exec_pass", f"{who}_gold_match"
        return (
            CleanSqlOutput(
                name=f"{who}_clean", input_field=f"{who}_sql", output_field=f"{who}_sql"
            ),
            SQLiteExecEval(
                name=f"{who}_eval", db_path=str(database), sql_field=f"{who}_sql",
                exec_pass_field=passed, gold_match_field=matched,
                exec_error_field=f"{who}_exec_error",
            ),
            ScoreFromExecEval(
                name=f"{who}_score", exec_pass_field=passed, gold_match_field=matched,
                score_field=f"{who}_score",
            ),
        )  # fmt: skip

    with Pipeline("fastdistill-student-eval", "Teacher and student on the same questions") as made:
        last = (
            LoadDataFromFileSystem(name="raw", data_files=str(data))
            >> MarkTime(name="mark_raw", label="raw")
            >> CanonicalizeFields(name="canonical", fields=["schema", "instruction"])
            >> ComputeHash(
                name="sample_id", fields=["task_id", "canonical_input"], output_field="sample_id"
            )
        )
        for who, llm in (("teacher", teacher), ("student", student)):
            last = last >> asked(who, llm) >> MarkTime(name=f"mark_{who}", label=who)
            for step in judged(who):
                last = last >> step
            last >> WriteQualityReport(
                name=f"report_{who}",
                stage=f"{who}_eval",
                exec_pass_field=f"{who}_exec_pass",
                exec_error_field=f"{who}_exec_error",
                gold_match_field=f"{who}_gold_match",
                judge_score_field=f"{who}_score",
            )
        last = last >> MarkTime(name="mark_eval", label="eval")
        last >> [
            WriteScoreAgreementReport(name="agreement", pass_threshold=1.0),
            WriteTimingReport(name="timing", ordered_labels=["raw", "teacher", "student", "eval"]),
        ]
    return made


def evaluate(questions: int, console: Console) -> None:
    """Ask both models, and print the figures of the reports."""
    faults: list[str] = []
    skip = from_variable("FASTDISTILL_SKIP_DISTILL", as_switch, faults)
    if faults:
        raise ConfigError(faults)
    if not skip:
        run(questions, console)
    named = [os.environ.get(f"FASTDISTILL_EVAL_{name}_PATH") for name in ("DATA", "DB")]
    data, database = (Path(one) for one in named) if all(named) else data_paths(questions)
    teacher, student = llm_from_environment(), llm_from_environment()
    student.model = os.environ.get("OLLAMA_STUDENT_MODEL") or student.model
    settings = read_run_config({}).settings
    result = evaluation(data, database, teacher, student, settings.llm_batch_size or 8).run(
        artifacts_dir=os.environ.get("FASTDISTILL_ARTIFACTS_DIR") or HOME / "artifacts",
        run_id=f"{settings.run_id}-eval" if settings.run_id else None,
    )
    for who in ("teacher", "student"):
        report = read_json(result.folder / f"{who}_eval" / "quality_report.json")
        figures = [f"{name} {report[name]}" for name in ("exec_pass_rate", "gold_match_rate")]
        console.line(who, f"{report['total']} questions, {', '.join(figures)}")
    console.line("reports", str(result.folder))


def main(argv: list[str] | None = None) -> int:
    """Read the options and run."""
    parser = CommandParser(
        "ollama_distill_e2e.py",
        "Distil text to SQL with a teacher, and hold a student against it on the same questions.",
        ("python examples/fastdistill/ollama_distill_e2e.py --questions 50",),
    )
    parser.add_argument(
        "--questions", type=whole_number(1), default=200, metavar="N",
        help="questions to make where FASTDISTILL_DATA_PATH names none (default 200)",
    )  # fmt: skip
    add_verbose(parser)
    args = parser.read(argv)
    quiet_libraries()
    console = Console(args.verbose)
    return guarded(
        lambda: evaluate(args.questions, console), parser, args, config_code=EXIT_USAGE
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
