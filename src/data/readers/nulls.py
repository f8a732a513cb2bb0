r"""Nulls: which cells of a text file are null, and what happens to a record that has one.

The marks are those that `pandas.read_csv` takes for null, and `\N` of MySQL, Hive and PostgreSQL. A
mark may be a value all the same (`NA` is Namibia's country code), so the report counts the cells
that a mark made null, and `keep_null_marks` keeps them as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from ...errors import DataError
from .cells import pair_text
from .options import ReadOptions
from .read_report import ReadReport

NullPolicy = Literal["drop", "empty", "error"]
NULL_MARKS = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "\\N",
)  # fmt: skip


def null_spellings(options: ReadOptions) -> frozenset[str]:
    """List the texts that are null besides the empty cell, with and without a blank beside them."""
    named = frozenset(options.null_values)
    if options.keep_null_marks:
        return named
    return named | {f"{a}{mark}{b}" for mark in NULL_MARKS for a in ("", " ") for b in ("", " ")}


def without_nulls(
    column: Sequence[Any], spellings: frozenset[str], named: Sequence[str], report: ReadReport
) -> Sequence[Any]:
    """Replace each spelling of null by None.

    Args:
        column: Cells of one column.
        spellings: From `null_spellings`.
        named: Spellings that the caller asked for; they are not counted.
        report: Counts the other spellings.
    """
    try:
        if spellings.isdisjoint(column):
            return column
    except TypeError:  # the column of surplus cells holds lists
        return column
    return [without_null(cell, spellings, named, report) for cell in column]


def without_null(
    cell: Any,  # noqa: ANN401 - any cell
    spellings: frozenset[str],
    named: Sequence[str],
    report: ReadReport,
) -> Any:  # noqa: ANN401
    """Give one cell, or None where it is a spelling of null; otherwise as `without_nulls`."""
    if not isinstance(cell, str) or cell not in spellings:
        return cell
    if cell not in named:
        report.null_marks[cell.strip()] += 1
    return None


def check_null_policy(null: str) -> None:
    """Refuse an unknown null policy.

    Raises:
        ValueError: It is none of "drop", "empty", "error".
    """
    if null not in get_args(NullPolicy):
        raise ValueError(f"null={null!r}: choose 'drop', 'empty' or 'error'")


def fill_nulls(
    cells: Sequence[Any],
    columns: Sequence[str],
    null: NullPolicy,
    report: ReadReport,
    *,
    optional: int = 0,
    path: str | None = None,
    row: int | None = None,
) -> list[str] | None:
    """Turn the cells of one record into texts under a null policy.

    Args:
        cells: One value per column.
        columns: Their names.
        null: "drop", "empty" or "error".
        report: Counts dropped records and filled cells.
        optional: Number of columns at the end that may be null without dropping the record.
        path: File, for messages.
        row: Record number, for messages.

    Returns:
        One text per column; None where the record is dropped.

    Raises:
        DataError: A cell is null or blank and the policy is "error".
    """
    texts: list[str] = []
    for position, (cell, name) in enumerate(zip(cells, columns, strict=True)):
        text = pair_text(cell)
        if text is None and null == "error":
            raise DataError(
                "the cell is null or blank; fill it in, or pass null='drop' or null='empty'",
                path=path or None,
                row=row,
                column=name,
            )
        if text is None and null == "drop" and position < len(columns) - optional:
            report.dropped[name] += 1
            return None
        if text is None:
            report.filled[name] += 1
        texts.append(text or "")
    return texts
