"""Linear layers whose weights are whole numbers of eight bits, on processors.

Weights are rounded per output channel; inputs are rounded at run time, per batch. The products are
those of PyTorch's FBGEMM or oneDNN kernels, whose sums are whole numbers.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any, Final

import torch
from torch import Tensor, nn

from ...errors import ConfigError

LEAST_WIDTH: Final = 64
"""Layers that read or write fewer numbers stay as they are; they would win nothing."""


class Int8Linear(nn.Module):
    """A linear layer in eight bits; not trainable."""

    def __init__(self, layer: nn.Linear) -> None:
        """Round the weights of a layer."""
        super().__init__()
        weight = layer.weight.detach().float()
        scales = weight.abs().amax(dim=1).clamp_min(1e-8) / 127.0
        zeros = torch.zeros(len(scales), dtype=torch.long)
        with warnings.catch_warnings():  # the kernels stay; the tools around them are deprecated
            warnings.simplefilter("ignore")
            rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
            bias = None if layer.bias is None else layer.bias.detach().float()
            self._packed: Any = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, values: Tensor) -> Tensor:
        """Give (..., outputs) of (..., inputs)."""
        made: Tensor = torch.ops.quantized.linear_dynamic(values.float(), self._packed)
        return made.to(values.dtype)


def int8_model(model: nn.Module) -> nn.Module:
    """Copy a model with its linear layers in eight bits.

    Raises:
        ConfigError: The model is not on a processor.
    """
    device = next(model.parameters()).device
    if device.type != "cpu":
        raise ConfigError([f"int8 needs a model on the processor; this one is on {device}"])
    made = copy.deepcopy(model)
    wide = [
        (name, module)
        for name, module in made.named_modules()
        if isinstance(module, nn.Linear)
        and min(module.in_features, module.out_features) >= LEAST_WIDTH
    ]
    for name, module in wide:
        parent, _, last = name.rpartition(".")
        setattr(made.get_submodule(parent), last, Int8Linear(module))
    return made
