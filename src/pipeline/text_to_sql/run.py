"""The text-to-SQL job: from questions with gold SQL to a student, measured on unseen schemas.

    questions with gold SQL -> teacher -> its SQL for other questions -> clean -> execute -> keep
    -> students -> all models on databases that are held out

An interrupted job goes on after its finished stages, with the answers that it has.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ...console import Console
from ...data.text_to_sql.databases.all_databases import DATABASES, HELD_OUT, TRAINING
from ...data.text_to_sql.questions import make_questions
from ...errors import LabelingStoppedError
from ...evaluation.predictions import PREDICTIONS, Prediction, write_predictions
from ...evaluation.report.write_report import write_report as write_run_report
from ...evaluation.sql_scores import SqlScores, format_sql_scores, score_sql
from ...files import read_json_lines, write_json, write_json_lines
from ...inference.checkpoints.load_student import load_checkpoint
from ...labeling.gates.sql_execution import SqlOutcome, execution_score, judge_outcome
from ...labeling.reports.quality import QualityReport
from ...labeling.reports.report_files import write_report
from ...prompts import prompts_sha256
from ...records import Example, data_hash, record_hash, sha256_text
from ...run_folder import RunFolder, open_run_folder
from ..run_report.answer_report import answer_report
from ..run_report.run_card import write_run_card
from ..stage_times import TIMING_FILE, StageTimes
from ..threads import job_threads
from .answers import answer_questions, sql_example
from .settings import TextToSqlJob
from .time_estimate import require_time
from .training import UNTRAINED, distil, teach
from .workbench import Workbench

FREE: Final = "student, any text"
"""The student without the grammar: what the schema's names in decoding are worth."""
_ROWS: Final = {
    "teacher": "teacher",
    UNTRAINED: "student, untrained",
    "student_teacher_text": "student, teacher text",
    "student": "student",
}
_NOT_OWN: Final = ("output_dir", "max_minutes", "device", "threads")
"""Settings that do not change what is learned."""


def run_text_to_sql_job(job: TextToSqlJob, console: Console | None = None) -> Path:
    """Run the whole job.

    Returns:
        The run folder: `teacher/`, `student/`, the controls beside it, `data/`, `answers/`,
        `predictions/`, `metrics.json`, `report.html`, `quality_report.json`, `timing.json`.

    Raises:
        ConfigError: The job takes longer than is allowed, or the named folder holds another run.
        ModelNotFoundError: There is no such teacher.
        LabelingStoppedError: None of the teacher's answers can be kept.
        MissingDependencyError: llguidance is not installed.
    """
    console = console or Console()
    records = _questions(job)
    run = _open_folder(job, records, console)
    with (
        job_threads(job.threads, console),
        Workbench(DATABASES.values(), run.path / "databases") as bench,
    ):
        taught = [sql_example(record, record["gold_sql"]) for record in records["taught"]]
        if not run.is_broken_off():
            require_time(job, taught, console)
        if run.begin():
            console.line("going on", f"an interrupted run in {run.path} with the same settings")
        else:
            for name in ("answers", "work"):  # of an earlier run, whose models were others
                shutil.rmtree(run.path / name, ignore_errors=True)
        for name, some in records.items():
            write_json_lines(run.path / "data" / f"{name}.jsonl", some)
        times = StageTimes(run.path / TIMING_FILE, resumed=run.resumed)
        with times.stage("teacher"):
            teacher = teach(job, taught, run, console)
        with times.stage("labels"):
            kept = _labels(job, teacher, records["asked"], bench, run, console)
        with times.stage("students"):
            folders = distil(job, teacher, [*taught, *kept], run, console)
        with times.stage("measuring"):
            _measure(job, {"teacher": teacher, **folders}, records["measured"], bench, run, console)
    report = answer_report(run.path)
    write_run_report(report, run.path)
    write_run_card(run.path, report)
    shutil.rmtree(run.path / "work", ignore_errors=True)
    run.finish()
    console.line(
        "written", f"{run.path}/  teacher/  student/  metrics.json  predictions/  report.html"
    )
    return run.path


def _questions(job: TextToSqlJob) -> dict[str, list[dict[str, Any]]]:
    """Ask the training questions, of which the first have gold for the teacher, and the others."""
    trained = make_questions(TRAINING.values(), job.questions, seed=job.seed, shuffle_schemas=True)
    half = job.measured // 2
    old = make_questions(HELD_OUT.values(), job.measured - half, seed=job.seed)
    new = make_questions(HELD_OUT.values(), half, seed=job.seed, new_wordings=True) if half else []
    measured = [
        {**record, "task_id": f"{record['task_id']}{mark}", "wording": wording}
        for some, mark, wording in ((old, "", "trained"), (new, "-new", "new"))
        for record in some
    ]
    return {"taught": trained[: job.taught], "asked": trained[job.taught :], "measured": measured}


def _open_folder(
    job: TextToSqlJob, records: dict[str, list[dict[str, Any]]], console: Console
) -> RunFolder:
    settings = {name: value for name, value in asdict(job).items() if name not in _NOT_OWN}
    owner = {"source": "text to SQL", "settings": settings}
    every = [record for some in records.values() for record in some]
    identity = sha256_text(
        record_hash({"owner": owner, "prompts": prompts_sha256()}) + data_hash(every)
    )
    return open_run_folder(
        Path(job.folder()), identity, owner, console, is_named=job.output_dir is not None
    )


def _labels(
    job: TextToSqlJob,
    teacher: Path,
    records: Sequence[dict[str, Any]],
    bench: Workbench,
    run: RunFolder,
    console: Console,
) -> list[Example]:
    """Let the teacher answer the other questions; keep what runs and scores high enough."""
    path = run.path / "data" / "labels.jsonl"
    if not run.is_done("labels"):
        began = time.monotonic()
        texts = answer_questions(
            load_checkpoint(teacher, device=job.device),
            records,
            run.path / "work" / "labels.jsonl",
            console,
            grammars=bench.grammars(records),
            max_new_tokens=job.max_new_tokens,
        )
        labels = [
            _judged(record, text, bench, job.min_score)
            for record, text in zip(records, texts, strict=True)
        ]
        write_json_lines(path, labels)
        report = QualityReport()
        report.add(labels)
        found = report.report()
        head = {"run_id": None, "stage": "teacher_candidates"}
        write_report(run.path / "quality_report.json", head, found)
        console.line(
            "labels",
            f"{len(labels):,} answers of the teacher: exec_pass_rate {found['exec_pass_rate']:.3f},"
            f" gold_match_rate {found['gold_match_rate']:.3f}, {found['kept']:,} kept",
            time.monotonic() - began,
        )
        run.done("labels")
    kept = [record for record in read_json_lines(path) if record["keep"]]
    if not kept:
        raise LabelingStoppedError(
            f"none of the teacher's {len(records):,} answers can be kept (min_score "
            f"{job.min_score:g}); teach it for longer (--effort {2 * job.effort:g}), or lower "
            "--min-score to 0.5, which keeps SQL that runs"
        )
    return [sql_example(record, record["generation"]) for record in kept]


def _judged(
    record: dict[str, Any], text: str, bench: Workbench, min_score: float
) -> dict[str, Any]:
    """Add the cleaned SQL, what came of it, its score, and whether it is kept."""
    sql, outcome = bench.judge(record, text)
    score = execution_score(outcome.exec_pass, outcome.gold_match, empty_match=outcome.empty_match)
    _, reason = judge_outcome(outcome)
    return {
        **record,
        "generation": sql,
        **asdict(outcome),
        "teacher_score": score,
        "keep": score is not None and score >= min_score,
        "reject_reason": reason,
    }


def _predictions(
    records: Sequence[dict[str, Any]], texts: Sequence[str], outcomes: Sequence[SqlOutcome]
) -> list[Prediction]:
    """Say of each statement whether it gives gold's rows; two empty results prove nothing."""
    return [
        Prediction(
            sample_id=record["task_id"],
            question=record["instruction"],
            gold=record["gold_sql"],
            answer=text,
            right=outcome.gold_match is True and not outcome.empty_match,
            category=record["shape"],
            column=record["wording"],
        )
        for record, text, outcome in zip(records, texts, outcomes, strict=True)
    ]


def _measure(
    job: TextToSqlJob,
    folders: dict[str, Path],
    records: Sequence[dict[str, Any]],
    bench: Workbench,
    run: RunFolder,
    console: Console,
) -> dict[str, SqlScores]:
    """Let every model answer the questions about the held-out databases, and print the table."""
    began = time.monotonic()
    forms = bench.grammars(records)
    arms = {row: (folders[name], name, True) for name, row in _ROWS.items()}
    arms[FREE] = (folders["student"], "student_any_text", False)
    scores = {}
    for row, (folder, name, formed) in arms.items():
        texts = answer_questions(
            load_checkpoint(folder, device=job.device),
            records,
            run.path / "answers" / f"{name}.jsonl",
            console,
            grammars=forms if formed else None,
            max_new_tokens=job.max_new_tokens,
        )
        outcomes = [bench.judge(r, text)[1] for r, text in zip(records, texts, strict=True)]
        scores[row] = score_sql(outcomes, [record["shape"] for record in records])
        write_predictions(
            run.path / PREDICTIONS / f"{name}.jsonl", _predictions(records, texts, outcomes)
        )
    write_json(
        run.path / "metrics.json",
        {"databases": sorted(HELD_OUT), **{row: one.to_dict() for row, one in scores.items()}},
    )
    console.line(
        "measured",
        f"{len(records):,} questions about {', '.join(sorted(HELD_OUT))}, which nobody trained on",
        time.monotonic() - began,
    )
    console.block(format_sql_scores(scores))
    return scores
