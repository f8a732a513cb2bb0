"""What a student is trained on: divergence from the teacher, cross-entropy, and their mixture.

Every divergence is a pure function of two logit matrices that returns (sum over rows, number of
rows). It never divides: only the caller knows how many supervised tokens an optimizer step holds.

Sizes: B examples, T positions (also written for a temperature in formulas, never in code), V
vocabulary, N supervised positions.

Sources: T^2 scaling: Hinton et al. 2015, sec. 2 (arXiv 1503.02531).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ConfigError
from ..batches.batching import supervised_rows
from ..setting_names import IGNORED, UNIVERSAL, Objective
from ..settings_checks import loss_faults
from .divergences import Mixture, row_divergence
from .universal_alignment import universal_logit

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


def _summed(student: Tensor, teacher: Tensor, mixture: Mixture) -> SumAndCount:
    log_q, log_p = _pair(student, teacher, mixture.temperature)
    return row_divergence(log_q, log_p, mixture).sum(), len(student)


def forward_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> SumAndCount:
    """Sum KL(p | q) over rows; p teacher, q student, both softened by `temperature`.

    Args:
        student: Logits (N, V).
        teacher: Logits (N, V); treated as constant.
        temperature: Above 0. The factor T^2 is not applied here, see `temperature_scale`.

    Returns:
        The sum (a scalar in nats) and N. The other divergences take and give the same.
    """
    return _summed(student, teacher, Mixture(temperature, objective="forward_kl"))


def reverse_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> SumAndCount:
    """Sum KL(q | p) over rows."""
    return _summed(student, teacher, Mixture(temperature, objective="reverse_kl"))


def jsd(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, *, b: float = 0.5
) -> SumAndCount:
    """Sum b KL(p | m) + (1 - b) KL(q | m) with m = b p + (1 - b) q over rows.

    The formula tends to 0 as b tends to 0 or 1; as elsewhere, b = 0 means `forward_kl` and b = 1
    `reverse_kl`.

    Raises:
        ConfigError: `b` lies outside [0, 1].
    """
    return _summed(student, teacher, Mixture(temperature, objective="jsd", b=b))


def skew_forward(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, *, skew: float = 0.1
) -> SumAndCount:
    """Sum KL(p | skew p + (1 - skew) q) over rows.

    Raises:
        ConfigError: `skew` is not between 0 and 1.
    """
    return _summed(student, teacher, Mixture(temperature, objective="skew_forward", skew=skew))


def skew_reverse(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, *, skew: float = 0.1
) -> SumAndCount:
    """Sum KL(q | (1 - skew) p + skew q) over rows.

    Raises:
        ConfigError: `skew` is not between 0 and 1.
    """
    return _summed(student, teacher, Mixture(temperature, objective="skew_reverse", skew=skew))


def tvd(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> SumAndCount:
    """Sum the total variation distance 0.5 sum |p - q| over rows."""
    return _summed(student, teacher, Mixture(temperature, objective="tvd"))


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
    function = universal_logit if objective == UNIVERSAL else DIVERGENCES[objective]
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

    @property
    def mixture(self) -> Mixture:
        """The settings as they are now."""
        return Mixture(self.temperature, self.alpha, self.objective)

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Compute the mean loss per supervised position.

        Args:
            student_logits: (B, V) for one prediction per example, or (B, T, V) as a causal model
                gives them.
            teacher_logits: Same shape, for `universal_logit` but for V; treated as constant.
            labels: (B,) or (B, T) token ids, -100 where nothing is supervised. (B, T) labels are
                those given to the model: the shift by one happens here. Without labels every
                position counts, and there is no cross-entropy and no alpha: D T^2.

        Returns:
            A scalar in nats. Without a supervised position it is 0 and still connected to the
            student.

        Raises:
            ValueError: The shapes do not belong together.
        """
        _check_shapes(student_logits, teacher_logits, labels, self.objective)
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


def _check_shapes(
    student: Tensor, teacher: Tensor, labels: Tensor | None, objective: Objective
) -> None:
    faults = []
    if student.dim() not in (2, 3):
        faults.append(f"student_logits have shape {tuple(student.shape)}; (B, V) or (B, T, V)")
    compared = slice(-1 if objective == UNIVERSAL else None)
    if teacher.shape[compared] != student.shape[compared]:
        faults.append(
            f"teacher_logits have shape {tuple(teacher.shape)}, student_logits "
            f"{tuple(student.shape)}; slice both to the shared vocabulary"
        )
    if labels is not None and labels.shape != student.shape[:-1]:
        faults.append(f"labels have shape {tuple(labels.shape)}; {tuple(student.shape[:-1])}")
    if faults:
        raise ValueError("; ".join(faults))
