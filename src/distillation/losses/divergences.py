"""The six divergences of a student from its teacher: the value of each row and its gradient.

A divergence is a pure function of rows of log probabilities. It returns the value D, which autograd
can differentiate, and the gradient by log q in closed form, which the fused loss uses instead of a
graph. A test compares both gradients in float64. The classes of a row are the vocabulary, or some
kept tokens and one class, the tail, for all others. Computing in log space needs no epsilon and no
division by a probability.

Sizes: N rows, C classes, V vocabulary. p teacher, q student, z logits with q = softmax(z / T).

With g_i = dD/d(log q_i) and G = sum_i g_i, the gradient by the logits is

    dD/dz_j = (g_j - q_j G) / T

Sources: generalised JSD: Agarwal et al. 2023, eq. 1 (arXiv 2306.13649). Skewed KL: Ko et al. 2024,
sec. 3.1 (arXiv 2402.03898).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from ..setting_names import Objective
from .mixture import Mixture

LOWEST_LOGIT: Final = -1e4
"""Replaces -inf: exp(-1e4) is 0 in every dtype, and differences stay finite."""
LOWEST_TEACHER_LOG_PROBABILITY: Final = -60.0
"""Smallest log p, which reverse objectives need finite; exp(-60) is below any sum's rounding."""


@dataclass(frozen=True)
class ClassProbabilities:
    """Both distributions of each row, each (N, C), as logarithms and as probabilities."""

    log_p: Tensor
    """The teacher's; finite and constant."""
    p: Tensor
    log_q: Tensor
    """The student's; finite."""
    q: Tensor


ValueAndGradient = tuple[Tensor, Tensor]
"""D of each row (N,) in nats, and dD/d(log q_i) of each class (N, C), both without the factor T^2.

A multiple of q may be missing in the gradient, such as the `+ 1` of an entropy's derivative: it
cancels in the gradient by the logits, because q sums to 1."""


def forward_kl(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    """KL(p | q) = sum p (log p - log q)."""
    return (at.log_p - at.log_q).mul_(at.p).sum(-1), -at.p


def reverse_kl(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    """KL(q | p) = sum q (log q - log p)."""
    g = (at.log_q - at.log_p).mul_(at.q)
    return g.sum(-1), g


def jsd(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    """b KL(p | m) + (1 - b) KL(q | m) with m = b p + (1 - b) q."""
    log_m = _log_mixture(at.log_p, at.log_q, mixture.b)
    g = (at.log_q - log_m).mul_(at.q).mul_(1.0 - mixture.b)
    return (at.log_p - log_m).mul_(at.p).sum(-1).mul_(mixture.b) + g.sum(-1), g


def skew_forward(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    """KL(p | s p + (1 - s) q) with s = `mixture.skew`."""
    log_m = _log_mixture(at.log_p, at.log_q, mixture.skew)
    value = (at.log_p - log_m).mul_(at.p).sum(-1)
    return value, (at.log_q - log_m).exp_().mul_(at.p).mul_(mixture.skew - 1.0)


def skew_reverse(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    """KL(q | (1 - s) p + s q) with s = `mixture.skew`."""
    log_ratio = at.log_q - _log_mixture(at.log_q, at.log_p, mixture.skew)
    g = log_ratio.exp().mul_(-mixture.skew).add_(log_ratio).mul_(at.q)
    return (log_ratio * at.q).sum(-1), g


def tvd(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    """0.5 sum |p - q|, the total variation distance."""
    difference = at.q - at.p
    return difference.abs().sum(-1).mul_(0.5), difference.sign().mul_(at.q).mul_(0.5)


ROW_DIVERGENCES: Final[
    dict[Objective, Callable[[ClassProbabilities, Mixture], ValueAndGradient]]
] = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jsd": jsd,
    "skew_forward": skew_forward,
    "skew_reverse": skew_reverse,
    "tvd": tvd,
}


def value_and_gradient(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    """Return the divergence of each row, of softened distributions, and its gradient by log q."""
    return ROW_DIVERGENCES[mixture.divergence](at, mixture)


def row_divergence(log_q: Tensor, log_p: Tensor, mixture: Mixture) -> Tensor:
    """Return the divergence of each row (N,) in nats, which autograd can differentiate.

    Args:
        log_q: Student's (N, C), over any classes that sum to 1.
        log_p: Teacher's (N, C); a constant, and at least `LOWEST_TEACHER_LOG_PROBABILITY`.
        mixture: Which divergence, with `b` or `skew`; the inputs are softened already.
    """
    at = ClassProbabilities(log_p, log_p.exp(), log_q, log_q.exp())
    return value_and_gradient(at, mixture)[0]


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Compute log softmax(logits / temperature), in float32 at least.

    Half precision is widened, because it would give divergences below zero.

    Args:
        logits: (..., V); -inf is allowed. A whole row of -inf counts as uniform.
        temperature: Above 0.

    Returns:
        (..., V), finite, float32 or float64.
    """
    wide = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    return functional.log_softmax(wide.clamp(min=LOWEST_LOGIT) / temperature, dim=-1)


def _log_mixture(log_a: Tensor, log_b: Tensor, weight_of_a: float) -> Tensor:
    """Compute log(w a + (1 - w) b) in log space, for 0 < w < 1."""
    return torch.logaddexp(log_a + math.log(weight_of_a), log_b + math.log1p(-weight_of_a))
