"""JSON files of whole data sets, as notebooks write and read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ... import files
from ...config import read_written_text
from ...errors import ConfigError, DataError, DataNotFoundError, UnreadableFileError

_LINES = (".jsonl", ".ndjson")


def save_json(path: str | Path, data: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write a JSON file, whole or not at all: UTF-8, indent 2, characters as they are.

    Args:
        path: Where to; its folders are made. `.jsonl` gets one line per record.
        data: Any JSON value; for `.jsonl` a list of objects.

    Raises:
        DataError: `.jsonl` was asked for something else than a list of objects.
        ValueError: A number is NaN or infinite.
    """
    if Path(path).suffix.lower() not in _LINES:
        files.write_json(path, data)
        return
    if not isinstance(data, list) or not all(isinstance(record, dict) for record in data):
        raise DataError(
            f"is to hold JSON Lines, which are a list of objects, not a {type(data).__name__}; "
            "name the file .json",
            path=path,
        )
    files.write_json_lines(path, data)


def read_json(path: str | Path) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON file, without byte-order marks; JSON Lines, under whatever name, give a list.

    Raises:
        DataNotFoundError: There is no such file.
        UnreadableFileError: It is neither JSON nor JSON Lines.
    """
    if not Path(path).is_file():
        raise DataNotFoundError(f"there is no file {str(path)!r}")
    try:
        written = read_written_text(path)
    except ConfigError as fault:
        raise UnreadableFileError(str(fault)) from fault
    if Path(path).suffix.lower() not in _LINES:
        try:
            return json.loads(written)
        except ValueError as fault:
            # Lines under the name .json, as some tools write them.
            return _lines(written, path, fault)
    return _lines(written, path, None)


def _lines(written: str, path: str | Path, fault: ValueError | None) -> list[Any]:
    try:
        return [json.loads(line) for line in written.split("\n") if line.strip()]
    except ValueError as other:
        raise UnreadableFileError(f"is no JSON ({fault or other})", path=path) from other
