"""Null policy: what becomes of a record whose cell is null or blank; never the word "nan"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ...errors import DataError
from .cells import pair_text
from .read_report import ReadReport

NullPolicy = Literal["drop", "empty", "error"]
NULL_POLICIES: tuple[str, ...] = ("drop", "empty", "error")


def check_null_policy(null: str) -> None:
    """Refuse a null policy that does not exist.

    Raises:
        ValueError: It is none of "drop", "empty", "error".
    """
    if null not in NULL_POLICIES:
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
        report: Dropped records and filled cells are counted in it.
        optional: How many of the last columns may be null without the record being dropped.
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
