"""The loss of supervised positions from their logits, by autograd.

For models whose head must not be applied to selected rows, and the reference of `fused_loss.py`,
which gives the same sums without holding the logits of all rows.

Sizes: N supervised positions, V vocabulary, K kept classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .divergences import (
    LOWEST_LOGIT,
    LOWEST_TEACHER_LOG_PROBABILITY,
    log_probabilities,
    row_divergence,
)
from .mixture import Mixture, SumAndCount
from .teacher_rows import DenseTeacherRows, SparseTeacherRows, TeacherRows


def dense_distillation(
    logits: Tensor,
    labels: Tensor,
    teacher: TeacherRows | None,
    mixture: Mixture,
    *,
    weights: Tensor | None = None,
) -> SumAndCount:
    """Sum alpha T^2 D(teacher, student) + (1 - alpha) CE over supervised positions.

    Args:
        logits: The student's (N, V), cut to the shared vocabulary.
        labels: (N,) token ids, none of them -100; not looked at where alpha is 1.
        teacher: Its side of the same rows; None only where alpha is 0.
        mixture: The settings.
        weights: (N,) of the rows; None for 1 everywhere. The count stays N, so that weights are
            relative.

    Returns:
        The sum in nats, connected to the logits without any row as well, and N.
    """
    distance = (
        teacher_divergence(logits, teacher, mixture)
        if teacher is not None and mixture.alpha > 0.0
        else None
    )
    cross_entropy = (
        functional.nll_loss(log_probabilities(logits), labels, reduction="none")
        if mixture.alpha < 1.0
        else None
    )
    values = mixture.mix(distance, cross_entropy)  # (N,)
    return (values if weights is None else values * weights).sum(), len(logits)


def teacher_divergence(logits: Tensor, teacher: TeacherRows, mixture: Mixture) -> Tensor:
    """Give D of each row (N,) in nats, at the mixture's temperature and without T^2.

    With kept classes the tail is one more class. That is at most the divergence over the whole
    vocabulary, and equal to it at K = V - 1.

    Args:
        logits: The student's (N, V).
        teacher: Its side of the same rows; a constant.
        mixture: Which divergence.
    """
    if isinstance(teacher, SparseTeacherRows):
        log_q = kept_log_probabilities(logits, teacher.ids, mixture.temperature)
        log_p = torch.cat([teacher.log_kept, teacher.log_tail[:, None]], dim=1)  # (N, K + 1)
    else:
        if isinstance(teacher, DenseTeacherRows):
            teacher = functional.linear(teacher.hidden, teacher.weight, teacher.bias)
        log_q = log_probabilities(logits, mixture.temperature)
        log_p = log_probabilities(teacher, mixture.temperature)  # (N, V)
    return row_divergence(log_q, log_p.detach().clamp(min=LOWEST_TEACHER_LOG_PROBABILITY), mixture)


def kept_log_probabilities(logits: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """Bring logits to kept classes and one tail: log q of each.

    The tail is summed over the logits that are left. As 1 - sum of the kept it would lose its
    logarithm in float32: 2.6 nats at a tail of 1e-6.

    Args:
        logits: (N, V).
        ids: (N, K), distinct within a row.
        temperature: Above 0.

    Returns:
        (N, K + 1), the tail last; float32 or float64.
    """
    z = log_probabilities(logits, temperature)
    tail = z.scatter(1, ids, LOWEST_LOGIT).logsumexp(dim=1, keepdim=True)  # (N, 1)
    return torch.cat([z.gather(1, ids), tail], dim=1)
