"""How distillation and cross-entropy are mixed, and how the sum of a step is divided.

    [alpha T^2 sum D(teacher, student) + (1 - alpha) sum CE] / supervised tokens of the step

The factor T^2 keeps the size of the gradient as the temperature changes.

Source: Hinton et al. 2015, sec. 2 (arXiv 1503.02531).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...errors import ConfigError
from ..setting_names import Objective
from ..settings_checks import loss_faults

SumAndCount = tuple[Tensor, int]
"""A sum over rows, and the number of rows; only the caller knows the rows of the whole step."""


@dataclass(frozen=True)
class Mixture:
    """The settings of alpha T^2 D(teacher, student) + (1 - alpha) CE.

    Raises:
        ConfigError: Arguments are out of range; lists all faults.
    """

    temperature: float = 2.0
    """Softens both distributions inside the divergence; above 0."""
    alpha: float = 0.5
    """Weight of distillation: 1 is pure distillation, 0 plain supervised training."""
    objective: Objective = "forward_kl"
    """The divergence."""
    b: float = 0.5
    """The teacher's weight in the mean distribution of `jsd`, 0 to 1."""
    skew: float = 0.1
    """Weight of a distribution's own probabilities in the mean that `skew_forward` and
    `skew_reverse` compare it with; between 0 and 1."""

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
        """The divergence to compute: `jsd` at b = 0 and b = 1 means the KLs, as in TRL.

        The formula of `jsd` itself tends to 0 there.
        """
        if self.objective == "jsd" and self.b in (0.0, 1.0):
            return "forward_kl" if self.b == 0.0 else "reverse_kl"
        return self.objective

    def mix(self, distance: Tensor | None, cross_entropy: Tensor | None) -> Tensor:
        """Mix both parts of the loss: alpha T^2 D + (1 - alpha) CE.

        Args:
            distance: D without T^2, of rows (N,) or summed; may be None at alpha 0.
            cross_entropy: CE in the same shape; may be None at alpha 1.

        Raises:
            ValueError: Both are None.
        """
        if distance is not None:
            distance = self.alpha * temperature_scale(self.temperature) * distance
        if cross_entropy is not None:
            cross_entropy = (1.0 - self.alpha) * cross_entropy
            return cross_entropy if distance is None else distance + cross_entropy
        if distance is None:
            raise ValueError("there is neither a distance nor a cross-entropy to mix")
        return distance


def temperature_scale(temperature: float) -> float:
    """Return T^2."""
    return temperature * temperature


def per_token(total: Tensor, tokens: Tensor | int) -> Tensor:
    """Divide a sum by the supervised tokens of the whole optimizer step.

    Nothing else is divided, so the losses and gradients of micro-batches and processes add up. The
    sum of no tokens is 0 and is returned as it is.

    Args:
        total: The sum of one micro-batch.
        tokens: Supervised tokens of the step, over its micro-batches and processes.
    """
    return total / (max(tokens, 1) if isinstance(tokens, int) else tokens.clamp(min=1))
