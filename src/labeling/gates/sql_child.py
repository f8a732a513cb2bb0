"""The process in which a sandbox runs SQL; it imports nothing but the standard library.

    python -I -S sql_child.py '<settings as JSON>'

It reads one statement per line as JSON text. It answers with lines of JSON: any number of
`{"rows": [...]}`, then `{"error": null}`, or `{"error": class, "text": message}`. A blob is
`{"$bytes": hex}`, an infinity `{"$float": "inf"}`.

It can neither write nor use much memory: the database is open read-only, the authorizer allows only
reads, the size of every file it could write is limited to 0, and its memory by the operating system
(Linux) and by SQLite's heap limit.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import sys
import time
from typing import Any

_READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_WRITES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
_FORBIDDEN = {"load_extension", "fts3_tokenizer", "pragma_data_version"}
_SCHEMA_TABLES = {"sqlite_master", "sqlite_temp_master"}
_INSTRUCTIONS = 1000
"""Instructions of SQLite's machine between two looks at the clock, some 10 microseconds."""
_PART_BYTES = 64 * 1024


def main() -> None:
    """Answer statements until the input ends."""
    settings = json.loads(sys.argv[1])
    denied: list[int] = []
    try:
        _limit_process(settings["memory_bytes"])
        connection = _connect(settings, denied)
    except (sqlite3.Error, OSError, ValueError) as fault:
        _write({"error": "cannot_open", "text": str(fault)})
        return
    _write({"error": None})
    for line in sys.stdin:
        denied.clear()
        answer = _run(connection, json.loads(line), settings)
        if denied and answer["error"]:
            answer["error"] = "not_read_only"
        _write(answer)


def _limit_process(memory_bytes: int) -> None:
    """Limit what the process may write to nothing, and its data to `memory_bytes`."""
    try:
        import resource
    except ImportError:  # Windows: the heap limit of SQLite and the parent's clock remain
        return
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # on macOS the limit exists, but is not enforced
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _limit_cpu_time(timeout_s: float) -> None:
    """End the process if the parent, which should have killed it, is gone."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + timeout_s) + 2
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    unlimited = hard == resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_CPU, (most if unlimited else min(most, hard), hard))


def _connect(settings: dict[str, Any], denied: list[int]) -> sqlite3.Connection:
    connection = sqlite3.connect(settings["uri"], uri=True, isolation_level=None)
    connection.execute(f"PRAGMA hard_heap_limit={settings['heap_bytes']}")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("PRAGMA query_only=ON")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()  # reads the file's header
    shadows = _shadow_tables(connection)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, settings["value_bytes"])
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)

    def allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action in _READS and not {(name or "").lower() for name in (first, second)} & _FORBIDDEN:
            return sqlite3.SQLITE_OK
        # A table-valued function such as json_each declares its columns so; SQLite itself refuses
        # statements that write the schema.
        if action == sqlite3.SQLITE_UPDATE and first in _SCHEMA_TABLES:
            return sqlite3.SQLITE_OK
        # Full-text and R*Tree tables prepare these when they are read. Nothing comes of it, as the
        # database is open read-only.
        if (action in _WRITES and first in shadows) or (
            action == sqlite3.SQLITE_PRAGMA and (first, second) == ("data_version", None)
        ):
            return sqlite3.SQLITE_OK
        denied.append(action)
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(allow)
    return connection


def _shadow_tables(connection: sqlite3.Connection) -> set[str]:
    """Name the tables in which virtual tables keep their content."""
    if sqlite3.sqlite_version_info < (3, 37):
        return set()
    found = connection.execute("SELECT name FROM pragma_table_list WHERE type = 'shadow'")
    return {name for (name,) in found}


def _run(connection: sqlite3.Connection, sql: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Run one statement to its end or to a limit, and send its rows."""
    deadline = time.monotonic() + settings["timeout_s"]
    _limit_cpu_time(settings["timeout_s"])
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _INSTRUCTIONS)
    sender, cursor = _Sender(settings["rows"], settings["bytes"]), None
    try:
        cursor = connection.execute(sql)
        for row in cursor:
            if (limit := sender.add(row)) is not None:
                return limit
            if time.monotonic() > deadline:
                return {"error": "timeout", "text": "the result took too long to read"}
        sender.flush()
    except MemoryError:
        return {"error": "too_large", "text": "out of memory"}
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as fault:
        return _fault(fault, time.monotonic() > deadline)
    finally:
        if cursor is not None:
            cursor.close()
    return {"error": None}


class _Sender:
    """Sends rows in parts, so that few are in memory, and counts them."""

    def __init__(self, most_rows: int | None, most_bytes: int) -> None:
        self._most_rows, self._most_bytes = most_rows, most_bytes
        self._rows: list[list[Any]] = []
        self._count = self._bytes = self._sent_bytes = 0

    def add(self, row: tuple[Any, ...]) -> dict[str, Any] | None:
        """Take a row; return the answer if a limit is reached."""
        self._count += 1
        self._bytes += 64 + sum(_size(cell) for cell in row)
        if self._most_rows is not None and self._count > self._most_rows:
            return {"error": "too_many_rows", "text": f"more than {self._most_rows} rows"}
        if self._bytes > self._most_bytes:
            return {"error": "too_large", "text": f"more than {self._most_bytes} bytes"}
        self._rows.append([_plain(cell) for cell in row])
        if self._bytes - self._sent_bytes > _PART_BYTES:
            self.flush()
        return None

    def flush(self) -> None:
        """Send the rows that are not sent yet."""
        _write({"rows": self._rows})
        self._rows, self._sent_bytes = [], self._bytes


def _fault(fault: Exception, late: bool) -> dict[str, Any]:
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    text = str(fault)
    if code == sqlite3.SQLITE_INTERRUPT and late:
        return {"error": "timeout", "text": text}
    if code in (sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_FULL):
        return {"error": "too_large", "text": text}
    if code in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY) or "may not be modified" in text:
        return {"error": "not_read_only", "text": text}
    return {"error": "sql_error", "text": text}


def _size(cell: object) -> int:
    return 16 + (2 * len(cell) if isinstance(cell, str | bytes) else 0)


def _plain(cell: object) -> object:
    if isinstance(cell, bytes):
        return {"$bytes": cell.hex()}
    if isinstance(cell, float) and math.isinf(cell):
        return {"$float": str(cell)}
    return cell


def _write(answer: dict[str, Any]) -> None:
    data = memoryview((json.dumps(answer) + "\n").encode())
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()
