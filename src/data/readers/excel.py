"""Excel workbooks (.xlsx, .xlsm): one sheet is one table, read row by row in constant memory.

- The first visible sheet that is not empty is read; `sheet` names another one. A note lists the
  other sheets.
- Numbers, texts and booleans are read as stored, dates and times as ISO 8601 text; a date whose
  cell shows no time has none. A formula gives the value stored with it.
- Blank rows are skipped and counted; blank columns beside the table are ignored. Column names, and
  null marks in text cells, follow the rules of CSV.
"""

from __future__ import annotations

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from ...errors import DataError, EmptyDataError, UnreadableFileError
from .cells import plain_value
from .column_names import list_columns
from .compression import seekable
from .csv.dialect import lines_above_table
from .csv.header import column_names
from .nulls import null_spellings, without_null
from .options import EXTRA_COLUMN, ReadOptions, advise
from .read_report import ReadReport

SAMPLE_ROWS = 1000
MAX_UNPACKED_BYTES = 4 << 30
"""A workbook that unpacks to more is refused: it was made to exhaust the memory."""
_QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')
_TIME_CODES = re.compile(r"[hs]", re.IGNORECASE)


def iter_excel(
    path: Path, options: ReadOptions, report: ReadReport
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the records of one sheet with their row numbers.

    Args:
        path: Workbook, compressed or not.
        options: `sheet`, `header`, `skip_lines`, `ragged` and the spellings of null.
        report: Counts what was skipped or changed.

    Raises:
        EmptyDataError: Every sheet is empty.
        DataError: There is no such sheet, or a row does not fit the header.
        UnreadableFileError: The workbook is damaged.
    """
    with seekable(path) as stream, _opened(stream, path) as workbook:
        sheet = _chosen_sheet(workbook, options, report, path)
        rows = _rows(sheet, options, report, path)
        sample = list(islice(rows, SAMPLE_ROWS))
        if not sample:
            raise EmptyDataError(
                f"there is nothing on the sheet {sheet.title!r}"
                + (" below the lines to skip" if options.skip_lines else ""),
                path=path,
            )
        first, width = _edges([cells for _, cells in sample])
        above = lines_above_table([_filled_to(cells[first:]) for _, cells in sample])
        if above and options.header in (True, None):
            line = sample[above][0] - 1
            raise DataError(
                f"the first row of the sheet {sheet.title!r} is a title and the table begins on "
                f"line {line + 1}; {advise(skip_lines=line)}",
                path=path,
                line=sample[0][0],
            )
        texts = [_texts(cells, first, width) for _, cells in sample]
        names, _, is_record = column_names(texts[0], options, report, path, texts[1:])
        yield from _records(
            chain(sample[0 if is_record else 1 :], rows), names, first, options, report, path
        )


def _records(
    rows: Iterator[tuple[int, list[Any]]],
    names: list[str],
    first: int,
    options: ReadOptions,
    report: ReadReport,
    path: Path,
) -> Iterator[tuple[int, dict[str, Any]]]:
    nulls = null_spellings(options)
    columns = names[:-1] if options.ragged == "keep" else names
    for row, (line, cells) in enumerate(rows, 1):
        values = [without_null(cell, nulls, options.null_values, report) for cell in cells[first:]]
        surplus = values[len(columns) :]
        values = values[: len(columns)] + [None] * (len(columns) - len(values))
        record = dict(zip(columns, values, strict=True))
        if options.ragged == "keep":
            record[EXTRA_COLUMN] = surplus if any(v is not None for v in surplus) else None
            report.extended_rows += record[EXTRA_COLUMN] is not None
        elif any(v is not None for v in surplus):
            raise DataError(
                f"the row has {first + len(columns) + len(surplus)} cells, the header ends at "
                f"{first + len(columns)}; name the columns, or {advise(ragged='keep')}",
                path=path,
                row=row,
                line=line,
            )
        yield row, record


@contextmanager
def _opened(stream: IO[bytes], path: Path) -> Iterator[Any]:
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(stream) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_UNPACKED_BYTES:
            raise UnreadableFileError(
                f"the workbook unpacks to {unpacked:,} bytes, at most {MAX_UNPACKED_BYTES:,} are "
                "read; save the sheet as CSV (UTF-8)",
                path=path,
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about parts of a workbook that are not cells
            workbook = load_workbook(stream, read_only=True, data_only=True, keep_links=False)
    except DataError:
        raise
    except Exception as fault:  # openpyxl lets errors of its parsers through
        raise UnreadableFileError(
            f"the workbook is damaged or no workbook ({type(fault).__name__}: {fault}); open it in "
            "a spreadsheet program and save it again",
            path=path,
        ) from fault
    try:
        yield workbook
    finally:
        workbook.close()


def _chosen_sheet(workbook: Any, options: ReadOptions, report: ReadReport, path: Path) -> Any:  # noqa: ANN401
    sheets = {sheet.title: sheet for sheet in workbook.worksheets}
    if options.sheet is not None:
        if options.sheet not in sheets:
            raise DataError(
                f"there is no sheet {options.sheet!r}; there are {list_columns(list(sheets))}",
                path=path,
            )
        return sheets[options.sheet]
    visible = [s for s in sheets.values() if s.sheet_state == "visible"] or [*sheets.values()]
    quiet = ReadReport(quiet=True)
    filled = [s for s in visible if next(_rows(s, ReadOptions(), quiet, path), None) is not None]
    if not filled:
        raise EmptyDataError("no sheet of the workbook has anything on it", path=path)
    others = [title for title in sheets if title != filled[0].title]
    if others:
        report.note(
            f"{path}: the sheet {filled[0].title!r} is read; for {list_columns(others)}, "
            + advise("sheet")
        )
    return filled[0]


def _rows(
    sheet: Any,  # noqa: ANN401 - openpyxl has no types
    options: ReadOptions,
    report: ReadReport,
    path: Path,
) -> Iterator[tuple[int, list[Any]]]:
    """Yield the rows that are not blank, with their line numbers."""
    sheet.reset_dimensions()  # the size stated in the file may be wrong
    source = sheet.iter_rows()
    line, blank = 0, 0
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                batch = list(islice(source, SAMPLE_ROWS))
        except Exception as fault:  # openpyxl lets errors of its parsers through
            raise UnreadableFileError(
                f"the sheet {sheet.title!r} is damaged ({type(fault).__name__}: {fault})",
                path=path,
                line=line + 1,
            ) from fault
        if not batch:
            return
        for cells in batch:
            line += 1
            if line <= options.skip_lines:
                report.skipped_lines += 1
                continue
            values = list(map(_plain, cells))
            if any(value is not None for value in values):
                report.blank_lines += blank
                blank = 0
                yield line, values
            else:
                blank += 1  # those below the table are not counted


def _plain(cell: Any) -> Any:  # noqa: ANN401 - a cell
    value = cell.value
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        shown = _QUOTED.sub("", cell.number_format or "")
        return value.isoformat() if _TIME_CODES.search(shown) else value.date().isoformat()
    return plain_value(value)


def _edges(rows: Sequence[Sequence[Any]]) -> tuple[int, int]:
    """Give the first column with a value, and the end of the last one."""
    filled = {i for row in rows for i, value in enumerate(row) if value is not None}
    return min(filled), max(filled) + 1


def _filled_to(cells: Sequence[Any]) -> int:
    return sum(value is not None for value in cells)


def _texts(cells: Sequence[Any], first: int, end: int) -> list[str]:
    shown = ["" if value is None else str(value) for value in cells[first:end]]
    return shown + [""] * (end - first - len(shown))
