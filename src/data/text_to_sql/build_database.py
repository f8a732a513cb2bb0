"""Fill a database with rows from a seed, and write it as a SQLite file.

The rows are the same on every machine, so a gold query has the same result everywhere.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Final

from .database import Column, Database, Table

Cell = str | int | float | None
_SEED: Final = "rows 1"
_TYPES: Final = {"key": "INTEGER", "reference": "INTEGER"}


def rows_of(database: Database) -> dict[str, list[dict[str, Cell]]]:
    """Make the rows of all tables.

    Returns:
        Table -> rows, each column -> cell; a date is ISO text.
    """
    return {table.name: list(_rows(database, table)) for table in database.tables}


def _rows(database: Database, table: Table) -> Iterator[dict[str, Cell]]:
    columns = {
        column.name: _cells(column, database, table, Random(f"{_SEED} {database.name} "
                                                            f"{table.name} {column.name}"))
        for column in table.columns
    }  # fmt: skip
    for place in range(table.rows):
        yield {name: cells[place] for name, cells in columns.items()}


def _cells(column: Column, database: Database, table: Table, draw: Random) -> list[Cell]:
    count = table.rows
    if column.kind == "key":
        return list(range(1, count + 1))
    if column.kind == "name":
        every = [" ".join(words) for words in product(*map(dict.fromkeys, column.values))]
        return list(draw.sample(every, count))
    if column.kind == "reference":
        return _references(database.table(column.table).rows, count, draw)
    cells: list[Cell]
    if column.kind == "category":
        cells = list(draw.choices(column.values[0], k=count))
    elif column.kind == "date":
        cells = list(_dates(column, count, draw))
    else:
        cells = list(_numbers(column, count, draw))
    return [None if draw.random() < column.missing else cell for cell in cells]


def _references(others: int, count: int, draw: Random) -> list[Cell]:
    """Draw keys of another table unevenly; about a sixth of them are referred to by no row."""
    known = draw.sample(range(1, others + 1), max(1, others - others // 6))
    weights = [draw.uniform(0.3, 2.0) for _ in known]
    return list(draw.choices(known, weights, k=count))


def _numbers(column: Column, count: int, draw: Random) -> list[Cell]:
    """Draw multiples of the step, without repetition where there are enough of them."""
    steps = round((column.high - column.low) / column.step) + 1
    drawn = (
        draw.sample(range(steps), count)
        if steps >= 2 * count
        else draw.choices(range(steps), k=count)
    )
    whole = float(column.step).is_integer() and float(column.low).is_integer()
    values = [column.low + column.step * place for place in drawn]
    return [int(value) if whole else round(value, 2) for value in values]


def _dates(column: Column, count: int, draw: Random) -> list[Cell]:
    first = date(int(column.low), 1, 1)
    days = (date(int(column.high), 12, 31) - first).days + 1
    return [
        (first + timedelta(days=place)).isoformat() for place in draw.sample(range(days), count)
    ]


def build_database(database: Database, path: Path) -> Path:
    """Write a database as a SQLite file with its primary and foreign keys.

    The file is written beside its place and then renamed, so a file that exists is complete.

    Args:
        database: What is written.
        path: The file; an existing one is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    building.unlink(missing_ok=True)
    with closing(sqlite3.connect(building)) as connection, connection:
        fill_connection(database, connection)
    building.replace(path)
    return path


def fill_connection(
    database: Database, connection: sqlite3.Connection, *, backwards: bool = False
) -> None:
    """Create the tables of a database and insert their rows.

    Args:
        database: What is written.
        connection: An empty database.
        backwards: Insert the last row first, into tables without keys. Queries whose result is not
            determined by the data, such as the first of several equal ones, then give another one.
    """
    for table_name, rows in rows_of(database).items():
        table = database.table(table_name)
        connection.execute(_create(database, table, with_keys=not backwards))
        places = ", ".join("?" for _ in table.columns)
        written = [tuple(row.values()) for row in rows]
        ordered = reversed(written) if backwards else written
        connection.executemany(f'INSERT INTO "{table_name}" VALUES ({places})', ordered)


def _create(database: Database, table: Table, *, with_keys: bool) -> str:
    parts = []
    for column in table.columns:
        written = f'"{column.name}" {_type(column)}'
        if with_keys and column.kind == "key":
            written += " PRIMARY KEY"
        if with_keys and column.kind == "reference":
            written += f' REFERENCES "{column.table}" ("{database.table(column.table).key}")'
        parts.append(written)
    return f'CREATE TABLE "{table.name}" ({", ".join(parts)})'


def _type(column: Column) -> str:
    if column.kind == "number":
        return (
            "INTEGER"
            if float(column.step).is_integer() and float(column.low).is_integer()
            else "REAL"
        )
    return _TYPES.get(column.kind, "TEXT")
