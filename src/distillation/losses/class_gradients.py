"""Divergences with their gradient written out: value and dD/d(log q) of each class.

`divergences.py` has the same six for autograd; tests hold the two together. With
G = sum_i g_i over the classes, the gradient on the logits is (g_j - q_j G) / temperature
(training.md section 2.2). All of it stays in log space: no epsilon, no division by a probability.

Sizes: N rows, C classes (the vocabulary, or the kept ids and the tail). p teacher, q student.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from .divergences import Mixture, log_mixture


@dataclass(frozen=True)
class ClassProbabilities:
    """Both distributions of each row, each (N, C), in both forms: their makers have them anyway."""

    log_p: Tensor
    """Finite."""
    p: Tensor
    log_q: Tensor
    """Finite."""
    q: Tensor


ValueAndGradient = tuple[Tensor, Tensor]
"""D of each row (N,), and dD/d(log q_i) of each class (N, C), up to a multiple of q: the logits do
not feel it, because q sums to 1, and the `+ 1` of an entropy would only cost digits."""


def class_gradients(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    """Give the divergence of each row and its gradient, neither scaled by the temperature.

    Args:
        at: The distributions, softened by `mixture.temperature`.
        mixture: Which divergence, with `b` or `skew`.

    Returns:
        D (N,) in nats, and g (N, C), both new tensors.
    """
    return CLASS_GRADIENTS[mixture.divergence](at, mixture)


def _forward_kl(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    return (at.log_p - at.log_q).mul_(at.p).sum(-1), -at.p


def _reverse_kl(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    g = (at.log_q - at.log_p).mul_(at.q)
    return g.sum(-1), g


def _jsd(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    b = mixture.b
    log_m = log_mixture(at.log_p, at.log_q, b)
    g = (at.log_q - log_m).mul_(at.q).mul_(1.0 - b)
    return (at.log_p - log_m).mul_(at.p).sum(-1).mul_(b) + g.sum(-1), g


def _skew_forward(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    log_m = log_mixture(at.log_p, at.log_q, mixture.skew)
    value = (at.log_p - log_m).mul_(at.p).sum(-1)
    return value, (at.log_q - log_m).exp_().mul_(at.p).mul_(mixture.skew - 1.0)


def _skew_reverse(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    log_ratio = at.log_q - log_mixture(at.log_q, at.log_p, mixture.skew)
    value = (log_ratio * at.q).sum(-1)
    return value, log_ratio.sub_(log_ratio.exp().mul_(mixture.skew)).mul_(at.q)


def _tvd(at: ClassProbabilities, mixture: Mixture) -> ValueAndGradient:
    difference = at.q - at.p
    return difference.abs().sum(-1).mul_(0.5), difference.sign_().mul_(at.q).mul_(0.5)


CLASS_GRADIENTS: Final[dict[str, Callable[[ClassProbabilities, Mixture], ValueAndGradient]]] = {
    "forward_kl": _forward_kl,
    "reverse_kl": _reverse_kl,
    "jsd": _jsd,
    "skew_forward": _skew_forward,
    "skew_reverse": _skew_reverse,
    "tvd": _tvd,
}
