"""A teacher with another tokenizer, aligned by characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..batches.forward import Batch
from ..batches.text_alignment import AlignedCollator
from ..losses.distillation_loss import DistillationLoss
from ..losses.teacher_rows import AlignedTeacherRows
from ..setting_names import IGNORED, UNIVERSAL
from .online import OnlineTeacher


@dataclass(frozen=True)
class UniversalTeacher:
    """Where the rows of a teacher come from that reads the text in tokens of its own.

    It needs the batches of an `AlignedCollator`.
    """

    teacher: OnlineTeacher
    """Its vocabulary is that of its own tokenizer."""

    def rows(self, batch: Batch) -> AlignedTeacherRows:
        """Run the teacher on its side of the batch."""
        labels = batch["labels"]
        aligned = batch["aligned"][:, 1:][labels[:, 1:] != IGNORED]  # (N,)
        theirs = {
            name.removeprefix("teacher_"): batch[name]
            for name in ("teacher_input_ids", "teacher_attention_mask", "teacher_labels")
        }
        if not bool(aligned.any()):  # an idle process: its labels are gone
            theirs["labels"] = torch.full_like(theirs["labels"], IGNORED)
        return AlignedTeacherRows(self.teacher.rows(theirs), aligned)


def universal_faults(
    loss_fn: nn.Module,
    teacher: object,
    items: Sequence[Any],
    collator: Callable[[Sequence[Any]], dict[str, Tensor]],
) -> list[str]:
    """List what does not go together in a training across tokenizers; empty when all is well.

    Args:
        loss_fn: What is trained on.
        teacher: As given to the trainer.
        items: The tokenised examples.
        collator: Makes batches of them.
    """
    asked = getattr(loss_fn, "objective", None) == UNIVERSAL
    if not isinstance(teacher, UniversalTeacher):
        if not asked or teacher is None:
            return []
        return [
            f"objective {UNIVERSAL!r} needs a teacher that reads in its own tokens; give "
            f"UniversalTeacher(OnlineTeacher(model)), not a {type(teacher).__name__}"
        ]
    faults = []
    if not (asked and type(loss_fn) is DistillationLoss):
        faults.append(
            f"{type(loss_fn).__name__} compares logits at equal positions, and a UniversalTeacher "
            f"has others; give DistillationLoss(objective={UNIVERSAL!r})"
        )
    if any(getattr(item, "teacher", None) is None for item in items):
        faults.append("some examples lack the teacher's tokens; make them with align_examples")
    if not isinstance(collator, AlignedCollator):
        faults.append(f"a UniversalTeacher needs an AlignedCollator, not {type(collator).__name__}")
    return faults
