"""What the settings add to a run: loss schedules, gradual unfreezing, layer losses, a teacher."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import TrainerCallback

from ...errors import ConfigError
from ..losses.distillation_loss import DistillationLoss
from ..losses.layer_matching import LayerSettings
from ..setting_names import UNIVERSAL
from ..settings import DistillationConfig
from ..students.freezing import GradualUnfreezing
from .schedules import LossSchedule, Ramp


def run_callbacks(
    config: DistillationConfig, loss_fn: nn.Module, *, grid: Sequence[float] | None = None
) -> list[TrainerCallback]:
    """Make the callbacks that the settings ask for; `grid` are the temperatures of a teacher cache.

    Raises:
        ConfigError: The loss has no temperature or alpha that a schedule could set.
    """
    ends = {"temperature": config.temperature_end, "alpha": config.alpha_end}
    ramps = {
        name: Ramp(getattr(config, name), end, config.loss_schedule)
        for name, end in ends.items()
        if end is not None
    }
    callbacks: list[TrainerCallback] = []
    if ramps:
        callbacks.append(LossSchedule(loss_fn, grid=grid, **ramps))
    if config.unfreeze is not None:
        callbacks.append(GradualUnfreezing(config.unfreeze))
    return callbacks


def layer_settings(config: DistillationConfig) -> LayerSettings:
    """Return the layer losses that the settings ask for."""
    pairs = config.layer_pairs
    return LayerSettings(
        hidden_weight=config.hidden_weight,
        hidden_measure=config.hidden_measure,
        attention_weight=config.attention_weight,
        attention_measure=config.attention_measure,
        layer_pairs=None if pairs is None else tuple((pair[0], pair[1]) for pair in pairs),
    )


def asks_teacher(config: DistillationConfig, loss_fn: nn.Module) -> bool:
    """Tell whether any step of a run needs a teacher.

    Args:
        config: The settings.
        loss_fn: Its alpha counts, not that of the settings: a user may have replaced it.
    """
    if type(loss_fn) is not DistillationLoss or config.on_policy:
        return True
    return loss_fn.alpha > 0.0 or (config.alpha_end or 0.0) > 0.0 or layer_settings(config).active


def reads_own_tokens(config: DistillationConfig, loss_fn: nn.Module) -> bool:
    """Tell whether the teacher reads the text with its own tokenizer.

    Args:
        config: The settings.
        loss_fn: Its objective counts, not that of the settings.

    Raises:
        ConfigError: The settings ask for it, but the loss compares position by position.
    """
    if type(loss_fn) is DistillationLoss:
        return loss_fn.objective == UNIVERSAL and asks_teacher(config, loss_fn)
    if UNIVERSAL in (config.objective, getattr(loss_fn, "objective", None)):
        raise ConfigError(
            [f"objective {UNIVERSAL!r} is computed by DistillationLoss only; "
             f"{type(loss_fn).__name__} would get logits of different positions. Set another "
             "objective"]
        )  # fmt: skip
    return False
