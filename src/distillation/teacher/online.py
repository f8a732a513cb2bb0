"""Teachers that run beside the student in each step, on the student's tokens or on their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..batches.forward import Batch
from ..batches.text_alignment import AlignedCollator
from ..losses.distillation_loss import DistillationLoss
from ..losses.model_rows import ModelRows
from ..losses.rows import AlignedTeacherRows, StudentRows
from ..setting_names import IGNORED, UNIVERSAL


class OnlineTeacher:
    """A `TeacherSignal` that runs a model, which is frozen and kept in eval mode.

    Args:
        model: The teacher; its parameters stop requiring gradients.
        vocabulary: Number of ids in the distributions, as for the student; None takes all.
        autocast_dtype: Precision of the forward pass; None takes that of the weights.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        vocabulary: int | None = None,
        autocast_dtype: torch.dtype | None = None,
    ) -> None:
        """Freeze the model."""
        self.model = model.requires_grad_(False).eval()
        self.row_logits = ModelRows(vocabulary)
        self.autocast_dtype = autocast_dtype

    def rows(self, batch: Batch) -> StudentRows:
        """Run the teacher on a batch; return hidden states with the head, or logits (N, V)."""
        with torch.no_grad(), self._autocast(batch):
            return self.row_logits(self.model.eval(), batch, self.model)[0]

    def logits(self, batch: Batch) -> Tensor:
        """Return the teacher's logits at all positions, (B, T, V)."""
        with torch.no_grad(), self._autocast(batch):
            return self.row_logits.dense(self.model.eval(), batch)

    def _autocast(self, batch: Batch) -> torch.autocast:
        device = batch["input_ids"].device.type
        return torch.autocast(
            device, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None
        )


@dataclass(frozen=True)
class UniversalTeacher:
    """A teacher with a tokenizer of its own; its batches come from an `AlignedCollator`."""

    teacher: OnlineTeacher
    """The teacher, with the vocabulary of its own tokenizer."""

    def rows(self, batch: Batch) -> AlignedTeacherRows:
        """Run the teacher on its own tokens of the batch."""
        labels = batch["labels"]
        aligned = batch["aligned"][:, 1:][labels[:, 1:] != IGNORED]  # (N,)
        theirs = {
            name.removeprefix("teacher_"): batch[name]
            for name in ("teacher_input_ids", "teacher_attention_mask", "teacher_labels")
        }
        if not bool(aligned.any()):  # a process without data gets a batch without labels
            theirs["labels"] = torch.full_like(theirs["labels"], IGNORED)
        return AlignedTeacherRows(self.teacher.rows(theirs), aligned)


def universal_faults(
    loss_fn: nn.Module,
    teacher: object,
    items: Sequence[Any],
    collator: Callable[[Sequence[Any]], dict[str, Tensor]],
) -> list[str]:
    """List the faults of a training across two tokenizers; empty for other trainings."""
    wanted = getattr(loss_fn, "objective", None) == UNIVERSAL
    if not isinstance(teacher, UniversalTeacher):
        if not wanted or teacher is None:
            return []
        return [
            f"objective {UNIVERSAL!r} needs a teacher that reads in its own tokens; give "
            f"UniversalTeacher(OnlineTeacher(model)), not a {type(teacher).__name__}"
        ]
    faults = []
    if not (wanted and type(loss_fn) is DistillationLoss):
        faults.append(
            f"{type(loss_fn).__name__} compares logits at equal positions, and a UniversalTeacher "
            f"has others; give DistillationLoss(objective={UNIVERSAL!r})"
        )
    if any(getattr(item, "teacher", None) is None for item in items):
        faults.append("some examples lack the teacher's tokens; make them with align_examples")
    if not isinstance(collator, AlignedCollator):
        faults.append(f"a UniversalTeacher needs an AlignedCollator, not {type(collator).__name__}")
    return faults
