"""Running SQL that nobody trusts: read-only, within limits of time, memory, rows and bytes.

SQLite runs in a process of its own (`sql_child`). Inside one process no limit would be certain: a
single instruction such as `instr` over long texts is not interrupted, and a row of many long values
is built before it can be counted. Here a statement that does not end is killed with its process,
which costs some 50 ms, and the next statement starts a new one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ...errors import ConfigError, DataError, DataNotFoundError, UnreadableFileError

_CHILD = Path(__file__).with_name("sql_child.py")
_HEADER: Final = b"SQLite format 3\0"
_WRITE_AHEAD: Final = 2
"""Byte 18 of the header of a database with a write-ahead log (sqlite.org/fileformat2.html)."""
_CODE_BYTES: Final = 16 << 20
"""Pages of the interpreter's own code, which the limit of a process's data does not count."""
_GRACE_S: Final = 0.2
"""From the limit, at which SQLite interrupts itself, to the end of the process."""
_START_S: Final = 60.0


@dataclass(frozen=True)
class SqlLimits:
    """Limits of one statement; what exceeds one fails."""

    timeout_s: float = 5.0
    """Seconds, above 0; a statement that SQLite cannot interrupt is killed 0.2 s later."""
    rows: int | None = None
    """Most rows of a result, 0 or more; None sets no limit but that of bytes."""
    bytes: int = 8 << 20
    """Most bytes of a result, counted as 64 per row, 16 per cell and 2 per character of a text, as
    they take in memory; also most bytes of one value."""
    memory_bytes: int = 64 << 20
    """Most memory of the process that runs SQLite, 48 MiB or more: by the operating system on
    Linux, by SQLite's heap limit anywhere."""
    characters: int = 100_000
    """Most characters of a statement, 1 or more."""

    def __post_init__(self) -> None:
        """Refuse settings out of range, all at once."""
        checks = (
            ("timeout_s", 0 < self.timeout_s < 1e6, "above 0"),
            ("rows", self.rows is None or self.rows >= 0, "0 or more, or None"),
            ("bytes", self.bytes >= 1, "1 or more"),
            ("memory_bytes", self.memory_bytes >= 48 << 20, "48 MiB or more"),
            ("characters", self.characters >= 1, "1 or more"),
        )
        faults = [
            f"{name} is {getattr(self, name)!r}; allowed is {allowed}"
            for name, fine, allowed in checks
            if not fine
        ]
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True)
class QueryResult:
    """What became of one statement."""

    rows: list[list[Any]] | None
    """The rows; None if it failed. A blob is `{"$bytes": hex}`, an infinity `{"$float": "inf"}`."""
    error: str | None = None
    """None, or `timeout`, `too_many_rows`, `too_large`, `not_read_only`, `sql_error: <text>`."""


class SqlSandbox:
    """One database and the process that reads it; statements of several threads wait in line."""

    def __init__(self, db_path: str | Path, limits: SqlLimits | None = None) -> None:
        """Check the file; the process starts with the first statement.

        Raises:
            DataNotFoundError: There is no such file.
            UnreadableFileError: It is no SQLite database.
        """
        self.path = Path(db_path)
        self.limits = limits or SqlLimits()
        self._uri = _read_only_uri(self.path)
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def run(self, sql: str) -> QueryResult:
        """Run one statement.

        Args:
            sql: A statement, without others beside it.

        Raises:
            DataError: The database cannot be opened.
        """
        if len(sql) > self.limits.characters:
            return QueryResult(None, "too_large")
        with self._lock:
            process = self._started()
            return self._answered(process, sql)

    @property
    def pid(self) -> int | None:
        """Id of the process, if one is running."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process; the next statement starts another."""
        with self._lock:
            self._end()

    def __enter__(self) -> SqlSandbox:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def __del__(self) -> None:
        """End the process of a sandbox that nobody has closed."""
        if getattr(self, "_process", None) is not None:
            self._end()

    def _started(self) -> subprocess.Popen[str]:
        """Give the running process, or start one."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        limits = self.limits
        data = limits.memory_bytes - _CODE_BYTES
        settings = {
            "uri": self._uri,
            "timeout_s": limits.timeout_s,
            "rows": limits.rows,
            "bytes": limits.bytes,
            "value_bytes": limits.bytes,
            "memory_bytes": data,
            "heap_bytes": data // 2,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_CHILD), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="ascii",
        )
        lines, late = self._exchange(self._process, None, _START_S)
        last = lines[-1] if lines else {"text": "its process did not start"}
        if late or not lines or last["error"]:
            self._end()
            raise DataError(
                f"SQLite cannot open this database read-only: {last.get('text')}; if it was not "
                "closed properly, open and close it once with sqlite3",
                path=self.path,
            )
        return self._process

    def _answered(self, process: subprocess.Popen[str], sql: str) -> QueryResult:
        lines, late = self._exchange(process, sql, self.limits.timeout_s + _GRACE_S)
        if not lines or "error" not in lines[-1]:
            process.kill()
            code = process.wait()
            self._end()
            dead = f"sql_error: the process that ran it ended with code {code}"
            return QueryResult(None, "timeout" if late else dead)
        if late:  # it was killed just after it had answered
            self._end()
        error = lines[-1]["error"]
        if error is None:
            return QueryResult([row for line in lines[:-1] for row in line["rows"]])
        return QueryResult(
            None, f"sql_error: {lines[-1]['text']}" if error == "sql_error" else error
        )

    def _exchange(
        self, process: subprocess.Popen[str], sql: str | None, seconds: float
    ) -> tuple[list[dict[str, Any]], bool]:
        """Send a statement and read the lines of its answer; say whether the process was killed."""
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(seconds, stop)
        clock.daemon = True
        clock.start()
        lines: list[dict[str, Any]] = []
        try:
            if sql is not None:
                process.stdin.write(json.dumps(sql) + "\n")
                process.stdin.flush()
            while (line := process.stdout.readline()).endswith("\n"):
                lines.append(json.loads(line))
                if "error" in lines[-1]:
                    break
        except OSError:  # the process is gone
            pass
        finally:
            clock.cancel()
        return lines, late.is_set()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:  # what was not sent to a dead process
                pass
        process.wait()


def _read_only_uri(path: Path) -> str:
    """Write the address that opens a database without writing beside it."""
    if not path.exists():
        raise DataNotFoundError(f"{path}: no such database file; check the spelling")
    if not path.is_file():
        raise UnreadableFileError("this is a folder, not a SQLite file", path=path)
    with path.open("rb") as stream:
        header = stream.read(20)
    if not header.startswith(_HEADER):
        raise UnreadableFileError("this is not a SQLite file", path=path)
    log = path.with_name(f"{path.name}-wal")
    # Reading a write-ahead log makes files beside the database; without a log there is no need.
    complete = header[18] == _WRITE_AHEAD and not (log.exists() and log.stat().st_size)
    return f"{path.absolute().as_uri()}?mode=ro" + ("&immutable=1" if complete else "")
