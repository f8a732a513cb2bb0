"""A teacher whose probabilities of the classes came with the records."""

from __future__ import annotations

import torch
from torch import Tensor

from ..batches.classifier_data import PROBABILITIES
from ..batches.forward import Batch


class RecordedTeacher:
    """A `TeacherSignal` of a classifier that reads each batch's `probabilities`, (B, C)."""

    def rows(self, batch: Batch) -> Tensor:
        """Give logits (B, C) whose softmax they are."""
        shares = batch[PROBABILITIES]
        return shares.clamp(min=torch.finfo(shares.dtype).tiny).log()
