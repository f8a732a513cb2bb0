"""What a student is trained on: divergence from the teacher, cross-entropy, and their mixture.

Every divergence is a pure function of two logit matrices that returns (sum over rows, number of
rows). It never divides: only the caller knows how many supervised tokens an optimizer step holds.

Sizes: B examples, T positions (also written for a temperature in formulas, never in code), V
vocabulary, N supervised positions.

Sources: T^2 scaling: Hinton et al. 2015, sec. 2 (arXiv 1503.02531). Generalised JSD: Agarwal et al.
2023, eq. 1 (arXiv 2306.13649). Skewed KL: Ko et al. 2024, sec. 3.1 (arXiv 2402.03898).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ConfigError
from .batching import IGNORED, supervised_rows

Objective = Literal["forward_kl", "reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd"]
SumAndCount = tuple[Tensor, int]
Divergence = Callable[[Tensor, Tensor], SumAndCount]

LOWEST_LOGIT: Final = -1e4
"""Stands for -inf: exp(-1e4) is 0 in every dtype, but differences of it stay finite."""
LOWEST_TEACHER_LOG_PROBABILITY: Final = -60.0
"""Floor of log p, which reverse objectives need finite; exp(-60) is lost in any sum's rounding."""


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Normalise logits: log softmax(logits / temperature), in fp32 or better.

    bf16 statistics give divergences below zero, so half precision is widened here.

    Args:
        logits: (..., V); -inf is allowed, also for a whole row, which then counts as uniform.
        temperature: Above 0.

    Returns:
        (..., V), finite, float32 or float64.
    """
    wide = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    return functional.log_softmax(wide.clamp(min=LOWEST_LOGIT) / temperature, dim=-1)


def _pair(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Give (log q, log p); no gradient reaches the teacher."""
    log_p = log_probabilities(teacher.detach(), temperature)
    return log_probabilities(student, temperature), log_p.clamp(min=LOWEST_TEACHER_LOG_PROBABILITY)


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    return (log_a.exp() * (log_a - log_b)).sum()


def _log_mixture(log_a: Tensor, log_b: Tensor, weight_of_a: float) -> Tensor:
    """Log of w a + (1 - w) b, for 0 < w < 1, without leaving log space."""
    return torch.logaddexp(log_a + math.log(weight_of_a), log_b + math.log1p(-weight_of_a))


def forward_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> SumAndCount:
    """Sum KL(p | q) over rows; p teacher, q student, both softened by `temperature`.

    Args:
        student: Logits (N, V).
        teacher: Logits (N, V); treated as constant.
        temperature: Above 0. The factor T^2 is not applied here, see `temperature_scale`.

    Returns:
        The sum (a scalar in nats) and N. The other divergences take and give the same.
    """
    log_q, log_p = _pair(student, teacher, temperature)
    return _kl(log_p, log_q), len(student)


def reverse_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> SumAndCount:
    """Sum KL(q | p) over rows."""
    log_q, log_p = _pair(student, teacher, temperature)
    return _kl(log_q, log_p), len(student)


def jsd(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, *, b: float = 0.5
) -> SumAndCount:
    """Sum b KL(p | m) + (1 - b) KL(q | m) with m = b p + (1 - b) q over rows.

    The formula tends to 0 as b tends to 0 or 1; as elsewhere, b = 0 means `forward_kl` and b = 1
    `reverse_kl`.

    Raises:
        ConfigError: `b` lies outside [0, 1].
    """
    if not 0.0 <= b <= 1.0:
        raise ConfigError([f"b is {b!r}; allowed is 0 to 1"])
    if b in (0.0, 1.0):
        return (forward_kl if b == 0.0 else reverse_kl)(student, teacher, temperature)
    log_q, log_p = _pair(student, teacher, temperature)
    log_m = _log_mixture(log_p, log_q, b)
    return b * _kl(log_p, log_m) + (1.0 - b) * _kl(log_q, log_m), len(student)


def skew_forward(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, *, skew: float = 0.1
) -> SumAndCount:
    """Sum KL(p | skew p + (1 - skew) q) over rows.

    Raises:
        ConfigError: `skew` is not between 0 and 1.
    """
    _check_skew(skew)
    log_q, log_p = _pair(student, teacher, temperature)
    return _kl(log_p, _log_mixture(log_p, log_q, skew)), len(student)


def skew_reverse(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, *, skew: float = 0.1
) -> SumAndCount:
    """Sum KL(q | (1 - skew) p + skew q) over rows.

    Raises:
        ConfigError: `skew` is not between 0 and 1.
    """
    _check_skew(skew)
    log_q, log_p = _pair(student, teacher, temperature)
    return _kl(log_q, _log_mixture(log_q, log_p, skew)), len(student)


def tvd(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> SumAndCount:
    """Sum the total variation distance 0.5 sum |p - q| over rows."""
    log_q, log_p = _pair(student, teacher, temperature)
    return 0.5 * (log_p.exp() - log_q.exp()).abs().sum(), len(student)


def _check_skew(skew: float) -> None:
    if not 0.0 < skew < 1.0:
        raise ConfigError([f"skew is {skew!r}; allowed is between 0 and 1, both excluded"])


DIVERGENCES: Final[dict[str, Callable[[Tensor, Tensor, float], SumAndCount]]] = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jsd": jsd,
    "skew_forward": skew_forward,
    "skew_reverse": skew_reverse,
    "tvd": tvd,
}


def divergence(objective: Objective, temperature: float) -> Divergence:
    """Give the divergence of that name at that temperature; it takes (student, teacher) logits."""
    function = DIVERGENCES[objective]
    return lambda student, teacher: function(student, teacher, temperature)


def temperature_scale(temperature: float) -> float:
    """Give T^2, which keeps the gradient's size as the temperature changes (Hinton, sec. 2)."""
    return temperature * temperature


def cross_entropy(student: Tensor, labels: Tensor) -> SumAndCount:
    """Sum -log q(label) over rows whose label is not -100; always at temperature 1.

    Args:
        student: Logits (N, V).
        labels: (N,) token ids.

    Returns:
        The sum in nats, and how many rows had a label.
    """
    total = functional.nll_loss(
        log_probabilities(student), labels, ignore_index=IGNORED, reduction="sum"
    )
    return total, int((labels != IGNORED).sum())


def by_weight(function: Divergence, weights: Tensor | None) -> Divergence:
    """Let rows count by weight in a function that sums over rows (training.md section 1, item 6).

    Args:
        function: Takes two tensors with N rows, gives a sum and N.
        weights: (N,), few different values; None for 1 everywhere.

    Returns:
        A function of the same form; its count is still N, so that weights are relative.
    """
    if weights is None:
        return function

    def weighted(first: Tensor, second: Tensor) -> SumAndCount:
        total = first.sum() * 0.0  # connected to the graph without any row as well
        for weight in sorted(set(weights.tolist())):
            rows = weights == weight
            total = total + weight * function(first[rows], second[rows])[0]
        return total, len(first)

    return weighted


class DistillationLoss(nn.Module):
    """Mix distillation and cross-entropy: alpha T^2 D(teacher, student) + (1 - alpha) CE.

    Subclass it and give the trainer your own `forward`; see `ModelDistiller.loss_fn`.

    Args:
        temperature: Softens both distributions inside the divergence; above 0.
        alpha: Weight of distillation: 1 is pure distillation, 0 plain supervised training.
        objective: Which divergence, one of `DIVERGENCES`.

    Raises:
        ConfigError: An argument is out of range; all faults at once.

    >>> loss_fn = DistillationLoss()
    >>> logits = torch.tensor([[1.0, 2.0, 3.0]])
    >>> float(loss_fn(logits, logits))
    0.0
    """

    def __init__(
        self, temperature: float = 2.0, alpha: float = 0.5, *, objective: Objective = "forward_kl"
    ) -> None:
        """Check and keep the settings."""
        super().__init__()
        faults = loss_faults(temperature, alpha, objective)
        if faults:
            raise ConfigError(faults)
        self.temperature = temperature
        self.alpha = alpha
        self.objective: Objective = objective

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Compute the mean loss per supervised position.

        Args:
            student_logits: (B, V) for one prediction per example, or (B, T, V) as a causal model
                gives them.
            teacher_logits: Same shape; treated as constant.
            labels: (B,) or (B, T) token ids, -100 where nothing is supervised. (B, T) labels are
                those given to the model: the shift by one happens here. Without labels every
                position counts, and there is no cross-entropy and no alpha: D T^2.

        Returns:
            A scalar in nats. Without a supervised position it is 0 and still connected to the
            student.

        Raises:
            ValueError: The shapes do not belong together.
        """
        _check_shapes(student_logits, teacher_logits, labels)
        rows, teacher_rows, targets = _rows(student_logits, teacher_logits, labels)
        count = max(len(rows), 1)
        distance, _ = divergence(self.objective, self.temperature)(rows, teacher_rows)
        distillation: Tensor = temperature_scale(self.temperature) * distance / count
        if targets is None:
            return distillation
        supervised, _ = cross_entropy(rows, targets)
        return self.alpha * distillation + (1.0 - self.alpha) * supervised / count

    def extra_repr(self) -> str:
        """Show the settings in `repr`."""
        return f"temperature={self.temperature}, alpha={self.alpha}, objective={self.objective!r}"


def loss_faults(temperature: float, alpha: float, objective: str) -> list[str]:
    """List what is wrong with the settings of a loss; empty when all is well."""
    faults = []
    if not (isinstance(temperature, (int, float)) and 0.0 < temperature < math.inf):
        faults.append(f"temperature is {temperature!r}; allowed is a number above 0")
    if not (isinstance(alpha, (int, float)) and 0.0 <= alpha <= 1.0):
        faults.append(f"alpha is {alpha!r}; allowed is 0 (only labels) to 1 (only the teacher)")
    if objective not in get_args(Objective):
        faults.append(f"objective is {objective!r}; allowed are {', '.join(get_args(Objective))}")
    return faults


def _rows(
    student: Tensor, teacher: Tensor, labels: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Bring (B, V) or (B, T, V) logits to supervised rows (N, V)."""
    if labels is None:
        return student.flatten(0, -2), teacher.flatten(0, -2), None
    if student.dim() == 3:  # the only shift: supervised_rows does it
        rows, targets = supervised_rows(student, labels)
        return rows, supervised_rows(teacher, labels)[0], targets
    kept = labels != IGNORED
    return student[kept], teacher[kept], labels[kept]


def _check_shapes(student: Tensor, teacher: Tensor, labels: Tensor | None) -> None:
    faults = []
    if student.dim() not in (2, 3):
        faults.append(f"student_logits have shape {tuple(student.shape)}; (B, V) or (B, T, V)")
    if teacher.shape != student.shape:
        faults.append(
            f"teacher_logits have shape {tuple(teacher.shape)}, student_logits "
            f"{tuple(student.shape)}; slice both to the shared vocabulary"
        )
    if labels is not None and labels.shape != student.shape[:-1]:
        faults.append(f"labels have shape {tuple(labels.shape)}; {tuple(student.shape[:-1])}")
    if faults:
        raise ValueError("; ".join(faults))
