r"""CSV files: every row must fit the header, or the file is refused.

Policies, which `ReadOptions` can change:

- Cells are text exactly as written, such as `007` and `1.0`.
- An empty cell is null, also as `""`, which writers that quote everything use for null. The usual
  null marks (`nulls`) are null too and are counted.
- Separator, escape character and header are detected where they are not given.
- Blank lines are skipped and counted, also in files of one column, where writers mark null as `""`.
- A row with too few or too many cells is refused. Surplus empty cells are cut off and counted, and
  a row may end before columns without a name.
- A column without a name becomes `column_3`; a second `a` becomes `a.2`. Both are noted.
- Text after a closing quote, a quote that is never closed and NUL characters are refused.
- Lines end in \n, \r\n or \r, also mixed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ....errors import DataError, EmptyDataError, UnreadableFileError
from ..compression import iter_chunks
from ..nulls import null_spellings, without_nulls
from ..options import ReadOptions, advise
from ..read_report import ReadReport
from ..text_stream import Lines, TextError, decode_chunks
from .blocks import BLOCK_CHARS, closed_end, is_quick, read_block
from .dialect import (
    ESCAPE,
    MAX_CELL_CHARS,
    excel_separator,
    find_open_quote,
    find_separator,
    has_escapes,
    keep_plain_escapes,
    lines_above_table,
    make_reader_arguments,
    sample_rows,
)
from .header import column_names

_SAMPLE_CHARS = 1 << 16
QUICK_MIN_CHARS = _SAMPLE_CHARS
"""Below this size, loading Arrow takes more time than it saves."""
BATCH_ROWS = 1024
_LINE_END = re.compile(r"\r\n|\r|\n")

Read = tuple[list[list[str]], csv.Error | TextError | None]
"""Rows, and the fault after them that ended reading."""


class CsvTable:
    """An open CSV file: its `columns`, then rows with exactly as many cells.

    Args:
        path: File, packed or not.
        options: Policies.
        report: Counts what was skipped or changed.

    Raises:
        EmptyDataError: Every line of the file is blank.
        UnreadableFileError: The header cannot be read.
    """

    def __init__(self, path: Path, options: ReadOptions, report: ReadReport) -> None:
        """See the class."""
        self.path = path
        self.columns: list[str] = []
        self.row = 0
        """Number of the last record yielded, counted from 1."""
        self._options = options
        self._report = report
        self._nulls = null_spellings(options)
        self._signs = False  # a backslash that may be an escape was found
        self._decided = options.escape is not None
        before = _counts(report)
        self._open()
        if self._signs:
            self._decide_escape()
            if self._options.escape:
                _restore(report, before)
                self._open()
        self._before = before
        first = self._first_row()
        below = self._seen[1:]
        self.columns, self._needed, is_record = column_names(
            first, self._options, report, path, below
        )
        self.width = len(self.columns) - (options.ragged == "keep")
        self._first = [first] if is_record else []

    def batches(self, wanted: Sequence[str] | None = None) -> Iterator[list[Sequence[Any]]]:
        """Read the cells of the records, many records at a time.

        Args:
            wanted: Columns; None for all.

        Yields:
            One list per wanted column, all of the same length: texts as written, "" for an empty
            cell and None for a null mark; in the column `_extra` of `ragged="keep"` a cell is a
            list or "". `row` is then the number of the last record of the batch.

        Raises:
            DataError: A row does not fit the header.
            UnreadableFileError: Quotes or bytes are not valid CSV.
        """
        names = list(self.columns if wanted is None else wanted)
        named = self._options.null_values
        try:
            for columns in self._cells(names):
                yield [without_nulls(c, self._nulls, named, self._report) for c in columns]
        except _EscapesMetError:
            # The records yielded so far have no escape, so both ways of reading give the same.
            for columns in self._cells_with_escapes(names):
                yield [without_nulls(c, self._nulls, named, self._report) for c in columns]

    def _cells(self, names: list[str]) -> Iterator[list[list[Any]]]:
        places = [self.columns.index(name) for name in names]
        for rows in self._row_batches([(self._first, None)]):
            yield [[cells[place] for cells in rows] for place in places]
        if self._sampled >= QUICK_MIN_CHARS and is_quick(self._options, self.sep):
            yield from self._quick_batches(names)
        reads = iter(lambda: self._read(BATCH_ROWS), ([], None))
        for rows in self._row_batches(reads):
            yield [[cells[place] for cells in rows] for place in places]

    def _cells_with_escapes(self, names: list[str]) -> Iterator[list[list[Any]]]:
        """Read again with the escape character that was found, skipping the records yielded."""
        done, self.row = self.row, 0
        _restore(self._report, self._before)
        self._open()
        if not self._first:
            self._first_row()
        else:
            self._first = [self._first_row()]
        for columns in self._cells(names):
            new = self.row - done
            if new > 0:
                yield [column[-new:] for column in columns]

    def _decide_escape(self) -> None:
        """Find out whether the whole file is valid only with the backslash as escape."""
        self._decided = True
        if not self._reads_whole("") and self._reads_whole(ESCAPE):
            self._options = replace(self._options, escape=ESCAPE)
            self._report.note(
                f"{self.path}: quotes and separators in cells are escaped by {ESCAPE!r}; if it is "
                f"plain text, {advise(escape='')}"
            )

    def _reads_whole(self, escape: str) -> bool:
        options = replace(self._options, escape=escape, sep=self.sep, skip_lines=self._skip)
        try:
            table = CsvTable(self.path, options, ReadReport(quiet=True))
            for _ in table.batches():
                pass
        except DataError:
            return False
        return True

    def _look_for_escapes(self) -> None:
        """Decide how to read the file before yielding a record that may have an escape."""
        if self._signs and not self._decided:
            self._decide_escape()
            if self._options.escape:
                raise _EscapesMetError

    def _row_batches(self, reads: Iterable[Read]) -> Iterator[list[list[str]]]:
        """Fit rows to the header; raise the fault after the rows before it."""
        # With "keep" every row is checked, as surplus cells become a list.
        width = -1 if self._options.ragged == "keep" else self.width
        line = self.line
        for rows, fault in reads:
            self._look_for_escapes()
            if rows and set(map(len, rows)) != {width}:
                rows = self._fit(rows, line)
            if rows:
                self.row += len(rows)
                yield rows
            if fault is not None:
                raise self._error(fault) from fault
            line = self.line

    def _quick_batches(self, names: list[str]) -> Iterator[list[list[str]]]:
        """Read blocks with Arrow until the end, or until a block needs the csv module.

        The next block is parsed in a thread, mostly without the interpreter's lock, while the
        caller works on this one.
        """
        texts = self._lines.rest()
        self._passed, self._reader = self.line, csv.reader(())
        rest, waiting = "", None
        with ThreadPoolExecutor(1) as pool:
            while True:
                grown, fault = _gather(texts)
                block = rest + grown
                end = closed_end(block) if grown and fault is None else 0
                coming = (
                    pool.submit(read_block, block[:end], self.columns, names, self.sep)
                    if end
                    else None
                )
                left = chain([block], texts if fault is None else _raise(fault))
                if waiting is not None:
                    text, future = waiting
                    columns = future.result()
                    self._look_for_escapes()
                    if columns is None:
                        self._start(chain([text], left))
                        return
                    self.row += len(columns[0])
                    self._passed += _count_lines(text)
                    yield columns
                if coming is None:
                    self._start(left)
                    return
                rest, waiting = block[end:], (block[:end], coming)

    @property
    def line(self) -> int:
        """Physical line on which the last row read ends, counted from 1."""
        read: int = self._reader.line_num
        return self._passed + read

    def _open(self) -> None:
        """Start at the beginning of the file."""
        self._passed, self._at_row_start = 0, True
        texts = decode_chunks(iter_chunks(self.path), self._options.encoding, self._note)
        sample, complete, fault = _sample(texts)
        self._sampled = len(sample)
        options = self._options
        hint = excel_separator(sample) if options.sep is None else None
        head = sample[:_SAMPLE_CHARS]
        complete = complete and len(sample) <= _SAMPLE_CHARS
        self.sep = options.sep or hint or find_separator(head, options, complete=complete)
        self._skip = options.skip_lines + (hint is not None)
        self._seen = sample_rows(
            head, self.sep, replace(options, skip_lines=self._skip), complete=complete
        )
        everything: Iterator[str] = chain([sample], texts if fault is None else _raise(fault))
        if not self._decided:
            self._signs = has_escapes(sample, options, self.sep)
            everything = self._watched(everything)
        self._start(everything, skip=self._skip)

    def _note(self, text: str) -> None:
        self._report.note(f"{self.path}: {text}")

    def _watched(self, texts: Iterator[str]) -> Iterator[str]:
        """Pass the text through, and note whether it may have escapes."""
        end = ""
        for text in texts:
            if not self._signs and not self._decided:
                self._signs = has_escapes(end + text, self._options, self.sep)
                end = text[-1:]
            yield text

    def _start(self, texts: Iterator[str], skip: int = 0) -> None:
        """Start the csv module on `texts`."""
        self._lines = Lines(texts)
        lines = iter(self._lines)
        try:
            for _ in islice(lines, skip):
                self._passed += 1
        except TextError as error:
            raise UnreadableFileError(str(error), path=self.path, line=self._passed + 1) from error
        self._report.skipped_lines += skip and self._passed
        if self._options.comment is not None:
            lines = self._without_comments(lines, self._options.comment)
        if self._options.escape:
            lines = keep_plain_escapes(lines, self._options, self.sep)
        self._reader = csv.reader(lines, **make_reader_arguments(self._options, self.sep))

    def _without_comments(self, lines: Iterator[str], prefix: str) -> Iterator[str]:
        for line in lines:
            if self._at_row_start and line.startswith(prefix):
                self._passed += 1
                self._report.comment_lines += 1
            else:
                self._at_row_start = False
                yield line

    def _read(self, count: int) -> Read:
        """Read up to `count` rows, to the end of the file or to a fault."""
        rows: list[list[str]] = []
        try:
            if self._options.comment is None:
                rows.extend(islice(self._reader, count))  # keeps what came before a fault
            else:
                # The csv module reads lines only while a row lasts, so the first line it reads
                # starts a row; only there a comment is allowed.
                self._at_row_start = True
                rows.extend(islice(self._reader, 1))
        except (csv.Error, TextError) as fault:
            return rows, fault
        return rows, None

    def _first_row(self) -> list[str]:
        while True:
            rows, fault = self._read(1)
            if fault is not None:
                raise self._error(fault) from fault
            if not rows:
                raise EmptyDataError("there is no line with anything on it", path=self.path)
            if not self._is_blank(rows[0]):
                return rows[0]

    def _is_blank(self, cells: list[str]) -> bool:
        # [""] is a quoted empty cell: a record with null in a file of one column.
        one_column = self.columns and self.width == 1
        blank = not cells or (len(cells) == 1 and cells[0].isspace() and not one_column)
        self._report.blank_lines += blank
        return blank

    def _fit(self, rows: list[list[str]], line: int) -> list[list[str]]:
        """Fit rows to the header under the policy; `line` is the last line before them."""
        fitted: list[list[str]] = []
        for cells in rows:
            line_ends = sum(len(_LINE_END.findall(cell)) for cell in cells)
            start = line + 1 if self._options.comment is None else self.line - line_ends
            line += 1 + line_ends
            if not self._is_blank(cells):
                fitted.append(self._mend(cells, self.row + len(fitted) + 1, start))
        return fitted

    def _mend(self, cells: list[str], row: int, line: int) -> list[str]:
        width, policy = self.width, self._options.ragged
        extra = cells[width:]
        if extra and any(extra):
            if policy != "keep":
                raise self._ragged_fault(cells, row, line)
            self._report.extended_rows += 1
        elif extra:
            self._report.trimmed_rows += 1
            extra = []
        elif len(cells) < self._needed:
            if policy == "error":
                raise self._ragged_fault(cells, row, line)
            self._report.padded_rows += 1
        fitted = cells[:width] + [""] * (width - len(cells))
        if policy == "keep":
            fitted.append(extra or "")  # type: ignore[arg-type]
        return fitted

    def _ragged_fault(self, cells: list[str], row: int, line: int) -> DataError:
        few = len(cells) < self.width
        column = self.columns[len(cells)] if few else None
        above = lines_above_table(list(map(len, self._seen)))
        if above and row == above and self._options.comment is None:
            ways = f"the table begins on this line: {advise(skip_lines=line - 1)}"
        else:
            what = "fill it up with null" if few else "keep the surplus"
            ways = (
                "put cells that contain the separator in quotes; if another character separates "
                f"them, {advise('sep')}; if lines above the table are notes, {advise('skip_lines')}"
                f"; to {what}, {advise(ragged='pad' if few else 'keep')}"
            )
        return DataError(
            f"the row has {_count(cells)}, the header has {self.width} (separator {self.sep!r}): "
            f"{_shorten(self.sep.join(cells))!r}; {ways}",
            path=self.path,
            row=row,
            line=line,
            column=column,
        )

    def _error(self, fault: csv.Error | TextError) -> UnreadableFileError:
        """Make the error that says in which row reading stopped, and why."""
        row = self.row + 1 if self.columns else None  # None: still at the header
        if isinstance(fault, TextError):
            return UnreadableFileError(str(fault), path=self.path, row=row, line=self.line + 1)
        text, line = str(fault), self.line
        if "end of data" in text or "field limit" in text:
            line = self._open_quote_line() or line
            text = (
                "a quote opens here and is never closed"
                if "end of data" in text
                else f"a cell is longer than {MAX_CELL_CHARS} characters; is its quote ever closed?"
            )
            text += f"; close it; if quotes are plain text in this file, {advise(quote=None)}"
        elif "expected after" in text:
            text = (
                "text follows a closing quote; double the quotes inside a cell; if quotes are "
                f"plain text in this file, {advise(quote=None)}"
            )
        return UnreadableFileError(text, path=self.path, row=row, line=line)

    def _open_quote_line(self) -> int | None:
        lines = Lines(decode_chunks(iter_chunks(self.path), self._options.encoding, self._note))
        skipped = self._options.skip_lines
        line = find_open_quote(islice(lines, skipped, None), self.sep, self._options)
        return None if line is None else line + skipped


class _EscapesMetError(Exception):
    """The file turned out to have escapes and is read again from the beginning."""


_LINE_COUNTS = (
    "blank_lines",
    "comment_lines",
    "skipped_lines",
    "padded_rows",
    "trimmed_rows",
    "extended_rows",
)


def _counts(report: ReadReport) -> dict[str, int]:
    """Copy the counts that reading lines adds to."""
    return {name: getattr(report, name) for name in _LINE_COUNTS}


def _restore(report: ReadReport, counts: dict[str, int]) -> None:
    for name, value in counts.items():
        setattr(report, name, value)


def _sample(texts: Iterator[str]) -> tuple[str, bool, TextError | None]:
    """Take the beginning of a text, whether it is the whole text, and the fault that ended it."""
    parts: list[str] = []
    try:
        for text in texts:
            parts.append(text)
            if sum(map(len, parts)) >= _SAMPLE_CHARS:
                return "".join(parts), False, None
    except TextError as fault:
        return "".join(parts), False, fault
    return "".join(parts), True, None


def _gather(texts: Iterator[str]) -> tuple[str, TextError | None]:
    """Take texts up to the size of a block, and the fault that ended them."""
    parts: list[str] = []
    try:
        for text in texts:
            parts.append(text)
            if sum(map(len, parts)) >= BLOCK_CHARS:
                break
    except TextError as fault:
        return "".join(parts), fault
    return "".join(parts), None


def _raise(fault: TextError | None) -> Iterator[str]:
    if fault is not None:
        raise fault
    yield ""  # makes this a generator, so the fault is raised only at the next line


def _count_lines(text: str) -> int:
    ends = text.count("\n")
    if "\r" in text:
        ends += text.count("\r") - text.count("\r\n")
    return ends + (not text.endswith(("\n", "\r")))


def _count(cells: list[str]) -> str:
    return "1 cell" if len(cells) == 1 else f"{len(cells)} cells"


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
