"""The loss of supervised positions from their logits, differentiated by autograd.

Used where the head must not be applied to selected rows (`model_rows.why_dense`). `fused.py` gives
the same sums without holding the logits of all rows.

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
from .rows import HeadRows, SparseTeacherRows, TeacherRows


def dense_distillation(
    logits: Tensor,
    labels: Tensor,
    teacher: TeacherRows | None,
    mixture: Mixture,
    *,
    weights: Tensor | None = None,
) -> SumAndCount:
    """Compute `distillation_sum` from the student's logits (N, V), cut to the shared vocabulary."""
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
    """Return D of each row (N,) in nats, at the mixture's temperature and without T^2.

    Over kept classes and a tail it is at most the divergence over the whole vocabulary, and equal
    to it at K = V - 1. The teacher is treated as constant.
    """
    if isinstance(teacher, SparseTeacherRows):
        log_q = kept_log_probabilities(logits, teacher.ids, mixture.temperature)
        log_p = torch.cat([teacher.log_kept, teacher.log_tail[:, None]], dim=1)  # (N, K + 1)
    else:
        theirs = teacher.logits() if isinstance(teacher, HeadRows) else teacher
        log_q = log_probabilities(logits, mixture.temperature)
        log_p = log_probabilities(theirs, mixture.temperature)  # (N, V)
    return row_divergence(log_q, log_p.detach().clamp(min=LOWEST_TEACHER_LOG_PROBABILITY), mixture)


def kept_log_probabilities(logits: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """Return log q of the kept classes and of the tail, the class of all others.

    The tail is summed over the other logits. Its logarithm computed from 1 - sum of the kept would
    be wrong by 2.6 nats in float32 at a tail of 1e-6.

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
