"""Train the student and its controls, which differ only in the labels that they learn from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...console import Console
from ...data.questions.questions import training_stream
from ...distillation.distiller import ModelDistiller
from ...distillation.pruning.prune_teacher import describe
from ...distillation.settings import EVERY_SECOND, FROM_SCRATCH, DistillationConfig
from ...distillation.starter_student import StarterSize, untrained_starter
from ...errors import ConfigError, EmptyDataError
from ...files import read_json
from ...inference.checkpoints.load_student import save_checkpoint
from ...inference.prompt_tokens.default_system import drop_default_system
from ...records import Example, sha256_text, split_position
from ...run_folder import RunFolder
from .load_table import Loaded
from .named_student import (
    NAMED_STUDENT_WEIGHTS,
    SCRATCH,
    for_width,
    named_student_settings,
    scratch_settings,
)
from .named_teacher import plan_named_student
from .settings import STARTER, MainJob
from .teacher import (
    LONGEST_EXAMPLE,
    Plan,
    plan_student,
    plan_teacher,
    plan_vocabulary,
    table_characters,
)

STUDENT_WEIGHTS = {"qa": 0.2, "summarize": 0.08, "validate": 0.72}
"""Share of each task in the training of a starter's student. Its layers, which come from the
teacher, can already answer, but have to learn judging again."""
NAMES = {
    "student": "student",
    "student_without_teacher": "  no teacher",
    "student_teacher_text": "  its text",
    "student_all_gold": "  all gold",
    SCRATCH: "  from scratch",
}
"""Folder name -> name shown in the terminal."""


def get_students(
    job: MainJob,
    loaded: Loaded,
    teacher: Path | str | None,
    labelled: list[Example],
    run: RunFolder,
    console: Console,
    wordings: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Path]:
    """Train the student and its controls from the same initial weights for the same steps.

    They differ in their labels. The control `SCRATCH` also differs in its initial weights.

    Args:
        job: The settings.
        loaded: The table with its questions.
        teacher: Folder of the teacher; None for one on a server, which gives text and no logits.
        labelled: The questions that the teacher labelled.
        run: The run folder.
        console: Prints a line per model.
        wordings: Column -> additional wordings of its question, used in all trainings.

    Returns:
        Name of the model -> its folder.
    """
    loaded = _part_of(loaded, job.form.data_share)
    labelled = _some(labelled, job.form.data_share)
    questions = loaded.questions
    gold = [e for e in questions.train if questions.is_gold(e)]
    data = {
        "student": (gold + labelled, 0.0 if teacher is None else job.recipe.alpha),
        "student_without_teacher": (gold, 0.0),
        "student_teacher_text": (gold + labelled, 0.0),
        "student_all_gold": (questions.train, 0.0),
    }
    start = _start_of(job, loaded, teacher, gold + labelled, run)
    if teacher is None:
        del data["student_teacher_text"]
        if job.controls:
            console.line(
                "controls",
                "no row 'teacher text': a server gives text alone, so the student is that row",
            )
    elif start.is_pretrained:
        data[SCRATCH] = data["student_teacher_text"]
    folders: dict[str, Path] = {}
    for name, (examples, alpha) in data.items():
        if name != "student" and not job.controls:
            continue
        folders[name] = run.path / ("student" if name == "student" else f"controls/{name}")
        if run.is_done(name):
            continue
        if not examples:
            console.line(name, "skipped: no gold answers to train on")
            del folders[name]
            continue
        _train_student(
            job,
            loaded,
            start,
            name,
            examples,
            alpha,
            folders[name],
            run,
            console,
            wordings or {},
        )
        run.done(name)
    if job.controls:
        folders["student_untrained"] = run.path / "controls" / "student_untrained"
    return folders


def _part_of(loaded: Loaded, share: float) -> Loaded:
    """Take the training questions of a share of the facts; the held-out ones stay."""
    if share == 1:
        return loaded
    train = _some(loaded.questions.train, share)
    if not train:
        raise EmptyDataError(f"data_share is {share:g}, of which no fact is left; take more")
    return replace(loaded, questions=replace(loaded.questions, train=train))


def _some(examples: list[Example], share: float) -> list[Example]:
    """Take the examples of a share of the facts; a smaller share is a part of a larger one."""
    if share == 1:
        return examples
    return [e for e in examples if split_position(f"share:{e.fact or e.id}") < share]


@dataclass(frozen=True)
class _Start:
    """Initial weights and plan of training, shared by the student and its controls."""

    teacher: str
    """Folder or name; a teacher on a server is not loaded."""
    student: str | None
    """Folder or name; None builds the student from the teacher."""
    is_pretrained: bool
    """Whether it starts from a named model's weights, which need low learning rates."""
    plan: Plan
    weights: Mapping[str, float] | None
    """Share of each task; None takes those for an untrained model."""


def _start_of(
    job: MainJob,
    loaded: Loaded,
    teacher: Path | str | None,
    examples: Sequence[Example],
    run: RunFolder,
) -> _Start:
    train, student = loaded.questions.train, None if job.student is None else str(job.student)
    named = str(job.teacher if teacher is None else teacher)
    if teacher is None and student is None:
        folder = _save_from_scratch(job, loaded, examples, run)
        return _Start(named, str(folder), False, plan_teacher(train, job.recipe), None)
    if job.teacher == STARTER:
        return _Start(named, student, False, plan_student(train, job.recipe), STUDENT_WEIGHTS)
    plan = plan_named_student(train, job.tuning)
    return _Start(named, student, True, plan, NAMED_STUDENT_WEIGHTS)


def _save_from_scratch(
    job: MainJob, loaded: Loaded, examples: Sequence[Example], run: RunFolder
) -> Path:
    """Save an untrained model of a starter's size, with a tokenizer trained on the examples."""
    folder = run.path / "work" / "start"
    stream = sorted(examples, key=lambda e: sha256_text(e.id))
    size = StarterSize(vocabulary=plan_vocabulary(table_characters(loaded.questions.table)))
    tokenizer, model = untrained_starter(stream, size=size, seed=job.seed_of_trainings)
    save_checkpoint(
        folder, model, tokenizer, {"status": "complete", "steps": 0, "seed": job.seed_of_trainings}
    )
    return folder


def _train_student(
    job: MainJob,
    loaded: Loaded,
    start: _Start,
    name: str,
    examples: Sequence[Example],
    alpha: float,
    folder: Path,
    run: RunFolder,
    console: Console,
    wordings: Mapping[str, Sequence[str]],
) -> None:
    began = time.monotonic()
    untrained = run.path / "controls" / "student_untrained"
    if name == SCRATCH:
        config = scratch_settings(job, start.teacher, alpha, start.plan, folder)
    elif start.is_pretrained:
        first = start.student if name == "student" else untrained
        config = named_student_settings(job, start.teacher, first, alpha, start.plan, folder)
    else:
        config = _starter_settings(job, start, alpha, folder)
    # The same seed for all students, so that equal data gives equal batches.
    stream = training_stream(
        examples,
        loaded.questions.table,
        start.plan.examples,
        seed=job.seed_of_trainings + 1,
        weights=start.weights,
        wordings=wordings,
    )
    distiller = ModelDistiller(config)
    distiller.make_student(stream)
    if start.is_pretrained:
        for_width(distiller)
        drop_default_system(distiller.tokenizer)  # only a named student still has a default one
    if name == "student" and job.controls:
        _save_untrained(distiller, untrained)
    summary = distiller.distill(stream, work_dir=run.path / "work" / name)
    distiller.save_distilled_model(folder)
    loaded.questions.table.write(folder)
    targets = (
        f"soft targets T={job.recipe.temperature:g} alpha={alpha:g}" if alpha else "hard labels"
    )
    console.line(
        NAMES[name],
        f"{_pruned(distiller)}{targets}, {summary.steps:,} steps, loss {summary.losses[-1][1]:.3f}",
        time.monotonic() - began,
    )


def _pruned(distiller: ModelDistiller) -> str:
    """Describe what a pruned student kept of its teacher; empty for other students."""
    return "" if distiller.pruning is None else f"{describe(distiller.pruning)}; "


def _starter_settings(
    job: MainJob, start: _Start, alpha: float, folder: Path
) -> DistillationConfig:
    recipe, plan = job.recipe, start.plan
    own = job.student is None
    layers, width = _shape_of(job, start.teacher)
    return DistillationConfig(
        teacher_model_name=start.teacher,
        student_model_name=start.student or job.form.initialisation or EVERY_SECOND,
        student_layers=layers,
        student_width=width,
        objective=job.form.objective,
        temperature=recipe.temperature,
        alpha=alpha,
        batch_size=plan.batch,
        num_epochs=1,
        learning_rate=recipe.learning_rate if own else 5e-5,
        matrix_learning_rate=recipe.matrix_learning_rate,
        optimizer="muon" if own else "adamw",
        warmup_ratio=0.02,
        max_steps=plan.steps,
        lr_scheduler="warmup_stable_decay",
        decay_ratio=recipe.decay_ratio,
        max_length=LONGEST_EXAMPLE,
        seed=job.seed_of_trainings,
        device=job.device,
        too_long="error",
        output_dir=str(folder),
    )


def _shape_of(job: MainJob, teacher: str) -> tuple[int | None, int | None]:
    """Give the layers, and the width where it is new, of a student of a starter."""
    form = job.form
    if form.initialisation in (None, EVERY_SECOND):
        return None, None
    shape = read_json(Path(teacher) / "config.json")
    most = int(shape["num_hidden_layers"])
    if form.layers is not None and form.layers > most:
        raise ConfigError([f"layers is {form.layers}; the teacher has {most}"])
    layers = form.layers or max(1, most // 2)
    if form.initialisation == FROM_SCRATCH:
        return layers, int(shape["hidden_size"])
    return layers, None


def _save_untrained(distiller: ModelDistiller, folder: Path) -> None:
    """Save the student before its first training step, as a control."""
    save_checkpoint(
        folder,
        distiller.student_model,
        distiller.tokenizer,
        {"status": "complete", "steps": 0, "seed": distiller.config.seed},
    )
