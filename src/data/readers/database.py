"""Records from a database, read only: SQLite by path, any other by its SQLAlchemy URL.

SQLite files are opened read-only, and SQLite's authorizer refuses every statement but SELECT, with
exceptions for what virtual tables (FTS5, R*Tree, `json_each`) prepare. In other databases the
transaction is marked read-only where that is supported, and always rolled back.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...errors import (
    DataError,
    DataNotFoundError,
    EmptyDataError,
    MissingDependencyError,
    UnreadableFileError,
    nearest,
)
from .cells import plain_value
from .column_names import list_columns
from .compression import open_file
from .options import advise
from .read_report import ReadReport

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine

_URL = re.compile(r"[A-Za-z][\w+.-]*://")
_READ_ACTIONS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_READ_PRAGMAS = re.compile(
    r"table_\w+|index_\w+|foreign_key_\w+|integrity_check|quick_check|\w+_list"
)
"""Pragmas that only read although they have an argument; without one, all only read."""
_SCHEMA_TABLES = frozenset({"sqlite_master", "sqlite_temp_master"})
_VIRTUAL = re.compile(r"\s*create\s+virtual\s+table\b.*?\busing\s+\"?(\w+)", re.I | re.S)
_OWN_WRITES = {
    "rtree": ("node", "rowid", "parent"),
    "rtree_i32": ("node", "rowid", "parent"),
    "geopoly": ("node", "rowid", "parent"),
}
"""Modules that prepare writes to their own tables when they are read, and the endings of those
tables' names. The file is open read-only, so no write can be executed."""
_ABOUT_OTHERS = frozenset({"fts5vocab", "fts3aux", "fts4aux", "spellfix1", "dbstat"})
"""Modules whose tables describe another table."""
_FETCH_ROWS = 1000


class MissingDriverError(MissingDependencyError):
    """The Python driver of a database is not installed."""

    def __init__(self, driver: str, url: str) -> None:
        """See the class."""
        ImportError.__init__(
            self,
            f"{url}: the database driver {driver!r} is not installed; run: pip install {driver}",
        )
        self.name = driver


def is_url(source: str) -> bool:
    """Tell a URL from a path."""
    return _URL.match(source) is not None


def shown_name(source: str) -> str:
    """Name a source in messages and logs: a path, or a URL without its password."""
    if not is_url(source):
        return source
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(source).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return source.split("://", 1)[0] + "://..."


def iter_query(
    connection_string: str, query: str, report: ReadReport
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the result of a query.

    Args:
        connection_string: SQLAlchemy URL, or the path of a SQLite file.
        query: One SELECT.
        report: Counts are added to it.

    Yields:
        Record number counted from 1, record. A second column of one name, as in `SELECT a.id,
        b.id`, becomes `id.2`.

    Raises:
        DataNotFoundError: There is no such SQLite file.
        MissingDependencyError: The database's driver is not installed; the message names it.
        DataError: The query fails or would write.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    with _connect(connection_string) as (connection, name):
        row = 0
        try:
            # Colons are escaped, as they would mark parameters.
            result = connection.execution_options(stream_results=True).execute(
                text(query.replace(":", r"\:"))
            )
            if not result.returns_rows:
                raise DataError("the query gives no records; only SELECT is allowed", path=name)
            names = _unique(list(result.keys()), name, report)
            while rows := result.fetchmany(_FETCH_ROWS):
                for cells in rows:
                    row += 1
                    yield row, _record(names, cells, name, row, report)
        except (SQLAlchemyError, sqlite3.Error) as fault:
            raise _query_fault(fault, name, row) from fault


def table_query(connection_string: str, table: str | None) -> str:
    """Write the query that reads one whole table.

    Args:
        connection_string: SQLAlchemy URL, or the path of a SQLite file.
        table: Table or view; None for the only one.

    Raises:
        DataError: There is no such table, or none is named and there are several; the message lists
            the tables.
    """
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    with _connect(connection_string) as (connection, name):
        try:
            inspector = inspect(connection)
            inner = _inner_tables(connection)
            tables = [name for name in inspector.get_table_names() if name not in inner]
            views = inspector.get_view_names()
        except (SQLAlchemyError, sqlite3.Error) as fault:
            raise _query_fault(fault, name, 0) from fault
        if table is None:
            table = _only_table(connection, tables, views)
        if table is None or table not in [*tables, *views, *inner]:
            asked = "no table is named" if table is None else f"there is no table {table!r}"
            if not tables and not views:
                raise EmptyDataError("the database has no tables", path=name)
            near = nearest(table or "", [*tables, *views])
            which = advise(table=near) if near else advise("table")
            raise DataError(
                f"{asked}; {which}; the tables are {list_columns([*tables, *views])}", path=name
            )
        quoted: str = connection.dialect.identifier_preparer.quote(table)
        return f"SELECT * FROM {quoted}"


def _inner_tables(connection: Connection) -> set[str]:
    """Name the shadow tables, in which virtual tables of SQLite store their content."""
    if connection.dialect.name != "sqlite" or sqlite3.sqlite_version_info < (3, 37):
        return set()
    found = connection.exec_driver_sql("SELECT name FROM pragma_table_list WHERE type = 'shadow'")
    return {str(name) for (name,) in found}


def _only_table(connection: Connection, tables: list[str], views: list[str]) -> str | None:
    """Give the only table, or else the only view; None where there are several."""
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master")
        modules = {name: _module(sql) for name, sql in found}
        tables = [name for name in tables if modules.get(name) not in _ABOUT_OTHERS]
    meant = tables or views
    return meant[0] if len(meant) == 1 else None


def _module(sql: str | None) -> str:
    """Read the module of a virtual table from its CREATE statement; empty for other tables."""
    match = _VIRTUAL.match(sql or "")
    return match[1].lower() if match else ""


@contextmanager
def _connect(connection_string: str) -> Iterator[tuple[Connection, str]]:
    from sqlalchemy.exc import SQLAlchemyError

    engine, name = _engine(connection_string)
    try:
        connection = engine.connect()
    except ModuleNotFoundError as fault:
        raise MissingDriverError(fault.name or "unknown", name) from fault
    except (SQLAlchemyError, sqlite3.Error) as fault:
        raise _query_fault(fault, name, 0) from fault
    try:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(postgresql_readonly=True)
        elif engine.dialect.name in ("mysql", "mariadb"):
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        yield connection, name
    finally:
        connection.rollback()
        connection.close()
        engine.dispose()


def _engine(connection_string: str) -> tuple[Engine, str]:
    """Make an engine, and its name for messages, without a password."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    if not is_url(connection_string):
        return _sqlite_engine(connection_string), connection_string
    try:
        url: URL = make_url(connection_string)
    except (ArgumentError, ValueError) as fault:
        raise DataError(
            "not a database URL; write it as dialect+driver://user:password@host/database"
        ) from fault
    name = shown_name(connection_string)
    if url.get_backend_name() == "sqlite" and url.get_driver_name() in ("", "pysqlite"):
        return _sqlite_engine(url.database or ":memory:"), name
    try:
        return create_engine(url, poolclass=NullPool), name
    except NoSuchModuleError as fault:
        raise DataError(
            f"SQLAlchemy knows no database {url.drivername!r}; install its dialect package",
            path=name,
        ) from fault
    except ModuleNotFoundError as fault:
        raise MissingDriverError(fault.name or url.drivername, name) from fault


def _sqlite_engine(database: str) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    if database != ":memory:":
        path = Path(database)
        if not path.exists():
            raise DataNotFoundError(f"{path}: no such database file; check the spelling")
        if not path.is_file():
            raise UnreadableFileError("this is a folder, not a SQLite file", path=path)
        with open_file(path) as stream:  # SQLite itself checks the file only at the first query
            if stream.read(16) != b"SQLite format 3\0":
                raise UnreadableFileError("this is not a SQLite file", path=path)

    def connect() -> sqlite3.Connection:
        if database == ":memory:":
            connection = sqlite3.connect(database)
        else:
            address = f"file:{quote(str(Path(database).absolute()))}?mode=ro"
            connection = sqlite3.connect(address, uri=True)
        connection.set_authorizer(_authorizer(_prepared_writes(connection)))
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _prepared_writes(connection: sqlite3.Connection) -> frozenset[str]:
    """Name the tables that reading a virtual table prepares to write."""
    try:
        found = connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
    except sqlite3.Error:
        return frozenset()  # the query itself reports a damaged database
    return frozenset(
        f"{name}_{ending}" for name, sql in found for ending in _OWN_WRITES.get(_module(sql), ())
    )


def _authorizer(prepared_writes: frozenset[str]) -> Callable[..., int]:
    """Make SQLite's authorizer: it allows reads, and writes that are prepared but not executed."""

    def allow(action: int, first: str | None, second: str | None, *rest: str | None) -> int:
        if first in prepared_writes and action in _CELL_WRITES:
            return sqlite3.SQLITE_OK
        return _only_reading(action, first, second, *rest)

    return allow


_CELL_WRITES = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_UPDATE)


def _only_reading(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action in _READ_ACTIONS and (second or "").lower() != "load_extension":
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_TRANSACTION:
        return sqlite3.SQLITE_OK  # SQLAlchemy begins and rolls back
    if action == sqlite3.SQLITE_PRAGMA and (not second or _READ_PRAGMAS.fullmatch(first or "")):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_UPDATE and first in _SCHEMA_TABLES:
        # A virtual table or table-valued function declares its columns so. SQLite refuses
        # statements that write the schema itself, as `writable_schema` cannot be set.
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _unique(names: list[str], source: str, report: ReadReport) -> list[str]:
    unique: list[str] = []
    for given in names:
        name, count = given, 1
        while name in unique or (name != given and name in names):
            count += 1
            name = f"{given}.{count}"
        if name != given:
            report.note(f"{source}: a second column {given!r} is called {name!r}")
        unique.append(name)
    return unique


def _record(
    names: list[str],
    cells: Sequence[Any],
    source: str,
    row: int,
    report: ReadReport,
) -> dict[str, Any]:
    record = {}
    for name, cell in zip(names, cells, strict=True):
        try:
            record[name] = plain_value(cell, report)
        except TypeError as fault:
            raise DataError(
                f"{fault}: CAST it to TEXT in the query", path=source, row=row, column=name
            ) from fault
    return record


def _query_fault(fault: Exception, name: str, row: int) -> DataError:
    original = getattr(fault, "orig", None) or fault
    text = str(original).strip().splitlines()[0] if str(original).strip() else type(fault).__name__
    if any(
        words in text
        for words in ("not authorized", "readonly database", "prohibited", "may not be modified")
    ):
        text = f"the query would write ({text}); only SELECT is allowed"
    elif "not a database" in text:
        return UnreadableFileError(f"not a SQLite file: {text}", path=name)
    else:
        text = f"the database answers: {text}"
    return DataError(text, path=name, row=row + 1 if row else None)
