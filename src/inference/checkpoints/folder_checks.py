"""Checks of a model folder before any library reads it: safetensors only, no code, known settings.

`trust_remote_code=False` is not enough: config.json has chosen kernels to download (CVE-2026-4372),
weights have been pickles, and sizes in a file become allocations. So everything that transformers
will read is checked here first, with the standard library, in bounded time and memory.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ...errors import CheckpointError
from .config_allowlist import config_faults, generation_faults, least_parameters

MAX_HEADER_BYTES = 16 << 20
"""A safetensors header of 100,000 tensors takes about 12 MB; the format itself allows 100 MB."""
_MAX_JSON_BYTES = {"tokenizer.json": 64 << 20, "run.json": 16 << 20}
_MAX_OTHER_JSON_BYTES = 4 << 20
_MAX_ENTRIES = 10_000

_DTYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
_REFUSED_SUFFIXES = frozenset({
    ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".npy", ".npz", ".h5",
    ".msgpack", ".gguf", ".onnx", ".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".exe",
    ".whl", ".zip", ".tar", ".gz",
})  # fmt: skip
_TRAINER_STATE = re.compile(
    r"(training_args\.bin|(optimizer|scheduler|scaler)\.pt|rng_state(_\d+)?\.pth)"
)
"""Files that transformers.Trainer leaves beside the weights; never opened here."""
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


@dataclass(frozen=True)
class ModelFiles:
    """A folder that passed the checks."""

    folder: Path
    config: dict[str, Any]
    """config.json; settings on the allow-list are checked, the rest is plain data."""
    generation: dict[str, Any] | None
    """generation_config.json, likewise; None without the file."""
    weights: tuple[Path, ...]
    shapes: dict[str, tuple[int, ...]]
    """Tensor name to shape, over all weight files."""


def check_model_files(folder: Path) -> ModelFiles:
    """Check a checkpoint folder without loading it.

    Args:
        folder: Existing folder.

    Raises:
        CheckpointError: It lacks a part, is damaged or is not safe to load.
    """
    config = check_settings(folder)
    generation = _generation(folder)
    weights = _weight_files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in weights:
        for name, shape in read_safetensors_header(file).items():
            if name in shapes:
                _refuse(file, f"tensor {name!r} is in another file as well")
            shapes[name] = shape
    least, found = least_parameters(config), sum(map(math.prod, shapes.values()))
    if least > found:  # before any library builds a model of that size
        _refuse(folder / "config.json", f"config.json asks for a model of at least {least} "
                                        f"parameters, the weights hold {found}")  # fmt: skip
    return ModelFiles(folder, config, generation, weights, shapes)


def check_settings(folder: Path) -> dict[str, Any]:
    """Check a checkpoint folder except its weights, and return its config.json.

    Raises:
        CheckpointError: As `check_model_files`.
    """
    _check_entries(folder)
    config = read_checked_json(folder, "config.json")
    _refuse_faults(folder, "config.json", config_faults(config))
    _generation(folder)
    return config


def _generation(folder: Path) -> dict[str, Any] | None:
    name = "generation_config.json"
    if not (folder / name).exists():
        return None
    generation = read_checked_json(folder, name)
    _refuse_faults(folder, name, generation_faults(generation))
    return generation


def read_checked_json(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON object of bounded size from a checkpoint folder.

    Raises:
        CheckpointError: The file is missing, too large, or no JSON object with distinct keys.
    """
    path = bounded_file(folder, name)
    return _json_object(path, path.read_bytes())


def bounded_file(folder: Path, name: str) -> Path:
    """Find a JSON file of a checkpoint folder without reading it.

    Raises:
        CheckpointError: It is missing or too large.
    """
    path = folder / name
    if not path.is_file():
        _refuse(folder, f"{name} is missing; a checkpoint holds config.json, weights and tokenizer")
    limit = _MAX_JSON_BYTES.get(name, _MAX_OTHER_JSON_BYTES)
    if path.stat().st_size > limit:
        _refuse(path, f"is larger than {limit >> 20} MiB")
    return path


def read_safetensors_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Read tensor names and shapes from a safetensors file, checking that the data is covered
    exactly once.

    Raises:
        CheckpointError: The header is too long, no such header, or does not fit the data after it.
    """
    size = path.stat().st_size
    with open(path, "rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > size - 8:
            _refuse(path, "is cut off: the file ends before its header does")
        if length > MAX_HEADER_BYTES:
            _refuse(path, f"has a header of {length} bytes; at most {MAX_HEADER_BYTES} are read")
        header = _json_object(path, stream.read(length))
    spans: list[tuple[int, int, str]] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            if not isinstance(entry, dict) or not all(isinstance(v, str) for v in entry.values()):
                _refuse(path, "__metadata__ is no table of texts")
            continue
        shapes[name], begin, end = _tensor_entry(path, name, entry)
        spans.append((begin, end, name))
    if not spans:
        _refuse(path, "holds no tensors")
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            _refuse(path, f"tensor {name!r} overlaps another or leaves a gap at byte {position}")
        position = end
    if position != size - 8 - length:
        _refuse(path, f"is cut off or too long: tensors take {position} bytes, the file has "
                      f"{size - 8 - length}")  # fmt: skip
    return shapes


def _tensor_entry(path: Path, name: str, entry: object) -> tuple[tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _refuse(path, f"tensor {name!r} is not described by dtype, shape and data_offsets")
    width = _DTYPE_BYTES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if width is None:
        _refuse(path, f"tensor {name!r} has dtype {entry['dtype']!r}; known: {list(_DTYPE_BYTES)}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _is_int_list(shape, 8) or not _is_int_list(offsets, 2) or len(offsets) != 2:
        _refuse(path, f"tensor {name!r} has an impossible shape or place in the file")
    if offsets[1] - offsets[0] != math.prod(shape) * width:
        _refuse(path, f"tensor {name!r} of shape {shape} does not fill its {offsets}")
    return tuple(shape), offsets[0], offsets[1]


def _check_entries(folder: Path) -> None:
    root, blobs = folder.resolve(), _hub_blobs(folder)
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= _MAX_ENTRIES:
                _refuse(folder, f"holds more than {_MAX_ENTRIES} files")
            path = Path(entry.path)
            if entry.is_symlink():
                target = _link_target(path)
                if not target.is_relative_to(root) and (blobs is None or target.parent != blobs):
                    _refuse(path, "is a symbolic link out of the folder; copy the files with cp -L")
            if not entry.is_dir() and not (path.exists() and stat.S_ISREG(path.stat().st_mode)):
                _refuse(path, "is not a plain file")
            if entry.name == "adapter_config.json":
                _refuse(folder, "is an adapter, not a whole model; merge it into its base model "
                                "(peft: merge_and_unload) and save that")  # fmt: skip
            if entry.name == "custom_generate" and blobs is None:
                _refuse(path, "holds code for generating (custom_generate); remove it")
            suffix = path.suffix.lower()
            expected = blobs is not None or _TRAINER_STATE.fullmatch(entry.name)
            if suffix in _REFUSED_SUFFIXES and not expected:
                _refuse(path, f"files ending in {suffix} can run code or are no safetensors; only "
                              "safetensors weights are loaded. Remove the file or convert it with "
                              "safetensors.torch.save_file")  # fmt: skip


def _hub_blobs(folder: Path) -> Path | None:
    """Return the folder that the links of a Hugging Face cache snapshot lead to; None for others.

    A snapshot is `models--owner--name/snapshots/<commit>/`, and its files are links into
    `models--owner--name/blobs/`. Other files in it (pickles, code) are allowed because they are
    never opened.
    """
    root = folder.resolve()
    repository = root.parent.parent
    if root.parent.name != "snapshots" or not repository.name.startswith("models--"):
        return None
    blobs = repository / "blobs"
    return blobs if blobs.is_dir() and not blobs.is_symlink() else None


def _link_target(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as fault:  # RuntimeError: Python 3.11 on a link to itself
        raise CheckpointError(f"{path}: is a symbolic link that leads nowhere") from fault


def _weight_files(folder: Path) -> tuple[Path, ...]:
    single = folder / "model.safetensors"
    if single.is_file():
        return (single,)
    if not (folder / "model.safetensors.index.json").is_file():
        _refuse(folder, "holds no weights; expected model.safetensors")
    weight_map = read_checked_json(folder, "model.safetensors.index.json").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        _refuse(folder, "model.safetensors.index.json has no weight_map")
    for name in weight_map.values():
        if not isinstance(name, str) or not _SHARD.fullmatch(name):
            _refuse(folder, f"model.safetensors.index.json names the file {name!r}; allowed are "
                            "names such as 'model-00001-of-00002.safetensors'")  # fmt: skip
    files = tuple(folder / name for name in sorted(set(weight_map.values())))
    for file in files:
        if not file.is_file():
            _refuse(file, "is missing")
        for tensor in read_safetensors_header(file):
            if weight_map.get(tensor) != file.name:
                _refuse(file, f"tensor {tensor!r} is not where model.safetensors.index.json says")
    return files


def _json_object(path: Path, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_distinct_keys)
    except (ValueError, RecursionError) as fault:
        raise CheckpointError(f"{path}: not readable as JSON ({fault})") from fault
    if not isinstance(value, dict):
        _refuse(path, f"holds a {type(value).__name__}, not a JSON object")
    return value


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _is_int_list(value: object, max_length: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= max_length
        and all(type(item) is int and 0 <= item < 1 << 48 for item in value)
    )


def _refuse_faults(folder: Path, name: str, faults: list[str]) -> None:
    if faults:
        shown = "; ".join(faults[:8]) + ("; ..." if len(faults) > 8 else "")
        _refuse(folder / name, shown)


def _refuse(path: Path, reason: str) -> NoReturn:
    raise CheckpointError(f"{path}: {reason}")


def shape_faults(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """Describe missing, unexpected and wrongly shaped tensors, sorted by name."""
    faults = [f"{name} is missing" for name in expected.keys() - found.keys()]
    faults += [f"{name} is not part of this model" for name in found.keys() - expected.keys()]
    faults += [
        f"{name} has shape {list(found[name])}, config.json asks for {list(expected[name])}"
        for name in expected.keys() & found.keys()
        if expected[name] != found[name]
    ]
    return sorted(faults)
