r"""The dialect of a CSV file, found out from its text: separator, open quotes, escape character.

Quotes inside cells are doubled (RFC 4180), or escaped by a backslash as MySQL, Hive and many
scripts do. A file that is valid with doubled quotes is read so, whatever backslashes its texts
hold; a file that is valid only with escapes is read with escapes. The whole file is checked for
this, but only where a backslash stands before a character that needs an escape. A backslash before
any other character is kept: `C:\new`, `\N`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from ..options import ReadOptions

ESCAPE = "\\"
CANDIDATES = (",", "\t", ";", "|")
RARE_CANDIDATES = ("^", "~", "\x1f", "\x01", "\u00a6")
"""Used only where every row of the sample has as many cells as the header, at least two."""
_SAMPLE_ROWS = 1000
_EXCEL_HINT = re.compile(r"sep=(.)\r?\n")
MAX_CELL_CHARS = 1 << 26
"""Longer cells are refused: an unclosed quote would take in the rest of the file."""


def make_reader_arguments(options: ReadOptions, sep: str) -> dict[str, Any]:
    """Give the arguments of `csv.reader` for these options.

    The csv module's limit on the length of a cell is global; it is only ever raised here.
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
    """Read the separator from a first line `sep=;`, which Excel writes and does not show."""
    match = _EXCEL_HINT.match(sample)
    return match.group(1) if match else None


def find_separator(sample: str, options: ReadOptions, *, complete: bool) -> str:
    """Find the separator with which most rows have as many cells as the header.

    Args:
        sample: The beginning of the file.
        options: Quotes, escapes, comments and lines to skip.
        complete: The sample is the whole file; otherwise its last row is ignored.

    Returns:
        One of `CANDIDATES`; else one of `RARE_CANDIDATES`; else the separator of a table below
        title lines; else a comma.
    """
    ways = [options]
    if options.escape is None and ESCAPE in sample:
        ways.append(replace(options, escape=ESCAPE))
    best, best_score = "", (0.0, 0)
    below_title = ""
    for candidate in CANDIDATES:
        for way in ways:
            widths = list(map(len, sample_rows(sample, candidate, way, complete=complete)))
            if not widths:
                continue
            score = (widths.count(widths[0]) / len(widths), widths[0])
            if widths[0] > 1 and score > best_score:
                best, best_score = candidate, score
            if not below_title and lines_above_table(widths):
                below_title = candidate
    if best:
        return best
    for candidate in RARE_CANDIDATES:
        widths = list(map(len, sample_rows(sample, candidate, options, complete=complete)))
        if len(widths) > 1 and widths[0] > 1 and len(set(widths)) == 1:
            return candidate
    return below_title or ","


def lines_above_table(widths: list[int]) -> int:
    """Count the title rows above a wider table of at least three rows; 0 for none.

    >>> lines_above_table([1, 3, 3, 3]), lines_above_table([1, 1, 1])
    (1, 0)
    """
    if len(widths) < 4 or widths[-1] < 2:
        return 0
    above = next(i for i, width in enumerate(widths) if width == widths[-1])
    fits = len(widths) - above >= 3 and set(widths[above:]) == {widths[-1]}
    return above if fits and max(widths[:above], default=2) == 1 else 0


def sample_rows(
    sample: str, sep: str, options: ReadOptions, *, complete: bool = True
) -> list[list[str]]:
    """Read the first rows that are not blank, without checking them.

    Args:
        sample: The beginning of the file.
        sep: Separator.
        options: Quotes, escapes, comments and lines to skip.
        complete: The sample is the whole file; otherwise its last row is left out.
    """
    lines = io.StringIO(sample, newline="").readlines()[options.skip_lines :]
    if options.comment is not None:
        comment = options.comment
        lines = [line for line in lines if not line.startswith(comment)]
    rows: list[list[str]] = []
    arguments = make_reader_arguments(options, sep) | {"strict": False}
    try:
        for cells in csv.reader(lines, **arguments):
            if any(cells):
                rows.append(cells)
            if len(rows) > _SAMPLE_ROWS:
                break
        else:
            if not complete and len(rows) > 1:
                rows.pop()
    except csv.Error:
        pass
    return rows


def find_open_quote(lines: Iterable[str], sep: str, options: ReadOptions) -> int | None:
    """Find the line with the opening quote that is never closed.

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


def has_escapes(text: str, options: ReadOptions, sep: str) -> bool:
    """Say whether a backslash stands before a character that needs an escape."""
    return ESCAPE in text and _escaped(sep, options.quote or "").search(text) is not None


@cache
def _escaped(sep: str, quote: str) -> re.Pattern[str]:
    return re.compile(rf"\\[{re.escape(sep + quote)}\\\r\n]")


def keep_plain_escapes(lines: Iterable[str], options: ReadOptions, sep: str) -> Iterator[str]:
    """Double the escape characters that escape nothing, so that the csv module keeps them."""
    escape = options.escape or ""
    special = re.escape(sep + (options.quote or "") + escape)
    pair = re.compile(rf"{re.escape(escape)}([^\r\n]?)")
    needed = re.compile(rf"[{special}]?")

    def kept(match: re.Match[str]) -> str:
        whole = match.group()
        return whole if needed.fullmatch(match[1]) else escape + whole

    for line in lines:
        yield pair.sub(kept, line) if escape in line else line
