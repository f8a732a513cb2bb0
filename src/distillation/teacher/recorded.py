"""A teacher whose class probabilities are part of the records."""

from __future__ import annotations

import torch
from torch import Tensor

from ..batches.classifier_data import PROBABILITIES
from ..batches.forward import Batch


class RecordedTeacher:
    """A `TeacherSignal` for classifiers that reads the `probabilities` (B, C) of each batch."""

    def rows(self, batch: Batch) -> Tensor:
        """Return logits (B, C) whose softmax is the recorded probabilities."""
        shares = batch[PROBABILITIES]
        return shares.clamp(min=torch.finfo(shares.dtype).tiny).log()
