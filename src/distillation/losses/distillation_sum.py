"""The loss of a batch's supervised positions.

    signal = teacher.rows(batch)
    rows, labels = student.rows(model, batch)
    total, count = distillation_sum(rows, labels, signal, mixture)
    loss = per_token(total, tokens_of_the_step)

To understand a loss, read four files: this one; the divergence (`divergences.py`); how it is mixed
with the cross-entropy and divided (`mixture.py`); and one of two ways to compute the same sum:
from logits, by autograd (`dense.py`), or head, loss and gradient in one pass (`fused.py`).

The form of the student's rows decides between the two. `model_rows.py` chooses it once, at the
first batch, and logs the reason.
"""

from __future__ import annotations

from torch import Tensor

from .dense import dense_distillation
from .fused import fused_distillation
from .mixture import Mixture, SumAndCount
from .rows import AlignedTeacherRows, HeadRows, StudentRows, TeacherRows
from .universal import universal_distillation


def distillation_sum(
    rows: StudentRows,
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
        teacher: Its rows at the same positions; None only where alpha is 0.
        mixture: The settings.
        weights: (N,) of the rows; None for 1 everywhere. The count stays N, so weights are
            relative.

    Returns:
        The sum in nats and N. The sum of no rows is 0 and still connected to the student.

    Raises:
        ConfigError: The head would compute in float16.
        ValueError: Shapes do not belong together.
    """
    if isinstance(teacher, AlignedTeacherRows):
        return universal_distillation(rows, labels, teacher, mixture, weights=weights)
    if isinstance(rows, HeadRows):
        return fused_distillation(rows, labels, teacher, mixture, weights=weights)
    return dense_distillation(rows, labels, teacher, mixture, weights=weights)
