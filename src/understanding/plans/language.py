"""The closed language of plans: which rows, then what of them.

A plan names columns by number and compares with values that stand in the table or in the question,
so it cannot name what does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..table.values import Day

Operator = Literal["is", "not", "has", "lacks", "<", "<=", ">", ">=", "=", "filled", "empty"]


@dataclass(frozen=True)
class All:
    """All rows."""


@dataclass(frozen=True)
class Where:
    """Rows whose cell meets a condition.

    `is` and `not` compare whole folded texts, `has` and `lacks` look for a folded phrase in the
    cell, the others compare numbers or dates.
    """

    column: int
    operator: Operator
    value: str | float | Day = ""


@dataclass(frozen=True)
class Both:
    """Rows that meet all conditions."""

    conditions: tuple[Where, ...]


@dataclass(frozen=True)
class Either:
    """Rows that meet one of the conditions."""

    conditions: tuple[Where, ...]


@dataclass(frozen=True)
class Top:
    """The rows, of some, with the highest or lowest values of a column: one value, or so many."""

    rows: Rows
    column: int
    highest: bool = True
    count: int = 1


@dataclass(frozen=True)
class At:
    """The row at a place among some: 0 is the first, -1 the last."""

    rows: Rows
    place: int


@dataclass(frozen=True)
class Beside:
    """The row below (+1) or above (-1) the first of some."""

    rows: Rows
    step: int


@dataclass(frozen=True)
class Like:
    """The other rows with the value that the first of some has in a column."""

    rows: Rows
    column: int


Rows = All | Where | Both | Either | Top | At | Beside | Like


@dataclass(frozen=True)
class Cells:
    """The values of a column in some rows."""

    rows: Rows
    column: int


@dataclass(frozen=True)
class Count:
    """How many rows."""

    rows: Rows


@dataclass(frozen=True)
class Distinct:
    """How many different values a column has in some rows."""

    rows: Rows
    column: int


@dataclass(frozen=True)
class Total:
    """Sum, average, highest or lowest number of a column in some rows."""

    rows: Rows
    column: int
    function: Literal["sum", "average", "highest", "lowest"]


@dataclass(frozen=True)
class Often:
    """The value that a column has most or least often in some rows."""

    rows: Rows
    column: int
    most: bool = True


@dataclass(frozen=True)
class Group:
    """The value of a column whose rows together have the highest or lowest sum or average of
    another."""

    rows: Rows
    by: int
    column: int
    function: Literal["sum", "average"]
    highest: bool = True


@dataclass(frozen=True)
class Difference:
    """How far two numbers are apart: of a column in two sets of rows, or of two counts."""

    one: Rows
    other: Rows
    column: int | None


@dataclass(frozen=True)
class Span:
    """How far two columns of the same row are apart."""

    rows: Rows
    start: int
    end: int


@dataclass(frozen=True)
class Exists:
    """Whether there is such a row."""

    rows: Rows


@dataclass(frozen=True)
class Compared:
    """Whether one set of rows has more than another: of a column, or rows."""

    one: Rows
    other: Rows
    column: int | None
    more: bool = True


Plan = Cells | Count | Distinct | Total | Often | Group | Difference | Span | Exists | Compared
