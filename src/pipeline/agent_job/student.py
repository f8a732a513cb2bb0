"""Train the student of an agent on the answers that were kept, and measure what it has learned."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import StillroomError
from ...files import read_json_lines, write_json
from ...labeling.reports.derived_metrics import train_tokens_per_sec
from .settings import AgentConfig

PASSES = 8
"""Passes over the training part where no number of steps is given."""


@dataclass(frozen=True)
class AgentStudent:
    """A trained student and what it was measured to know."""

    folder: Path
    steps: int
    examples: int
    held_out: int
    loss_before: float | None
    """Nats per character of the held-out answers, of what the student starts as; None without any.
    A pruned student has other tokens than its teacher, so characters are counted."""
    loss_after: float | None
    loss_teacher: float | None
    """The same for a teacher in this process."""


def planned_steps(config: AgentConfig, examples: int) -> int:
    """Say how many steps a training takes."""
    return config.training.iters or max(
        1, math.ceil(PASSES * examples / config.training.batch_size)
    )


def train_agent(
    config: AgentConfig, teacher: str | None, mlx: Path, folder: Path, work: Path
) -> AgentStudent:
    """Train a student.

    Args:
        config: The settings.
        teacher: Folder of the teacher's weights; None where it is on a server.
        mlx: Folder with `train.jsonl` and `valid.jsonl`.
        folder: Folder that the student is written to.
        work: Folder that keeps checkpoints, so that the same call continues; it is removed.

    Raises:
        StillroomError: There is nothing to train on, or a model cannot be used.
    """
    from ...distillation.distiller import DistillationConfig, ModelDistiller
    from ...inference.checkpoints.load_student import load_checkpoint

    train, held_out = (_records(mlx / f"{part}.jsonl") for part in ("train", "valid"))
    if not train:
        raise StillroomError("no answer was kept, so there is nothing to train on")
    training = config.training
    distiller = ModelDistiller(
        DistillationConfig(
            teacher_model_name=teacher or "none",
            student_model_name=str(config.student),
            alpha=0.5 if teacher else 0.0,
            temperature=1.0,
            max_length=training.max_seq_length,
            batch_size=training.batch_size,
            max_steps=planned_steps(config, len(train)),
            learning_rate=training.learning_rate,
            warmup_ratio=0.05,
            seed=training.seed,
            save_steps=training.save_every,
            output_dir=str(folder),
        )
    )
    distiller.make_student(train)
    before = _loss(_opened(distiller), held_out)
    summary = distiller.distill(train, work_dir=work)
    distiller.save_distilled_model()
    shutil.rmtree(work, ignore_errors=True)
    after = _loss(load_checkpoint(str(folder)), held_out)
    told = None if teacher is None else _loss(load_checkpoint(teacher), held_out)
    student = AgentStudent(
        folder, summary.steps, len(train), len(held_out), before, after, told
    )  # fmt: skip
    write_json(folder / "agent_losses.json", {
        "unit": "nats per character of the held-out answers", "held_out": len(held_out),
        "before": before, "after": after, "teacher": told,
        **train_tokens_per_sec(
            summary.trained_supervised_tokens, summary.trained_tokens, summary.training_seconds
        ),
    })  # fmt: skip
    return student


def _records(path: Path) -> list[dict[str, Any]]:
    return read_json_lines(path) if path.is_file() else []


def _loss(checkpoint: Any, records: Sequence[Mapping[str, Any]]) -> float | None:  # noqa: ANN401
    """Average the loss over the characters of the answers."""
    from ...inference.scoring.choices import score_completions

    if not records:
        return None
    prompts = [record["messages"][:-1] for record in records]
    answers = [record["messages"][-1]["content"] for record in records]
    pairs = score_completions(checkpoint, prompts, answers, batch_size=4)
    return round(sum(loss for loss, _ in pairs) / sum(map(len, answers)), 4)


def _opened(distiller: Any) -> Any:  # noqa: ANN401 - torch is loaded late
    """Give the student that a distiller has made, as a checkpoint without a folder."""
    from ...inference.checkpoints.load_student import Checkpoint

    return Checkpoint(distiller.student_model.eval(), distiller.tokenizer, None, "student")
