"""The weights of a model as an export stores them: float32, or eight bits in blocks.

Eight bits: every block of a row has one scale, the largest magnitude in it divided by 127, and each
weight is the nearest multiple of it. Symmetric, because the kernels skip a zero point then. Scales
are chosen from the weights alone; no data is needed.

Sizes: K inputs of a matrix, N outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .shape import ExportDtype, ExportShape, block_size

ZERO = 128
"""The code of weight 0; what ONNX Runtime takes for eight bits without zero points."""


def lay_out(model: Any, shape: ExportShape, dtype: ExportDtype) -> dict[str, Tensor]:  # noqa: ANN401
    """Give the tensors that `ExportShape.tensors` names.

    Args:
        model: A transformers causal language model in float32 on the CPU.
        shape: What `describe` says of its config.
        dtype: How matrices are stored.
    """
    body = model.model
    stored: dict[str, Tensor] = {
        "norm": body.norm.weight,
        "frequencies": body.rotary_emb.inv_freq.float(),
        "rope_scale": torch.tensor([float(body.rotary_emb.attention_scaling)]),
    }
    stored |= _matrix("embedding", body.embed_tokens.weight, dtype, turned=False)
    if not shape.tied:
        stored |= _matrix("head", model.lm_head.weight, dtype, turned=False)
    for number, layer in enumerate(body.layers):
        stored |= _layer(number, layer, shape, dtype)
    return {name: tensor.detach().contiguous() for name, tensor in stored.items()}


def quantise(weight: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Round a matrix (N, K) to eight bits.

    Args:
        weight: float32.
        block: Weights that share a scale; the last block of a row is filled with zeros.

    Returns:
        Codes (N, K / block, block) uint8, where 128 is 0, and scales (N, K / block) float32:
        weight = (code - 128) * scale, off by half a scale at most.
    """
    rows, inputs = weight.shape
    blocks = -(-inputs // block)
    padded = torch.nn.functional.pad(weight.float(), (0, blocks * block - inputs))
    parts = padded.view(rows, blocks, block)
    scales = parts.abs().amax(dim=-1) / 127
    # A block of zeros has scale 0; any divisor gives it code 128.
    divisors = torch.where(scales > 0, scales, torch.ones_like(scales))
    codes = (parts / divisors[..., None]).round_().clamp_(-127, 127).add_(ZERO)
    return codes.to(torch.uint8), scales


def _layer(
    number: int,
    layer: Any,  # noqa: ANN401
    shape: ExportShape,
    dtype: ExportDtype,
) -> dict[str, Tensor]:
    attention, mlp = layer.self_attn, layer.mlp
    readers = (attention.q_proj, attention.k_proj, attention.v_proj)
    joined = {
        "read": readers,
        "out": (attention.o_proj,),
        "open": (mlp.gate_proj, mlp.up_proj),
        "close": (mlp.down_proj,),
    }
    stored = {
        f"{number}.norm_before": layer.input_layernorm.weight,
        f"{number}.norm_between": layer.post_attention_layernorm.weight,
    }
    if shape.head_norms:
        stored[f"{number}.query_norm"] = attention.q_norm.weight
        stored[f"{number}.key_norm"] = attention.k_norm.weight
    for name, parts in joined.items():
        weight = torch.cat([part.weight for part in parts])
        stored |= _matrix(f"{number}.{name}", weight, dtype, turned=True)
        if parts[0].bias is not None:
            stored[f"{number}.{name}.bias"] = torch.cat([part.bias for part in parts])
    return stored


def _matrix(name: str, weight: Tensor, dtype: ExportDtype, *, turned: bool) -> dict[str, Tensor]:
    if dtype == "float32":
        return {name: weight.t() if turned else weight}
    codes, scales = quantise(weight.detach(), block_size(weight.shape[1]))
    return {f"{name}.codes": codes, f"{name}.scales": scales}
