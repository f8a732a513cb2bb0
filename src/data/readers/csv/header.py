"""Names of CSV columns: as the header has them, made unique, or made up where there is none."""

from __future__ import annotations

from pathlib import Path

from ....errors import DataError
from ..column_names import clean_name
from ..options import EXTRA_COLUMN, ReadOptions, advise
from ..read_report import ReadReport
from .no_header import is_number, judge_first_row


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
        report: Renamed columns are noted in it.
        path: File, for messages.
        below: Some rows below the first, from which it shows whether that is one of them.

    Returns:
        Names, all different; how many cells a row needs: it may stop before unnamed columns; and
        whether the first row is a record.

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
                f"{path}: the first line {_shown(first)} holds values like those below it and is "
                "read as a record; the columns are called column_1 and so on; if it names the "
                f"columns, {advise(header=True)}"
            )
        elif verdict == "unsure" or all(map(is_number, first)):
            report.note(
                f"{path}: the first line {_shown(first)} was taken for the names of the columns; "
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
                "the table has a column of this name, which surplus cells get; rename it or "
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
                f"{path}: column {position}: invisible characters were taken off the name {cell!r}"
            )
        names.append(name)
        seen.add(name)
    return names
