"""The header of a CSV file: the names of its columns, and whether its first row is a record.

Taking a record for the names loses the record; taking the names for a record loses all names, which
is worse. So the first row is taken for a record only where both hold:

- It has no blank cell and no common column name, and every column of numbers, dates, times,
  addresses or yes/no has a value of that same kind in the first row.
- There is such a column. Where it holds whole numbers, those of the first row are not years, not
  consecutive numbers and not far from the others: `country,2019,2020` names columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

from ....errors import DataError
from ..column_names import clean_name
from ..nulls import NULL_MARKS
from ..options import EXTRA_COLUMN, ReadOptions, advise
from ..read_report import ReadReport

Verdict = Literal["names", "record", "unsure"]

_NUMBER = re.compile(r"\s*[-+]?[$\u20ac\u00a3]?(\d+([.,]\d*)*|\.\d+)([eE][-+]?\d+)?\s*%?\s*")
_INTEGER = re.compile(r"\s*[-+]?\d+\s*")
_DECIMAL = re.compile(r"\s*[-+]?\d*[.,]\d+([eE][-+]?\d+)?\s*")
_DATE = re.compile(
    r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})"
    r"([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[-+]\d{2}:?\d{2})?)?\s*"
)
_TIME = re.compile(r"\s*\d{1,2}:\d{2}(:\d{2})?\s*")
_ADDRESS = re.compile(r"\s*(https?://\S+|[^@\s]+@[^@\s]+\.[a-zA-Z]{2,})\s*")
_TRUTH = re.compile(r"\s*(true|false|yes|no)\s*", re.IGNORECASE)
_COMMON_WORDS = (
    "id key name title date time year month day week value price cost amount total count number "
    "quantity qty unit type category class group status state country city region address street "
    "zip email phone url description text label code color colour size weight height width length "
    "age gender sex score rating rank index question answer question_id first_name last_name "
    "latitude longitude lat lon lng population area currency language comment notes note "
    "datum preis stadt land nombre precio fecha nom prix ville pays"
)
_COMMON_NAMES = frozenset(_COMMON_WORDS.split())
_NOTHING = frozenset((*NULL_MARKS, "", "-"))
_MIN_ROWS, _YEARS = 2, range(1800, 2101)


def column_names(
    first: list[str],
    options: ReadOptions,
    report: ReadReport,
    path: Path,
    below: list[list[str]],
) -> tuple[list[str], int, bool]:
    """Name the columns of a table.

    Args:
        first: Cells of the first row.
        options: `header` and `ragged`.
        report: Notes renamed columns.
        path: File, for messages.
        below: Some of the rows below it.

    Returns:
        Names, all different; the least number of cells of a row, as trailing columns without a name
        may be missing; whether the first row is a record.

    Raises:
        DataError: `ragged="keep"` needs the name `_extra`, and the table has it.
    """
    header = options.header
    needed = len(first)
    if header is None:
        verdict = judge_first_row(first, below)
        header = verdict != "record"
        if not header:
            report.note(
                f"{path}: the first line {_shown(first)} has values like those below it and is "
                "read as a record; the columns are called column_1 and so on; if it names the "
                f"columns, {advise(header=True)}"
            )
        elif verdict == "unsure" or all(map(is_number, first)):
            report.note(
                f"{path}: the first line {_shown(first)} is read as the names of the columns; "
                f"if it is a record, {advise(header=False)}"
            )
    if header is True:
        names = _unique_names(first, report, path)
        needed = max((i for i, cell in enumerate(first, 1) if cell.strip()), default=needed)
    elif header is False:
        names = [f"column_{i}" for i in range(1, len(first) + 1)]
    else:
        names = list(header)
        needed = len(names)
    if options.ragged == "keep":
        if EXTRA_COLUMN in names:
            raise DataError(
                "the table has a column with the name of that for surplus cells; rename it or "
                + advise(ragged="pad"),
                path=path,
                column=EXTRA_COLUMN,
            )
        names.append(EXTRA_COLUMN)
    return names, needed, header is not True


def _shown(cells: list[str]) -> str:
    return repr(cells) if len(cells) <= 8 else f"{cells[:8]!r}..."


def _unique_names(cells: list[str], report: ReadReport, path: Path) -> list[str]:
    names: list[str] = []
    cleaned = [clean_name(cell) for cell in cells]
    given, seen = set(cleaned), set[str]()
    for position, (cell, clean) in enumerate(zip(cells, cleaned, strict=True), 1):
        base = clean if clean.strip() else f"column_{position}"
        name, count = base, 1
        while name in seen or (name != clean and name in given):
            count += 1
            name = f"{base}.{count}"
        if name != clean:
            what = f"a second {clean!r}" if clean.strip() else "without a name"
            report.note(f"{path}: column {position} ({what}) is called {name!r}")
        elif clean != cell:
            report.note(
                f"{path}: column {position}: removed invisible characters from the name {cell!r}"
            )
        names.append(name)
        seen.add(name)
    return names


def is_number(cell: str) -> bool:
    """Say whether a cell holds a number and nothing else."""
    return _NUMBER.fullmatch(cell) is not None


def judge_first_row(first: Sequence[str], below: Sequence[Sequence[str]]) -> Verdict:
    """Judge whether a row names the columns or is a record like those below it.

    Args:
        first: Cells of the first row.
        below: The rows below it, or the first of them.

    Returns:
        "unsure" where the values fit a record and may be names as well.
    """
    rows = [row for row in below if len(row) == len(first)]
    if len(rows) < _MIN_ROWS or len(rows) < 0.9 * len(below) or list(first) in map(list, rows[:50]):
        return "names"
    if not all(cell.strip() for cell in first):
        return "names"
    if any(cell.strip().casefold().replace(" ", "_") in _COMMON_NAMES for cell in first):
        return "names"
    typed = 0
    numbers: list[tuple[str, list[str]]] = []
    for cell, column in zip(first, zip(*rows, strict=True), strict=True):
        present = [value for value in column if value.strip() not in _NOTHING]
        kind = _kind_of(present)
        if kind is None:
            continue
        if not kind(cell):
            return "names"
        if kind is _is_truth and len(set(present)) < 2:
            continue  # a survey may have a column per answer: its name, or nothing
        typed += 1
        if is_number(cell):
            numbers.append((cell, present))
    if not typed:
        return "names"
    if numbers and _may_be_names(numbers) and typed == len(numbers):
        return "unsure"
    return "record"


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda cell: pattern.fullmatch(cell) is not None


_is_truth = _matches(_TRUTH)
_KINDS: tuple[Callable[[str], bool], ...] = (
    _matches(_INTEGER),
    _matches(_DECIMAL),
    is_number,
    _matches(_DATE),
    _matches(_TIME),
    _matches(_ADDRESS),
    _is_truth,
)


def _kind_of(column: list[str]) -> Callable[[str], bool] | None:
    if len(column) < _MIN_ROWS:
        return None
    return next((kind for kind in _KINDS if all(map(kind, column))), None)


def _may_be_names(numbers: list[tuple[str, list[str]]]) -> bool:
    """Say whether numbers may be column names: years, consecutive numbers, outliers."""
    whole = [(int(cell), column) for cell, column in numbers if _INTEGER.fullmatch(cell)]
    if len(whole) < len(numbers):
        return False
    values = [value for value, _ in whole]
    steps = {b - a for a, b in pairwise(values)}
    running = steps == {1} or (len(values) > 2 and len(steps) == 1 and steps != {0})
    if running or values == [0] or all(value in _YEARS for value in values):
        return True
    return any(_is_outside(value, column) for value, column in whole)


def _is_outside(value: int, column: list[str]) -> bool:
    below = [float(cell) for cell in column if _INTEGER.fullmatch(cell)]
    if not below:
        return True
    low, high = min(below), max(below)
    if value in _YEARS and not (low in _YEARS and high in _YEARS):
        return True
    margin = max(high - low, abs(high), 1.0)
    return not low - margin <= value <= high + margin
