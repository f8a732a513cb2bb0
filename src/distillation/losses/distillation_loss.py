"""The loss as a module over whole logits, for your own training loop or your own subclass.

    loss = DistillationLoss(temperature=2.0, alpha=0.5)(student_logits, teacher_logits, labels)

The trainer computes the same from supervised rows only (`distillation_sum.py`).

Sizes: B examples, T positions, V vocabulary, N rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from ...errors import ConfigError
from ..batches.batching import supervised_rows
from ..setting_names import IGNORED, UNIVERSAL, Objective
from ..settings_checks import loss_faults
from .divergences import (
    LOWEST_TEACHER_LOG_PROBABILITY,
    ROW_DIVERGENCES,
    log_probabilities,
    row_divergence,
)
from .mixture import Mixture, SumAndCount, per_token, temperature_scale
from .universal import universal_logit


def divergence_sum(
    objective: Objective,
    student: Tensor,
    teacher: Tensor,
    temperature: float = 1.0,
    *,
    b: float = 0.5,
    skew: float = 0.1,
) -> SumAndCount:
    """Sum the divergence of a student from its teacher over rows.

    Args:
        objective: Which divergence, as in `Mixture`.
        student: Logits (N, V).
        teacher: Logits (N, V), for `universal_logit` (N, W); treated as constant.
        temperature: Above 0; softens both. The factor T^2 is not applied here.
        b: Weight in `jsd`, 0 to 1; 0 means `forward_kl`, 1 `reverse_kl`.
        skew: Weight in `skew_forward` and `skew_reverse`, between 0 and 1.

    Returns:
        The sum (a scalar in nats) and N.

    Raises:
        ConfigError: A setting is out of range.
    """
    mixture = Mixture(temperature, objective=objective, b=b, skew=skew)
    if objective == UNIVERSAL:
        return universal_logit(student, teacher, temperature)
    log_p = log_probabilities(teacher.detach(), temperature)
    log_p = log_p.clamp(min=LOWEST_TEACHER_LOG_PROBABILITY)
    log_q = log_probabilities(student, temperature)
    return row_divergence(log_q, log_p, mixture).sum(), len(student)


DIVERGENCES: Final[dict[str, Callable[..., SumAndCount]]] = {
    name: partial(divergence_sum, name) for name in ROW_DIVERGENCES
}
"""Divergence sums over equal vocabularies, by objective; called with (student, teacher, T)."""


def cross_entropy(student: Tensor, labels: Tensor) -> SumAndCount:
    """Sum -log q(label) over rows whose label is not -100, at temperature 1, and count them."""
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
        ConfigError: Arguments are out of range; lists all faults.

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
            teacher_logits: The same shape; V may differ for `universal_logit`. Constant.
            labels: (B,) or (B, T) token ids, -100 where nothing is supervised. (B, T) labels are
                those given to the model; they are shifted by one here. None gives the mean of T^2 D
                over all positions, without cross-entropy and alpha.

        Returns:
            A scalar in nats; 0, but still connected to the student, without a supervised position.

        Raises:
            ValueError: The shapes do not belong together.
        """
        _check_shapes(student_logits, teacher_logits, labels, self.objective)
        rows, teacher_rows, targets = _rows(student_logits, teacher_logits, labels)
        distance, count = divergence_sum(self.objective, rows, teacher_rows, self.temperature)
        if targets is None:
            return per_token(temperature_scale(self.temperature) * distance, count)
        supervised, _ = cross_entropy(rows, targets)
        return per_token(self.mixture.mix(distance, supervised), count)

    def extra_repr(self) -> str:
        """Show the settings in `repr`."""
        return f"temperature={self.temperature}, alpha={self.alpha}, objective={self.objective!r}"


def _rows(
    student: Tensor, teacher: Tensor, labels: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Select the supervised rows (N, V) of (B, V) or (B, T, V) logits."""
    if labels is None:
        return student.flatten(0, -2), teacher.flatten(0, -2), None
    if student.dim() == 3:  # supervised_rows shifts
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
