"""Temperature and alpha that change over a run, from the first step's value to the last step's.

A value is a function of the step alone, so a resumed run goes on with the same ones.
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
    """A number that changes over a run."""

    start: float
    """At the first optimizer step."""
    end: float
    """At the last one."""
    shape: RampShape = "linear"
    """`cosine` leaves slowly and arrives slowly."""

    def at(self, step: int, steps: int) -> float:
        """Give the value at an optimizer step.

        >>> Ramp(1.0, 0.0).at(5, 11)
        0.5

        Args:
            step: Counted from 0.
            steps: Of the run; 1 or more.
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
        temperature: None leaves it alone.
        alpha: None leaves it alone.
        grid: Temperatures that the teacher knows, from a cache; None for any.

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
        """Keep the ramps; the number of steps is known when training begins."""
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
        asked = {ramp.at(step, state.max_steps) for step in range(state.max_steps)}
        wrong = sorted(asked - set(self.grid))
        if wrong:
            raise ConfigError(
                [f"the temperature schedule asks for {wrong[0]:.4g} and {len(wrong) - 1} more that "
                 f"the cache does not hold; it knows {list(self.grid)}. Use one of these without a "
                 "schedule, stages with one each, or a teacher that runs beside the student"]
            )  # fmt: skip

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Set the values of the step that begins."""
        for name, ramp in self.ramps.items():
            setattr(self.loss_fn, name, ramp.at(state.global_step, state.max_steps))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Leave the loss as it was given."""
        for name, value in self._before.items():
            setattr(self.loss_fn, name, value)
