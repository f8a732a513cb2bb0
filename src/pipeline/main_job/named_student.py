"""Settings of the students of a named teacher, and of the untrained model beside them."""

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
"""Share of each task: the student has the teacher's layers, and their connection to mend."""
SCRATCH: Final = "student_from_scratch"
"""Control: an untrained model of a starter's size, with the texts that the student learns from."""


def named_student_settings(
    job: MainJob,
    teacher: str,
    start: str | Path | None,
    alpha: float,
    plan: Plan,
    folder: Path,
) -> DistillationConfig:
    """Give the settings of a student that begins with pretrained weights: AdamW, low rates.

    Args:
        job: Its temperature and rates.
        teacher: Folder of the taught teacher, or the name of a server's.
        start: The student's first weights; None prunes the teacher.
        alpha: Weight of the soft targets.
        plan: Steps and examples per step.
        folder: The student's.
    """
    return DistillationConfig(
        teacher_model_name=teacher,
        student_model_name=str(start or PRUNED),
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
        seed=job.seed,
        device=job.device,
        too_long="error",
        output_dir=str(folder),
    )


def scratch_settings(
    job: MainJob, teacher: str, alpha: float, plan: Plan, folder: Path
) -> DistillationConfig:
    """Give the settings of an untrained student, with the rates that starters learn best with."""
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
    """Lower the rate of a distiller with a loaded student to what its width takes."""
    config = distiller.config
    if config.student_model_name != FROM_SCRATCH:
        rate = rate_of(config.learning_rate, distiller.student_model)
        distiller.config = replace(config, learning_rate=rate)
