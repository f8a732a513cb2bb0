"""One decode step of a small Llama without the machinery around it.

Students are small Llamas, and transformers spends three quarters of a small model's step on masks,
output classes and module calls. This is the same arithmetic on the same weights, for one new token
per sequence in float32; prompts and all other models go through transformers itself.

Sizes: B sequences, D size of a head, H heads, G key-value heads, T tokens so far.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_ROPE_TYPES = ("default", "linear", "llama3")
"""Those whose frequencies do not depend on the length of the sequence."""


def fits(model: Any) -> bool:  # noqa: ANN401 - transformers is untyped
    """Say whether `LlamaStep` computes what this model computes."""
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
    # Adapters replace linear layers and observers hang on modules; both must not be passed by.
    return plain and all(
        not module._forward_hooks
        and not module._forward_pre_hooks
        and (type(module) is nn.Linear or not isinstance(module, nn.Linear))
        and not hasattr(module, "base_layer")
        for module in model.modules()
    )


class LlamaStep:
    """Computes the logits after one more token of each sequence."""

    def __init__(self, model: Any, capacity: int) -> None:  # noqa: ANN401
        """Prepare for sequences of at most `capacity` tokens; the weights are read in place."""
        config, rotary = model.config, model.model.rotary_emb
        angles = torch.arange(capacity, device=model.device)[:, None] * rotary.inv_freq.float()
        both = torch.cat([angles, angles], dim=-1)  # (capacity, D)
        self._cos = both.cos() * rotary.attention_scaling
        self._sin = both.sin() * rotary.attention_scaling
        self._embedding = model.model.embed_tokens.weight
        self._norm = model.model.norm.weight
        self._head = model.lm_head.weight
        self._eps = config.rms_norm_eps
        self._size = model.model.layers[0].self_attn.head_dim
        self._layers = [_weights(layer) for layer in model.model.layers]

    def __call__(self, ids: Tensor, places: Tensor, mask: Tensor | None, cache: Any) -> Tensor:  # noqa: ANN401
        """Compute logits.

        Args:
            ids: (B, 1) newest tokens.
            places: (B,) their positions, or (1,) if all are the same.
            mask: (B, T) true where there is no padding; None if there is none.
            cache: Keys and values so far (`kv_cache.make_cache`); the new ones are added.

        Returns:
            (B, vocabulary).
        """
        cos, sin = (
            self._cos[places][:, None, None],
            self._sin[places][:, None, None],
        )  # (B, 1, 1, D)
        seen = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, T)
        hidden = functional.embedding(ids[:, 0], self._embedding)  # (B, width)
        width = hidden.shape[1:]
        for number, layer in enumerate(self._layers):
            in_norm, query, key, value, out, mlp_norm, gate, up, down = layer
            x = functional.rms_norm(hidden, width, in_norm, self._eps)
            # Heads that share keys stand where a sequence would: (B, G, H / G, D).
            q = functional.linear(x, query).view(len(x), key.shape[0] // self._size, -1, self._size)
            k = functional.linear(x, key).view(len(x), -1, 1, self._size)  # (B, G, 1, D)
            v = functional.linear(x, value).view(len(x), -1, 1, self._size)
            keys, values = cache.layers[number].update(_rotate(k, cos, sin), v)  # (B, G, T, D)
            mixed = functional.scaled_dot_product_attention(
                _rotate(q, cos, sin), keys, values, seen
            )
            hidden = hidden + functional.linear(mixed.reshape(len(x), -1), out)
            x = functional.rms_norm(hidden, width, mlp_norm, self._eps)
            opened = functional.silu(functional.linear(x, gate)) * functional.linear(x, up)
            hidden = hidden + functional.linear(opened, down)
        return functional.linear(
            functional.rms_norm(hidden, width, self._norm, self._eps), self._head
        )


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn queries or keys to their position (Su et al. 2021, arXiv:2104.09864)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def _weights(layer: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
    attention, mlp = layer.self_attn, layer.mlp
    return (
        layer.input_layernorm.weight,
        attention.q_proj.weight,
        attention.k_proj.weight,
        attention.v_proj.weight,
        attention.o_proj.weight,
        layer.post_attention_layernorm.weight,
        mlp.gate_proj.weight,
        mlp.up_proj.weight,
        mlp.down_proj.weight,
    )
