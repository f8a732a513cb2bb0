"""What the job will cost in time, told before it is spent: a few steps of each size are tried."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch

from ..console import Console
from ..distillation.starter import StarterSize, new_shape
from ..records import Example
from .job import STARTER, MainJob
from .loading import Loaded
from .teaching import CHARACTERS_PER_TOKEN, Plan, plan_student, plan_teacher, plan_vocabulary

TRIED_STEPS = 3
"""Steps that are timed, after one that is not."""
STEP_OVERHEAD = 1.25
"""A whole step (optimizer, collation, callbacks) against forward and backward alone, about."""
FORWARD_SHARE = 0.4
"""A forward pass against forward and backward; what a student's step pays for its teacher."""
REST_SHARE = 0.2
"""Labelling, measuring and asking against all training, about."""


def tell_time(job: MainJob, loaded: Loaded, console: Console) -> None:
    """Print about how long the job will take here; nothing where a named model decides that."""
    if job.teacher != STARTER or job.student is not None:
        return
    minutes = estimate_minutes(job, loaded)
    arms = "1 student and 3 controls" if job.controls else "1 student"
    console.line("time", f"about {max(1, math.ceil(minutes))} min: teacher, {arms}, measuring")


def estimate_minutes(job: MainJob, loaded: Loaded) -> float:
    """Estimate the minutes of a job that trains its own teacher, from a few steps of its size.

    The estimate is rough (other work on the machine, answers of unusual length); it tells minutes
    from hours.
    """
    questions, recipe = loaded.questions, job.recipe
    teacher_plan = plan_teacher(questions.train, recipe)
    student_plan = plan_student(questions.train, recipe)
    size = StarterSize(vocabulary=plan_vocabulary(questions.table))
    tokens = _tokens_per_example(questions.train)
    teacher_s = _seconds_per_step(size, size.layers, teacher_plan, tokens)
    student_s = _seconds_per_step(size, size.layers // 2, student_plan, tokens)
    controls = 3 * student_s if job.controls else 0.0
    training_s = (
        teacher_plan.steps * teacher_s
        + student_plan.steps * (student_s + FORWARD_SHARE * teacher_s)
        + student_plan.steps * controls
    )
    return training_s * (1.0 + REST_SHARE) / 60.0


def _tokens_per_example(examples: Sequence[Example]) -> int:
    characters = sum(len(e.prompt) + len(e.target or "") for e in examples) / len(examples)
    return max(8, round(characters / CHARACTERS_PER_TOKEN))


def _seconds_per_step(size: StarterSize, layers: int, plan: Plan, tokens: int) -> float:
    """Time forward and backward of an untrained model on random tokens."""
    model: Any = new_shape(size, layers=layers, seed=0)
    # A generator of its own: the job's seeds must not depend on whether time was told.
    ids = torch.randint(
        size.vocabulary, (plan.batch, tokens), generator=torch.Generator().manual_seed(0)
    )
    times = []
    for _ in range(TRIED_STEPS + 1):
        began = time.perf_counter()
        model(input_ids=ids, labels=ids).loss.backward()
        times.append(time.perf_counter() - began)
    return STEP_OVERHEAD * min(times[1:])
