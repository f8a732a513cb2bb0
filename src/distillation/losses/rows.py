"""The rows of a loss: one per supervised position of a batch, in reading order.

| form | where it comes from |
|---|---|
| `HeadRows` | a model whose head is a plain linear layer: its logits are computed in chunks |
| a tensor (N, V) | a model that computes its logits itself, at temperature 1 |
| `SparseTeacherRows` | a teacher cache: the largest classes and one class for all others |
| `AlignedTeacherRows` | a teacher with another tokenizer: some of the positions |

Sizes: N supervised positions, H hidden size, V shared vocabulary, K kept classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor
from torch.nn import functional

from ..batches.forward import Batch


@dataclass(frozen=True)
class HeadRows:
    """Hidden states and the head that makes logits of them: `hidden @ weight.T + bias`."""

    hidden: Tensor
    """(N, H)."""
    weight: Tensor
    """The whole head (V or more, H)."""
    bias: Tensor | None = None
    """(V or more,)."""
    vocabulary: int | None = None
    """Ids that teacher and student share, V; rows of the head beyond are padding and get no
    gradient. None takes all."""

    def __len__(self) -> int:
        """Count the rows, N."""
        return len(self.hidden)

    def __getitem__(self, rows: slice | Tensor) -> HeadRows:
        """Select rows; the head stays whole."""
        return replace(self, hidden=self.hidden[rows])

    @property
    def classes(self) -> int:
        """V."""
        return len(self.weight) if self.vocabulary is None else self.vocabulary

    def logits(self) -> Tensor:
        """Compute all logits, (N, V)."""
        bias = None if self.bias is None else self.bias[: self.classes]
        return functional.linear(self.hidden, self.weight[: self.classes], bias)


@dataclass(frozen=True)
class SparseTeacherRows:
    """The largest classes of each position; all other tokens form one class, the tail.

    Without the tail, probability that a student gives to other tokens would cost it nothing.
    """

    ids: Tensor
    """(N, K) int64, distinct within a row, in any order, below the shared vocabulary; K >= 1."""
    log_kept: Tensor
    """(N, K) float32: log p of each id at the temperature of the training. -inf is allowed here and
    below; the losses raise it to `LOWEST_TEACHER_LOG_PROBABILITY`."""
    log_tail: Tensor
    """(N,) float32: log p of all other tokens together at the same temperature."""

    def __len__(self) -> int:
        """Count the rows, N."""
        return len(self.ids)

    def __getitem__(self, rows: slice) -> SparseTeacherRows:
        """Select rows."""
        return SparseTeacherRows(self.ids[rows], self.log_kept[rows], self.log_tail[rows])


StudentRows = HeadRows | Tensor
TeacherRows = SparseTeacherRows | HeadRows | Tensor


@dataclass(frozen=True)
class AlignedTeacherRows:
    """A teacher's rows at P of the N supervised positions, over its own vocabulary of W tokens."""

    rows: HeadRows | Tensor
    """P rows; a tensor is logits (P, W)."""
    aligned: Tensor
    """(N,) bool, true P times: which of the student's rows they belong to."""


class TeacherSignal(Protocol):
    """Gives a teacher's rows of a batch: a model beside the student, or a cache."""

    def rows(self, batch: Batch) -> TeacherRows:
        """Return the teacher's N rows of a batch, without a gradient."""
        ...
