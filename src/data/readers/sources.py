"""The files that a path means: one file, a pattern, or the data files of a folder.

Files that describe data are skipped: `datasets` writes `state.json` and `dataset_info.json` beside
its Arrow files (`save_to_disk`), the hub keeps `dataset_infos.json` and `README.md`, Spark marks a
finished job by `_SUCCESS`, others add checksums.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ...errors import DataError, DataNotFoundError, EmptyDataError
from .compression import unpacked_name
from .file_kinds import SUFFIX_KINDS
from .json.orientation import find_table
from .options import ReadOptions
from .read_report import ReadReport

_PARTITION = re.compile(r"([^=]+)=(.*)")
_HIDDEN = (".", "_", "~$")
"""Prefixes of files that programs leave beside the data; `~$a.xlsx` is a lock of Excel."""
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_ALWAYS = frozenset(
    {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "dataset-metadata.json"}
    | {"datapackage.json", "croissant.json", "croissant_metadata.json", "statistics.json"}
)
_STATE = "state.json"
_CHECKSUMS = re.compile(r"(?:.*[._-])?(?:checksums?|md5(?:sums?)?|sha\d+(?:sums?)?)\.\w+", re.I)
_LARGEST_METADATA = 1 << 20
"""Bytes; a larger JSON file is not a description of a data set."""


@dataclass(frozen=True)
class SourceFile:
    """One file to read."""

    path: Path
    partitions: dict[str, str | None] = field(default_factory=dict)
    """Columns given by folder names, as in `year=2024/part-0.parquet`."""


def find_files(source: str | Path, report: ReadReport) -> list[SourceFile]:
    """List the files that a path means, sorted by name.

    Args:
        source: A file; a folder, whose data files are taken, also those in subfolders; or a pattern
            with `*`, `?`, `[...]` or `**`.
        report: Notes the files of a folder that are skipped.

    Raises:
        DataNotFoundError: The path does not exist, or the pattern matches nothing.
        EmptyDataError: The folder has no data file.
    """
    path = Path(source)
    if path.is_dir():
        return _in_folder(path, report)
    if path.exists():
        return [SourceFile(path)]
    if glob.has_magic(str(source)):
        found = sorted(Path(p) for p in glob.glob(str(source), recursive=True))
        files = [p for p in found if p.is_file()]
        if not files:
            raise DataNotFoundError(f"{source}: no file matches this pattern")
        files = _without_metadata(str(source), files, report)
        return [SourceFile(p, _partitions(p.parts[:-1])) for p in files]
    raise DataNotFoundError(f"{source}: no such file or folder; check the spelling")


def _in_folder(folder: Path, report: ReadReport) -> list[SourceFile]:
    """List the data files of a folder, and note the others."""
    files: list[Path] = []
    passed: dict[str, None] = {}
    everything = sorted(p for p in folder.rglob("*") if p.is_file())
    saved = {parent: saved_data_files(parent) for parent in {p.parent for p in everything}}
    for path in everything:
        inside = path.relative_to(folder).parts
        known = _suffix(path) in SUFFIX_KINDS
        listed = saved[path.parent]
        hidden = next((i for i, part in enumerate(inside) if part.startswith(_HIDDEN)), None)
        if hidden is not None:
            passed["/".join(inside[: hidden + 1])] = None  # _SUCCESS, .crc, .git
        elif not known or is_metadata(path) or (listed is not None and path not in listed):
            passed["/".join(inside)] = None
        else:
            files.append(path)
    described = descriptions(files)
    passed.update(dict.fromkeys(str(path.relative_to(folder)) for path in sorted(described)))
    _note_passed(folder, list(passed), report)
    files = [path for path in files if path not in described]
    _check_saved(folder, saved)
    if not files:
        raise EmptyDataError(
            f"the folder has no data files; known are {', '.join(sorted(SUFFIX_KINDS))}",
            path=folder,
        )
    _note_splits(folder, everything, report)
    return [SourceFile(p, _partitions(p.relative_to(folder).parts[:-1])) for p in files]


def _without_metadata(pattern: str, files: list[Path], report: ReadReport) -> list[Path]:
    """Skip descriptions of data where the pattern matches data as well."""
    data = [path for path in files if not is_metadata(path)]
    if not data or len(data) == len(files):
        return files
    _note_passed(Path(pattern), [str(path) for path in files if path not in data], report)
    return data


def _note_passed(folder: Path, names: list[str], report: ReadReport) -> None:
    if names:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        report.note(
            f"{folder}: passed over {len(names)} files that are no data: "
            f"{', '.join(names[:10])}{more}"
        )


def _note_splits(folder: Path, everything: list[Path], report: ReadReport) -> None:
    """Note the splits of a saved `DatasetDict`, which are read one after the other."""
    for parent in dict.fromkeys(path.parent for path in everything):
        splits = splits_of(parent)
        if splits:
            report.note(
                f"{parent}: read the splits {', '.join(map(repr, sorted(splits)))} one after the "
                f"other; pass {parent / sorted(splits)[0]} to read one alone"
            )


def _check_saved(folder: Path, saved: dict[Path, list[Path] | None]) -> None:
    """Refuse a saved data set with a missing file."""
    for listed in saved.values():
        for path in listed or ():
            if not path.is_file():
                raise DataNotFoundError(
                    f"{path}: state.json names this file, but it is missing; copy the whole "
                    f"folder {folder} again"
                )


def _partitions(folders: tuple[str, ...]) -> dict[str, str | None]:
    matches = (_PARTITION.fullmatch(name) for name in folders)
    return {
        match[1]: None if match[2] == _HIVE_NULL else unquote(match[2])
        for match in matches
        if match
    }


def is_metadata(path: Path) -> bool:
    """Say by its name and the files beside it whether a file describes data."""
    if path.name == _STATE:
        return _saved_state(path.parent) is not None
    return path.name in _ALWAYS or _CHECKSUMS.fullmatch(path.name) is not None


def saved_data_files(folder: Path) -> list[Path] | None:
    """List the Arrow files of a folder that `save_to_disk` wrote, in order.

    Returns:
        None for another folder.

    Raises:
        DataError: Only some of the records belong to the data set: an index chooses them.
    """
    state = _saved_state(folder)
    if state is None:
        return None
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise DataError(
            "this data set keeps its records in the order of an index; load it with datasets, "
            "call flatten_indices() and save it again",
            path=folder,
        )
    return [folder / str(file["filename"]) for file in state["_data_files"]]


def splits_of(folder: Path) -> list[str]:
    """Name the splits of a `DatasetDict` that `save_to_disk` wrote; empty for another folder."""
    value = _small_json(folder / "dataset_dict.json")
    splits = value.get("splits") if isinstance(value, dict) else None
    return [str(split) for split in splits] if isinstance(splits, list) else []


def descriptions(files: Sequence[Path]) -> set[Path]:
    """Find JSON files without a table beside data files of other kinds.

    None are found where all files are JSON documents, as each may be one record.
    """
    suffixes = {file: _suffix(file) for file in files}
    kinds = {SUFFIX_KINDS.get(suffix) for suffix in suffixes.values()}
    if kinds <= {"json"} and not {".jsonl", ".ndjson"} & set(suffixes.values()):
        return set()
    return {file for file, suffix in suffixes.items() if suffix == ".json" and _describes(file)}


def _suffix(path: Path) -> str:
    return Path(unpacked_name(path)).suffix.lower()


def _describes(path: Path) -> bool:
    value = _small_json(path)
    if not isinstance(value, dict):
        return False
    try:
        return find_table(value, ReadOptions(), path) is None
    except DataError:
        return False  # the reader reports it


def _saved_state(folder: Path) -> dict[str, Any] | None:
    value = _small_json(folder / _STATE)
    files = value.get("_data_files") if isinstance(value, dict) else None
    if not isinstance(files, list) or not files:
        return None
    if not all(isinstance(file, dict) and "filename" in file for file in files):
        return None
    return value if isinstance(value, dict) else None


def _small_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Read a small JSON file; None where it is missing, large or damaged."""
    if not path.is_file() or path.stat().st_size > _LARGEST_METADATA:
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
