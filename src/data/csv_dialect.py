"""What stands between the cells of a CSV file, found out from its first lines."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

from .options import ReadOptions

CANDIDATES = (",", "\t", ";", "|")
_SAMPLE_ROWS = 1000
_EXCEL_HINT = re.compile(r"sep=(.)\r?\n")
MAX_CELL_CHARS = 1 << 26
"""Longer cells are refused: a quote that is never closed would take in the rest of the file."""


def make_reader_arguments(options: ReadOptions, sep: str) -> dict[str, Any]:
    """Give the arguments of `csv.reader` that follow from the options.

    The limit on the length of a cell is one for the whole process; it is only ever raised.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL_CHARS))
    arguments: dict[str, Any] = {
        "delimiter": sep,
        "skipinitialspace": options.skip_initial_space,
        "strict": True,
    }
    if options.quote is None:
        arguments["quoting"] = csv.QUOTE_NONE
    else:
        arguments["quotechar"] = options.quote
    if options.escape:
        arguments["escapechar"] = options.escape
    return arguments


def excel_separator(sample: str) -> str | None:
    """Read the separator from a first line `sep=;`, which Excel writes and hides."""
    match = _EXCEL_HINT.match(sample)
    return match.group(1) if match else None


def find_separator(sample: str, options: ReadOptions, *, complete: bool) -> str:
    """Find the separator in the header that gives most rows the header's number of cells.

    Args:
        sample: The beginning of the file.
        options: Quotes, comments and lines to skip.
        complete: The sample is the whole file; otherwise its last row is not looked at.

    Returns:
        One of `CANDIDATES`; a comma where none of them stands in the header.
    """
    best, best_score = ",", (0.0, 0)
    for candidate in CANDIDATES:
        widths = _row_widths(sample, candidate, options, complete=complete)
        if not widths or widths[0] < 2:
            continue
        score = (widths.count(widths[0]) / len(widths), widths[0])
        if score > best_score:
            best, best_score = candidate, score
    return best


def _row_widths(sample: str, sep: str, options: ReadOptions, *, complete: bool) -> list[int]:
    lines = io.StringIO(sample, newline="").readlines()[options.skip_lines :]
    if options.comment is not None:
        comment = options.comment
        lines = [line for line in lines if not line.startswith(comment)]
    widths: list[int] = []
    arguments = make_reader_arguments(options, sep) | {"strict": False}
    try:
        for cells in csv.reader(lines, **arguments):
            if cells and any(cells):
                widths.append(len(cells))
            if len(widths) > _SAMPLE_ROWS:
                break
        else:
            if not complete and len(widths) > 1:
                widths.pop()
    except csv.Error:
        return widths
    return widths


def find_open_quote(lines: Iterable[str], sep: str, options: ReadOptions) -> int | None:
    """Find the line on which the quote opens that is never closed.

    Args:
        lines: All lines of the file, with their ends.
        sep: The separator.
        options: Quote and escape characters, comments.

    Returns:
        Line number counted from 1; None where every quote is closed.
    """
    opened: int | None = None
    for number, line in enumerate(lines, 1):
        if options.quote is None or (opened is None and options.quote not in line):
            continue
        if opened is None and options.comment and line.startswith(options.comment):
            continue
        opened = _quote_state(line, sep, options, opened, number)
    return opened


def _quote_state(
    line: str, sep: str, options: ReadOptions, opened: int | None, number: int
) -> int | None:
    at_cell_start, position = opened is None, 0
    while position < len(line):
        character = line[position]
        if options.escape and character == options.escape:
            position += 1
        elif character == options.quote and opened is not None:
            if line[position + 1 : position + 2] == options.quote:
                position += 1
            else:
                opened = None
        elif character == options.quote and at_cell_start:
            opened = number
        if not (at_cell_start and options.skip_initial_space and character == " "):
            at_cell_start = opened is None and character == sep
        position += 1
    return opened
