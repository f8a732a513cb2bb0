"""Writes small GGUF files with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize

D, F, LAYERS, HEADS, KV_HEADS, HEAD_DIM = 64, 96, 2, 4, 2, 16
CONTROL = 3
"""Kind of token."""


def byte_characters() -> list[str]:
    """List the characters that stand for the 256 bytes in byte-level vocabularies."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def gguf_sizes(architecture: str, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Name the tensors of a small model with their shapes."""
    Q, K = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, D), "output_norm.weight": (D,),
    }  # fmt: skip
    for layer in range(LAYERS):
        parts: dict[str, tuple[int, ...]] = {
            "attn_norm.weight": (D,), "ffn_norm.weight": (D,), "attn_q.weight": (Q, D),
            "attn_k.weight": (K, D), "attn_v.weight": (K, D), "attn_output.weight": (D, Q),
            "ffn_gate.weight": (F, D), "ffn_up.weight": (F, D), "ffn_down.weight": (D, F),
        }  # fmt: skip
        if architecture == "qwen2":
            parts |= {"attn_q.bias": (Q,), "attn_k.bias": (K,), "attn_v.bias": (K,)}
        if architecture == "qwen3":
            parts |= {"attn_q_norm.weight": (HEAD_DIM,), "attn_k_norm.weight": (HEAD_DIM,)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in parts.items()}
    return shapes


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    pre: str | None = "smollm",
    tokens: list[str] | None = None,
    merges: list[str] | None = None,
    tied: bool = True,
    stored: GGMLQuantizationType = GGMLQuantizationType.F32,
    change: dict[str, Any] | None = None,
    leave_out: str | None = None,
    more: dict[str, np.ndarray] | None = None,
) -> Path:
    """Write a small model.

    Args:
        path: File to write.
        architecture: `general.architecture`.
        pre: `tokenizer.ggml.pre`; None leaves it out.
        tokens: Vocabulary; None is the 256 bytes and `ab`. `<s>` and `</s>` are put before it.
        merges: Merges of the vocabulary; None is that of `ab`.
        tied: Whether the output is the embedding.
        stored: Type of the matrices.
        change: Numbers to write instead, by key.
        leave_out: A tensor not to write.
        more: Further tensors.
    """
    writer = GGUFWriter(path, architecture)
    tokens = ["<s>", "</s>", *(tokens or [*byte_characters(), "ab"])]
    settings = {
        "block_count": LAYERS, "context_length": 256, "embedding_length": D,
        "feed_forward_length": F, "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS, "attention.key_length": HEAD_DIM,
        "attention.value_length": HEAD_DIM, "rope.dimension_count": HEAD_DIM,
    }  # fmt: skip
    for key, number in ({f"{architecture}.{k}": v for k, v in settings.items()}
                        | (change or {})).items():  # fmt: skip
        if isinstance(number, str):
            writer.add_string(key, number)
        else:
            writer.add_uint32(key, number)
    writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32(f"{architecture}.rope.freq_base", 10000.0)
    writer.add_string("tokenizer.ggml.model", "gpt2")
    if pre is not None:
        writer.add_string("tokenizer.ggml.pre", pre)
    writer.add_array("tokenizer.ggml.tokens", tokens)
    writer.add_array("tokenizer.ggml.token_type", [CONTROL] * 2 + [1] * (len(tokens) - 2))
    writer.add_array("tokenizer.ggml.merges", merges or ["a b"])
    for name, id_ in (("bos", 0), ("eos", 1)):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", id_)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    shapes = gguf_sizes(architecture, len(tokens))
    if not tied:
        shapes["output.weight"] = (len(tokens), D)
    numbers = np.random.default_rng(0)
    for name, shape in shapes.items():
        values = numbers.normal(0, 0.3, shape).astype(np.float32)
        if name.endswith("norm.weight"):
            values = 1 + values
        if name == leave_out:
            continue
        if len(shape) > 1 and stored != GGMLQuantizationType.F32:
            writer.add_tensor(name, quantize(values, stored), raw_dtype=stored)
        else:
            writer.add_tensor(name, values)
    for name, values in (more or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
