"""The SQLite database of threads: one connection per process, in WAL mode.

Several processes may use the file. A writer takes the write lock before it reads
(`BEGIN IMMEDIATE`), so that it never fails in the middle of a transaction because another process
has written meanwhile.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...errors import ConfigError, StoredStateError, ThreadBusyError
from .sql_store import Execute, schema

IN_MEMORY = ":memory:"
_LOCK_WAIT_S = 30.0
"""How long a writer waits for the write lock of the file."""


class SqliteDatabase:
    """One SQLite file, or the memory of this process.

    Args:
        path: The file, created if missing, readable by its owner only; `IN_MEMORY` for none.
        power_safe: Wait for the disk at the end of every turn. Without it a turn survives the end
            of the process, but perhaps not a power failure.

    Raises:
        ConfigError: The SQLite of this Python is too old.
        StoredStateError: The file is not a store of threads.
    """

    blob = "BLOB"
    serial = "INTEGER PRIMARY KEY AUTOINCREMENT"
    real = "REAL"
    now = "((julianday('now') - 2440587.5) * 86400.0)"
    in_list = "IN (SELECT value FROM json_each(?))"

    def __init__(self, path: str | Path, *, power_safe: bool = True) -> None:
        """Open the file and create the tables."""
        if sqlite3.sqlite_version_info < (3, 35):
            raise ConfigError([f"SQLite is {sqlite3.sqlite_version}; threads need 3.35 or newer"])
        self.blocking = self.shared = str(path) != IN_MEMORY
        self._path = str(path)
        self._power_safe = power_safe
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._connection = self._open()

    def list_parameter(self, values: Sequence[str]) -> str:
        """Convert a list to the parameter of `in_list`."""
        return json.dumps(list(values))

    @contextmanager
    def transaction(self, *, write: bool = True, durable: bool = True) -> Iterator[Execute]:
        """Open a transaction; see `sql_store.Database`."""
        with self._lock:
            connection = self._own_connection()
            if not write:
                yield lambda statement, values: connection.execute(statement, values).fetchall()
                return
            if self.shared:
                mode = "FULL" if durable and self._power_safe else "NORMAL"
                connection.execute(f"PRAGMA synchronous={mode}")
            with _busy_if_locked(self._path):
                connection.execute("BEGIN IMMEDIATE")
            try:
                yield lambda statement, values: connection.execute(statement, values).fetchall()
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def create_tables(self, statements: Sequence[str]) -> None:
        """Create missing tables; see `sql_store.Database`."""
        with self.transaction() as execute:
            for statement in statements:
                execute(statement, ())

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._process == os.getpid():
                self._connection.close()

    def _own_connection(self) -> sqlite3.Connection:
        """Return the connection; a forked process opens its own."""
        if self._process != os.getpid() and self.shared:
            self._process = os.getpid()
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        if self.shared:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
        with _refusing_other_files(self._path):
            connection = sqlite3.connect(
                self._path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._create_tables(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        with _busy_if_locked(self._path):
            if self.shared:
                _retry_while_locked(connection, "PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
        for statement in schema(self):
            connection.execute(statement)
        connection.execute("COMMIT")


@contextmanager
def _refusing_other_files(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoredStateError(
            f"{path!r} cannot be used for threads ({error}); name a file that is not there yet, or "
            "a writable one that stillroom made"
        ) from error


@contextmanager
def _busy_if_locked(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        raise ThreadBusyError(path, _LOCK_WAIT_S) from error


def _retry_while_locked(connection: sqlite3.Connection, statement: str) -> Any:  # noqa: ANN401 - a row
    """Retry a statement for which SQLite ignores its timeout when two processes start at once."""
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            return connection.execute(statement).fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
