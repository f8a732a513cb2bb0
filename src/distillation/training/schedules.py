"""Schedules of temperature and alpha over a run.

A value depends on the step only, so a resumed run continues with the same values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import TrainerCallback

from ...errors import ConfigError
from ..setting_names import RampShape


@dataclass(frozen=True)
class Ramp:
    """A number that changes from the first optimizer step to the last."""

    start: float
    end: float
    shape: RampShape = "linear"
    """`cosine` changes slowly at the start and at the end."""

    def at(self, step: int, steps: int) -> float:
        """Return the value at an optimizer step.

        >>> Ramp(1.0, 0.0).at(5, 11)
        0.5

        `step` counts from 0; `steps` is their number in the run, at least 1.
        """
        done = min(step / (steps - 1), 1.0) if steps > 1 else 0.0
        if self.shape == "cosine":
            done = 0.5 - 0.5 * math.cos(math.pi * done)
        return (1.0 - done) * self.start + done * self.end


class LossSchedule(TrainerCallback):  # type: ignore[misc]  # transformers is skipped
    """Set the loss's temperature and alpha before each optimizer step.

    Args:
        loss_fn: Has the attributes `temperature` and `alpha`, as `DistillationLoss`; they are
            restored at the end.
        temperature: None does not change it.
        alpha: None does not change it.
        grid: Temperatures of a teacher cache; None allows any.

    Raises:
        ConfigError: The loss has no such attribute.
    """

    def __init__(
        self,
        loss_fn: nn.Module,
        *,
        temperature: Ramp | None = None,
        alpha: Ramp | None = None,
        grid: Sequence[float] | None = None,
    ) -> None:
        """Check that the loss has what is to be set."""
        given = {"temperature": temperature, "alpha": alpha}
        self.loss_fn, self.grid = loss_fn, grid
        self.ramps = {name: ramp for name, ramp in given.items() if ramp is not None}
        missing = [name for name in self.ramps if not hasattr(loss_fn, name)]
        if missing:
            kind = type(loss_fn).__name__
            raise ConfigError(
                [f"{kind} has no {name} that a schedule could set" for name in missing]
            )
        self._before: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Check every temperature of the run, before its first step."""
        self._before = {name: getattr(self.loss_fn, name) for name in self.ramps}
        ramp = self.ramps.get("temperature")
        if ramp is None or self.grid is None:
            return
        needed = {ramp.at(step, state.max_steps) for step in range(state.max_steps)}
        wrong = sorted(needed - set(self.grid))
        if wrong:
            raise ConfigError(
                [f"the temperature schedule needs {wrong[0]:.4g} and {len(wrong) - 1} more that "
                 f"the cache does not hold; it has {list(self.grid)}. Use one of these without a "
                 "schedule, stages with one each, or a teacher that runs beside the student"]
            )  # fmt: skip

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Set the values of this step."""
        for name, ramp in self.ramps.items():
            setattr(self.loss_fn, name, ramp.at(state.global_step, state.max_steps))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Restore the values that the loss had."""
        for name, value in self._before.items():
            setattr(self.loss_fn, name, value)
