"""Options for reading a table or records, which are the same for all commands."""

from __future__ import annotations

import argparse
from argparse import SUPPRESS
from collections.abc import Mapping
from typing import Any, Final

from ..data.readers.options import FLAGS, flag_value, read_options
from ..errors import ConfigError
from .options import Fault, listed, whole_number

OF_DATABASES: Final = ("query", "table")
"""Keywords of the readers that are not fields of `ReadOptions`."""
OF_SOURCES: Final = (*OF_DATABASES, "records_path")
"""Keywords that select what is read from a source; the main job has fields for them."""
_HELP: Final[dict[str, tuple[str, str]]] = {
    "query": ("SELECT", "statement to read from a database"),
    "table": ("NAME", "table to read whole from a database"),
    "records_path": ("KEYS", "keys that lead to the records in nested JSON, e.g. data.items"),
    "sheet": ("NAME", "sheet of a workbook; default: the first with anything on it"),
    "encoding": ("NAME", "encoding of text, e.g. cp1252; default: detected"),
    "sep": ("CHARACTER", r"character between cells, \t for a tab; default: detected"),
    "quote": ("CHARACTER", 'quote character of cells, or none (default ")'),
    "escape": ("CHARACTER", "makes the next character part of the cell; default: detected"),
    "header": ("{auto,yes,no}", "whether the first line names the columns (default auto)"),
    "skip_lines": ("N", "lines to skip before the header"),
    "comment": ("TEXT", "skip lines that start with this text"),
    "ragged": ("{error,pad,keep}", "rows that do not fit the header: refuse, fill up, keep cells"),
    "null_values": ("MARK", "text that marks an empty cell, e.g. '-'; may be given again"),
    "keep_null_marks": ("", "read NA, NULL, nan and similar marks as text"),
    "columns": ("NAMES", "read only these columns, separated by commas"),
}


def add_reading_options(parser: argparse.ArgumentParser, *, columns: bool = True) -> None:
    """Add an option for each keyword of the readers.

    Args:
        parser: Parser of the command.
        columns: Whether to add `--columns`; False if the command has an option of that name.
    """
    add = parser.add_argument_group("reading").add_argument
    for name, (shown, told) in _HELP.items():
        if name == "columns" and not columns:
            continue
        if name == "keep_null_marks":
            add(FLAGS[name], dest=name, action="store_true", default=SUPPRESS, help=told)
        elif name == "null_values":
            add(FLAGS[name], dest=name, action="append", default=SUPPRESS, metavar=shown, help=told)
        else:
            kind = _reader(name)
            add(FLAGS[name], dest=name, type=kind, default=SUPPRESS, metavar=shown, help=told)


def reading_keywords(args: argparse.Namespace, *, columns: bool = True) -> dict[str, Any]:
    """Return the given options as keywords of the readers.

    Args:
        args: Options from a parser with the options of `add_reading_options`.
        columns: As in `add_reading_options`.

    Raises:
        ConfigError: A value is out of range.
    """
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(args).items()
        if name in _HELP and (columns or name != "columns")
    }
    check_reading(given)
    return given


def check_reading(keywords: object) -> None:
    """Refuse keywords that no reader knows, and values out of range.

    Raises:
        ConfigError: There are faults; lists all of them.
    """
    if not isinstance(keywords, Mapping):
        raise ConfigError([f"reading is {keywords!r}; allowed is a mapping of reading options"])
    read_options({str(name): v for name, v in keywords.items() if name not in OF_DATABASES})


def _reader(name: str) -> Any:  # noqa: ANN401 - a type for argparse
    if name == "skip_lines":
        return whole_number(0)
    if name == "columns":
        return listed

    def read(text: str) -> Any:  # noqa: ANN401
        try:
            return flag_value(name, text)
        except ValueError as fault:
            return Fault(str(fault).removeprefix(FLAGS[name]).lstrip())

    return read
