"""The loop that tunes a student's tensors, whatever its loss; it goes on where it was broken off.

Each epoch draws its order and dropout from the seed and its number alone, and the state is written
after each: ten epochs are five and five more, to the bit on one processor.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from ...errors import require_settings
from ...files import atomic_path
from .train_frozen import Progress, no_progress

Loss = Literal["huber", "mse"]
STATE_FILE: Final = "tuning.safetensors"
_WINDOW: Final = 16
"""Batches whose examples are sorted by length together: little padding, and still at random."""


@dataclass(frozen=True)
class TuningSettings:
    """How tensors are tuned."""

    epochs: int = 3
    batch_size: int = 16
    """Examples per step of the optimizer."""
    learning_rate: float = 5e-5
    """Of the pretrained model's tensors."""
    head_rate: float = 2e-4
    """Of the linear map of scores."""
    warmup_share: float = 0.1
    """Share of the steps in which the rates rise; they fall to 0 in the rest."""
    warmup_steps: int | None = None
    """Steps in which the rates rise, instead of a share."""
    weight_decay: float = 0.01
    loss: Loss = "huber"
    """On errors in standard deviations of the dimension; `huber` is linear beyond 1."""
    on_ratings: bool = False
    """Learn the single ratings of a text instead of their mean, where the examples hold them."""
    rank: int = 0
    """Of low-rank changes; 0 tunes whole layers."""
    alpha: float = 32.0
    dropout: float = 0.05
    gradient_checkpointing: bool = False
    """Computes inner values again instead of keeping them: less memory, a third more time."""
    four_bit: bool = False
    """Whether the frozen layers below the low-rank changes are in 4 bit, where CUDA is."""
    most_examples: int | None = None
    """Examples that are looked at per epoch, the first of a random order; None takes all."""
    most_val: int | None = None
    """Examples of validation that choose the epoch; None takes all."""
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse settings out of range.

        Raises:
            ConfigError: Lists all.
        """
        checks = (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("learning_rate", 0 < self.learning_rate < 1, "above 0, below 1"),
            ("head_rate", 0 < self.head_rate < 1, "above 0, below 1"),
            ("warmup_share", 0 <= self.warmup_share < 1, "0 or more, below 1"),
            ("warmup_steps", self.warmup_steps is None or self.warmup_steps >= 0, "0 or more"),
            ("loss", self.loss in ("huber", "mse"), "'huber' or 'mse'"),
            ("rank", self.rank >= 0, "0 or more"),
            ("dropout", 0 <= self.dropout < 1, "0 or more, below 1"),
        )
        require_settings(self, checks)

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as JSON values."""
        return asdict(self)


@dataclass
class Tuned:
    """Outcome of the loop."""

    history: list[dict[str, float]]
    """Of each epoch `train_loss` and `val_mae`."""
    best_epoch: int
    """Counted from 1; its tensors are in the parameters. 0 where no epoch beat the start."""
    best_val_mae: float


def tune(
    groups: Sequence[tuple[Sequence[nn.Parameter], float]],
    lengths: Sequence[int],
    loss_of: Callable[[Sequence[int], int], Tensor],
    evaluate: Callable[[], float],
    settings: TuningSettings,
    *,
    set_training: Callable[[bool], object],
    state: Path | None = None,
    name: str = "tune",
    progress: Progress = no_progress,
) -> Tuned:
    """Minimise a loss with AdamW, and keep the tensors of the epoch with the least error.

    Args:
        groups: Parameters and the learning rate of each group.
        lengths: Tokens of each example, to put those of similar length into one batch.
        loss_of: Places of a batch and number of the epoch -> the mean loss.
        evaluate: Gives the mean absolute error on validation.
        settings: Epochs, rates, seed.
        set_training: Turns dropout on and off.
        state: Folder of the state; the loop goes on from what it finds there. None writes none.
        name: Words before the progress bar.
        progress: Shows how far an epoch is.
    """
    parameters = [one for own, _ in groups for one in own]
    optimizer = torch.optim.AdamW(
        [{"params": list(own), "lr": rate, "top": rate} for own, rate in groups],
        weight_decay=settings.weight_decay,
    )
    steps_per_epoch = -(-len(lengths) // settings.batch_size)
    steps = settings.epochs * steps_per_epoch
    rising = settings.warmup_steps
    if rising is None:
        rising = round(steps * settings.warmup_share)
    path = None if state is None else state / STATE_FILE
    found = _Kept.load(path, parameters, optimizer)
    if found is None:
        set_training(False)
        found = _Kept(evaluate(), 0, [], [one.detach().clone() for one in parameters])
    for epoch in range(len(found.history) + 1, settings.epochs + 1):
        batches = epoch_batches(lengths, settings.batch_size, settings.seed + epoch)
        set_training(True)
        total = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed + epoch)
            for n, places in enumerate(
                progress(batches, f"{name}, epoch {epoch} of {settings.epochs}", len(batches))
            ):
                # ---- one step of the optimizer ----------------------------------------------
                step = (epoch - 1) * steps_per_epoch + n
                for group in optimizer.param_groups:
                    group["lr"] = group["top"] * rate_share(step, steps, rising)
                loss = loss_of(places, epoch)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                optimizer.zero_grad()
                total += loss.item() * len(places)
                # -----------------------------------------------------------------------------
        set_training(False)
        error = evaluate()
        found.history.append({"epoch": epoch, "train_loss": total / len(lengths), "val_mae": error})
        if error < found.best_mae:
            found.best_mae, found.best_epoch = error, epoch
            found.best = [one.detach().clone() for one in parameters]
        found.save(path, parameters, optimizer)
    with torch.no_grad():
        for one, best in zip(parameters, found.best, strict=True):
            one.copy_(best)
    return Tuned(found.history, found.best_epoch, found.best_mae)


def rate_share(step: int, steps: int, rising: int) -> float:
    """Give the share of the learning rate at a step: it rises, then falls to 0, both linearly.

    >>> [round(rate_share(step, 10, 2), 2) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.12]
    """
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising)


def epoch_batches(lengths: Sequence[int], size: int, seed: int) -> list[list[int]]:
    """Group all places into batches in random order, those of similar length together."""
    rng = random.Random(seed)
    order = list(range(len(lengths)))
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), size * _WINDOW):
        window = sorted(order[start : start + size * _WINDOW], key=lambda place: lengths[place])
        batches += [window[at : at + size] for at in range(0, len(window), size)]
    rng.shuffle(batches)
    return batches


@dataclass
class _Kept:
    """State of the loop between two epochs."""

    best_mae: float
    best_epoch: int
    history: list[dict[str, float]]
    best: list[Tensor]

    def save(
        self, path: Path | None, parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer
    ) -> None:
        """Write the tensors, and the history beside them."""
        import json

        from safetensors.torch import save_file

        if path is None:
            return
        tensors: dict[str, Tensor] = {}
        for n, (now, best) in enumerate(zip(parameters, self.best, strict=True)):
            tensors |= {f"now.{n}": now.detach(), f"best.{n}": best}
            for name, value in optimizer.state[now].items():
                tensors[f"optimizer.{n}.{name}"] = value
        told = {"mae": self.best_mae, "epoch": self.best_epoch, "history": self.history}
        with atomic_path(path) as temporary:
            whole = {k: v.cpu().contiguous().clone() for k, v in tensors.items()}
            save_file(whole, temporary, {"tuning": json.dumps(told)})

    @classmethod
    def load(
        cls, path: Path | None, parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer
    ) -> _Kept | None:
        """Read the state and put it back; None where there is none."""
        import json

        from safetensors import safe_open

        if path is None or not path.is_file():
            return None
        with safe_open(path, "pt") as file:
            told = json.loads(file.metadata()["tuning"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        with torch.no_grad():
            for n, one in enumerate(parameters):
                one.copy_(tensors[f"now.{n}"])
                start = f"optimizer.{n}."
                own = {k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)}
                optimizer.state[one] = {
                    k: v.to("cpu" if k == "step" else one.device) for k, v in own.items()
                }
        best = [tensors[f"best.{n}"].to(one.device) for n, one in enumerate(parameters)]
        return cls(told["mae"], told["epoch"], told["history"], best)
