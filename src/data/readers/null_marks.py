r"""Marks of nothing: what programs write into a text file where there is no value.

`pandas.read_csv` takes the same list for null; `\N` is what MySQL, Hive and PostgreSQL write. In a
column of text such a mark may be a value all the same: `NA` is Namibia's country code. So each read
tells how many cells became null through a mark, and `keep_null_marks` keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .options import ReadOptions
from .read_report import ReadReport

NULL_MARKS = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "\\N",
)  # fmt: skip


def null_spellings(options: ReadOptions) -> frozenset[str]:
    """Give the cells that are null besides the empty one, with and without a blank beside them."""
    named = frozenset(options.null_values)
    if options.keep_null_marks:
        return named
    return named | {f"{a}{mark}{b}" for mark in NULL_MARKS for a in ("", " ") for b in ("", " ")}


def without_nulls(
    column: Sequence[Any], spellings: frozenset[str], named: Sequence[str], report: ReadReport
) -> Sequence[Any]:
    """Put None in the place of each spelling of null.

    Args:
        column: Cells of one column.
        spellings: As `null_spellings` gives them.
        named: Those that the caller asked for, which are not counted.
        report: The others are counted in it.
    """
    try:
        if spellings.isdisjoint(column):
            return column
    except TypeError:  # lists, in the column of surplus cells
        return column
    cells: list[Any] = []
    for cell in column:
        if cell in spellings:
            if cell not in named:
                report.null_marks[cell.strip()] += 1
            cell = None
        cells.append(cell)
    return cells
