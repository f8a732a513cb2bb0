"""The turns of conversations in a local SQLite file, so that a thread survives reload and restart.

A thread belongs to its owner by key: another owner's thread of the same id is another thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ..answer_events import Event
from ..local_database import LocalDatabase

TITLE_CHARS: Final = 60
"""Longest title of a thread, which is its first question."""
MOST_LISTED: Final = 100
"""Threads that are listed, the newest ones."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS threads (
    owner TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL, updated_at TEXT NOT NULL,
    PRIMARY KEY (owner, id)
);
CREATE TABLE IF NOT EXISTS turns (
    owner TEXT NOT NULL, thread TEXT NOT NULL, position INTEGER NOT NULL, run_id TEXT NOT NULL,
    workflow TEXT NOT NULL, question TEXT NOT NULL, final TEXT NOT NULL, asked_at TEXT NOT NULL,
    PRIMARY KEY (owner, thread, position)
);
CREATE UNIQUE INDEX IF NOT EXISTS turns_run ON turns (owner, run_id);
"""


@dataclass(frozen=True)
class ChatTurn:
    """A question with its complete answer."""

    run_id: str
    workflow: str
    """What gave the answer."""
    question: str
    final: Event
    """The last event of the run; see `answer_events`."""
    asked_at: str = ""
    """ISO 8601 in UTC."""


@dataclass(frozen=True)
class Thread:
    """A conversation in the list."""

    id: str
    title: str
    updated_at: str
    """ISO 8601 in UTC."""


class Transcript:
    """Threads and their turns in one SQLite file.

    Args:
        path: The file; `:memory:` for none.
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        """Open the file."""
        self._database = LocalDatabase(path, _SCHEMA)

    def threads(self, owner: str) -> list[Thread]:
        """List the owner's threads, the newest first, at most `MOST_LISTED`."""
        rows = self._database.rows(
            "SELECT id, title, updated_at FROM threads WHERE owner = ? "
            "ORDER BY updated_at DESC, rowid DESC LIMIT ?",
            (owner, MOST_LISTED),
        )
        return [Thread(*row) for row in rows]

    def turns(self, owner: str, thread_id: str) -> list[ChatTurn]:
        """Return the turns of a thread in order; none if the owner has no such thread."""
        return self._turns("owner = ? AND thread = ? ORDER BY position", (owner, thread_id))

    def all_turns(self, owner: str) -> list[ChatTurn]:
        """Return the turns of all threads of an owner, the oldest first."""
        return self._turns("owner = ? ORDER BY asked_at, rowid", (owner,))

    def everyones_turns(self) -> list[tuple[str, ChatTurn]]:
        """Return the turns of all owners with their owner, the oldest first."""
        rows = self._database.rows(
            "SELECT owner, run_id, workflow, question, final, asked_at FROM turns "
            "ORDER BY asked_at, rowid"
        )
        return [(owner, ChatTurn(run, flow, asked, json.loads(final), at))
                for owner, run, flow, asked, final, at in rows]  # fmt: skip

    def turn(self, owner: str, run_id: str) -> ChatTurn | None:
        """Return the turn of a run; None if the owner has none."""
        return next(iter(self._turns("owner = ? AND run_id = ?", (owner, run_id))), None)

    def append(self, owner: str, thread_id: str, turn: ChatTurn) -> None:
        """Add a turn to the end of a thread; its first turn makes the thread."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        title = " ".join(turn.question.split())
        title = title if len(title) <= TITLE_CHARS else f"{title[: TITLE_CHARS - 1]}…"
        final = json.dumps(turn.final, ensure_ascii=False)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO threads VALUES (?, ?, ?, ?) "
                "ON CONFLICT (owner, id) DO UPDATE SET updated_at = excluded.updated_at",
                (owner, thread_id, title, now),
            )
            connection.execute(
                "INSERT INTO turns SELECT ?, ?, COALESCE(MAX(position) + 1, 0), ?, ?, ?, ?, ? "
                "FROM turns WHERE owner = ? AND thread = ?",
                (owner, thread_id, turn.run_id, turn.workflow, turn.question, final,
                 turn.asked_at or now, owner, thread_id),
            )  # fmt: skip

    def replace(self, owner: str, turn: ChatTurn) -> None:
        """Store the new end of a turn that had waited for a person's decision."""
        final = json.dumps(turn.final, ensure_ascii=False)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE turns SET final = ? WHERE owner = ? AND run_id = ?",
                (final, owner, turn.run_id),
            )

    def keep_first(self, owner: str, thread_id: str, count: int) -> None:
        """Remove all turns of a thread but the first ones; a thread without turns is removed."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM turns WHERE owner = ? AND thread = ? AND position >= ?",
                (owner, thread_id, count),
            )
            if count <= 0:
                connection.execute(
                    "DELETE FROM threads WHERE owner = ? AND id = ?", (owner, thread_id)
                )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _turns(self, where: str, values: tuple[object, ...]) -> list[ChatTurn]:
        rows = self._database.rows(
            f"SELECT run_id, workflow, question, final, asked_at FROM turns WHERE {where}", values
        )
        return [ChatTurn(run, flow, asked, json.loads(final), at)
                for run, flow, asked, final, at in rows]  # fmt: skip
