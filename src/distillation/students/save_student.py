"""Write the folder of a finished student: checkpoint, settings, losses, adapter if kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from ...inference.checkpoints.load_student import save_checkpoint
from ..loss_curve import CURVE_FILE, LOSSES_FILE, draw_losses, losses_text
from ..settings import DistillationConfig
from .adapters import TrainedAdapter, save_adapter

CONFIG_FILE: Final = "distillation_config.json"


def write_student(
    folder: Path,
    model: Any,  # noqa: ANN401 - transformers models and tokenizers are untyped
    tokenizer: Any,  # noqa: ANN401
    config: DistillationConfig,
    run: Mapping[str, Any],
    *,
    losses: Sequence[tuple[int, float]],
    adapter: TrainedAdapter | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a student as `load_checkpoint` reads it; an existing folder is replaced.

    Its weights are rounded to `dtype`, and written in it; None keeps their own type.

    Raises:
        CheckpointError: The result cannot be read back.
    """
    text = json.dumps(config.to_dict(), indent=2, ensure_ascii=False) + "\n"
    files = {CONFIG_FILE: text}
    if losses:
        files[LOSSES_FILE] = losses_text(losses)
    with in_type(model, dtype):
        save_checkpoint(folder, model, tokenizer, run, files)
    if losses:
        draw_losses(losses, folder / CURVE_FILE)
    if adapter is not None and config.keep_adapter:
        base = run["student"]
        save_adapter(folder, adapter, base=base["id"], revision=base["revision"])


@contextmanager
def in_type(model: Any, dtype: torch.dtype | None) -> Iterator[None]:  # noqa: ANN401
    """Convert a model's weights to a type until the end of the block; they stay rounded to it.

    No-op without a type.
    """
    before = model.dtype
    if dtype is None or dtype == before:
        yield
        return
    model.to(dtype)
    try:
        yield
    finally:
        model.to(before)
