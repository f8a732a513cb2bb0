"""The loss of a batch's supervised positions, by the path that the student's rows allow.

    signal = teacher.rows(batch)
    rows, labels = student.rows(model, batch)
    total, count = distillation_sum(rows, labels, signal, mixture)

To understand a loss, read four files: this one, the divergence (`divergences.py`), how it is mixed
with the cross-entropy and divided (`mixture.py`), and one of the two computations of the same sum:
by autograd (`dense.py`), or head, loss and gradient in one pass (`fused.py`). Which of the two is
taken is decided in `model_rows.py`, once, with the reason in the log.
"""

from __future__ import annotations

from torch import Tensor

from .dense import dense_distillation
from .fused import HeadRows, fused_distillation
from .mixture import Mixture, SumAndCount
from .teacher_rows import AlignedTeacherRows, TeacherRows
from .universal import universal_distillation


def distillation_sum(
    rows: HeadRows | Tensor,
    labels: Tensor,
    teacher: TeacherRows | AlignedTeacherRows | None,
    mixture: Mixture,
    *,
    weights: Tensor | None = None,
) -> SumAndCount:
    """Sum alpha T^2 D(teacher, student) + (1 - alpha) CE over supervised positions.

    Args:
        rows: The student's N rows: hidden states with the whole head, or logits (N, V).
        labels: (N,) token ids, none of them -100.
        teacher: Its side of the same rows; None only where alpha is 0.
        mixture: The settings.
        weights: (N,) of the rows; None for 1 everywhere. The count stays N, so that weights are
            relative.

    Returns:
        The sum in nats, connected to the student without any row as well, and N.

    Raises:
        ConfigError: Products would be in float16.
        ValueError: Shapes do not belong together.
    """
    if isinstance(teacher, AlignedTeacherRows):
        return universal_distillation(rows, labels, teacher, mixture, weights=weights)
    if isinstance(rows, HeadRows):
        return fused_distillation(rows, labels, teacher, mixture, weights=weights)
    return dense_distillation(rows, labels, teacher, mixture, weights=weights)
