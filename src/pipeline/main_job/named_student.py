"""Training settings of the students of a named teacher, and of the control from scratch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from ...distillation.distiller import ModelDistiller
from ...distillation.settings import FROM_SCRATCH, PRUNED, DistillationConfig
from ...distillation.starter_student import StarterSize
from .named_teacher import rate_of
from .settings import MainJob
from .teacher import LONGEST_EXAMPLE, Plan

NAMED_STUDENT_WEIGHTS: Final = {"qa": 0.88, "summarize": 0.04, "validate": 0.08}
"""Share of each task. The student has some of the teacher's layers and mostly has to recover the
facts."""
SCRATCH: Final = "student_from_scratch"
"""Control: a model of a starter's size, trained from scratch on the texts of the student."""


def named_student_settings(
    job: MainJob,
    teacher: str,
    start: str | Path | None,
    alpha: float,
    plan: Plan,
    folder: Path,
) -> DistillationConfig:
    """Return the settings of a student with pretrained weights: AdamW and low learning rates.

    Args:
        job: The settings, with temperature and learning rates.
        teacher: Folder of the trained teacher, or the name of a teacher on a server.
        start: Folder or name of the student's initial weights; None prunes the teacher.
        alpha: Weight of the soft targets.
        plan: Steps and examples per step.
        folder: Folder that the student is written to.
    """
    return DistillationConfig(
        teacher_model_name=teacher,
        student_model_name=str(start or PRUNED),
        student_layers=job.form.layers if start is None else None,
        objective=job.form.objective,
        temperature=job.recipe.temperature,
        alpha=alpha,
        batch_size=plan.batch,
        num_epochs=1,
        learning_rate=job.tuning.student_rate,
        warmup_ratio=0.03,
        max_steps=plan.steps,
        lr_scheduler="warmup_stable_decay",
        decay_ratio=0.5,
        max_length=LONGEST_EXAMPLE,
        seed=job.seed_of_trainings,
        device=job.device,
        too_long="error",
        output_dir=str(folder),
    )


def scratch_settings(
    job: MainJob, teacher: str, alpha: float, plan: Plan, folder: Path
) -> DistillationConfig:
    """Return the settings of a student from scratch, with the learning rates of a starter."""
    recipe, size = job.recipe, StarterSize()
    return replace(
        named_student_settings(job, teacher, None, alpha, plan, folder),
        student_model_name=FROM_SCRATCH,
        student_layers=size.layers,
        student_width=size.width,
        optimizer="muon",
        learning_rate=recipe.learning_rate,
        matrix_learning_rate=recipe.matrix_learning_rate,
        decay_ratio=recipe.decay_ratio,
    )


def for_width(distiller: ModelDistiller) -> None:
    """Scale the learning rate of a distiller to the width of its loaded student, in place."""
    config = distiller.config
    if config.student_model_name != FROM_SCRATCH:
        rate = rate_of(config.learning_rate, distiller.student_model)
        distiller.config = replace(config, learning_rate=rate)
