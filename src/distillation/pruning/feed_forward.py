"""Narrow a model's feed-forward layers to the channels that matter most for the user's records.

A channel is one hidden unit of a feed-forward layer. It adds its activation times a column of the
outgoing matrix to the hidden state, so its importance is the root of the summed squares of its
activation over the records' tokens, times the length of that column.

Sources: importance from activations: Minitron, Muralidharan et al. 2024, sec. 2.2
(arXiv 2407.14679); activation times weight: Wanda, Sun et al. 2023, eq. 1 (arXiv 2306.11695).

Sizes: B examples, T positions, H hidden size, F channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ..batches.forward import Batch, model_inputs, trial_of
from ..students.open_students import layer_modules

Model = Any
"""A model of transformers, whose classes are skipped by the type checker."""

_NAMES: Final = {
    "mlp.down_proj": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.c_proj": ("mlp.c_fc",),
    "output.dense": ("intermediate.dense",),
    "ffn.lin2": ("ffn.lin1",),
}
"""Outgoing matrix -> incoming matrices: in Llama, Qwen, Mistral and Gemma; GPT-2; BERT;
DistilBERT."""
_SETTINGS: Final = ("intermediate_size", "n_inner", "hidden_dim")


def narrow_feed_forward(model: Model, batches: Sequence[Batch], channels: int) -> None:
    """Keep the most important channels of each feed-forward layer, in place.

    Args:
        model: A decoder or an encoder.
        batches: Some of the user's records, on the model's device.
        channels: Channels to keep in each layer, 1 to F.

    Raises:
        ConfigError: `channels` is out of range, or the layers have unknown names.
    """
    layers = layer_modules(model)["main"]
    worth = channel_worth(model, batches)
    if not 1 <= channels <= len(worth[0]):
        raise ConfigError(
            [f"{channels} feed-forward channels are to be kept; there are {len(worth[0])}"]
        )
    for layer, values in zip(layers, worth, strict=True):
        keep = values.topk(channels).indices.sort().values
        outgoing, incoming = _matrices(layer)
        for linear in incoming:
            _keep_outputs(linear, keep)
        _keep_inputs(outgoing, keep)
    for name in _SETTINGS:
        if hasattr(model.config, name):
            setattr(model.config, name, channels)


def channel_worth(model: Model, batches: Sequence[Batch]) -> list[Tensor]:
    """Measure the importance of each channel: one tensor (F,) per layer.

    Raises:
        ConfigError: The layers have unknown names.
    """
    outgoing = [_matrices(layer)[0] for layer in layer_modules(model)["main"]]
    sums = [torch.zeros(()) for _ in outgoing]
    present = torch.ones(())

    def measuring(number: int) -> Callable[..., None]:
        def measure(_: nn.Module, args: Any) -> None:  # noqa: ANN401
            activation = args[0][present].float()  # (tokens, F)
            sums[number] = sums[number] + activation.square().sum(0).cpu()

        return measure

    with ExitStack() as stack:
        stack.enter_context(trial_of(model))
        for number, linear in enumerate(outgoing):
            stack.callback(linear.register_forward_pre_hook(measuring(number)).remove)
        for batch in batches:
            present = batch["attention_mask"].bool()
            model(**model_inputs(batch))
    return [
        total.sqrt() * _columns(linear).float().norm(dim=0).cpu()
        for total, linear in zip(sums, outgoing, strict=True)
    ]


def narrowed_by(layer: nn.Module, channels: int) -> int:
    """Count the parameters that a layer loses when it keeps some channels of its feed-forward part.

    Raises:
        ConfigError: The layer has unknown names.
    """
    outgoing, incoming = _matrices(layer)
    inside = [outgoing.weight, *(p for linear in incoming for p in linear.parameters())]
    size = sum(int(parameter.numel()) for parameter in inside)
    present = int(_columns(outgoing).shape[1])
    return size // present * max(0, present - channels)


def _matrices(layer: nn.Module) -> tuple[Any, list[Any]]:
    """Find the outgoing and incoming matrices of a layer's feed-forward part."""
    modules = dict(layer.named_modules())
    for outgoing, incoming in _NAMES.items():
        if outgoing in modules and all(name in modules for name in incoming):
            return modules[outgoing], [modules[name] for name in incoming]
    raise ConfigError(
        [f"the feed-forward layers of {type(layer).__name__} have unknown names; leave "
         "student_feed_forward out"]
    )  # fmt: skip


def _columns(linear: Any) -> Tensor:  # noqa: ANN401
    """Return a weight as (outputs, inputs); GPT-2 stores its matrices transposed."""
    weight: Tensor = linear.weight.detach()
    return weight if isinstance(linear, nn.Linear) else weight.T


def _keep_inputs(linear: Any, keep: Tensor) -> None:  # noqa: ANN401
    dim = 1 if isinstance(linear, nn.Linear) else 0
    _select(linear, "weight", keep, dim)
    _resize(linear, "in_features", "nx", len(keep))


def _keep_outputs(linear: Any, keep: Tensor) -> None:  # noqa: ANN401
    dim = 0 if isinstance(linear, nn.Linear) else 1
    _select(linear, "weight", keep, dim)
    if linear.bias is not None:
        _select(linear, "bias", keep, 0)
    _resize(linear, "out_features", "nf", len(keep))


def _select(linear: Any, name: str, keep: Tensor, dim: int) -> None:  # noqa: ANN401
    old = getattr(linear, name)
    new = old.detach().index_select(dim, keep.to(old.device)).clone()
    setattr(linear, name, nn.Parameter(new, requires_grad=old.requires_grad))


def _resize(linear: Any, name: str, name_of_gpt2: str, size: int) -> None:  # noqa: ANN401
    setattr(linear, name if isinstance(linear, nn.Linear) else name_of_gpt2, size)
