"""What fills the places of a shape: names, values from cells, and phrases with them.

A value is drawn from the cells of its column, so that conditions hold for some rows and not for
others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from random import Random
from typing import Any, Final

from ..database import Column, Table

_DIGITS: Final = 4
"""Significant digits of a threshold for averages."""


class Place:
    """A name in SQL, with attributes that SQL and wordings mention."""

    def __init__(self, written: str, /, **attributes: Any) -> None:  # noqa: ANN401 - texts and numbers
        """Keep the name and the attributes."""
        self._written = written
        self.__dict__.update(attributes)

    def __str__(self) -> str:
        """Write the name."""
        return self._written


def literal(cell: object) -> str:
    """Write a cell as a literal of SQL.

    >>> literal("O'Brien"), literal(2.5)
    ("'O''Brien'", '2.5')
    """
    return "'" + cell.replace("'", "''") + "'" if isinstance(cell, str) else str(cell)


def table_place(table: Table) -> Place:
    """Fill a table: `one`, `many`, `key`."""
    return Place(table.name, one=table.one, many=table.many, key=table.key)


def column_place(column: Column, table: Table, cells: Sequence[Any], draw: Random) -> Place:
    """Fill a column, by its kind.

    Args:
        column: The column.
        table: Its table.
        cells: Its cells.
        draw: Draws the values.
    """
    known = [cell for cell in cells if cell is not None]
    filled = _FILLERS[column.kind](column, table, known, draw)
    return Place(column.name, label=column.label, **filled)


def reference_place(column: Column, parent_text: str) -> Place:
    """Fill a reference: `that`, with the name of the record referred to, and `has`."""
    that, has = column.phrases
    return Place(column.name, that=that.format(parent_text), has=has)


def _name(column: Column, table: Table, cells: Sequence[str], draw: Random) -> dict[str, str]:
    chosen, other = draw.choice(cells), draw.choice(cells)
    words = other.split(" ")
    start, part, end = words[0][:3], draw.choice(words), words[-1]
    return {
        "v": literal(chosen),
        "text": chosen,
        "start": literal(f"{start}%"),
        "start_text": start,
        "part": literal(f"%{part}%"),
        "part_text": part,
        "end": literal(f"%{end}"),
        "end_text": end,
    }


def _number(column: Column, table: Table, cells: Sequence[float], draw: Random) -> dict[str, Any]:
    ordered = sorted(set(cells))

    def between(low: float, high: float) -> float:
        return _plain(ordered[int((len(ordered) - 1) * draw.uniform(low, high))])

    v, low, high = between(0.2, 0.8), between(0.15, 0.4), between(0.6, 0.85)
    more, less, most, least = column.phrases
    mean = sum(cells) / len(cells)
    return {
        "v": v,
        "low": low,
        "high": high,
        "middle": _plain(float(f"{mean:.{_DIGITS}g}")),
        "more": more.format(v),
        "less": less.format(v),
        "more_low": more.format(low),
        "more_high": more.format(high),
        "less_low": less.format(low),
        "less_high": less.format(high),
        "most": _before_noun(most, table.one),
        "least": _before_noun(least, table.one),
        "most_many": _before_noun(most, table.many),
        "least_many": _before_noun(least, table.many),
    }


def _plain(number: float) -> float:
    """Write whole numbers without a decimal point."""
    return int(number) if float(number).is_integer() else number


def _before_noun(phrase: str, noun: str) -> str:
    return phrase.format(noun) if "{}" in phrase else f"{phrase} {noun}"


def _category(column: Column, table: Table, cells: Sequence[str], draw: Random) -> dict[str, Any]:
    first, second = draw.sample(sorted(set(cells)), 2)
    (that,) = column.phrases
    counts = sorted(Counter(cells).values())
    return {
        "v": literal(first),
        "w": literal(second),
        "text": first,
        "text2": second,
        "that": that.format(first),
        "that2": that.format(second),
        "often": counts[len(counts) // 2] - draw.randint(0, 1),
    }


def _date(column: Column, table: Table, cells: Sequence[str], draw: Random) -> dict[str, str]:
    ordered = sorted(cells)

    def between(low: float, high: float) -> str:
        return ordered[int((len(ordered) - 1) * draw.uniform(low, high))]

    v, low, high, some = (
        between(0.2, 0.8),
        between(0.1, 0.4),
        between(0.6, 0.9),
        draw.choice(ordered),
    )
    return {
        "v": literal(v),
        "text": v,
        "low": literal(low),
        "low_text": low,
        "high": literal(high),
        "high_text": high,
        "year": some[:4],
        "month": some[5:7],
        "month_name": date.fromisoformat(some).strftime("%B"),
        "verb": column.phrases[0],
    }


_FILLERS: Final[dict[str, Callable[[Column, Table, Sequence[Any], Random], dict[str, Any]]]] = {
    "name": _name,
    "number": _number,
    "category": _category,
    "date": _date,
}
"""Kind of a column -> the function that makes the attributes of its place."""
