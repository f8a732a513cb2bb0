"""Linear layers in 8 or 4 bit, by bitsandbytes: of a teacher, or of a student under an adapter.

The layers of a loaded model are replaced one by one. So it works for models of any origin, and a
GPU never holds the full-precision weights. Embeddings, norms and the head are kept.

Sources: LLM.int8(), Dettmers et al. 2022 (arXiv 2208.07339); nf4 and double quantisation, Dettmers
et al. 2023 (arXiv 2305.14314).
"""

from __future__ import annotations

import copy
import functools
import logging
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ...errors import ConfigError, MissingDependencyError

logger = logging.getLogger(__name__)

Bits = Literal[4, 8]
Model = Any
"""A model of transformers, which is untyped."""
OUTLIER: Final = 6.0
"""Inputs above it are multiplied in 16 bit (LLM.int8(), section 3.1)."""


def quantize(model: Model, bits: Bits, *, device: torch.device, dtype: torch.dtype) -> Model:
    """Replace a model's linear layers by quantised ones, and move it to its device.

    Args:
        model: Changed in place; these layers are frozen. Quantised layers are kept.
        bits: 4 (nf4 with double quantisation) or 8 (LLM.int8()).
        device: Target device.
        dtype: Compute dtype of 4-bit layers; 8-bit ones multiply integers.

    Returns:
        The model.

    Raises:
        MissingDependencyError: bitsandbytes is not installed.
        ConfigError: It has no layer that can be quantised.
    """
    layers = linear_layers(model)
    if not layers and not is_quantized(model):
        raise ConfigError([f"{type(model).__name__} has no linear layer that can be quantised"])
    for name, layer in layers.items():
        model.set_submodule(name, _quantized(layer, bits, device=device, dtype=dtype))
    return model.to(device)


def quantized_copy(model: Model, bits: Bits, *, device: torch.device, dtype: torch.dtype) -> Model:
    """Copy a model with quantised linear layers, without copying the full-precision weights.

    Arguments and errors are those of `quantize`; the model itself is not changed.
    """
    wide = [p for layer in linear_layers(model).values() for p in layer.parameters()]
    copied = copy.deepcopy(model, {id(p): p for p in wide})
    return quantize(copied, bits, device=device, dtype=dtype)


def linear_layers(model: Model) -> dict[str, nn.Module]:
    """Find the linear layers to quantise, by name: all except the head.

    Layers that transformers keeps in float32 are left out: T5's `wo` exceeds the range of float16,
    the input type of 8-bit layers.
    """
    inside = {id(module) for module in model.base_model.modules()}
    inside.discard(id(model.get_output_embeddings()))
    wide = tuple(getattr(model, "_keep_in_fp32_modules", None) or ())
    return {
        name: module
        for name, module in model.named_modules()
        if type(module) in (nn.Linear, Conv1D)
        and id(module) in inside
        and not any(part in wide for part in name.split("."))
    }


@torch.no_grad()
def widen_into(wide: Model, quantized: Model) -> None:
    """Write dequantised 4-bit weights into the layers that they were made from.

    An adapter trained over 4-bit weights also compensates their rounding, so it must be merged into
    these weights, not into the original ones.

    Args:
        wide: Changed in place.
        quantized: A copy by `quantized_copy`; may be wrapped by peft.
    """
    functional = _bitsandbytes().functional
    base = quantized.get_base_model() if hasattr(quantized, "get_base_model") else quantized
    for name, layer in linear_layers(wide).items():
        found = base.get_submodule(name)
        weight = getattr(found, "base_layer", found).weight
        if type(weight).__module__.startswith("bitsandbytes"):
            values = functional.dequantize_4bit(weight.data, weight.quant_state)
            values = values.T if isinstance(layer, Conv1D) else values
            layer.weight.copy_(values)  # type: ignore[operator]


def is_quantized(model: nn.Module) -> bool:
    """Return whether a model has weights of bitsandbytes."""
    return any(type(p).__module__.startswith("bitsandbytes") for p in model.parameters())


def why_not_quantized(bits: Bits, device: torch.device) -> str | None:
    """Return why this machine cannot run layers of so many bits; None if it can.

    A layer is tried forward and, in 4 bit, backward, because support depends on the release of
    bitsandbytes.

    Raises:
        MissingDependencyError: bitsandbytes is not installed.
    """
    _bitsandbytes()
    return _tried(bits, device)


@functools.cache
def _tried(bits: Bits, device: torch.device) -> str | None:
    source = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):  # its own weights are overwritten
        layer = nn.Linear(64, 64, bias=False)
    nn.init.normal_(layer.weight, generator=source)
    given = torch.randn(8, 64, generator=source)
    expected = given @ layer.weight.detach().T
    try:
        inputs = given.to(device).requires_grad_(bits == 4)
        found = _quantized(layer, bits, device=device, dtype=torch.float32)(inputs)
        if bits == 4:
            found.sum().backward()
        error = float((found.detach().cpu().float() - expected).norm() / expected.norm())
    except (RuntimeError, ValueError, TypeError, AttributeError, OSError, AssertionError) as fault:
        return f"bitsandbytes cannot run {bits}-bit layers on {device} ({fault})"
    if error < 0.3:  # nf4 is off by a tenth
        return None
    return f"{bits}-bit layers of bitsandbytes are off by {error:.0%} on {device}"


def _quantized(
    layer: nn.Module, bits: Bits, *, device: torch.device, dtype: torch.dtype
) -> nn.Module:
    bnb = _bitsandbytes()
    weight: Tensor = layer.weight.detach()  # type: ignore[operator]
    if isinstance(layer, Conv1D):
        weight = weight.T.contiguous()  # GPT-2 holds (inputs, outputs)
    bias = getattr(layer, "bias", None)
    sizes = (weight.shape[1], weight.shape[0], bias is not None)
    if bits == 4:
        kind = {"compress_statistics": True, "quant_type": "nf4"}
        made = bnb.nn.Linear4bit(*sizes, compute_dtype=dtype, device="meta", **kind)
        # It would take the type of its first input, which is float32 under autocast.
        made.compute_type_is_set = True
        # On CPUs with AVX512-BF16 the first evaluation would turn the weights into a form that has
        # no backward pass, and that not all sizes have.
        made.support_avx512bf16_for_cpu = False
        made.weight = bnb.nn.Params4bit(weight, requires_grad=False, module=made, **kind).to(device)
    else:
        made = bnb.nn.Linear8bitLt(*sizes, has_fp16_weights=False, threshold=OUTLIER, device="meta")
        made.weight = bnb.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False).to(
            device
        )
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().to(device), requires_grad=False)
    return made.train(layer.training)  # type: ignore[no-any-return]


@functools.cache
def _bitsandbytes() -> Any:  # noqa: ANN401 - bitsandbytes is untyped
    """Import bitsandbytes, which takes seconds, and silence its warnings."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        import bitsandbytes
    except ImportError as fault:
        raise MissingDependencyError("bitsandbytes", "peft") from fault
    return bitsandbytes
