"""The tokenizer of a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path

from ...errors import CheckpointError


def mend_digits(folder: Path, path: Path) -> None:
    """Give a converted tokenizer the splitting that `tokenizer.ggml.pre` names.

    Raises:
        CheckpointError: The splitting is not known.
    """
    from gguf import GGUFReader

    field = GGUFReader(path).get_field("tokenizer.ggml.pre")
    pre = None if field is None else field.contents()
    if pre != "smollm":
        raise CheckpointError(f"{path}: splits texts by {pre!r}, which is not known; known: smollm")
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_bytes())
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ]}  # fmt: skip
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
