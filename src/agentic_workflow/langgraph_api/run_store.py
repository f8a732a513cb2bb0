"""The tables of threads, runs and events, beside those of the checkpoints in the same database.

A thread has at most one run in progress; others may wait for it, and start in the order in which
they came. The process that executes a run holds it for `lease_s` seconds at a time; every event it
stores and the end of the run are written under that hold, so that a process which stalled until
another took the run over adds nothing any more. Events of a thread are numbered by a counter in the
thread's row; the row is locked until the events are stored, so a reader that saw number n has
missed none below n.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..threads.sql_store import Database, Execute
from .wire import to_json

ACTIVE = ("pending", "running")
"""Statuses of a run that has not ended."""


class RunLostError(RuntimeError):
    """The run was taken over by another process, or deleted."""


class ThreadRow(NamedTuple):
    """One thread of one owner."""

    key: str
    created: float
    """Seconds since 1970."""
    updated: float
    seq: int
    """Number of the newest event."""
    status: str
    """`idle`, `busy`, `interrupted` or `error`."""
    metadata: str
    """JSON object."""
    state: str
    """JSON of the newest state, without interrupts; `null` before the first run."""
    interrupts: str
    """JSON object: task id -> interrupts that wait for an answer."""


class RunRow(NamedTuple):
    """One run."""

    run_id: str
    key: str
    """Its thread."""
    created: float
    updated: float
    status: str
    """`pending`, `running`, `success`, `error` or `interrupted`."""
    assistant_id: str
    metadata: str
    """JSON object."""
    request: str
    """JSON of what the run was started with."""
    output: str
    """JSON of the last state, with interrupts; or `{"__error__": ...}`."""
    attempt: int
    cancel: str
    """`interrupt` or `rollback` where it is to be cancelled."""


class EventRow(NamedTuple):
    """One stored event."""

    seq: int
    run_id: str
    method: str
    namespace: str
    """Path of the subgraph, JSON list."""
    body: str
    """JSON."""
    at: float
    """When it happened, in seconds since 1970."""


class NewEvent(NamedTuple):
    """An event to be stored."""

    method: str
    namespace: str
    body: str
    at: float


_THREAD = ", ".join(ThreadRow._fields)
_RUN = ", ".join(RunRow._fields)
_EVENT = ", ".join(EventRow._fields)
_SORTS = ("created", "updated", "status", "key")


def _schema(database: Database) -> list[str]:
    real = database.real
    return [
        f"""CREATE TABLE IF NOT EXISTS api_threads (
            key TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            created {real} NOT NULL,
            updated {real} NOT NULL,
            seq BIGINT NOT NULL,
            status TEXT NOT NULL,
            metadata TEXT NOT NULL,
            state TEXT NOT NULL,
            interrupts TEXT NOT NULL)""",
        "CREATE INDEX IF NOT EXISTS api_threads_owner ON api_threads (owner, updated)",
        f"""CREATE TABLE IF NOT EXISTS api_runs (
            run_id TEXT PRIMARY KEY,
            key TEXT NOT NULL,
            created {real} NOT NULL,
            updated {real} NOT NULL,
            status TEXT NOT NULL,
            assistant_id TEXT NOT NULL,
            metadata TEXT NOT NULL,
            request TEXT NOT NULL,
            output TEXT NOT NULL,
            attempt BIGINT NOT NULL,
            cancel TEXT NOT NULL,
            number BIGINT NOT NULL,
            holder TEXT NOT NULL,
            expires {real} NOT NULL)""",
        "CREATE INDEX IF NOT EXISTS api_runs_thread ON api_runs (key, number)",
        "CREATE INDEX IF NOT EXISTS api_runs_active ON api_runs (status, expires)",
        f"""CREATE TABLE IF NOT EXISTS api_events (
            key TEXT NOT NULL,
            seq BIGINT NOT NULL,
            run_id TEXT NOT NULL,
            method TEXT NOT NULL,
            namespace TEXT NOT NULL,
            body TEXT NOT NULL,
            at {real} NOT NULL,
            PRIMARY KEY (key, seq))""",
        "CREATE INDEX IF NOT EXISTS api_events_run ON api_events (run_id)",
    ]


class RunStore:
    """Threads, runs and events in an SQL database; its calls may block.

    Args:
        database: A database of `threads.open_store`.
    """

    def __init__(self, database: Database) -> None:
        """Create missing tables."""
        self.database = database
        database.create_tables(_schema(database))

    @property
    def _now(self) -> str:
        return self.database.now

    def add_thread(
        self, key: str, owner: str, metadata: Mapping[str, Any], status: str = "idle"
    ) -> ThreadRow | None:
        """Make a thread; None where there is one of that name already."""
        now = self._now
        with self.database.transaction() as execute:
            rows = execute(
                "INSERT INTO api_threads "
                "(key, owner, created, updated, seq, status, metadata, state, interrupts) "
                f"VALUES (?, ?, {now}, {now}, 0, ?, ?, 'null', '{{}}') "
                f"ON CONFLICT (key) DO NOTHING RETURNING {_THREAD}",
                (key, owner, status, to_json(metadata)),
            )
        return ThreadRow(*rows[0]) if rows else None

    def thread(self, key: str) -> ThreadRow | None:
        """Return a thread."""
        rows = self._read(f"SELECT {_THREAD} FROM api_threads WHERE key = ?", (key,))
        return ThreadRow(*rows[0]) if rows else None

    def threads_of(
        self,
        owner: str,
        status: str | None = None,
        sort_by: str = "updated",
        *,
        descending: bool = True,
        page: tuple[int, int] = (0, 100),
    ) -> list[ThreadRow]:
        """List an owner's threads.

        Args:
            owner: The owner.
            status: Only those of a status.
            sort_by: Column to sort by.
            descending: Largest first.
            page: Number of threads to skip, and most threads to return.
        """
        if sort_by not in _SORTS:
            raise ValueError(f"sort_by is {sort_by!r}; allowed are {_SORTS}")
        order = "DESC" if descending else "ASC"
        where, values = ("AND status = ?", [status]) if status else ("", [])
        rows = self._read(
            f"SELECT {_THREAD} FROM api_threads WHERE owner = ? {where} "
            f"ORDER BY {sort_by} {order}, key LIMIT ? OFFSET ?",
            [owner, *values, page[1], page[0]],
        )
        return [ThreadRow(*row) for row in rows]

    def update_thread(
        self,
        key: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        state: str | None = None,
        interrupts: str | None = None,
        status: str | None = None,
    ) -> ThreadRow | None:
        """Change a thread; metadata are merged into those that are there."""
        with self.database.transaction() as execute:
            if not self._locked(execute, key):
                return None
            _change_thread(execute, key, metadata, state, interrupts, status)
            rows = execute(f"SELECT {_THREAD} FROM api_threads WHERE key = ?", (key,))
        return ThreadRow(*rows[0])

    def delete_thread(self, key: str) -> bool:
        """Delete a thread with its runs and events; False where there is none."""
        with self.database.transaction() as execute:
            gone = execute("DELETE FROM api_threads WHERE key = ? RETURNING key", (key,))
            execute("DELETE FROM api_runs WHERE key = ?", (key,))
            execute("DELETE FROM api_events WHERE key = ?", (key,))
        return bool(gone)

    def add_run(
        self, run: RunRow, holder: str, lease_s: float, kept_runs: int, most_waiting: int = 0
    ) -> tuple[RunRow | None, int]:
        """Start a run, held by a process, unless another one of the thread is in progress.

        With `most_waiting` the run waits for that one, with the status `pending`, unless so many
        wait already; `start_waiting` starts it.

        Args:
            run: The run; its times are set here.
            holder: The process.
            lease_s: How long it is held, in seconds.
            kept_runs: Events of older runs than so many are deleted.
            most_waiting: Runs that may wait; 0: none.

        Returns:
            The run that is in progress, if this one was not added; and the number of the thread's
            newest event before this run.
        """
        now = self._now
        with self.database.transaction() as execute:
            seq = self._locked(execute, run.key)
            if not seq:
                raise RunLostError(run.key)
            busy = execute(
                f"SELECT {_RUN} FROM api_runs WHERE key = ? AND status IN ('pending', 'running') "
                "ORDER BY number",
                (run.key,),
            )
            if len(busy) > most_waiting:
                return RunRow(*busy[0]), seq[0]
            status, seconds = ("pending", 0.0) if busy else (run.status, lease_s)
            # A number of its own, so that runs which wait are told apart by age.
            (number,) = execute(
                "UPDATE api_threads SET seq = seq + ? WHERE key = ? RETURNING seq",
                (int(bool(most_waiting)), run.key),
            )[0]
            execute(
                f"INSERT INTO api_runs ({_RUN}, number, holder, expires) "
                f"VALUES (?, ?, {now}, {now}, ?, ?, ?, ?, ?, ?, ?, ?, ?, {now} + ?)",
                (run.run_id, run.key, status, *run[5:], number, "" if busy else holder, seconds),
            )
            graph = json.loads(run.request)["graph_id"]
            about = {"graph_id": graph, "assistant_id": run.assistant_id}
            _change_thread(execute, run.key, about, None, "{}", "busy")
            old = execute(
                "SELECT run_id FROM api_runs WHERE key = ? "
                "AND status NOT IN ('pending', 'running') "
                "ORDER BY number DESC LIMIT 1000 OFFSET ?",
                (run.key, kept_runs - 1),
            )
            for (run_id,) in old:
                execute("DELETE FROM api_events WHERE run_id = ?", (run_id,))
        return None, seq[0]

    def run(self, key: str, run_id: str) -> RunRow | None:
        """Return a run of a thread."""
        rows = self._read(
            f"SELECT {_RUN} FROM api_runs WHERE run_id = ? AND key = ?", (run_id, key)
        )
        return RunRow(*rows[0]) if rows else None

    def runs_of(
        self, key: str, status: str | None = None, page: tuple[int, int] = (0, 10)
    ) -> list[RunRow]:
        """List the runs of a thread, newest first; `page` as in `threads_of`."""
        where, values = ("AND status = ?", [status]) if status else ("", [])
        rows = self._read(
            f"SELECT {_RUN} FROM api_runs WHERE key = ? {where} "
            "ORDER BY number DESC LIMIT ? OFFSET ?",
            [key, *values, page[1], page[0]],
        )
        return [RunRow(*row) for row in rows]

    def delete_run(self, key: str, run_id: str) -> bool:
        """Delete a run that has ended, with its events; False where there is none."""
        with self.database.transaction() as execute:
            gone = execute(
                "DELETE FROM api_runs WHERE run_id = ? AND key = ? "
                "AND status NOT IN ('pending', 'running') RETURNING run_id",
                (run_id, key),
            )
            if gone:
                execute("DELETE FROM api_events WHERE run_id = ?", (run_id,))
        return bool(gone)

    def add_events(self, run: RunRow, holder: str, events: Sequence[NewEvent]) -> int:
        """Store events of a run; return the number of the last one.

        Raises:
            RunLostError: The process does not hold the run any more.
        """
        with self.database.transaction(durable=False) as execute:
            return self._add_events(execute, run, holder, events)

    def end_run(
        self,
        run: RunRow,
        holder: str,
        status: str,
        output: str,
        events: Sequence[NewEvent],
        *,
        state: str | None = None,
        interrupts: str = "{}",
        thread_status: str = "idle",
    ) -> int:
        """Store the last events of a run and its result; return the last event's number.

        Raises:
            RunLostError: The process does not hold the run any more.
        """
        with self.database.transaction() as execute:
            last = self._add_events(execute, run, holder, events)
            execute(
                f"UPDATE api_runs SET status = ?, output = ?, holder = '', updated = {self._now} "
                "WHERE run_id = ?",
                (status, output, run.run_id),
            )
            _change_thread(execute, run.key, None, state, interrupts, thread_status)
        return last

    def events(
        self, key: str, after: int, run_id: str | None = None, limit: int = 200
    ) -> list[EventRow]:
        """Return stored events of a thread, or of one of its runs, with numbers above `after`."""
        where, values = ("AND run_id = ?", [run_id]) if run_id else ("", [])
        rows = self._read(
            f"SELECT {_EVENT} FROM api_events WHERE key = ? AND seq > ? {where} "
            "ORDER BY seq LIMIT ?",
            [key, after, *values, limit],
        )
        return [EventRow(*row) for row in rows]

    def count_events(self, run_id: str) -> int:
        """Count the stored events of a run."""
        rows = self._read("SELECT count(*) FROM api_events WHERE run_id = ?", (run_id,))
        return int(rows[0][0])

    def newest(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the numbers of the newest events of threads."""
        rows = self._read(
            f"SELECT key, seq FROM api_threads WHERE key {self.database.in_list}",
            [self.database.list_parameter(keys)],
        )
        return {key: int(seq) for key, seq in rows}

    def ask_to_cancel(self, key: str, run_id: str, action: str) -> bool:
        """Mark a run that is in progress; False where it is not."""
        with self.database.transaction() as execute:
            return bool(
                execute(
                    "UPDATE api_runs SET cancel = ? WHERE run_id = ? AND key = ? "
                    "AND status IN ('pending', 'running') RETURNING run_id",
                    (action, run_id, key),
                )
            )

    def renew(self, holder: str, run_ids: Sequence[str], lease_s: float) -> dict[str, str]:
        """Hold runs longer; return those that the process holds, with how to cancel each."""
        with self.database.transaction(durable=False) as execute:
            rows = execute(
                f"UPDATE api_runs SET expires = {self._now} + ? WHERE holder = ? "
                f"AND status = 'running' AND run_id {self.database.in_list} "
                "RETURNING run_id, cancel",
                (lease_s, holder, self.database.list_parameter(run_ids)),
            )
        return dict(rows)

    def release(self, holder: str) -> None:
        """Give back all runs of a process, so that another one takes them over at once."""
        with self.database.transaction() as execute:
            execute(
                "UPDATE api_runs SET expires = 0, holder = '' "
                "WHERE holder = ? AND status = 'running'",
                (holder,),
            )

    def start_waiting(
        self, holder: str, lease_s: float, limit: int, key: str | None = None
    ) -> list[RunRow]:
        """Start the oldest waiting run of each thread that has none in progress.

        Args:
            holder: The process.
            lease_s: How long they are held, in seconds.
            limit: Most runs to start.
            key: Of one thread only.
        """
        now, where = self._now, "AND key = ?" if key is not None else ""
        values = [] if key is None else [key]
        free = (
            f"SELECT DISTINCT key FROM api_runs AS waiting WHERE status = 'pending' {where} "
            "AND NOT EXISTS "
            "(SELECT 1 FROM api_runs WHERE key = waiting.key AND status = 'running') LIMIT ?"
        )
        started: list[RunRow] = []
        for (one,) in self._read(free, [*values, limit]):
            with self.database.transaction() as execute:
                if not self._locked(execute, one):
                    continue
                rows = execute(
                    f"UPDATE api_runs SET status = 'running', holder = ?, expires = {now} + ?, "
                    f"updated = {now} WHERE run_id = (SELECT run_id FROM api_runs WHERE key = ? "
                    "AND status = 'pending' ORDER BY number LIMIT 1) AND NOT EXISTS (SELECT 1 "
                    "FROM api_runs WHERE key = ? AND status = 'running') "
                    f"RETURNING {_RUN}",
                    (holder, lease_s, one, one),
                )
                started += [RunRow(*row) for row in rows]
                if rows:
                    _change_thread(execute, one, None, None, "{}", "busy")
        return started

    def drop_waiting(self, key: str, run_id: str, events: Sequence[NewEvent], output: str) -> bool:
        """End a run that waits, as it was cancelled; False where it does not wait (any more)."""
        with self.database.transaction() as execute:
            if not self._locked(execute, key):
                return False
            dropped = execute(
                f"UPDATE api_runs SET status = 'interrupted', output = ?, updated = {self._now} "
                "WHERE run_id = ? AND key = ? AND status = 'pending' RETURNING run_id",
                (output, run_id, key),
            )
            if dropped:
                self._insert_events(execute, key, run_id, events)
        return bool(dropped)

    def take_over(self, holder: str, lease_s: float, limit: int) -> list[RunRow]:
        """Take runs whose process has not renewed them in time."""
        now = self._now
        if not self._read(
            f"SELECT run_id FROM api_runs WHERE status = 'running' AND expires < {now} LIMIT 1", ()
        ):
            return []
        with self.database.transaction() as execute:
            found = execute(
                f"SELECT run_id FROM api_runs WHERE status = 'running' AND expires < {now} "
                "ORDER BY created LIMIT ?",
                (limit,),
            )
            taken = []
            for (run_id,) in found:  # each only if no other process took it meanwhile
                taken += execute(
                    f"UPDATE api_runs SET holder = ?, expires = {now} + ?, attempt = attempt + 1 "
                    f"WHERE run_id = ? AND status = 'running' AND expires < {now} RETURNING {_RUN}",
                    (holder, lease_s, run_id),
                )
        return [RunRow(*row) for row in taken]

    def _add_events(
        self, execute: Execute, run: RunRow, holder: str, events: Sequence[NewEvent]
    ) -> int:
        """Lock the thread, check that the run is still held, and number the events.

        The thread's row is always locked before a run's, so that two processes never wait for each
        other.
        """
        there = self._locked(execute, run.key)
        held = execute(
            f"UPDATE api_runs SET updated = {self._now} "
            "WHERE run_id = ? AND holder = ? AND status = 'running' RETURNING run_id",
            (run.run_id, holder),
        )
        if not there or not held:
            raise RunLostError(run.run_id)
        return self._insert_events(execute, run.key, run.run_id, events)

    def _insert_events(
        self, execute: Execute, key: str, run_id: str, events: Sequence[NewEvent]
    ) -> int:
        """Number events of a thread whose row is locked; return the last one's number."""
        rows = execute(
            f"UPDATE api_threads SET seq = seq + ?, updated = {self._now} WHERE key = ? "
            "RETURNING seq",
            (len(events), key),
        )
        last = int(rows[0][0])
        for number, event in enumerate(events, last - len(events) + 1):
            execute(
                f"INSERT INTO api_events (key, {_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, number, run_id, *event),
            )
        return last

    def _locked(self, execute: Execute, key: str) -> list[int]:
        """Lock a thread's row; return the number of its newest event, or nothing."""
        rows = execute("UPDATE api_threads SET seq = seq WHERE key = ? RETURNING seq", (key,))
        return [int(seq) for (seq,) in rows]

    def _read(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.database.transaction(write=False) as execute:
            return execute(statement, values)


def _change_thread(
    execute: Execute,
    key: str,
    metadata: Mapping[str, Any] | None,
    state: str | None,
    interrupts: str | None,
    status: str | None,
) -> None:
    """Change a thread whose row is locked."""
    changes: dict[str, Any] = {"state": state, "interrupts": interrupts, "status": status}
    if metadata:
        rows = execute("SELECT metadata FROM api_threads WHERE key = ?", (key,))
        changes["metadata"] = to_json({**json.loads(rows[0][0]), **metadata})
    given = {column: value for column, value in changes.items() if value is not None}
    for column, value in given.items():
        execute(f"UPDATE api_threads SET {column} = ? WHERE key = ?", (value, key))
