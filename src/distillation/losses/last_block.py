"""The last block's feed-forward layer, on the positions that are read and on no others.

Attention mixes positions, a feed-forward layer does not, and behind the last one nothing does: what
it gives where nothing is supervised is looked at by nobody. With a quarter of the tokens supervised
that is half of the last block's work: a twelfth of the layers of a model with four, forwards and
backwards.

Sizes: B examples, T positions, H hidden size, N positions that are read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ..batches.forward import Batch, model_inputs
from ..setting_names import IGNORED

logger = logging.getLogger(__name__)

PROBE_POSITIONS: Final = 64
"""Positions of one example that are tried both ways."""
PROBE_BARS: Final = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Allowed difference, as a share of the largest value; other arithmetic gets 0.05. Products of
fewer rows round otherwise; a layer that mixes positions is off by far more."""


def read_positions(labels: Tensor) -> Tensor:
    """Find where a causal model's output is supervised: (B, T), True or False."""
    read = torch.zeros_like(labels, dtype=torch.bool)
    read[:, :-1] = labels[:, 1:] != IGNORED
    return read


@contextmanager
def feed_forward_on(model: nn.Module, read: Tensor) -> Iterator[None]:
    """Let the last feed-forward layer see some positions only, in the block; others get zero.

    Nothing changes where no such layer is found, or where its block is compiled or is computed
    anew in the backward pass, which is behind this block.

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
    """Try on a piece of a batch whether the positions that are read come out as they should.

    Args:
        model: The model itself, in any mode.
        batch: Any batch.
    """
    piece = {name: value[:1, :PROBE_POSITIONS] for name, value in batch.items()}
    read = torch.arange(piece["labels"].shape[1], device=piece["labels"].device)[None] % 3 == 0
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            whole = _last_hidden(model, piece)[read]
            with feed_forward_on(model, read):
                some = _last_hidden(model, piece)[read]
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as fault:
        logger.debug("the last feed-forward layer is run on all positions: %s", fault)
        return False
    finally:
        model.train(was_training)
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
