"""Show a run's losses: a progress bar, each step in `losses.jsonl`, the curve in `loss.png`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import TrainerCallback

from ..errors import StillroomError
from ..files import atomic_path, write_text
from .torch_processes import mean_over_processes

LOSSES_FILE: Final = "losses.jsonl"
CURVE_FILE: Final = "loss.png"
STEPS_PER_FLUSH: Final = 10
"""Reading a loss waits for the device, so several steps are read together."""

BAR_DELAY_S: float = 2.0
"""A bar is shown only after this time."""


class LossHistory:
    """The loss of every optimizer step, in nats per supervised token."""

    def __init__(self) -> None:
        """Start empty."""
        self.losses: list[tuple[int, float]] = []
        self._parts: list[Tensor] = []
        self._pending: list[tuple[int, Tensor]] = []

    def add(self, part: Tensor) -> None:
        """Add one micro-batch's share of the current step's loss."""
        self._parts.append(part)

    def close_step(self, step: int) -> None:
        """Add the shares up to the loss of step number `step`."""
        if self._parts:
            total = self._parts[0]
            for part in self._parts[1:]:
                total = total + part
            self._pending.append((step, total))
            self._parts = []

    def flush(self) -> list[tuple[int, float]]:
        """Read pending losses from the device, averaged over the processes.

        Each process has its share times their number, as DDP needs it, so the mean is the loss.

        Raises:
            StillroomError: A loss is not finite, so further training would only break the weights.
        """
        if not self._pending:
            return []
        steps = [step for step, _ in self._pending]
        losses = mean_over_processes(torch.stack([loss.detach() for _, loss in self._pending]))
        fresh: list[tuple[int, float]] = list(zip(steps, losses.tolist(), strict=True))
        self._pending = []
        for step, loss in fresh:
            if loss - loss != 0.0:
                raise StillroomError(
                    f"the loss of step {step} is {loss}; lower learning_rate (or "
                    "matrix_learning_rate), or check the labels"
                )
        self.losses += fresh
        return fresh

    @property
    def pending(self) -> int:
        """Number of steps whose loss was not read yet."""
        return len(self._pending)


class ShowProgress(TrainerCallback):  # type: ignore[misc]  # transformers is skipped
    """Update the bar and the files of one run.

    Args:
        history: Filled by the trainer.
        description: Text before the bar.
        progress: Whether to show the bar; the files are written in any case.
    """

    def __init__(self, history: LossHistory, *, description: str, progress: bool) -> None:
        """Keep the settings."""
        self.history = history
        self.description = description
        self.progress = progress
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Read the losses before the checkpoint that training resumes from; open the bar."""
        self._main = state.is_world_process_zero
        path = Path(args.output_dir) / LOSSES_FILE
        self.history.losses = [
            entry for entry in read_losses(path) if entry[0] <= state.global_step
        ]
        if self._main:
            write_text(path, losses_text(self.history.losses))
        self._bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self.description,
            unit="step",
            # None shows a bar in a terminal only, not in a log file
            disable=None if self.progress and self._main else True,
            leave=False,
            delay=BAR_DELAY_S,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Move the bar."""
        self.history.close_step(state.global_step)
        self._bar.update()
        if self.history.pending >= STEPS_PER_FLUSH:
            self._flush(args)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Write all losses up to the checkpoint."""
        self._flush(args)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Close the bar and draw the curve."""
        self._flush(args)
        self._bar.close()
        if self._main and self.history.losses:
            draw_losses(self.history.losses, Path(args.output_dir) / CURVE_FILE)

    def _flush(self, args: Any) -> None:  # noqa: ANN401
        fresh = self.history.flush()
        if fresh and self._main:
            with open(Path(args.output_dir) / LOSSES_FILE, "a", encoding="utf-8") as lines:
                lines.write(losses_text(fresh))
            self._bar.set_postfix(loss=f"{fresh[-1][1]:.4f}", refresh=False)


def read_losses(path: str | Path) -> list[tuple[int, float]]:
    """Read `losses.jsonl`, without an incomplete last line of a killed run."""
    losses = []
    with suppress(FileNotFoundError), open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                entry = json.loads(line)
                losses.append((int(entry["step"]), float(entry["loss"])))
    return losses


def draw_losses(losses: Sequence[tuple[int, float]], path: str | Path) -> Path:
    """Draw the loss over the steps as a PNG, with a running mean from 40 steps on."""
    # Imported here, because it takes 0.3 s; this interface does not change pyplot's global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps, values = [step for step, _ in losses], [loss for _, loss in losses]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(steps, values, linewidth=0.8, alpha=0.5, label="step")
    width = max(1, len(values) // 20)
    if width > 1:
        means = [sum(values[i - width : i]) / width for i in range(width, len(values) + 1)]
        axes.plot(steps[width - 1 :], means, linewidth=1.6, label=f"mean of {width} steps")
        axes.legend()
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss (nats per token)")
    axes.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return Path(path)


def losses_text(losses: Sequence[tuple[int, float]]) -> str:
    """Format losses as lines of `losses.jsonl`."""
    return "".join(json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in losses)
