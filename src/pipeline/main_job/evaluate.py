"""Measure all models on the held-out questions, and write metrics, plots and the report page."""

from __future__ import annotations

import time
from pathlib import Path

from ...console import Console
from ...data.questions.asked_questions import ASKED_TASK
from ...evaluation.calibrate_student import RISK_PICTURE, calibrate_student, calibration_split
from ...evaluation.evaluate_models import evaluate_models
from ...evaluation.model_card import model_card
from ...evaluation.plots import plot_scores
from ...evaluation.predictions import PREDICTIONS
from ...evaluation.report import write_report_html
from ...evaluation.scores import ModelScores, format_table
from ...files import read_json, write_json, write_text
from ...inference.checkpoints.load_student import load_checkpoint, package_versions
from ...records import Example, sha256_text
from ...run_folder import RunFolder
from .load_table import Loaded
from .settings import STARTER, MainJob
from .teacher import longest_answer

LEAST_CALIBRATED = 20
"""Fewest held-out questions on which a student's confidence is calibrated."""
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
        max_new_tokens=longest_answer(reader, held_out),
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


def calibrate(folder: Path, loaded: Loaded, console: Console) -> None:
    """Calibrate the student's confidence on half of the held-out facts; the other half tests it."""
    began = time.monotonic()
    chosen, _ = calibration_split([e for e in loaded.questions.held_out if e.task == "qa"])
    if len(chosen) < LEAST_CALIBRATED:
        console.line("calibrated", f"skipped: {len(chosen)} held-out questions are too few")
        return
    fitted = calibrate_student(folder, chosen)
    console.line(
        "calibrated",
        f"on {fitted.fitted_on:,} held-out questions: error {fitted.calibration_error or 0.0:.3f}",
        time.monotonic() - began,
    )


def write_report(
    job: MainJob, loaded: Loaded, folder: Path, scores: dict[str, ModelScores]
) -> None:
    """Write the plot of the scores, the report page and the student's model card."""
    plot_scores(scores, folder / "scores.png")
    curve = folder / "student" / "loss.png"
    plots = {"Exact match per task": folder / "scores.png"}
    if curve.is_file():
        plots["Loss of the student while it was distilled"] = curve
    risk = folder / "student" / RISK_PICTURE
    if risk.is_file():
        plots["Wrong answers of the student where the least sure ones are withheld"] = risk
    settings = {
        "data": f"{loaded.profile.source}, {len(loaded.records):,} records",
        "facts": f"{loaded.questions.facts:,}, {loaded.questions.phrasings} phrasings each, "
        "one of them held out",
        "teacher": f"{job.teacher}, {job.server.model or ''}".strip(", "),
        "gold share": f"{job.gold_share:g} of the facts; the teacher labels the rest",
        "temperature, alpha": f"{job.recipe.temperature:g}, {job.recipe.alpha:g}",
        "seed": f"{job.seed}"
        if job.training_seed is None
        else f"{job.seed}; of the trainings {job.training_seed}",
        "versions": ", ".join(f"{k} {v}" for k, v in package_versions().items()),
    }
    write_report_html(
        folder / "report.html",
        scores,
        title=f"A student of {loaded.profile.source}, beside its teacher and its controls",
        settings=settings,
        plots=plots,
    )
    card = model_card(
        "student",
        name=f"student of {loaded.profile.source}",
        source=loaded.profile.source,
        records=len(loaded.records),
        scores=scores["student"],
        teacher_scores=scores.get("teacher"),
        run=read_json(folder / "student" / "run.json"),
        example=loaded.questions.held_out[0].prompt,
    )
    write_text(folder / "student" / "README.md", card)
