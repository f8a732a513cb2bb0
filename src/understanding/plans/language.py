"""The closed language of plans: which rows, then what of them.

A plan names columns by number and compares with values that stand in the table or in the question,
so it cannot name what does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar, dataclass_transform

from ..table.values import Day

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def form(cls: type[T]) -> type[T]:
    """Make a frozen dataclass that counts its hash once: plans are looked up by the thousand."""
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
    """Rows whose cell meets a condition.

    `is` and `not` compare whole folded texts, `has` and `lacks` look for a folded phrase in the
    cell, the others compare numbers or dates.
    """

    column: int
    operator: Operator
    value: str | float | Day = ""


@form
class Both:
    """Rows that meet all conditions."""

    conditions: tuple[Where, ...]


@form
class Either:
    """Rows that meet one of the conditions."""

    conditions: tuple[Where, ...]


@form
class Top:
    """The rows, of some, with the highest or lowest values of a column: one value, or so many."""

    rows: Rows
    column: int
    highest: bool = True
    count: int = 1


@form
class At:
    """The row at a place among some: 0 is the first, -1 the last."""

    rows: Rows
    place: int


@form
class Beside:
    """The row below (+1) or above (-1) the first of some."""

    rows: Rows
    step: int


@form
class Like:
    """The other rows with the value that the first of some has in a column."""

    rows: Rows
    column: int


Rows = All | Where | Both | Either | Top | At | Beside | Like


@form
class Cells:
    """The values of a column in some rows."""

    rows: Rows
    column: int


@form
class Count:
    """How many rows."""

    rows: Rows


@form
class Distinct:
    """How many different values a column has in some rows."""

    rows: Rows
    column: int


@form
class Total:
    """Sum, average, highest or lowest number of a column in some rows."""

    rows: Rows
    column: int
    function: Literal["sum", "average", "highest", "lowest"]


@form
class Often:
    """The value that a column has most or least often in some rows."""

    rows: Rows
    column: int
    most: bool = True


@form
class Group:
    """The value of a column whose rows together have the highest or lowest sum or average of
    another."""

    rows: Rows
    by: int
    column: int
    function: Literal["sum", "average"]
    highest: bool = True


@form
class Difference:
    """How far two numbers are apart: of a column in two sets of rows, or of two counts."""

    one: Rows
    other: Rows
    column: int | None


@form
class Span:
    """How far two columns of the same row are apart."""

    rows: Rows
    start: int
    end: int


@form
class Exists:
    """Whether there is such a row."""

    rows: Rows


@form
class Compared:
    """Whether one set of rows has more than another: of a column, or rows."""

    one: Rows
    other: Rows
    column: int | None
    more: bool = True


Plan = Cells | Count | Distinct | Total | Often | Group | Difference | Span | Exists | Compared
