"""The hash of a checkpoint, which every answer carries."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ...files import file_sha256

_ENDINGS = (".safetensors", ".onnx", ".gguf", ".json", ".jinja", ".model")


def checkpoint_sha256(folder: str | Path) -> str:
    """Hash the files of a checkpoint that decide its answers: weights, tokenizer, settings, table.

    Returns:
        64 hex digits: the hash of the lines `<hash of the file>  <name>`, by name, as `sha256sum`
        writes them; empty where there is no such folder.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        return ""
    files = sorted(p for p in root.iterdir() if p.is_file() and p.suffix in _ENDINGS)
    lines = "".join(f"{file_sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode("utf-8")).hexdigest() if files else ""
