"""Ask questions about databases: shapes, filled with names, cells and phrases.

    records = make_questions(TRAINING.values(), 1000, seed=0)

A record has the form of a text-to-SQL record: `task_id`, `schema`, `instruction`, `gold_sql`,
`decode_profile`, `table_id` (the name of the database). Every gold query was run: its result is not
empty, and the data alone determine it.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from ...errors import ConfigError
from .build_database import Cell, fill_connection, rows_of
from .database import Column, ColumnKind, Database, Link, Table
from .shapes.join_shapes import JOIN_SHAPES
from .shapes.places import column_place, reference_place, table_place
from .shapes.shape import Shape
from .shapes.table_shapes import TABLE_SHAPES

SHAPES: Final = (*TABLE_SHAPES, *JOIN_SHAPES)
DECODE_PROFILE: Final = {"temperature": 0.0, "max_tokens": 128, "n": 1}
_TRIES: Final = 60
"""Fillings of one shape that are tried in one database before the shape is passed over."""
_KINDS: Final[dict[str, tuple[ColumnKind, ...]]] = {
    "name": ("name",),
    "num": ("number",),
    "num2": ("number",),
    "cat": ("category",),
    "date": ("date",),
    "any": ("number", "category", "date"),
}
"""Place -> kinds of columns that fill it; `p` or `g` in front stands for the other tables."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """A shape that was filled."""

    sql: str
    wordings: tuple[str, ...]


def make_questions(
    databases: Iterable[Database],
    count: int,
    *,
    seed: int = 0,
    new_wordings: bool = False,
    shuffle_schemas: bool = False,
    shapes: Sequence[Shape] = SHAPES,
) -> list[Record]:
    """Ask questions, evenly over the shapes and databases.

    Args:
        databases: What is asked about.
        count: Number of questions.
        seed: Seed of the choice of names, cells and wordings.
        new_wordings: Take the last wording of each shape, which is kept for measuring, instead of
            one of the others.
        shuffle_schemas: Write tables and columns of each record's schema in a random order.
        shapes: The shapes to fill.

    Returns:
        Records without a repeated question; `shape` names the shape.

    Raises:
        ConfigError: The databases do not give as many different questions.
    """
    draw, known = Random(f"questions {seed}"), set[tuple[str, str]]()
    numbers: Counter[str] = Counter()
    records: list[Record] = []
    askers = [Asker(database) for database in databases]
    while len(records) < count:
        before = len(records)
        for shape in draw.sample(shapes, min(len(shapes), count - len(records))):
            found = _new_question(shape, askers, draw, known, new_wordings)
            if found is None:
                continue
            database, text, sql = found
            numbers[database.name] += 1
            records.append({
                "task_id": f"{database.name}-{numbers[database.name]:05d}",
                "schema": database.schema_text(draw if shuffle_schemas else None),
                "instruction": text,
                "gold_sql": sql,
                "decode_profile": dict(DECODE_PROFILE),
                "table_id": database.name,
                "shape": shape.name,
            })  # fmt: skip
        if len(records) == before:
            raise ConfigError(
                [f"count is {count}; these databases and shapes give {before} questions"]
            )
    for asker in askers:
        asker.close()
    return records


def _new_question(
    shape: Shape,
    askers: Sequence[Asker],
    draw: Random,
    known: set[tuple[str, str]],
    new_wordings: bool,
) -> tuple[Database, str, str] | None:
    """Fill a shape from the first of the databases, in a random order, that gives a new question.

    Returns:
        The database, the question and its query; None if no database gives one.
    """
    for asker in draw.sample(askers, len(askers)):
        found = asker.ask(shape, draw)
        if found is None:
            continue
        wordings = found.wordings[-1:] if new_wordings else found.wordings[:-1]
        text = draw.choice(wordings)
        if (asker.database.name, text) not in known:
            known.add((asker.database.name, text))
            return asker.database, text, found.sql
    return None


class Asker:
    """Fills shapes from one database, and runs what comes of it."""

    def __init__(self, database: Database) -> None:
        """Make the rows, and two databases in memory that hold them in opposite orders."""
        self.database = database
        self._cells: dict[str, list[dict[str, Cell]]] = rows_of(database)
        self._forwards, self._backwards = (sqlite3.connect(":memory:") for _ in range(2))
        fill_connection(database, self._forwards)
        fill_connection(database, self._backwards, backwards=True)

    def close(self) -> None:
        """Close the databases."""
        self._forwards.close()
        self._backwards.close()

    def ask(self, shape: Shape, draw: Random) -> Question | None:
        """Fill a shape.

        Returns:
            The question; None if the database lacks what the shape needs, or no filling gave a
            result that says something.
        """
        for _ in range(_TRIES):
            places = self._fill(shape, draw)
            if places is None:
                continue
            sql = shape.sql.format_map(places)
            if self._is_sound(sql):
                texts = tuple(_with_articles(one.format_map(places)) for one in shape.wordings)
                return Question(sql, texts)
        return None

    def _fill(self, shape: Shape, draw: Random) -> dict[str, Any] | None:
        needed = shape.places()
        tables = self._tables(needed, draw)
        if tables is None:
            return None
        chain, links = tables
        places: dict[str, Any] = {"k": draw.randint(2, 5)}
        for letter, table in zip(("t", "p", "g"), chain, strict=False):
            places[letter] = table_place(table)
            columns = self._columns(letter, table, needed, "SUM(" in shape.sql, draw)
            if columns is None:
                return None
            for place, column in columns.items():
                cells = [row[column.name] for row in self._cells[table.name]]
                places[place] = column_place(column, table, cells, draw)
        for place, link, other in zip(("link", "up"), links, ("pname", "gname"), strict=False):
            column = self.database.table(link.table).column(link.column)
            text = places[other].text if other in places else ""
            places[place] = reference_place(column, text)
        return places

    def _tables(self, needed: set[str], draw: Random) -> tuple[list[Table], list[Link]] | None:
        """Draw a table, and the tables that it refers to if the shape joins them."""
        table = draw.choice(self.database.tables)
        chain, links = [table], list[Link]()
        for wanted in ("p", "g"):
            if wanted not in needed:
                break
            ways = [link for link in self.database.links() if link.table == chain[-1].name]
            if not ways:
                return None
            links.append(draw.choice(ways))
            chain.append(self.database.table(links[-1].to))
        return chain, links

    def _columns(
        self, letter: str, table: Table, needed: set[str], adds: bool, draw: Random
    ) -> dict[str, Column] | None:
        """Draw different columns of a table for the places that stand for its columns."""
        prefix = "" if letter == "t" else letter
        chosen: dict[str, Column] = {}
        for place in sorted(needed):
            kind = place.removeprefix(prefix)
            if not place.startswith(prefix) or (kind != "gap" and kind not in _KINDS):
                continue
            if kind == "gap":
                ways = [one for one in table.columns if one.missing]
            else:
                ways = table.of_kind(*_KINDS[kind])
            free = [
                one
                for one in ways
                if one not in chosen.values() and (one.adds or not adds or kind != "num")
            ]
            if not free:
                return None
            chosen[place] = draw.choice(free)
        return chosen

    def _is_sound(self, sql: str) -> bool:
        """Tell whether a query gives something, and the same from rows in another order."""
        first, second = (
            [tuple(_rounded(cell) for cell in row) for row in connection.execute(sql)]
            for connection in (self._forwards, self._backwards)
        )
        says_nothing = not any(cell not in (None, 0) for row in first for cell in row)
        if says_nothing:
            return False
        if " ORDER BY " in sql:
            return first == second
        return Counter(first) == Counter(second)


def _with_articles(text: str) -> str:
    """Write "an" before vowels.

    >>> _with_articles("a author of a book")
    'an author of a book'
    """
    return re.sub(r"\ba(?= [aeiou])", "an", text)


def _rounded(cell: Cell) -> Cell:
    """Round what sums in another order leave different."""
    return round(cell, 6) if isinstance(cell, float) else cell
