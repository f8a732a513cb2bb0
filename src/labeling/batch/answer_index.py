"""Where in a journal its answers stand: an index on disk, since there may be millions of them.

The index is a temporary SQLite database of one process, made anew from the journal whenever that is
opened, so there is nothing in it that a crash could lose or leave behind. It takes some 100 bytes
of disk and no memory for an answer.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

_CACHE_KIB: Final = 16 << 10
_MAKE: Final = """
create table answers (key text primary key, start integer, length integer, calls integer not null)
    without rowid
"""
_PUT: Final = """
insert into answers values (?1, ?2, ?3, 1)
    on conflict do update set start = ?2, length = ?3, calls = calls + 1
"""
_END: Final = """
insert into answers values (?1, null, null, 1) on conflict do update set calls = calls + 1
"""


@dataclass(frozen=True)
class LinePlace:
    """A line of a file, in bytes."""

    start: int
    length: int


class AnswerIndex:
    """The newest answer to each key, and how many of its calls have ended."""

    def __init__(self) -> None:
        """Begin without answers."""
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("pragma journal_mode = off")
        self._database.execute(f"pragma cache_size = -{_CACHE_KIB}")
        self._database.execute(_MAKE)
        self._database.execute("begin")  # never ended: the database is not kept

    def calls(self, key: str) -> int:
        """Return how many calls have ended."""
        found = self._database.execute("select calls from answers where key = ?", (key,)).fetchone()
        return 0 if found is None else int(found[0])

    def place(self, key: str) -> LinePlace | None:
        """Return where the answer stands; None if there is none."""
        found = self._database.execute(
            "select start, length from answers where key = ? and start is not null", (key,)
        ).fetchone()
        return None if found is None else LinePlace(*found)

    def answered(self, key: str, place: LinePlace) -> None:
        """Note that a call has ended with an answer."""
        self._database.execute(_PUT, (key, place.start, place.length))

    def ended(self, key: str) -> None:
        """Note that a call has ended without one."""
        self._database.execute(_END, (key,))

    def forget(self, key: str) -> None:
        """Drop the answer, but not the number of calls."""
        self._database.execute(
            "update answers set start = null, length = null where key = ?", (key,)
        )

    def close(self) -> None:
        """Delete the index."""
        self._database.close()
