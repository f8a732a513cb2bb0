"""Estimate the time of a text-to-SQL job from a few timed steps of its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...console import Console
from ...distillation.pruning.layer_choice import SHORTLIST
from ...distillation.pruning.prune_teacher import MEASURED_EXAMPLES
from ...distillation.settings import DistillationConfig
from ...distillation.students.adapters import put_adapter
from ...errors import ConfigError
from ...inference.checkpoints.load_student import load_checkpoint
from ...records import Example
from ..main_job.estimate import FORWARD_SHARE, in_words
from ..main_job.estimate_named import (
    STUDENT_SHARE,
    TRIED_STEPS,
    padded_batches,
    seconds_per_step,
)
from .settings import TextToSqlJob

MEASURED_MODELS: Final = 5
"""Rows of the table, each of which is an answer of one model to every measured question."""
TRIED_BATCH: Final = 4
"""Examples of a timed step; the time of one with more grows with their number."""
ANSWER_PASSES: Final = 2.0
"""Time of writing SQL behind a prompt divided by that of a forward pass over both."""


def require_time(job: TextToSqlJob, examples: Sequence[Example], console: Console) -> None:
    """Print the estimated time, and refuse a job that takes longer than is allowed.

    Raises:
        ConfigError: It takes more than `job.max_minutes`, and nobody at a terminal says yes.
        ModelNotFoundError: There is no such teacher.
    """
    with console.busy("estimating the time"):
        minutes = estimate_minutes(job, examples)
    console.line("time", f"about {in_words(minutes)}: teacher, its answers, 2 students, measuring")
    if job.max_minutes is None or minutes <= job.max_minutes:
        return
    told = (
        f"about {in_words(minutes)} are more than {job.max_minutes:g} min (--max-minutes); ask "
        f"fewer questions (--questions {int(job.questions * job.max_minutes / minutes)}), or train "
        f"for less (--effort {job.effort * job.max_minutes / minutes:.2g})"
    )
    if console.asks():
        console.line("", told)
        if console.confirm("Train for this long anyway?"):
            return
    raise ConfigError([f"{told}. Or pass --yes (max_minutes=None) to train anyway"])


def estimate_minutes(job: TextToSqlJob, examples: Sequence[Example]) -> float:
    """Estimate the minutes of the whole job on this machine, from a few training steps."""
    given = load_checkpoint(job.teacher, device=job.device)
    size = min(job.batch, TRIED_BATCH)
    batches = padded_batches(given, examples[: (TRIED_STEPS + 1) * size], size)
    model = given.model.float()
    whole = seconds_per_step(model, batches) * job.batch / size
    taught = whole
    if job.lora_rank:
        adapter = DistillationConfig(lora_r=job.lora_rank, lora_alpha=2.0 * job.lora_rank)
        taught = seconds_per_step(put_adapter(model, adapter), batches) * job.batch / size
    forward = FORWARD_SHARE * whole
    teacher = job.teacher_steps * taught
    # Half of the layers go, one after the other; each time some are tried, with fewer and fewer.
    tried = (SHORTLIST + 1) * given.model.config.num_hidden_layers / 2
    pruning = tried * 0.75 * forward * MEASURED_EXAMPLES / job.batch
    students = job.student_steps * (2 * STUDENT_SHARE * whole + forward)
    answers = (job.asked + MEASURED_MODELS * job.measured) * ANSWER_PASSES * forward / job.batch
    return float(teacher + pruning + students + answers) / 60.0
