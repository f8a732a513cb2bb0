"""PostgreSQL as a place for threads: a pool of connections, so that no turn waits for another's.

Times are the server's, so that hosts with different clocks agree on when a lease runs out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...errors import MissingDependencyError
from .sql_store import Execute, schema

_SETUP_LOCK = 7_455_270_196
"""Any number of ours: only one process at a time makes the tables."""


class PostgresDatabase:
    """One PostgreSQL database.

    Args:
        url: `postgresql://user@host/database`, or any other form that libpq reads.
        connections: Most connections at a time.
        schema_name: The schema that holds the tables; made where it is not there.

    Raises:
        MissingDependencyError: psycopg is not installed.
    """

    blocking = True
    shared = True
    blob = "BYTEA"
    serial = "BIGSERIAL PRIMARY KEY"
    real = "DOUBLE PRECISION"
    now = "extract(epoch FROM clock_timestamp())"
    among = "= ANY(?)"

    def __init__(self, url: str, *, connections: int = 8, schema_name: str = "stillroom") -> None:
        """Connect and make the tables."""
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
            # A connection that died while it lay idle is replaced, not handed out.
            check=ConnectionPool.check_connection,
            kwargs={"autocommit": True, "options": f"-c search_path={schema_name}"},
        )
        try:
            self._pool.open(wait=True, timeout=30)
            self._make_tables(schema_name)
        except BaseException:
            self._pool.close()
            raise

    def listing(self, values: Sequence[str]) -> list[str]:
        """Make the parameter for `among`."""
        return list(values)

    @contextmanager
    def transaction(self, *, write: bool = True, lasting: bool = True) -> Iterator[Execute]:
        """Open a transaction; see `thread_store.Database`."""
        with self._pool.connection() as connection:
            if not write:
                yield _execute(connection)
                return
            with connection.transaction():
                if not lasting:
                    connection.execute("SET LOCAL synchronous_commit = off")
                yield _execute(connection)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _make_tables(self, schema_name: str) -> None:
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SETUP_LOCK,))
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema_name}"')
            for statement in schema(self):
                connection.execute(statement)


def _execute(connection: Any) -> Execute:  # noqa: ANN401 - psycopg is optional
    def execute(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        cursor = connection.execute(statement.replace("?", "%s"), values, binary=True)
        return list(cursor.fetchall()) if cursor.description else []

    return execute
