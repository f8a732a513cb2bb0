"""A SQLite file of this machine that only its owner can read: transcripts and feedback."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ..errors import StoredStateError

_LOCK_WAIT_S: Final = 10.0
"""How long a writer waits for another process, in seconds."""


class LocalDatabase:
    """One SQLite file in WAL mode with one connection, used from any OS thread.

    Args:
        path: The file, created if missing with its folder; `:memory:` for none.
        schema: `CREATE ... IF NOT EXISTS` statements.

    Raises:
        StoredStateError: The file is not a SQLite database.
    """

    def __init__(self, path: str | Path, schema: str) -> None:
        """Open the file."""
        self._lock = threading.RLock()
        if str(path) != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = sqlite3.connect(
            path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.executescript(schema)
        except sqlite3.DatabaseError as fault:
            self._connection.close()
            raise StoredStateError(
                f"{path} is not a SQLite database ({fault}); move it away, and it is made anew"
            ) from fault

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction that takes the write lock first."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
