"""The six divergences of a student from its teacher, on log probabilities, and their settings.

Each gives one value per row and is differentiated by autograd; `class_gradients.py` has the same
with the gradient written out. They hold for any classes that sum to 1: the vocabulary, or some kept
tokens and one class for all others (training.md section 2).

Sizes: N rows, C classes. p teacher, q student.

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

from ...errors import ConfigError
from ..setting_names import Objective
from ..settings_checks import loss_faults

RowDivergence = Callable[[Tensor, Tensor, "Mixture"], Tensor]
"""Of (log q, log p), each (N, C), and the settings, to (N,)."""


@dataclass(frozen=True)
class Mixture:
    """The settings of alpha T^2 D(teacher, student) + (1 - alpha) CE.

    Raises:
        ConfigError: An argument is out of range; all faults at once.
    """

    temperature: float = 2.0
    """Softens both distributions inside the divergence; above 0."""
    alpha: float = 0.5
    """Weight of distillation: 1 is pure distillation, 0 plain supervised training."""
    objective: Objective = "forward_kl"
    """Which divergence."""
    b: float = 0.5
    """The teacher's share of the middle of `jsd`, 0 to 1."""
    skew: float = 0.1
    """Share of a distribution in what it is compared with by `skew_forward` and `skew_reverse`;
    between 0 and 1."""

    def __post_init__(self) -> None:
        """Check all settings."""
        faults = loss_faults(self.temperature, self.alpha, self.objective)
        if not 0.0 <= self.b <= 1.0:
            faults.append(f"b is {self.b!r}; allowed is 0 to 1")
        if not 0.0 < self.skew < 1.0:
            faults.append(f"skew is {self.skew!r}; allowed is between 0 and 1, both excluded")
        if faults:
            raise ConfigError(faults)

    @property
    def divergence(self) -> Objective:
        """The divergence to compute: as elsewhere, `jsd` at b = 0 and b = 1 means the KLs.

        The formula of `jsd` tends to 0 there.
        """
        if self.objective == "jsd" and self.b in (0.0, 1.0):
            return "forward_kl" if self.b == 0.0 else "reverse_kl"
        return self.objective


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    return (log_a.exp() * (log_a - log_b)).sum(-1)  # (N,)


def log_mixture(log_a: Tensor, log_b: Tensor, weight_of_a: float) -> Tensor:
    """Give log of w a + (1 - w) b, for 0 < w < 1, without leaving log space."""
    return torch.logaddexp(log_a + math.log(weight_of_a), log_b + math.log1p(-weight_of_a))


def _forward_kl(log_q: Tensor, log_p: Tensor, mixture: Mixture) -> Tensor:
    return _kl(log_p, log_q)


def _reverse_kl(log_q: Tensor, log_p: Tensor, mixture: Mixture) -> Tensor:
    return _kl(log_q, log_p)


def _jsd(log_q: Tensor, log_p: Tensor, mixture: Mixture) -> Tensor:
    b, log_m = mixture.b, log_mixture(log_p, log_q, mixture.b)
    return b * _kl(log_p, log_m) + (1.0 - b) * _kl(log_q, log_m)


def _skew_forward(log_q: Tensor, log_p: Tensor, mixture: Mixture) -> Tensor:
    return _kl(log_p, log_mixture(log_p, log_q, mixture.skew))


def _skew_reverse(log_q: Tensor, log_p: Tensor, mixture: Mixture) -> Tensor:
    return _kl(log_q, log_mixture(log_q, log_p, mixture.skew))


def _tvd(log_q: Tensor, log_p: Tensor, mixture: Mixture) -> Tensor:
    return 0.5 * (log_p.exp() - log_q.exp()).abs().sum(-1)


ROW_DIVERGENCES: Final[dict[str, RowDivergence]] = {
    "forward_kl": _forward_kl,
    "reverse_kl": _reverse_kl,
    "jsd": _jsd,
    "skew_forward": _skew_forward,
    "skew_reverse": _skew_reverse,
    "tvd": _tvd,
}


def row_divergence(log_q: Tensor, log_p: Tensor, mixture: Mixture) -> Tensor:
    """Give the divergence of each row from log probabilities, for autograd.

    `class_gradients` is the same with the gradient written out.

    Args:
        log_q: Student's (N, C), over any classes that sum to 1.
        log_p: Teacher's (N, C); a constant, and at least `LOWEST_TEACHER_LOG_PROBABILITY`.
        mixture: Which divergence, with `b` or `skew`; the temperature is in the inputs already.

    Returns:
        (N,) in nats.
    """
    return ROW_DIVERGENCES[mixture.divergence](log_q, log_p, mixture)
