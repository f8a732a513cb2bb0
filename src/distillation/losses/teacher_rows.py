"""What a teacher says about the supervised positions of a batch, and where it comes from.

Three forms, by what the source has: kept classes and one tail (a cache), hidden states and a head
(a model beside the student, whose logits are then made in pieces), or logits as they are.

Sizes: N supervised positions in reading order, as `supervised_rows` gives them; K kept classes, H
hidden size of the teacher, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..batches.forward import Batch


@dataclass(frozen=True)
class SparseTeacherRows:
    """The largest classes of each position; all other tokens form one class, the tail.

    Without the tail a student may move mass to where nobody looks: the divergence over the kept
    classes alone does not see it.
    """

    ids: Tensor
    """(N, K) int64, distinct within a row, in any order, below the shared vocabulary; K >= 1."""
    log_kept: Tensor
    """(N, K) float32: log p of each id at the temperature of the training. -inf is allowed here and
    below; the losses raise it to `LOWEST_TEACHER_LOG_PROBABILITY`."""
    log_tail: Tensor
    """(N,) float32: log p of all other tokens together at the same temperature."""


@dataclass(frozen=True)
class DenseTeacherRows:
    """Logits that are not made yet: `hidden @ weight.T + bias`, at temperature 1."""

    hidden: Tensor
    """(N, H)."""
    weight: Tensor
    """(V, H) of the teacher's head, cut to the shared vocabulary."""
    bias: Tensor | None = None
    """(V,)."""


TeacherRows = SparseTeacherRows | DenseTeacherRows | Tensor
"""A tensor is logits (N, V) at temperature 1, cut to the shared vocabulary."""


class TeacherSignal(Protocol):
    """Where a teacher's distributions come from: a model beside the student, or a cache."""

    def rows(self, batch: Batch) -> TeacherRows:
        """Give the teacher's side of the batch's supervised positions, without a gradient.

        Args:
            batch: The tokens the student is trained on.

        Returns:
            One of the three forms, with N rows in reading order.
        """
        ...


@dataclass(frozen=True)
class AlignedTeacherRows:
    """A teacher's side of some of the supervised positions, over its own vocabulary."""

    rows: DenseTeacherRows | Tensor
    """P rows; a tensor is logits (P, W)."""
    aligned: Tensor
    """(N,) bool, true P times: which of the student's rows they belong to."""
