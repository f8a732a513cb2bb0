"""A teacher that runs beside the student."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..batches.forward import Batch
from ..losses.model_rows import ModelRows
from ..losses.teacher_rows import DenseTeacherRows


class OnlineTeacher:
    """A teacher that runs beside the student: frozen, in eval mode, part of no other module.

    Args:
        model: A causal language model; its parameters stop requiring gradients.
        vocabulary: Ids that count, as for the student.
        autocast_dtype: Arithmetic of its forward pass; None for that of its weights.
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

    def rows(self, batch: Batch) -> DenseTeacherRows | Tensor:
        """Run the teacher on the batch: hidden states and head, or logits (N, V)."""
        with torch.no_grad(), self._autocast(batch):
            self.row_logits.decide(self.model, batch)
            rows, _ = self.row_logits(self.model.eval(), batch, self.model)
        if isinstance(rows, Tensor):
            return rows
        shared = slice(rows.vocabulary)
        bias = None if rows.bias is None else rows.bias[shared]
        return DenseTeacherRows(rows.hidden, rows.weight[shared], bias)

    def logits(self, batch: Batch) -> Tensor:
        """Give the teacher's logits at all positions, (B, T, V)."""
        with torch.no_grad(), self._autocast(batch):
            return self.row_logits.dense(self.model.eval(), batch)

    def _autocast(self, batch: Batch) -> torch.autocast:
        device = batch["input_ids"].device.type
        return torch.autocast(
            device, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None
        )
