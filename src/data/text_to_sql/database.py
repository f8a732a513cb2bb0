"""What a small database is: tables, columns, references, and the words that people use for them.

    MUSIC = Database("music", (Table("album", "album", "albums", 80, (key("id"), ...)), ...))

A column carries the phrases in which questions name it, such as "longer than {} minutes", so that
questions do not read the SQL aloud. `{}` stands for a value, or for the noun of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from ...errors import ConfigError

ColumnKind = Literal["key", "name", "category", "number", "date", "reference"]


@dataclass(frozen=True)
class Column:
    """A column, how its cells are made, and how people speak of it."""

    name: str
    kind: ColumnKind
    label: str = ""
    """A noun, as in "the price of ..."."""
    values: tuple[tuple[str, ...], ...] = ()
    """Of a name: words, of which one is drawn from each group. Of a category: one group."""
    low: float = 0
    high: float = 0
    """Range of a number, or first and last year of a date, both included."""
    step: float = 1
    """Of a number."""
    phrases: tuple[str, ...] = ()
    """Of a category: "from {}". Of a number: more, less, most, least. Of a date: a verb, as
    "released". Of a reference: what the record is to the other ("by {}"), and what the other does
    with such records ("that released")."""
    table: str = ""
    """Table that a reference points to."""
    missing: float = 0.0
    """Share of the cells that are NULL, 0 to 1."""
    adds: bool = True
    """Whether a sum of the numbers means something; that of years does not."""


@dataclass(frozen=True)
class Table:
    """A table; its first column is the key."""

    name: str
    one: str
    """Noun for one record."""
    many: str
    """Noun for several."""
    rows: int
    columns: tuple[Column, ...]

    @property
    def key(self) -> str:
        """Name of the primary key."""
        return self.columns[0].name

    def of_kind(self, *kinds: ColumnKind) -> list[Column]:
        """List the columns of some kinds without missing cells."""
        return [one for one in self.columns if one.kind in kinds and not one.missing]

    def column(self, name: str) -> Column:
        """Return the column of a name."""
        return next(one for one in self.columns if one.name == name)


@dataclass(frozen=True)
class Link:
    """A reference from a table to another, by which they are joined."""

    table: str
    column: str
    to: str
    """The table that is referred to, by its key."""


@dataclass(frozen=True)
class Database:
    """Tables that refer to each other."""

    name: str
    tables: tuple[Table, ...]

    def __post_init__(self) -> None:
        """Refuse references to tables that are missing, and names that occur twice."""
        names = [table.name for table in self.tables]
        wrong = [link.to for link in self.links() if link.to not in names]
        faults = [f"{self.name}: there is no table {name!r} to refer to" for name in wrong]
        if len(set(names)) < len(names):
            faults.append(f"{self.name}: two tables have one name")
        if faults:
            raise ConfigError(faults)

    def table(self, name: str) -> Table:
        """Return the table of a name."""
        return next(one for one in self.tables if one.name == name)

    def links(self) -> list[Link]:
        """List all references."""
        return [
            Link(table.name, column.name, column.table)
            for table in self.tables
            for column in table.columns
            if column.kind == "reference"
        ]

    def schema_text(self, shuffle: Random | None = None) -> str:
        """Write the schema in one line, as prompts show it: tables, columns and references.

        Args:
            shuffle: Puts tables, and columns behind the key, in a random order, so that a model
                cannot learn places by heart; None keeps the order.
        """
        tables = list(self.tables)
        if shuffle is not None:
            shuffle.shuffle(tables)
        return "; ".join(self._table_text(table, shuffle) for table in tables)

    def _table_text(self, table: Table, shuffle: Random | None) -> str:
        columns = list(table.columns[1:])
        if shuffle is not None:
            shuffle.shuffle(columns)
        written = [
            f"{one.name} -> {one.table}.{self.table(one.table).key}" if one.table else one.name
            for one in columns
        ]
        return f"{table.name}({', '.join([table.key, *written])})"


def key(name: str = "id") -> Column:
    """Make the column of the primary key: 1, 2, 3 and so on."""
    return Column(name, "key", "number")


def name(column: str, label: str, *words: str) -> Column:
    """Make the column by which people name a record; no two records share a name.

    Args:
        column: Name of the column.
        label: Noun for it, such as "title".
        words: Groups of words, separated by `|`; a name is one word of each, joined by spaces.
    """
    return Column(column, "name", label, tuple(tuple(group.split("|")) for group in words))


def category(column: str, label: str, values: str, that: str, *, missing: float = 0.0) -> Column:
    """Make a column of a few texts.

    Args:
        column: Name of the column.
        label: Noun for it.
        values: The texts, separated by `|`.
        that: Phrase after the noun of the table, such as "from {}".
        missing: Share of NULL cells, 0 to 1.
    """
    return Column(column, "category", label, (tuple(values.split("|")),), phrases=(that,),
                  missing=missing)  # fmt: skip


def number(
    column: str,
    label: str,
    bounds: tuple[float, float],
    phrases: str,
    *,
    step: float = 1,
    missing: float = 0.0,
    adds: bool = True,
) -> Column:
    """Make a column of numbers.

    Args:
        column: Name of the column.
        label: Noun for it.
        bounds: Least and greatest number.
        phrases: More than a value, less than a value, most, least; separated by `|`. The last two
            stand before the noun of the table, or contain `{}` for it.
        step: Numbers are multiples of it, from the least one on.
        missing: Share of NULL cells, 0 to 1.
        adds: Whether a sum of the numbers means something.
    """
    low, high = bounds
    return Column(column, "number", label, low=low, high=high, step=step,
                  phrases=tuple(phrases.split("|")), missing=missing, adds=adds)  # fmt: skip


def date(
    column: str, label: str, years: tuple[int, int], verb: str, *, missing: float = 0.0
) -> Column:
    """Make a column of dates as ISO text.

    Args:
        column: Name of the column.
        label: Noun for it.
        years: First and last year.
        verb: Phrase after the noun of the table and before a time, such as "released".
        missing: Share of NULL cells, 0 to 1.
    """
    low, high = years
    return Column(column, "date", label, low=low, high=high, phrases=(verb,), missing=missing)


def reference(column: str, table: str, that: str, has: str) -> Column:
    """Make a column that holds keys of another table.

    Args:
        column: Name of the column.
        table: The other table.
        that: Phrase after the noun of this table, with `{}` for the other record: "by {}".
        has: Phrase after the noun of the other table and before this one's: "that released".
    """
    return Column(column, "reference", phrases=(that, has), table=table)
