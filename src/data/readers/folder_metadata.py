"""Files in a folder of data that are no data themselves: what data set programs write beside it.

`datasets` writes `state.json` and `dataset_info.json` beside its Arrow files (`save_to_disk`), the
hub keeps `dataset_infos.json` and `README.md`, Spark marks a finished job by `_SUCCESS`, others add
checksums.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from .compression import unpacked_name
from .file_kinds import SUFFIX_KINDS
from .json.orientation import find_table
from .options import ReadOptions

_ALWAYS = frozenset(
    {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "dataset-metadata.json"}
    | {"datapackage.json", "croissant.json", "croissant_metadata.json", "statistics.json"}
)
_STATE = "state.json"
_CHECKSUMS = re.compile(r"(?:.*[._-])?(?:checksums?|md5(?:sums?)?|sha\d+(?:sums?)?)\.\w+", re.I)
_LARGEST_METADATA = 1 << 20
"""Bytes; a larger JSON file is no description of a data set."""
_JSON_DOCUMENTS = (".json",)


def is_metadata(path: Path) -> bool:
    """Tell by its name, and by what lies beside it, whether a file describes data."""
    if path.name == _STATE:
        return _saved_state(path.parent) is not None
    return path.name in _ALWAYS or _CHECKSUMS.fullmatch(path.name) is not None


def saved_data_files(folder: Path) -> list[Path] | None:
    """List the Arrow files of a folder that `save_to_disk` wrote, in their order.

    Returns:
        None where the folder was not written by it.

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
    """Name the parts of a `DatasetDict` that `save_to_disk` wrote; empty for another folder."""
    value = _small_json(folder / "dataset_dict.json")
    splits = value.get("splits") if isinstance(value, dict) else None
    return [str(split) for split in splits] if isinstance(splits, list) else []


def descriptions(files: Sequence[Path]) -> set[Path]:
    """Find JSON files that hold no table, beside files of another kind that do.

    One JSON file for each record is a table as well, so nothing is passed over where all are JSON.
    """
    documents = [f for f in files if Path(unpacked_name(f)).suffix.lower() in _JSON_DOCUMENTS]
    kinds = {SUFFIX_KINDS.get(Path(unpacked_name(f)).suffix.lower()) for f in files}
    lines = any(Path(unpacked_name(f)).suffix.lower() in (".jsonl", ".ndjson") for f in files)
    if kinds <= {"json"} and not lines:
        return set()
    return {file for file in documents if _describes(file)}


def _describes(path: Path) -> bool:
    value = _small_json(path)
    if not isinstance(value, dict):
        return False
    try:
        return find_table(value, ReadOptions(), path) is None
    except DataError:
        return False  # the reader says what is wrong


def _saved_state(folder: Path) -> dict[str, Any] | None:
    value = _small_json(folder / _STATE)
    files = value.get("_data_files") if isinstance(value, dict) else None
    if not isinstance(files, list) or not files:
        return None
    if not all(isinstance(file, dict) and "filename" in file for file in files):
        return None
    return value if isinstance(value, dict) else None


def _small_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Read a small JSON file; None where there is none, or it is large or damaged."""
    if not path.is_file() or path.stat().st_size > _LARGEST_METADATA:
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
