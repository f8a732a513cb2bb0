"""The layout of an export: the sizes of a model, its tensors, and their conversion from a model.

The sizes are read from config.json alone, so that a folder whose tensors do not fit is refused
before anything is built from it.

Matrices are stored as float32, or as eight or four bits in blocks: every block of a row has one
scale, and each weight is rounded to a multiple of it. Symmetric, because the kernels then need no
zero point. No calibration data is needed. In an export of four bits the embedding and the head keep
eight: they decide the logits directly, and are a fifth of a small model.

Sizes: W width, D size of a head, H heads, G key-value heads, I inner width, V vocabulary, K inputs
of a matrix, N outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ...errors import ExportError

ExportDtype = Literal["float32", "int8", "int4"]
DTYPES: tuple[ExportDtype, ...] = ("float32", "int8", "int4")
Bits = Literal[4, 8]
MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
_ROPE_TYPES = ("default", "linear", "llama3", "yarn")
"""Kinds of RoPE whose frequencies do not depend on the length of the sequence."""
_MOST_POSITIONS = 1 << 18
"""The sines and cosines of all positions are stored: 134 MB at this length with heads of 64."""
_BLOCKS = (128, 64, 32, 16)
_FOUR_BIT_BLOCK = 32
_LARGEST_AT = (-9.0, -8.5, -8.0, -7.5, -7.0, -6.5, 7.0, 7.5, 8.0)
ZERO: dict[Bits, int] = {8: 128, 4: 8}
"""The code of weight 0 in ONNX Runtime where there are no zero points."""

Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Name to safetensors type and shape."""


@dataclass(frozen=True)
class ExportShape:
    """Sizes and options of a model that can be exported."""

    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    head_size: int
    vocabulary: int
    positions: int
    """Context length."""
    eps: float
    """Epsilon of the RMS norms."""
    tied: bool
    """Whether the output head shares the embedding."""
    read_bias: bool
    """Whether queries, keys and values have a bias."""
    out_bias: bool
    inner_bias: bool
    head_norms: bool
    """Whether queries and keys are normalised in every head."""
    windows: tuple[int, ...]
    """Attention window of each layer in tokens, itself included; -1 is all."""

    @property
    def read_width(self) -> int:
        """Outputs of the query-key-value matrix: (H + 2 G) D."""
        return (self.heads + 2 * self.key_heads) * self.head_size

    def matrices(self, layer: int) -> dict[str, tuple[int, int, bool]]:
        """Return the matrices of a layer: name to (N, K, whether it has a bias)."""
        mixed = self.heads * self.head_size
        return {
            f"{layer}.read": (self.read_width, self.width, self.read_bias),
            f"{layer}.out": (self.width, mixed, self.out_bias),
            f"{layer}.open": (2 * self.inner, self.width, self.inner_bias),
            f"{layer}.close": (self.width, self.inner, self.inner_bias),
        }

    def tensors(self, dtype: ExportDtype) -> Tensors:
        """Return the types and shapes of all tensors of an export."""
        found: Tensors = {
            "norm": ("F32", (self.width,)),
            "frequencies": ("F32", (self.head_size // 2,)),
            "rope_scale": ("F32", (1,)),
        }
        for name in ("embedding",) if self.tied else ("embedding", "head"):
            found |= _stored(name, self.vocabulary, self.width, word_bits(dtype), transposed=False)
        for layer in range(self.layers):
            for name in ("norm_before", "norm_between"):
                found[f"{layer}.{name}"] = ("F32", (self.width,))
            if self.head_norms:
                for name in ("query_norm", "key_norm"):
                    found[f"{layer}.{name}"] = ("F32", (self.head_size,))
            for name, (outputs, inputs, biased) in self.matrices(layer).items():
                found |= _stored(name, outputs, inputs, layer_bits(dtype), transposed=True)
                if biased:
                    found[f"{name}.bias"] = ("F32", (outputs,))
        return found


def layer_bits(dtype: ExportDtype) -> Bits | None:
    """Return the bits of a weight of the layers; None for float32."""
    return None if dtype == "float32" else 8 if dtype == "int8" else 4


def word_bits(dtype: ExportDtype) -> Bits | None:
    """Return the bits of a weight of the embedding and the head; None for float32."""
    return None if dtype == "float32" else 8


def block_size(inputs: int, bits: Bits) -> int:
    """Choose how many weights of a row share a scale.

    For eight bits the largest size that divides the row, since larger blocks are faster: one
    AVX-512 core reached 82 % of its memory bandwidth with 128, and 65 % with 32
    (benchmarks/results/inference.md). For four bits 32, since there the loss grows with the block.
    """
    if bits == 4:
        return _FOUR_BIT_BLOCK
    return next((block for block in _BLOCKS if inputs % block == 0), 32)


def describe(config: Any) -> ExportShape:  # noqa: ANN401 - transformers is untyped
    """Read the shape from a transformers config.

    Raises:
        ExportError: The model computes something that an export cannot.
    """
    faults = _faults(config)
    if faults:
        raise ExportError(
            f"a model of type {config.model_type!r} cannot be exported: {'; '.join(faults)}. It is "
            "served all the same, by engine='transformers'"
        )
    bias = bool(getattr(config, "attention_bias", False))
    return ExportShape(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        inner=config.intermediate_size,
        heads=config.num_attention_heads,
        key_heads=config.num_key_value_heads or config.num_attention_heads,
        head_size=_head_size(config),
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        eps=config.rms_norm_eps,
        tied=bool(config.tie_word_embeddings),
        read_bias=bias or config.model_type == "qwen2",
        out_bias=bias and config.model_type in ("llama", "qwen3"),
        inner_bias=bool(getattr(config, "mlp_bias", False)),
        head_norms=config.model_type == "qwen3",
        windows=_windows(config),
    )


def _faults(config: Any) -> list[str]:  # noqa: ANN401
    if config.model_type not in MODEL_TYPES:
        return [f"allowed are {list(MODEL_TYPES)}"]
    faults = []
    rope = getattr(config, "rope_parameters", None) or {}
    kind = rope.get("rope_type", "default")
    if kind not in _ROPE_TYPES:
        faults.append(f"its positions are of kind {kind!r}, allowed are {list(_ROPE_TYPES)}")
    if rope.get("partial_rotary_factor", 1.0) not in (None, 1.0):
        faults.append("only a part of every head is turned by its positions")
    if _head_size(config) % 16:
        faults.append(f"its heads have size {_head_size(config)}, allowed are multiples of 16")
    if config.max_position_embeddings > _MOST_POSITIONS:
        faults.append(f"it attends to {config.max_position_embeddings} tokens, at most "
                      f"{_MOST_POSITIONS} are allowed")  # fmt: skip
    if config.hidden_act not in ("silu", "swish"):
        faults.append(f"its activation is {config.hidden_act!r}, allowed is 'silu'")
    return faults


def _head_size(config: Any) -> int:  # noqa: ANN401
    given = getattr(config, "head_dim", None)
    return int(given or config.hidden_size // config.num_attention_heads)


def _windows(config: Any) -> tuple[int, ...]:  # noqa: ANN401
    window = int(getattr(config, "sliding_window", None) or -1)
    kinds = getattr(config, "layer_types", None)
    if kinds is None:  # Mistral has one window for all layers
        every = window if config.model_type == "mistral" else -1
        return (every,) * int(config.num_hidden_layers)
    return tuple(window if kind == "sliding_attention" else -1 for kind in kinds)


def _stored(
    name: str, outputs: int, inputs: int, bits: Bits | None, *, transposed: bool
) -> Tensors:
    """Return the stored tensors of a matrix; `transposed` is (K, N), the faster layout."""
    if bits is None:
        return {name: ("F32", (inputs, outputs) if transposed else (outputs, inputs))}
    block = block_size(inputs, bits)
    blocks = -(-inputs // block)
    return {
        f"{name}.codes": ("U8", (outputs, blocks, block * bits // 8)),
        f"{name}.scales": ("F32", (outputs, blocks)),
    }


def lay_out(model: Any, shape: ExportShape, dtype: ExportDtype) -> dict[str, Tensor]:  # noqa: ANN401
    """Convert the weights of a model to the tensors of `ExportShape.tensors`.

    Args:
        model: A transformers causal language model in float32 on the CPU.
        shape: From `describe`.
        dtype: How matrices are stored.
    """
    body = model.model
    stored: dict[str, Tensor] = {
        "norm": body.norm.weight,
        "frequencies": body.rotary_emb.inv_freq.float(),
        "rope_scale": torch.tensor([float(body.rotary_emb.attention_scaling)]),
    }
    bits = word_bits(dtype)
    stored |= _matrix("embedding", body.embed_tokens.weight, bits, transposed=False)
    if not shape.tied:
        stored |= _matrix("head", model.lm_head.weight, bits, transposed=False)
    for number, layer in enumerate(body.layers):
        stored |= _layer(number, layer, shape, layer_bits(dtype))
    return {name: tensor.detach().contiguous() for name, tensor in stored.items()}


def quantise(weight: Tensor, bits: Bits) -> tuple[Tensor, Tensor]:
    """Round a matrix (N, K) to eight or four bits, in blocks of `block_size`.

    Args:
        weight: float32; the last block of a row is padded with zeros.
        bits: Of a code.

    Returns:
        Codes (N, K / block, block) uint8 and scales (N, K / block) float32:
        weight = (code - `ZERO[bits]`) * scale. With eight bits the error is at most half a scale;
        with four, see `_four_bit_scales`. `pack` halves codes of four bits.
    """
    rows, inputs = weight.shape
    block = block_size(inputs, bits)
    blocks = -(-inputs // block)
    padded = torch.nn.functional.pad(weight.float(), (0, blocks * block - inputs))
    parts = padded.view(rows, blocks, block)
    if bits == 8:
        scales = parts.abs().amax(dim=-1) / 127
        codes = _round(parts, scales, -127, 127)
    else:
        scales = _four_bit_scales(parts)
        codes = _round(parts, scales, -8, 7)
    return codes.add_(ZERO[bits]).to(torch.uint8), scales


def _round(parts: Tensor, scales: Tensor, least: int, most: int) -> Tensor:
    # A block of zeros has scale 0; any divisor gives it the code of 0.
    divisors = torch.where(scales == 0, 1.0, scales)
    return (parts / divisors[..., None]).round_().clamp_(least, most)


def _four_bit_scales(parts: Tensor) -> Tensor:
    """Find the scale (N, blocks) of least error of each block.

    The squared error of a weight counts by its own square, as large weights matter most. Small
    models lose much by 4 bits all the same; the export measures how much.

    The weight of largest magnitude is laid on a few places around both ends of the codes, -8 and 7,
    mostly on the further one; so a scale may be negative. For given codes q and importances a = w w
    the best scale is <a w, q> / <a q, q>.
    """
    largest = parts.gather(-1, parts.abs().argmax(dim=-1, keepdim=True)).squeeze(-1)
    importance = parts.square()
    best = torch.zeros_like(largest)
    least = importance.square().sum(dim=-1)  # the error of scale 0
    for place in _LARGEST_AT:
        codes = _round(parts, largest / place, -8, 7)
        weighted = importance * codes
        scales = (weighted * parts).sum(dim=-1) / (weighted * codes).sum(dim=-1)
        scales.nan_to_num_(0.0)
        codes = _round(parts, scales, -8, 7)
        error = ((parts - codes * scales[..., None]).square() * importance).sum(dim=-1)
        best = torch.where(error < least, scales, best)
        least = torch.minimum(error, least)
    return best


def pack(codes: Tensor) -> Tensor:
    """Put two codes of four bits into a byte, the first of each pair into its lower half."""
    return codes[..., 0::2] | (codes[..., 1::2] << 4)


def _layer(
    number: int,
    layer: Any,  # noqa: ANN401
    shape: ExportShape,
    bits: Bits | None,
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
        stored |= _matrix(f"{number}.{name}", weight, bits, transposed=True)
        if parts[0].bias is not None:
            stored[f"{number}.{name}.bias"] = torch.cat([part.bias for part in parts])
    return stored


def _matrix(name: str, weight: Tensor, bits: Bits | None, *, transposed: bool) -> dict[str, Tensor]:
    if bits is None:
        return {name: weight.t() if transposed else weight}
    codes, scales = quantise(weight.detach(), bits)
    return {f"{name}.codes": pack(codes) if bits == 4 else codes, f"{name}.scales": scales}
