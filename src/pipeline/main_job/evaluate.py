"""Measure all models on the held-out questions, and write metrics, the report and the card."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ...console import Console
from ...data.questions.asked_questions import ASKED_TASK
from ...errors import ExportError, MissingDependencyError
from ...evaluation.calibrate_student import ask_student, calibrate_student, calibration_split
from ...evaluation.evaluate_models import evaluate_models
from ...evaluation.export_price import PRICE_FILE, export_price
from ...evaluation.predictions import PREDICTIONS, predictions_of, write_predictions
from ...evaluation.report.write_report import write_report
from ...evaluation.scores import ModelScores, format_table
from ...files import write_json
from ...inference.chat.chat_model import ChatStudent
from ...inference.checkpoints.architectures import ANSWERING
from ...inference.checkpoints.load_student import load_checkpoint
from ...inference.scoring.confidence import TOP_LOGPROBS
from ...records import Example, sha256_text
from ...run_folder import RunFolder
from ..run_report.answer_report import CALIBRATION_FILE, answer_report
from ..run_report.run_card import write_run_card
from .load_table import Loaded
from .plain_baselines import plain_answers
from .settings import STARTER, MainJob
from .teacher import answer_room

LEAST_CALIBRATED = 20
"""Fewest held-out questions on which a student's confidence is calibrated."""
MOST_TESTED = 500
"""Most held-out questions that test the calibration."""
MOST_EXPORTED = 400_000_000
"""Most parameters of a student whose int8 export is measured by the job itself."""
MOST_MEASURED = 100
"""Most held-out questions per task that named models are measured on; the 95 % confidence interval
of a share of 80 % is then 8 points wide to each side."""
MOST_ASKED = 200
"""The same limit for questions that decide: those in people's own words, and those that a named
teacher is asked before it labels (5.5 points)."""
MOST_SCORED = 40
"""Most questions per task whose loss on the right answer is measured too, with named models."""
CONTROLS = (
    "frozen_encoder",
    "student_untrained",
    "student_without_teacher",
    "student_teacher_text",
    "student_all_gold",
    "student_from_scratch",
)
"""Controls, in the order in which the table of scores shows them."""


def measure(
    job: MainJob,
    loaded: Loaded,
    teacher: Path | str | None,
    arms: dict[str, Path],
    run: RunFolder,
    console: Console,
) -> dict[str, ModelScores]:
    """Score all models on the held-out questions; write `metrics.json` and each answer.

    A teacher on a server is not scored again: it was measured on a few questions before labelling.
    """
    began = time.monotonic()
    order = [name for name in CONTROLS if name in arms]
    given = None if teacher is None else load_checkpoint(teacher, device=job.device)
    reader = given or load_checkpoint(arms["student"], device=job.device)
    held_out = measured_questions(job, loaded)
    scores = evaluate_models(
        given,
        arms["student"],
        held_out,
        controls={name: arms[name] for name in order},
        max_new_tokens=answer_room(reader, held_out),
        batch_size=128,
        training_prompts={e.prompt for e in loaded.questions.train},
        most_scored=None if _is_small(job) else MOST_SCORED,
        device=job.device,
        predictions_dir=run.path / PREDICTIONS,
    )
    write_json(run.path / "metrics.json", {name: score.to_dict() for name, score in scores.items()})
    of = len(loaded.questions.held_out) + len(loaded.asked)
    some = "" if len(held_out) == of else f" of {of:,}"
    console.line(
        "measured",
        f"{len(held_out):,}{some} held-out questions, {len(scores)} models",
        time.monotonic() - began,
    )
    console.block(format_table(scores))
    return scores


def measured_questions(job: MainJob, loaded: Loaded) -> list[Example]:
    """Choose the questions that models are measured on, the same ones in every run.

    A starter and its students answer all of them. Named models are about a hundred times slower,
    so the questions of each task are limited to keep measuring shorter than training.
    """
    every = [*loaded.questions.held_out, *loaded.asked]
    if _is_small(job):
        return every
    by_task: dict[str, list[Example]] = {}
    for example in sorted(every, key=lambda e: sha256_text(e.id)):
        by_task.setdefault(example.task, []).append(example)
    limits = {ASKED_TASK: MOST_ASKED}
    chosen = {e.id for task, es in by_task.items() for e in es[: limits.get(task, MOST_MEASURED)]}
    return [example for example in every if example.id in chosen]


def _is_small(job: MainJob) -> bool:
    """Tell whether all models of a job have a starter's size."""
    return job.teacher == STARTER or (job.is_served() and job.student is None)


def measure_plain(
    loaded: Loaded, labelled: Sequence[Example], held_out: Sequence[Example], run: RunFolder
) -> None:
    """Write the answers of the plain methods beside those of the models.

    Args:
        loaded: The table with its questions.
        labelled: The training questions that the teacher labelled.
        held_out: The questions that the models were measured on.
        run: The run folder.
    """
    questions = loaded.questions
    seen = [*(e for e in questions.train if questions.is_gold(e)), *labelled]
    for name, answers in plain_answers(questions.table, seen, held_out).items():
        write_predictions(
            run.path / PREDICTIONS / f"{name}.jsonl", predictions_of(held_out, answers)
        )


def calibrate(run: RunFolder, loaded: Loaded, console: Console) -> None:
    """Calibrate the student's confidence on half of the held-out facts; the other half tests it.

    The probabilities of the other half are written to `calibration.json`, for the report.
    """
    began = time.monotonic()
    folder = run.path / "student"
    chosen, others = calibration_split([e for e in loaded.questions.held_out if e.task == "qa"])
    if len(chosen) < LEAST_CALIBRATED:
        console.line("calibrated", f"skipped: {len(chosen)} held-out questions are too few")
        return
    checkpoint = load_checkpoint(folder, kinds=ANSWERING)
    fitted = calibrate_student(folder, chosen, checkpoint=checkpoint)
    tested = others[:: max(1, len(others) // MOST_TESTED)]
    if tested:
        student = ChatStudent(model=checkpoint, top_logprobs=TOP_LOGPROBS, max_tokens=64)
        asked = ask_student(student, tested)
        write_json(run.path / CALIBRATION_FILE, {
            "probability": [fitted.probability(one) for one in asked.signals[fitted.signal]],
            "right": asked.right,
        })  # fmt: skip
    console.line(
        "calibrated",
        f"on {fitted.fitted_on:,} held-out questions: error {fitted.calibration_error or 0.0:.3f}",
        time.monotonic() - began,
    )


def price_int8(loaded: Loaded, run: RunFolder, scores: ModelScores, console: Console) -> None:
    """Measure what eight bits cost the student, or note why that was not measured."""
    began = time.monotonic()
    folder, path = run.path / "student", run.path / PRICE_FILE
    if scores.parameters > MOST_EXPORTED:
        why = (f"the student has more than {MOST_EXPORTED / 1e6:.0f} million parameters, so it "
               f"takes longer; run: stillroom export {folder} --int8")  # fmt: skip
        write_json(path, {"missing": f"Not measured: {why}."})
        return
    checkpoint, held_out = load_checkpoint(folder, kinds=ANSWERING), loaded.questions.held_out
    if checkpoint.label_tokens is not None:
        why = "the student gives labels, and only models that write can be exported"
        write_json(path, {"missing": f"Not measured: {why}."})
        return
    try:
        most = max(answer_room(checkpoint, held_out))
        found = export_price(folder, held_out, max_new_tokens=most)
    except (ExportError, MissingDependencyError) as fault:
        write_json(path, {"missing": f"Not measured: {fault}."})
        return
    write_json(path, found)
    told = [f"{found[name]['right']:,}" for name in ("int8", "float32")]
    console.line(
        "int8",
        f"{told[0]} of {found['int8']['n']:,} right, {told[1]} without; "
        f"{found['int8']['weights_bytes'] / found['float32']['weights_bytes']:.0%} of the size",
        time.monotonic() - began,
    )


def write_job_report(folder: Path) -> None:
    """Write the report and the student's model card."""
    report = answer_report(folder)
    write_report(report, folder)
    write_run_card(folder, report)
