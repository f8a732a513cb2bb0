"""The PostgreSQL database of threads, with a pool of connections.

Times are those of the server, so that hosts with different clocks agree when a lease expires.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...errors import MissingDependencyError
from .sql_store import Execute, schema

_SETUP_LOCK = 7_455_270_196
"""Key of the advisory lock under which one process at a time creates the tables."""


class PostgresDatabase:
    """One PostgreSQL database.

    Args:
        url: `postgresql://user@host/database`, or any other form that libpq reads.
        connections: Maximum number of connections.
        schema_name: The schema of the tables; created if missing.

    Raises:
        MissingDependencyError: psycopg is not installed.
    """

    blocking = True
    shared = True
    blob = "BYTEA"
    serial = "BIGSERIAL PRIMARY KEY"
    real = "DOUBLE PRECISION"
    now = "extract(epoch FROM clock_timestamp())"
    in_list = "= ANY(?)"

    def __init__(self, url: str, *, connections: int = 8, schema_name: str = "stillroom") -> None:
        """Connect and create the tables."""
        try:
            from psycopg_pool import ConnectionPool
        except ImportError as error:
            raise MissingDependencyError("psycopg", "postgres") from error
        self._pool: Any = ConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            open=False,
            timeout=30,
            max_idle=300,
            max_lifetime=3600,
            # Replace a connection that broke while it was idle.
            check=ConnectionPool.check_connection,
            kwargs={"autocommit": True, "options": f"-c search_path={schema_name}"},
        )
        try:
            self._pool.open(wait=True, timeout=30)
            with self._set_up() as connection:
                connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema_name}"')
            self.create_tables(schema(self))
        except BaseException:
            self._pool.close()
            raise

    def list_parameter(self, values: Sequence[str]) -> list[str]:
        """Convert a list to the parameter of `in_list`."""
        return list(values)

    @contextmanager
    def transaction(self, *, write: bool = True, durable: bool = True) -> Iterator[Execute]:
        """Open a transaction; see `sql_store.Database`."""
        with self._pool.connection() as connection:
            if not write:
                yield _execute(connection)
                return
            with connection.transaction():
                if not durable:
                    connection.execute("SET LOCAL synchronous_commit = off")
                yield _execute(connection)

    def create_tables(self, statements: Sequence[str]) -> None:
        """Create missing tables; see `sql_store.Database`."""
        with self._set_up() as connection:
            for statement in statements:
                connection.execute(statement)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    @contextmanager
    def _set_up(self) -> Iterator[Any]:
        """Open a transaction that one process at a time is in."""
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SETUP_LOCK,))
            yield connection


def _execute(connection: Any) -> Execute:  # noqa: ANN401 - psycopg is optional
    def execute(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        cursor = connection.execute(statement.replace("?", "%s"), values, binary=True)
        return list(cursor.fetchall()) if cursor.description else []

    return execute
