"""Run the last block's feed-forward layer at supervised positions only.

A feed-forward layer does not mix positions, and nothing after the last one does, so its output at
other positions is never used. With a quarter of the tokens supervised this saves half of the last
block's work, forwards and backwards: a twelfth of the layers of a model with four.

Sizes: B examples, T positions, H hidden size, N supervised positions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ..batches.forward import Batch, model_inputs, trial_of
from ..setting_names import IGNORED

logger = logging.getLogger(__name__)

PROBE_POSITIONS: Final = 64
"""Positions of one example that a trial compares."""
PROBE_BARS: Final = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Allowed difference as a share of the largest value; 0.05 for other types. Products of fewer rows
round differently; a layer that mixes positions differs by far more."""


def read_positions(labels: Tensor) -> Tensor:
    """Mark where a causal model's output is supervised, (B, T) bool."""
    read = torch.zeros_like(labels, dtype=torch.bool)
    read[:, :-1] = labels[:, 1:] != IGNORED
    return read


@contextmanager
def feed_forward_on(model: nn.Module, read: Tensor) -> Iterator[None]:
    """Run the last feed-forward layer at some positions only; its output elsewhere is zero.

    No-op where no such layer is found, and where its block is compiled or is computed again in the
    backward pass, after these hooks are gone.

    Args:
        model: The model itself, without a wrapper for several processes.
        read: (B, T), True where the model's last hidden state is read.
    """
    layer = _last_feed_forward(model)
    if layer is None:
        yield
        return
    places = read.flatten().nonzero().squeeze(1)  # (N,)

    def choose(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        (hidden,) = given  # (B, T, H)
        return (hidden.flatten(0, 1).index_select(0, places)[None],)

    def spread(_: nn.Module, __: tuple[Tensor, ...], made: Tensor) -> Tensor:
        whole = made.new_zeros(read.numel(), made.shape[-1])
        return whole.index_copy(0, places, made[0]).view(*read.shape, -1)

    hooks = (layer.register_forward_pre_hook(choose), layer.register_forward_hook(spread))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def can_skip(model: nn.Module, batch: Batch) -> bool:
    """Try on a piece of any batch whether `feed_forward_on` leaves the read positions unchanged."""
    piece = {name: value[:1, :PROBE_POSITIONS] for name, value in batch.items()}
    read = torch.arange(piece["labels"].shape[1], device=piece["labels"].device)[None] % 3 == 0
    try:
        with trial_of(model):
            whole = _last_hidden(model, piece)[read]
            with feed_forward_on(model, read):
                some = _last_hidden(model, piece)[read]
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as fault:
        logger.debug("the last feed-forward layer is run on all positions: %s", fault)
        return False
    bar = PROBE_BARS.get(whole.dtype, 0.05) * float(whole.abs().max())
    return bool((some - whole).abs().max() <= bar)


def _last_hidden(model: nn.Module, batch: Batch) -> Tensor:
    hidden: Tensor = model(**model_inputs(batch), output_hidden_states=True).hidden_states[-1]
    return hidden


def _last_feed_forward(model: nn.Module) -> Any:  # noqa: ANN401 - an nn.Module, or None
    blocks = [block for block in model.modules() if isinstance(block, GradientCheckpointingLayer)]
    if not blocks:
        return None
    last = blocks[-1]
    compiled, again = "forward" in vars(last), last.gradient_checkpointing and last.training
    return None if compiled or again else getattr(last, "mlp", None)
