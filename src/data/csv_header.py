"""Names of CSV columns: as the header has them, made unique, or made up where there is none."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import DataError
from .options import EXTRA_COLUMN, ReadOptions
from .read_report import ReadReport

_NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)*|\.\d+)([eE][-+]?\d+)?\s*")


def column_names(
    first: list[str], options: ReadOptions, report: ReadReport, path: Path
) -> tuple[list[str], int]:
    """Name the columns of a table.

    Args:
        first: Cells of the first row.
        options: `header` and `ragged`.
        report: Renamed columns are noted in it.
        path: File, for messages.

    Returns:
        Names, all different; and how many cells a row needs: it may stop before unnamed columns.

    Raises:
        DataError: `ragged="keep"` needs the name `_extra`, and the table has it.
    """
    header = options.header
    needed = len(first)
    if header is True or header is None:
        names = _unique_names(first, report, path)
        needed = max((i for i, cell in enumerate(first, 1) if cell.strip()), default=needed)
        if all(_NUMBER.fullmatch(cell) for cell in first):
            report.note(
                f"{path}: the first line {first!r} was taken for column names but holds only "
                "numbers; pass header=False if it is a record"
            )
    elif header is False:
        names = [f"column_{i}" for i in range(1, len(first) + 1)]
    else:
        names = list(header)
        needed = len(names)
    if options.ragged == "keep":
        if EXTRA_COLUMN in names:
            raise DataError(
                "the table has a column of this name; rename it or do not pass ragged='keep'",
                path=path,
                column=EXTRA_COLUMN,
            )
        names.append(EXTRA_COLUMN)
    return names, needed


def _unique_names(cells: list[str], report: ReadReport, path: Path) -> list[str]:
    names: list[str] = []
    given, seen = set(cells), set[str]()
    for position, cell in enumerate(cells, 1):
        base = cell if cell.strip() else f"column_{position}"
        name, count = base, 1
        while name in seen or (name != cell and name in given):
            count += 1
            name = f"{base}.{count}"
        if name != cell:
            what = f"a second {cell!r}" if cell.strip() else "without a name"
            report.note(f"{path}: column {position} ({what}) is called {name!r}")
        names.append(name)
        seen.add(name)
    return names
