"""Tools that look up and compare records of a student's table.

Records and columns are enumerations in the tool's schema, so that a student with constrained output
can name only those that exist. In a table with very many records the record's name is free text.
"""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field, create_model

from ...errors import DataError
from ...tables import FactTable, TableRow
from ..text_matching import as_number, fold

MOST_NAMES = 300
"""Most records whose names are enumerated; the grammar of more is too slow."""


def table_tools(table: FactTable) -> list[BaseTool]:
    """Make the tools `look_up` and `compare_records` over a table.

    Returns:
        LangChain tools whose results are the answer (`return_direct`).

    Raises:
        DataError: The table has no records or no columns.
    """
    if not table.rows or not table.columns:
        raise DataError(f"{table.source} has no records or no columns, so nothing can be looked up")
    record: Any = _record_type(table)
    column: Any = Literal[tuple(c.name for c in table.columns)]
    by_name = _rows_by_name(table)

    def look_up(record: str, column: str) -> str:
        return _value(_row(by_name, record, table), column, table)

    def compare_records(first: str, second: str, column: str) -> str:
        rows = [_row(by_name, name, table) for name in (first, second)]
        return _comparison(rows, column, table)

    return [
        _tool(
            look_up,
            f"Look up one value in {table.source}.",
            create_model("LookUp", record=(record, ...), column=(column, ...)),
        ),
        _tool(
            compare_records,
            f"Compare two records of {table.source} in one column.",
            create_model(
                "CompareRecords",
                first=(record, ...),
                second=(record, Field(description="another record than the first")),
                column=(column, ...),
            ),
        ),
    ]


def _tool(function: Any, description: str, schema: type[BaseModel]) -> BaseTool:  # noqa: ANN401
    return StructuredTool.from_function(
        function, description=description, args_schema=schema, return_direct=True
    )


def _record_type(table: FactTable) -> Any:  # noqa: ANN401 - a type made of values
    keys = tuple(dict.fromkeys(row.key for row in table.rows))
    return Literal[keys] if len(keys) <= MOST_NAMES else str


def _rows_by_name(table: FactTable) -> dict[str, TableRow]:
    rows: dict[str, TableRow] = {}
    for row in table.rows:
        rows.setdefault(fold(row.key.strip()), row)
    return rows


def _row(rows: dict[str, TableRow], name: str, table: FactTable) -> TableRow:
    row = rows.get(fold(name.strip()))
    if row is None:
        raise DataError(f"{table.source} has no record {name!r}; give the name as it stands there")
    return row


def _value(row: TableRow, column: str, table: FactTable) -> str:
    value = row.key if column == table.key else row.values.get(column)
    if value is None:
        raise DataError(f"row {row.row} ({row.key}) has no {_label(column, table)}")
    return value


def _comparison(rows: list[TableRow], column: str, table: FactTable) -> str:
    first, second = rows
    a, b = (_value(row, column, table) for row in rows)
    label = _label(column, table)
    known = f"{label}: {first.key} {a} (row {first.row}), {second.key} {b} (row {second.row})"
    x, y = as_number(a), as_number(b)
    if x is None or y is None:
        same = "the same" if fold(a.strip()) == fold(b.strip()) else "not the same"
        return f"{known}; {same}."
    if x == y:
        return f"{known}; equal."
    more = first if x > y else second
    return f"{known}; {more.key} has more, by {abs(x - y):.10g}."


def _label(column: str, table: FactTable) -> str:
    return next((c.label for c in table.columns if c.name == column), column)
