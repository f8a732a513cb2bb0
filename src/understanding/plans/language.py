"""The plan language: forms that select rows, and plans that compute an answer from the rows.

A plan refers to columns by number and compares cells with values that stand in the table or in the
question, so it cannot refer to a column that does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar, dataclass_transform

from ..table.values import Day

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def form(cls: type[T]) -> type[T]:
    """Make a frozen dataclass that caches its hash, since plans are looked up very often."""
    made: Any = dataclass(frozen=True)(cls)
    count = made.__hash__

    def kept_hash(self: T) -> int:
        kept = self.__dict__.get("_hash")
        if kept is None:
            kept = count(self)
            object.__setattr__(self, "_hash", kept)
        return int(kept)

    made.__hash__ = kept_hash
    found: type[T] = made
    return found


Operator = Literal["is", "not", "has", "lacks", "<", "<=", ">", ">=", "=", "filled", "empty"]


@form
class All:
    """All rows."""


@form
class Where:
    """The rows whose cell in a column meets a condition.

    `is` and `not` compare the whole folded text (see `fold`), `has` and `lacks` search for a folded
    phrase in the cell, `filled` and `empty` take no value, and the other operators compare numbers
    or dates.
    """

    column: int
    operator: Operator
    value: str | float | Day = ""


@form
class Both:
    """The rows that meet all conditions."""

    conditions: tuple[Where, ...]


@form
class Either:
    """The rows that meet at least one of the conditions."""

    conditions: tuple[Where, ...]


@form
class Top:
    """The rows with the highest or lowest values of a column.

    With `count` 1, all rows that share the best value; with more, at most `count` rows, where ties
    go to the earlier row.
    """

    rows: Rows
    column: int
    highest: bool = True
    count: int = 1


@form
class At:
    """The row at a position among the given rows: 0 is the first, -1 the last."""

    rows: Rows
    place: int


@form
class Beside:
    """The row of the table below the last (+1) or above the first (-1) of the given rows."""

    rows: Rows
    step: int


@form
class Like:
    """The other rows that have the same value in a column as the first of the given rows."""

    rows: Rows
    column: int


Rows = All | Where | Both | Either | Top | At | Beside | Like


@form
class Cells:
    """The values of a column in the given rows."""

    rows: Rows
    column: int


@form
class Count:
    """The number of rows."""

    rows: Rows


@form
class Distinct:
    """The number of different values of a column in the given rows."""

    rows: Rows
    column: int


@form
class Total:
    """The sum, average, highest or lowest number of a column in the given rows."""

    rows: Rows
    column: int
    function: Literal["sum", "average", "highest", "lowest"]


@form
class Often:
    """The most or least frequent value of a column in the given rows."""

    rows: Rows
    column: int
    most: bool = True


@form
class Group:
    """The value of column `by` whose group of rows has the highest or lowest sum or average of
    `column`."""

    rows: Rows
    by: int
    column: int
    function: Literal["sum", "average"]
    highest: bool = True


@form
class Difference:
    """The absolute difference of two numbers.

    They are the first values of a column in two sets of rows, or, without a column, the numbers of
    rows.
    """

    one: Rows
    other: Rows
    column: int | None


@form
class Span:
    """The absolute difference of two columns in the first of the given rows."""

    rows: Rows
    start: int
    end: int


@form
class Exists:
    """Whether there is at least one such row."""

    rows: Rows


@form
class Compared:
    """Whether the first of two numbers is higher, or lower where `more` is false.

    They are the first values of a column in two sets of rows, or, without a column, the numbers of
    rows.
    """

    one: Rows
    other: Rows
    column: int | None
    more: bool = True


Plan = Cells | Count | Distinct | Total | Often | Group | Difference | Span | Exists | Compared
