"""SQLite as a place for threads: one connection, WAL, and every writer in line.

The file may be used by several processes. A writer asks for the database's lock before it reads
(`BEGIN IMMEDIATE`), so that none ever finds out half way that it came too late.
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
"""How long a writer stands in line for the file."""


class SqliteDatabase:
    """One SQLite file, or the memory of this process.

    Args:
        path: The file, made where it is not there (readable by its owner alone); `IN_MEMORY` for
            none.
        power_safe: Wait for the disk at the end of every turn. Without it a turn survives the end
            of the process, but perhaps not a power cut.

    Raises:
        ConfigError: The SQLite of this Python is too old.
        StoredStateError: The file is something else.
    """

    blob = "BLOB"
    serial = "INTEGER PRIMARY KEY AUTOINCREMENT"
    real = "REAL"
    now = "((julianday('now') - 2440587.5) * 86400.0)"
    among = "IN (SELECT value FROM json_each(?))"

    def __init__(self, path: str | Path, *, power_safe: bool = True) -> None:
        """Open the file and make the tables."""
        if sqlite3.sqlite_version_info < (3, 35):
            raise ConfigError([f"SQLite is {sqlite3.sqlite_version}; threads need 3.35 or newer"])
        self.blocking = self.shared = str(path) != IN_MEMORY
        self._path = str(path)
        self._power_safe = power_safe
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._connection = self._opened()

    def listing(self, values: Sequence[str]) -> str:
        """Make the parameter for `among`."""
        return json.dumps(list(values))

    @contextmanager
    def transaction(self, *, write: bool = True, lasting: bool = True) -> Iterator[Execute]:
        """Open a transaction; see `thread_store.Database`."""
        with self._lock:
            connection = self._usable()
            if not write:
                yield lambda statement, values: connection.execute(statement, values).fetchall()
                return
            if self.shared:
                mode = "FULL" if lasting and self._power_safe else "NORMAL"
                connection.execute(f"PRAGMA synchronous={mode}")
            with _as_busy(self._path):
                connection.execute("BEGIN IMMEDIATE")
            try:
                yield lambda statement, values: connection.execute(statement, values).fetchall()
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._process == os.getpid():
                self._connection.close()

    def _usable(self) -> sqlite3.Connection:
        """Give the connection; a process that was forked off needs one of its own."""
        if self._process != os.getpid() and self.shared:
            self._process = os.getpid()
            self._connection = self._opened()
        return self._connection

    def _opened(self) -> sqlite3.Connection:
        if self.shared:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
        with _as_not_ours(self._path):
            connection = sqlite3.connect(
                self._path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._make_tables(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        with _as_busy(self._path):
            if self.shared:
                _retried(connection, "PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
        for statement in schema(self):
            connection.execute(statement)
        connection.execute("COMMIT")


@contextmanager
def _as_not_ours(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoredStateError(
            f"{path!r} cannot be used for threads ({error}); name a file that is not there yet, or "
            "one that stillroom made and may write"
        ) from error


@contextmanager
def _as_busy(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        raise ThreadBusyError(path, _LOCK_WAIT_S) from error


def _retried(connection: sqlite3.Connection, statement: str) -> Any:  # noqa: ANN401 - a row
    """Run a statement that SQLite does not wait for by itself when two processes start at once."""
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            return connection.execute(statement).fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
