"""JSON files of whole data sets, as notebooks write and read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import files
from ..errors import DataError, DataNotFoundError, UnreadableFileError

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
    """Read a JSON file; JSON Lines, under whatever name, give a list.

    Raises:
        DataNotFoundError: There is no such file.
        UnreadableFileError: It is neither JSON nor JSON Lines.
    """
    if not Path(path).is_file():
        raise DataNotFoundError(f"there is no file {str(path)!r}")
    try:
        if Path(path).suffix.lower() in _LINES:
            return files.read_json_lines(path)
        return files.read_json(path)
    except UnicodeDecodeError as fault:
        raise UnreadableFileError(f"is no UTF-8 text ({fault})", path=path) from fault
    except ValueError as fault:
        try:  # lines under the name .json, as some tools write them
            return files.read_json_lines(path)
        except ValueError:
            raise UnreadableFileError(f"is no JSON ({fault})", path=path) from fault
