"""The student's table in DuckDB: rows, cells and a full-text index.

    with RecordStore.of(FactTable.read(folder)) as store:
        store.cell(79, "symbol")          # "Au"
        store.search("yellow metal", k=3)  # [(79, 4.2), ...]

| table      | holds                                                                            |
|------------|----------------------------------------------------------------------------------|
| `records`  | one row per record, numbers as numbers; for the SQL tool                         |
| `cells`    | row, column, original text; for checking citations                               |
| `postings` | row, term, count; the full-text index                                            |
| `about`    | source, key and column names                                                     |

Full-text search is Okapi BM25 in SQL: DuckDB's own `fts` extension must be downloaded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from ...errors import UnreadableFileError
from ...files import atomic_path
from ...tables import FactTable, TableRow
from ..text_matching import as_number, indexed_terms, nfc, terms
from .duckdb_connection import open_database

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCHEMA_VERSION = 2
K1, B = 1.2, 0.75
"""BM25 term saturation and length normalisation (Robertson and Zaragoza 2009, The Probabilistic
Relevance Framework, section 3)."""

_EXACT_DIGITS = 15
"""Decimal digits that a double keeps."""

_SEARCH = """
with found as (
    select "row", "count", count(*) over (partition by term) as holding
    from postings where term in (select unnest(?))
), sizes as (select count(*) as n, avg(size) as mean from lengths)
select "row", sum(ln(1 + (n - holding + 0.5) / (holding + 0.5))
    * "count" * ($k1 + 1) / ("count" + $k1 * (1 - $b + $b * size / mean))) as score
from found join lengths using ("row"), sizes
group by "row" order by score desc, "row" limit ?
""".replace("$k1", str(K1)).replace("$b", str(B))


class RecordStore:
    """A table's records; close it, or use it in a `with`. Thread-safe."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        """Use `of`, `write` or `open` instead."""
        self.connection = connection
        about = connection.execute("select schema_version, about from about").fetchone()
        if about is None or about[0] != SCHEMA_VERSION:
            raise UnreadableFileError("is not of this version; write the table into it again")
        facts = json.loads(about[1])
        self.source: str = facts["source"]
        """File or table name."""
        self.key: str = facts["key"]
        """Name of the key column."""
        self.columns: dict[str, str] = facts["columns"]
        """Column name -> its name in SQL, which differs where SQL takes two names for the same."""

    @classmethod
    def of(cls, table: FactTable) -> Self:
        """Hold a table in memory."""
        connection = open_database()
        _fill(connection, table)
        return cls(connection)

    @classmethod
    def write(cls, path: str | Path, table: FactTable) -> Self:
        """Write a table into a new DuckDB file, atomically, and open it read-only."""
        with atomic_path(path) as temporary:
            connection = open_database(temporary)
            try:
                _fill(connection, table)
                connection.execute("checkpoint")
            finally:
                connection.close()
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a file that `write` made, read-only.

        Raises:
            DataNotFoundError: There is no such file.
            UnreadableFileError: It is not such a file.
        """
        import duckdb

        connection = open_database(path, read_only=True)
        try:
            return cls(connection)
        except (duckdb.Error, KeyError, TypeError, ValueError) as fault:
            connection.close()
            raise UnreadableFileError(
                f"holds no table written by stillroom ({fault})", path=path
            ) from fault

    def __len__(self) -> int:
        """Count the records."""
        return int(self._all("select count(*) from records")[0][0])

    def __enter__(self) -> Self:
        """Give the store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the database."""
        self.close()

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def rows(self, numbers: Iterable[int]) -> list[TableRow]:
        """Give records by number, in the order asked for; unknown numbers are left out."""
        wanted = list(dict.fromkeys(numbers))
        found = self._all(
            'select "row", "column", value from cells where "row" in (select unnest(?))', wanted
        )
        values: dict[int, dict[str, str]] = {}
        for row, column, value in found:
            values.setdefault(row, {})[column] = value
        return [TableRow(row, values[row].pop(self.key), values[row])
                for row in wanted if row in values]  # fmt: skip

    def all_rows(self) -> list[TableRow]:
        """Give every record, in file order."""
        return self.rows(row for (row,) in self._all('select "row" from records order by "row"'))

    def cell(self, row: int, column: str) -> str | None:
        """Give the text of a cell; None where there is no such cell, or it is empty."""
        found = self._all(
            'select value from cells where "row" = ? and "column" = ?', int(row), column
        )
        return str(found[0][0]) if found else None

    def search(self, text: str, k: int) -> list[tuple[int, float]]:
        """Find records by the words of a text.

        Returns:
            Record number and BM25 score, above 0, the best first.
        """
        found = sorted(set(terms(text)))
        return [(int(row), float(score)) for row, score in self._all(_SEARCH, found, k)]

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
        with self.connection.cursor() as cursor:
            return cursor.execute(sql, list(values)).fetchall()


def record_text(row: TableRow, key: str, labels: dict[str, str]) -> str:
    """Write a record as a line of text, for users, models and embeddings."""
    facts = [f"{labels.get(name, name)}: {value}" for name, value in row.values.items()]
    return "; ".join([f"{key.replace('_', ' ')}: {row.key}", *facts])


def _fill(connection: DuckDBPyConnection, table: FactTable) -> None:
    names = _sql_names([table.key, *dict.fromkeys(c.name for c in table.columns)])
    cells = [(row.row, table.key, row.key) for row in table.rows]
    cells += [(row.row, name, text) for row in table.rows for name, text in row.values.items()]
    connection.execute('create table cells ("row" integer, "column" text, value text)')
    _insert(connection, "cells", cells, 3)
    connection.execute('create table postings ("row" integer, term text, "count" integer)')
    connection.execute('create table lengths ("row" integer, size integer)')
    counts = {row.row: Counter(indexed_terms(" ".join([row.key, *row.values.values()])))
              for row in table.rows}  # fmt: skip
    postings = [(row, term, n) for row, count in counts.items() for term, n in count.items()]
    _insert(connection, "postings", postings, 3)
    _insert(connection, "lengths", [(row, count.total()) for row, count in counts.items()], 2)
    _fill_records(connection, table, names)
    about = {"source": table.source, "key": table.key, "columns": names}
    connection.execute("create table about (schema_version integer, about text)")
    connection.execute("insert into about values (?, ?)", [SCHEMA_VERSION, json.dumps(about)])


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "text": nfc,  # for exact comparison; `cells` keeps the original text
    "bigint": lambda text: int(as_number(text) or 0),
    "double": as_number,
}


def _fill_records(connection: DuckDBPyConnection, table: FactTable, names: dict[str, str]) -> None:
    columns = {name: [row.values.get(name) for row in table.rows] for name in names}
    columns[table.key] = [row.key for row in table.rows]
    typed: dict[str, tuple[str, list[Any]]] = {}
    for name, texts in columns.items():
        kind = "text" if name == table.key else _sql_type(texts)
        typed[name] = (kind, [None if text is None else _READERS[kind](text) for text in texts])
    fields = "".join(f", {_quoted(names[name])} {kind}" for name, (kind, _) in typed.items())
    connection.execute(f'create table records ("row" integer{fields})')
    numbers = [row.row for row in table.rows]
    values = list(zip(numbers, *(texts for _, texts in typed.values()), strict=True))
    _insert(connection, "records", values, 1 + len(typed))


def _sql_type(texts: list[str | None]) -> str:
    """Choose a type that keeps every value: codes (007) and long numbers stay text."""
    there = [text for text in texts if text is not None]
    values = [as_number(text) for text in there]
    coded = any(text.lstrip("-+")[:1] == "0" and text.lstrip("-+")[1:2].isdigit() for text in there)
    if not there or coded or any(value is None for value in values):
        return "text"
    whole = all("." not in t and "e" not in t.lower() for t in there)
    if any(sum(c.isdigit() for c in text) > _EXACT_DIGITS for text in there):
        return "text"
    return "bigint" if whole else "double"


def _sql_names(columns: list[str]) -> dict[str, str]:
    """Give columns names that differ in more than case, which SQL ignores."""
    taken, names = {"row"}, {}
    for column in columns:
        column_name = nfc(column) or "column"
        name, number = column_name, 2
        while name.casefold() in taken:
            name, number = f"{column_name}_{number}", number + 1
        taken.add(name.casefold())
        names[column] = name
    return names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _insert(
    connection: DuckDBPyConnection, table: str, rows: list[tuple[Any, ...]], width: int
) -> None:
    """Insert rows column by column: a hundred times faster in DuckDB than row by row."""
    if rows:
        marks = ", ".join("unnest(?)" for _ in range(width))
        columns = [list(column) for column in zip(*rows, strict=True)]
        connection.execute(f"insert into {table} select {marks}", columns)
