"""Export folders: a checkpoint's weights converted for ONNX Runtime.

    outputs/elements/student/export/
        export.json             manifest: source, settings, and loss of quality
        export.safetensors      the weights (`layout`)
        config.json, tokenizer.json, run.json, ...      as in the checkpoint

The folder can be moved and served alone. Inside its checkpoint it is valid only while the
checkpoint's files are those it was made from. It contains only numbers and settings; this package
builds the graph.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import ExportError
from ...files import file_sha256, write_json
from ..checkpoints.architectures import make_config
from ..checkpoints.folder_checks import (
    check_settings,
    read_checked_json,
    read_safetensors_header,
    shape_faults,
)
from ..checkpoints.load_student import package_versions
from .layout import DTYPES, ExportDtype, ExportShape, describe

EXPORT_FOLDER = "export"
MANIFEST_FILE = "export.json"
WEIGHTS_FILE = "export.safetensors"
SCHEMA_VERSION = 1

_COPIED = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "tokenizer_check.json", "chat_template.jinja", "run.json",
)  # fmt: skip
_DTYPES: dict[str, torch.dtype] = {"F32": torch.float32, "U8": torch.uint8}


@dataclass(frozen=True)
class Export:
    """A checked export; its weights are not loaded yet."""

    folder: Path
    manifest: dict[str, Any]
    config: Any
    """A transformers config."""
    shape: ExportShape
    dtype: ExportDtype

    @property
    def name(self) -> str:
        """Name of the model: the name of the checkpoint's folder."""
        inside = self.folder.name == EXPORT_FOLDER
        return self.folder.resolve().parent.name if inside else self.folder.resolve().name


def find_export(folder: Path) -> Path | None:
    """Find an export: the folder itself, or the one inside a checkpoint folder."""
    places = (folder, folder / EXPORT_FOLDER)
    return next((place for place in places if (place / MANIFEST_FILE).is_file()), None)


def read_export(folder: Path) -> Export:
    """Check an export; its weights are only hashed.

    Raises:
        ExportError: It is damaged, of another version, or made from another checkpoint.
        CheckpointError: Its settings or files are not safe to load.
    """
    config = check_settings(folder)
    manifest = read_checked_json(folder, MANIFEST_FILE)
    _check_manifest(folder, manifest)
    described = make_config(config)
    export = Export(folder, manifest, described, describe(described), manifest["dtype"])
    _check_shapes(export)
    if file_sha256(folder / WEIGHTS_FILE) != manifest["weights_sha256"]:
        raise ExportError(f"{folder / WEIGHTS_FILE}: is not the file that {MANIFEST_FILE} names by "
                          "its hash; export again")  # fmt: skip
    _check_source(export)
    return export


def read_tensors(export: Export) -> dict[str, Tensor]:
    """Map the weights into memory.

    Raises:
        ExportError: A tensor has another type than in `ExportShape.tensors`.
    """
    from safetensors import safe_open

    path = export.folder / WEIGHTS_FILE
    with safe_open(path, framework="pt") as stored:
        found = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no dict
    for name, (kind, _) in export.shape.tensors(export.dtype).items():
        if found[name].dtype != _DTYPES[kind]:
            raise ExportError(f"{path}: {name} is of type {found[name].dtype}, wanted is "
                              f"{_DTYPES[kind]}; export again")  # fmt: skip
    return found


def write_export(
    folder: Path, source: Path, tensors: Mapping[str, Tensor], dtype: ExportDtype
) -> None:
    """Write weights, settings and manifest into an empty folder.

    Args:
        folder: Existing folder.
        source: The checkpoint.
        tensors: From `layout.lay_out`.
        dtype: How matrices are stored.
    """
    from safetensors.torch import save_file

    save_file(dict(tensors), folder / WEIGHTS_FILE)
    for name in _COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "dtype": dtype,
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "source": {"name": source.resolve().name, "sha256": _hashes(source)},
        "weights_sha256": file_sha256(folder / WEIGHTS_FILE),
        "weights_bytes": (folder / WEIGHTS_FILE).stat().st_size,
        "versions": package_versions() | _runtime_versions(),
    }
    write_json(folder / MANIFEST_FILE, manifest)


def amend_manifest(folder: Path, findings: Mapping[str, Any]) -> dict[str, Any]:
    """Add measurements to the manifest of an export; return all of it."""
    manifest = {**read_checked_json(folder, MANIFEST_FILE), **findings}
    write_json(folder / MANIFEST_FILE, manifest)
    return manifest


def _hashes(source: Path) -> dict[str, str]:
    """Hash the files of a checkpoint that its answers depend on."""
    weights = sorted(path.name for path in source.glob("model*.safetensors*") if path.is_file())
    names = [*weights, *(name for name in _COPIED if (source / name).is_file())]
    return {name: file_sha256(source / name) for name in names}


def _runtime_versions() -> dict[str, str]:
    from importlib import metadata

    return {name: metadata.version(name) for name in ("onnx", "onnxruntime")}


def _check_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    place = folder / MANIFEST_FILE
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ExportError(
            f"{place}: has schema_version {manifest.get('schema_version')!r}; this version reads "
            f"{SCHEMA_VERSION}; export again"
        )
    source = manifest.get("source")
    hashes = source.get("sha256") if isinstance(source, dict) else None
    known = (
        manifest.get("dtype") in DTYPES
        and isinstance(manifest.get("weights_sha256"), str)
        and isinstance(hashes, dict)
        and all(
            isinstance(value, str) and Path(name).name == name for name, value in hashes.items()
        )
    )
    if not known:
        raise ExportError(f"{place}: lacks dtype, weights_sha256 or source; export again")
    if not (folder / WEIGHTS_FILE).is_file():
        raise ExportError(f"{folder}: {WEIGHTS_FILE} is missing; export again")


def _check_shapes(export: Export) -> None:
    """Compare the tensors of the file with those of the layout."""
    path = export.folder / WEIGHTS_FILE
    found = read_safetensors_header(path)
    expected = {name: sizes for name, (_, sizes) in export.shape.tensors(export.dtype).items()}
    faults = shape_faults(expected, found)
    if faults:
        raise ExportError(f"{path}: {'; '.join(faults[:5])}; export again")


def _check_source(export: Export) -> None:
    """Refuse an export whose checkpoint or settings have changed since it was made."""
    hashes = export.manifest["source"]["sha256"]
    own = {name: value for name, value in hashes.items() if name in _COPIED}
    places = [(export.folder, own)]
    if export.folder.name == EXPORT_FOLDER and (export.folder.parent / "config.json").is_file():
        places.append((export.folder.parent, hashes))
        now = _hashes(export.folder.parent).keys() - hashes.keys()
    else:
        now = set()
    changed = [f"{place / name}" for place, wanted in places for name, value in wanted.items()
               if not (place / name).is_file() or file_sha256(place / name) != value]  # fmt: skip
    changed += [str(export.folder.parent / name) for name in now]
    if changed:
        raise ExportError(
            f"{export.folder}: was made from other files than are there now ({changed[0]}"
            f"{' and others' if len(changed) > 1 else ''}); export again: stillroom export "
            f"{export.folder.parent}"
        )
