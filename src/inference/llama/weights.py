"""The weights of a small Llama laid out for decoding.

Reading the weights takes most of a decode step, and their layout decides the speed: for a matrix
with more outputs than inputs and one to three rows, the transposed layout is twice as fast
(oneMKL 2024.2, AVX-512). So the decode loop uses a copy: wide matrices transposed, matrices with
the same input joined, the norms' gains multiplied in, and the dimensions of queries and keys
ordered so that RoPE is one complex product.

Sizes: W width, D size of a head, H heads, G key-value heads, I inner width, V vocabulary.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

_ROPE_TYPES = ("default", "linear", "llama3")
"""Kinds of RoPE whose frequencies do not depend on the length of the sequence."""
_MOST_PARAMETERS = 200_000_000
"""Larger models are left to transformers: a copy costs memory and the overhead is small."""

_packed: WeakKeyDictionary[Any, tuple[tuple[Any, ...], LlamaWeights]] = WeakKeyDictionary()
_guard = threading.Lock()


@dataclass(frozen=True)
class LlamaLayer:
    """One layer; every matrix is used as `x @ matrix`."""

    query_key_value: Tensor
    """(W, (H + 2 G) D), times the gain of the norm before it."""
    out: Tensor
    """(H D, W)."""
    gate_up: Tensor
    """(W, 2 I), times the gain of the norm before it."""
    down: Tensor
    """(I, W)."""


@dataclass(frozen=True)
class LlamaWeights:
    """The weights and sizes of a forward pass."""

    embedding: Tensor
    """(V, W), shared with the model."""
    layers: tuple[LlamaLayer, ...]
    head: Tensor
    """(W, V), times the gain of the last norm."""
    frequencies: Tensor
    """(D / 2,) of RoPE."""
    rope_scale: float
    heads: int
    key_heads: int
    eps: float


def fits(model: Any) -> bool:  # noqa: ANN401 - transformers is untyped
    """Return whether `LlamaWeights` can replace a model.

    Not if adapters replace its linear layers, or hooks are attached to its modules.
    """
    from transformers import LlamaForCausalLM

    if type(model) is not LlamaForCausalLM or model.dtype != torch.float32:
        return False
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    plain = (
        rope.get("rope_type", "default") in _ROPE_TYPES
        and config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
    )
    return (
        plain
        and model.device.type == "cpu"
        and sum(p.numel() for p in model.parameters()) <= _MOST_PARAMETERS
        and all(_is_plain(module) for module in model.modules())
    )


@torch.inference_mode()
def pack(model: Any) -> LlamaWeights:  # noqa: ANN401
    """Return the weights of a model that `fits`, copied again when they have changed.

    Changes are detected by torch's version counter of each tensor; it misses writes through
    `.data`.
    """
    state = _state(model)
    with _guard:
        known = _packed.get(model)
        if known is None or known[0] != state:
            known = _packed[model] = (state, _lay_out(model))
    return known[1]


def is_current(model: Any, weights: LlamaWeights) -> bool:  # noqa: ANN401
    """Return whether these are still the weights of the model."""
    return fits(model) and pack(model) is weights


def _is_plain(module: Any) -> bool:  # noqa: ANN401
    return (
        not module._forward_hooks
        and not module._forward_pre_hooks
        and (type(module) is nn.Linear or not isinstance(module, nn.Linear))
        and not hasattr(module, "base_layer")
        and "forward" not in vars(module)
    )


def _state(model: Any) -> tuple[Any, ...]:  # noqa: ANN401
    return tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in model.parameters())


def _lay_out(model: Any) -> LlamaWeights:  # noqa: ANN401
    body, config = model.model, model.config
    size = body.layers[0].self_attn.head_dim
    return LlamaWeights(
        embedding=body.embed_tokens.weight.detach(),
        layers=tuple(_lay_out_layer(layer, size) for layer in body.layers),
        head=_transposed(model.lm_head.weight * body.norm.weight),
        frequencies=body.rotary_emb.inv_freq.float(),
        rope_scale=float(body.rotary_emb.attention_scaling),
        heads=config.num_attention_heads,
        key_heads=config.num_key_value_heads,
        eps=config.rms_norm_eps,
    )


def _lay_out_layer(layer: Any, size: int) -> LlamaLayer:  # noqa: ANN401
    attention, mlp = layer.self_attn, layer.mlp
    queries, keys = (_paired(p.weight, size) for p in (attention.q_proj, attention.k_proj))
    read = torch.cat([queries, keys, attention.v_proj.weight]) * layer.input_layernorm.weight
    opened = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
    return LlamaLayer(
        query_key_value=_transposed(read),
        out=attention.o_proj.weight.detach().clone().t(),
        gate_up=_transposed(opened * layer.post_attention_layernorm.weight),
        # Fewer outputs than inputs: here the stored layout is the faster one.
        down=mlp.down_proj.weight.detach().clone().t(),
    )


def _paired(weight: Tensor, size: int) -> Tensor:
    """Put the two outputs that RoPE rotates together side by side, in every head.

    transformers keeps them D / 2 apart. Scores do not change, because queries and keys have the
    same order.
    """
    heads = weight.view(-1, 2, size // 2, weight.shape[1])
    return heads.transpose(1, 2).reshape(weight.shape)


def _transposed(weight: Tensor) -> Tensor:
    return weight.t().contiguous()
