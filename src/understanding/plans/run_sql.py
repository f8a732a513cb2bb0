"""Run a plan in DuckDB over the columns that the plan reads.

The database is in memory, and its configuration is locked before the statement runs: it can read
no files, network, extensions or Python variables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..table.typed_table import Column, TypedTable
from ..table.values import words
from .as_sql import Query, column_names, plain, plan_as_sql, sql_name
from .language import Plan
from .run_plan import MOST_CELLS, Answer, number_text

if TYPE_CHECKING:
    import pyarrow as pa

_LOCKED: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "1",
}


def run_sql(plan: Plan, table: TypedTable) -> tuple[Answer | None, str]:
    """Run a plan in DuckDB.

    Args:
        plan: The plan.
        table: The table.

    Returns:
        The answer, or None if there is none, and the statement that was run.
    """
    import duckdb

    query = plan_as_sql(plan, table)
    with duckdb.connect(":memory:", config=_LOCKED) as connection:
        connection.register(sql_name(table.name), _arrow_table(query, table))
        connection.execute("SET lock_configuration = true")
        found = connection.execute(query.sql).fetchall()
        kind = [column[0] for column in connection.description or ()]
    return (_value if kind[-1] == "rows" else _cells)(found, query), query.sql


def _cells(found: list[tuple[Any, ...]], query: Query) -> Answer | None:
    if not found:
        return None
    values = tuple(dict.fromkeys(text for _, text in found))
    return Answer(values, None, tuple(row for row, _ in found[:MOST_CELLS]), query.column)


def _value(found: list[tuple[Any, ...]], query: Query) -> Answer | None:
    answer, rows = found[0] if found else (None, None)
    if answer is None:
        return None
    cited = tuple((rows or [])[:MOST_CELLS])
    if isinstance(answer, str):
        return Answer((answer,), None, cited, query.column)
    return Answer((number_text(float(answer)),), float(answer), cited, query.column)


def _arrow_table(query: Query, table: TypedTable) -> pa.Table:
    import pyarrow as pa

    row, names = column_names(table)
    held = {row: pa.array(np.arange(table.length))}
    for number, fields in query.used.items():
        column = table.columns[number]
        kept = sorted(fields)
        arrays = [_field(column, name) for name in kept]
        held[names[number]] = pa.StructArray.from_arrays(arrays, kept)
    return pa.table(held)


def _field(column: Column, name: str) -> pa.Array:
    import pyarrow as pa

    match name:
        case "text":
            return pa.array([plain(text) for text in column.texts], pa.string())
        case "folded":
            return pa.array([plain(text) for text in column.folded], pa.string())
        case "words":
            spoken = (f" {' '.join(words(text))} " for text in column.texts)
            return pa.array([plain(text) for text in spoken], pa.string())
        case "number":
            return pa.array(column.numbers, from_pandas=True)
        case "date":
            return pa.array(column.dates, from_pandas=True)
        case _:
            parts = [None if day is None else getattr(day, name) for day in column.days]
            return pa.array(parts, pa.int64())
