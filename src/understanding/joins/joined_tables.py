"""Join the tables of a database along their foreign keys, from the many side to the one side.

A record gets the columns of the records that it refers to: a repair has the model of its bike, and
the name of the bike's brand. A question about the other direction (how many repairs has this bike)
is asked of the table on the many side, so plans over one joined table suffice. Foreign keys, and
primary keys that do not name a record to people, are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...tables import DatabaseTable, ForeignKey
from ..plans.language import (
    Compared,
    Count,
    Difference,
    Exists,
    Group,
    Often,
    Plan,
    Span,
    Top,
    Total,
)
from ..table.typed_table import Column, TypedTable, column_label, typed_table
from ..table.values import fold, quantities, stem, words

MOST_JOINS: Final = 2
_NAMING: Final = 0.9
"""Least share of filled cells, and of different values among them, in a column that names records.
"""
_SEVERAL: Final = 0.3
"""Largest share of cells with several numbers, among those with any, in a column of measures."""
_SAMPLED: Final = 500
_ID: Final = ("id", "key", "fk", "pk")
_SAME_END: Final = 3
"""Least letters that the ends of two labels share, as in first name and last name, for the columns
to be one name."""

Path = tuple[int, ...]
"""Numbers of the foreign keys that lead from the first table to a joined one; empty for itself."""
View = tuple[str, tuple[Path, ...]]
"""The name of a table, and the paths of the tables that are joined to it."""


@dataclass(frozen=True)
class Origin:
    """Where a column of a joined table comes from.

    Attributes:
        path: Path to the table that it comes from.
        table: Name of that table.
        columns: The column there; two columns if a first and a last name are joined.
        rows: Row of that table for each row of the joined one, -1 where there is none.
    """

    path: Path
    table: str
    columns: tuple[Column, ...]
    rows: NDArray[np.int64] = dataclasses.field(compare=False)


@dataclass(frozen=True)
class JoinedTable(TypedTable):
    """The records of one table, with columns of the tables that they refer to.

    Attributes:
        origins: Where each column comes from.
        paths: Paths of the joined tables, without the first table.
        joined: The join conditions, such as `bikes.brand_id = brands.brand_id`.
        nouns: Words for a record of the first table.
        naming: Numbers of the columns that name the records of their tables.
        numbering: Numbers of the columns whose numbers are not measures, such as ids and telephone
            numbers; they are neither compared nor added up.
    """

    origins: tuple[Origin, ...] = ()
    paths: tuple[Path, ...] = ()
    joined: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    naming: frozenset[int] = frozenset()
    numbering: frozenset[int] = frozenset()

    @property
    def view(self) -> View:
        """The first table and the paths of the joined ones."""
        return self.name, self.paths

    def cells(self, column: int, rows: Iterable[int]) -> list[tuple[str, int, str, str]]:
        """List the original cells of a column: table, row counted from 0, column and text."""
        origin = self.origins[column]
        there = dict.fromkeys(int(origin.rows[row]) for row in rows)
        return [(origin.table, row, one.name, one.cell(row))
                for row in there if row >= 0 for one in origin.columns]  # fmt: skip

    def allows(self, plan: Plan) -> bool:
        """Tell whether a plan needs every table of the view and computes only with measures.

        The first table is needed if its columns are used, its records are counted, or it links two
        others. A plan that does not need a table is listed for a view without it.
        """
        used = {self.origins[column].path for column in plan_columns(plan)}
        if not all(any(one[: len(path)] == path for one in used) for path in self.paths):
            return False
        if self.numbering & set(_measured(plan)):
            return False
        return counts_records(plan) or () in used or len({path[0] for path in used}) != 1


class Database:
    """The tables of a database, and the views that join them.

    Args:
        tables: All tables with their keys.
    """

    def __init__(self, tables: Sequence[DatabaseTable]) -> None:
        """Type the columns of each table."""
        self.tables = {table.name: table for table in tables}
        self.typed = {t.name: typed_table(t.records, name=t.name) for t in tables}
        self.joined: Callable[[str, tuple[Path, ...]], JoinedTable] = cache(self._join)

    @cached_property
    def views(self) -> list[View]:
        """All views: each table alone, and joined with one or two others."""
        found: list[View] = []
        for name in self.tables:
            paths = list(self._paths(name))
            for count in range(MOST_JOINS + 1):
                for chosen in combinations(paths, count):
                    if all(path[:-1] in (*chosen, ()) for path in chosen):
                        found.append((name, chosen))
        return found

    def whole(self, name: str) -> JoinedTable:
        """Return a table joined with all tables that can be joined to it."""
        return self.joined(name, tuple(self._paths(name)))

    def table_at(self, name: str, path: Path) -> DatabaseTable:
        """Return the table that a path leads to."""
        table = self.tables[name]
        for number in path:
            table = self.tables[table.foreign[number].table]
        return table

    def _paths(self, name: str) -> Iterator[Path]:
        for first, key in enumerate(self.tables[name].foreign):
            yield (first,)
            for second, further in enumerate(self.tables[key.table].foreign):
                if not name == key.table == further.table:
                    yield first, second

    def _join(self, name: str, paths: tuple[Path, ...]) -> JoinedTable:
        origins: list[Origin] = []
        columns: list[Column] = []
        joined = []
        for path in ((), *paths):
            if path:
                child, to = self.table_at(name, path[:-1]).name, self._key(name, path)
                pairs = zip(to.columns, to.referred, strict=True)
                joined += [f"{child}.{mine} = {to.table}.{its}" for mine, its in pairs]
            for column, origin in self._columns(name, path):
                columns.append(column)
                origins.append(origin)
        table = self.tables[name]
        nouns = tuple(dict.fromkeys([self.noun(name), column_label(name)]))
        names = [tuple(column.name for column in one.columns) for one in origins]
        naming = {n for n, one in enumerate(origins) if names[n] == self._naming(one.table)}
        wanted = self._naming(name) or table.primary
        key = next((n for n, o in enumerate(origins) if not o.path and names[n] == wanted), None)
        numbers = {n for n, one in enumerate(origins) if names[n] == self.tables[one.table].primary}
        several = {n for n, column in enumerate(columns) if not _measures(column)}
        return JoinedTable(
            name, tuple(columns), key, len(table.records), (), tuple(origins), paths, tuple(joined),
            nouns, frozenset(naming), frozenset((numbers - naming) | several),
        )  # fmt: skip

    def _key(self, name: str, path: Path) -> ForeignKey:
        return self.table_at(name, path[:-1]).foreign[path[-1]]

    def _columns(self, name: str, path: Path) -> Iterator[tuple[Column, Origin]]:
        """Return the columns of the table at a path, aligned with the rows of the first table."""
        table = self.table_at(name, path)
        typed, naming = self.typed[table.name], self._naming(table.name)
        hidden = {column for key in table.foreign for column in key.columns}
        if path or naming:
            hidden |= {column for column in table.primary if (column,) != naming}
        if path and len(naming) > 1:
            hidden |= set(naming)
        noun = self.noun(table.name)
        role = self.role(name, path) if path else noun
        rows = self._rows(name, path)
        sets = [(c.name,) for c in typed.columns if c.name not in hidden]
        for names in [naming, *sets] if len(naming) > 1 else sets:
            label = " ".join(typed.columns[typed.numbered[one]].label for one in names)
            said = [label, f"{role} {label}", f"{noun} {label}"]
            if names == naming:
                said = [role, f"{role} name", *said, noun]
            elif path:
                said = [said[1], label, said[2]]
            said = list(dict.fromkeys(_once(one) for one in said))
            yield (
                self._gathered(typed, names, rows, ".".join([*self._roles(name, path), *names]),
                               said),
                Origin(path, table.name, tuple(typed.columns[typed.numbered[n]] for n in names),
                       rows),
            )  # fmt: skip

    def _gathered(
        self, typed: TypedTable, names: Sequence[str], rows: NDArray[np.int64], name: str,
        said: Sequence[str],
    ) -> Column:  # fmt: skip
        parts = [typed.columns[typed.numbered[one]] for one in names]
        texts = [" ".join(filter(None, cells)) for cells in zip(*(p.texts for p in parts),
                                                                strict=True)]  # fmt: skip
        gathered = tuple(texts[row] if row >= 0 else "" for row in rows.tolist())
        kind = parts[0].kind if len(parts) == 1 else "text"
        return Column(name, said[0], gathered, kind, parts[0].decimal, tuple(said[1:]))

    def _rows(self, name: str, path: Path) -> NDArray[np.int64]:
        rows = np.arange(len(self.tables[name].records))
        for depth in range(len(path)):
            child = self.table_at(name, path[:depth])
            further = self._parents(child.name, path[depth])
            rows = np.where(rows >= 0, further[rows], -1)
        return rows

    def _parents(self, name: str, number: int) -> NDArray[np.int64]:
        """Find the row that the foreign key of each record refers to, -1 for none."""
        key = self.tables[name].foreign[number]
        there = {
            _values(record, key.referred): row
            for row, record in enumerate(self.tables[key.table].records)
        }
        found = [there.get(_values(one, key.columns), -1) for one in self.tables[name].records]
        return np.array(found, dtype=np.int64)

    def _naming(self, name: str) -> tuple[str, ...]:
        """Find the column that names the records, or the columns of a first and a last name."""
        table, typed = self.tables[name], self.typed[name]
        hidden = {column for key in table.foreign for column in key.columns}
        texts = [c for c in typed.columns if c.kind == "text" and c.name not in hidden]
        if len(texts) > 1 and _same_end(texts[0].label, texts[1].label):
            return texts[0].name, texts[1].name
        if len(texts) == 1:
            return (texts[0].name,)
        for column in texts:
            filled = int(column.filled.sum())
            if filled >= _NAMING * typed.length and len(column.rows_of) >= _NAMING * filled:
                return (column.name,)
        return ()

    def noun(self, name: str) -> str:
        """Return the word for a record: its key's label without `id`, or else the table's name."""
        table = self.tables[name]
        label = column_label(name).casefold()
        if len(table.primary) == 1:
            said = _without_id(column_label(table.primary[0]).casefold())
            if said and all(any(_akin(one, its) for its in label.split()) for one in said.split()):
                return said
        return label

    def spoken(self, name: str) -> list[str]:
        """List the words for the records and the columns of a table."""
        alone = self.joined(name, ())
        return [*alone.nouns, *(one for c in alone.columns for one in (c.label, *c.also))]

    def role(self, name: str, path: Path) -> str:
        """Return the words for the record that a path refers to, such as boss for `boss_id`."""
        key = self._key(name, path)
        said = _without_id(column_label(key.columns[0]).casefold()) if len(key.columns) == 1 else ""
        return said or self.noun(key.table)

    def _roles(self, name: str, path: Path) -> list[str]:
        return [self.role(name, path[: depth + 1]) for depth in range(len(path))]


def counts_records(plan: Plan) -> bool:
    """Tell whether the answer of a plan depends on a number of records."""
    if isinstance(plan, (Difference, Compared)):
        return plan.column is None
    return isinstance(plan, (Count, Exists, Often))


def _measured(plan: Plan) -> Iterator[int]:
    """Yield the columns whose values a plan compares or adds up, apart from conditions."""
    match plan:
        case Total() | Group() | Difference() | Compared():
            if plan.column is not None:
                yield plan.column
        case Span():
            yield from (plan.start, plan.end)
    rows = getattr(plan, "rows", None)
    while rows is not None:
        if isinstance(rows, Top):
            yield rows.column
        rows = getattr(rows, "rows", None)


def plan_columns(plan: Plan) -> set[int]:
    """Return the numbers of the columns that a plan reads."""
    found: set[int] = set()

    def walk(form: Any) -> None:  # noqa: ANN401 - any form of the language
        for field in dataclasses.fields(form):
            part = getattr(form, field.name)
            if field.name in ("column", "by", "start", "end"):
                found.update([] if part is None else [part])
            for one in part if isinstance(part, tuple) else (part,):
                if dataclasses.is_dataclass(one):
                    walk(one)

    walk(plan)
    return found


def _values(record: Any, columns: Sequence[str]) -> tuple[str, ...] | None:  # noqa: ANN401
    values = [record.get(column) for column in columns]
    return None if None in values else tuple(fold(str(value)) for value in values)


def _without_id(label: str) -> str:
    said = label.split()
    return " ".join(said[:-1] if said and said[-1] in _ID else said)


def _once(label: str) -> str:
    """Drop a word that repeats the one before it, as in brand brand."""
    said = label.casefold().split()
    return " ".join(one for n, one in enumerate(said) if not n or one != said[n - 1])


def _akin(one: str, other: str) -> bool:
    same = sum(1 for a, b in zip(one, other, strict=False) if a == b)
    return one == other or (same >= 3 and same >= max(len(one), len(other)) - 3)


def _measures(column: Column) -> bool:
    """Tell whether a column may hold measures.

    The cells of telephone numbers and addresses hold several numbers each; dates always qualify.
    """
    sample = [text for text in dict.fromkeys(column.texts[:_SAMPLED]) if text]
    found = [len(quantities(text, column.decimal)) for text in sample]
    several = sum(count > 1 for count in found)
    return column.kind == "date" or several <= _SEVERAL * max(1, sum(map(bool, found)))


def _same_end(one: str, other: str) -> bool:
    ends = [words(label)[-1:] or [""] for label in (one, other)]
    first, last = ends[0][0][::-1], ends[1][0][::-1]
    same = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        same += 1
    return same >= _SAME_END and (same == min(len(first), len(last)) or stem(first) != stem(last))
