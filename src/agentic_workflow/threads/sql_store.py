"""Threads in an SQL database: the statements, one for SQLite and PostgreSQL alike.

Three tables. `threads` has a row per thread with its lease; `checkpoints` and `writes` have the
state. A turn is one transaction: the lease is checked, the rows go in, the lease is given back.
Checkpoints are numbered as they are stored, and the last one is the head: ids hold the clock of
the machine that made them, and clocks differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ...errors import LeaseLostError, ThreadBusyError
from .rows import Change, CheckpointRow, Lease, Link, Place, Wanted, WriteRow

Execute = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Run one statement with `?` for its parameters; give the rows it returns."""


class Database(Protocol):
    """What differs between the databases."""

    blocking: bool
    shared: bool
    blob: str
    """Column type for bytes."""
    serial: str
    """Column type for a number that grows with every row."""
    real: str
    """Column type for seconds."""
    now: str
    """Expression for the seconds since 1970; the same clock for all who use the database."""
    among: str
    """Predicate that a column is in a list, which is one parameter."""

    def listing(self, values: Sequence[str]) -> object:
        """Make the parameter for `among`."""

    def transaction(self, *, write: bool = True, lasting: bool = True) -> Transaction:
        """Open a transaction; it is committed when the block ends well, else rolled back.

        Args:
            write: It will write.
            lasting: What it writes must survive a power cut.
        """

    def close(self) -> None:
        """Close all connections."""


Transaction = AbstractContextManager[Execute]

_COLUMNS = "thread_id, ns, id, parent_id, channels, run_id, body, metadata"
_WRITES = "thread_id, ns, checkpoint_id, task_id, idx, task_path, channel, body"
_FREE = "(threads.holder = '' OR threads.expires < {now})"
_MOST = 500
"""Addresses in one statement."""


def schema(database: Database) -> list[str]:
    """Give the statements that make the tables, where they are not there yet."""
    return [
        f"""CREATE TABLE IF NOT EXISTS threads (
            thread_id TEXT PRIMARY KEY,
            fence BIGINT NOT NULL,
            holder TEXT NOT NULL,
            expires {database.real} NOT NULL,
            used {database.real} NOT NULL)""",
        f"""CREATE TABLE IF NOT EXISTS checkpoints (
            number {database.serial},
            thread_id TEXT NOT NULL,
            ns TEXT NOT NULL,
            id TEXT NOT NULL,
            parent_id TEXT,
            channels TEXT NOT NULL,
            run_id TEXT,
            body {database.blob} NOT NULL,
            metadata {database.blob} NOT NULL,
            UNIQUE (thread_id, ns, id))""",
        "CREATE INDEX IF NOT EXISTS checkpoints_head ON checkpoints (thread_id, ns, number)",
        "CREATE INDEX IF NOT EXISTS checkpoints_run ON checkpoints (run_id)",
        f"""CREATE TABLE IF NOT EXISTS writes (
            thread_id TEXT NOT NULL,
            ns TEXT NOT NULL,
            checkpoint_id TEXT NOT NULL,
            task_id TEXT NOT NULL,
            idx BIGINT NOT NULL,
            task_path TEXT NOT NULL,
            channel TEXT NOT NULL,
            body {database.blob} NOT NULL,
            PRIMARY KEY (thread_id, ns, checkpoint_id, task_id, idx))""",
    ]


class SqlStore:
    """Threads in an SQL database."""

    def __init__(self, database: Database) -> None:
        """Take a database whose tables are there."""
        self._database = database
        self._now = database.now
        self.blocking = database.blocking
        """Whether calls wait for a disk or a network, and must stay out of an event loop."""
        self.shared = database.shared
        """Whether other processes may use the same threads, so that leases must be renewed."""

    def take(self, thread_id: str, holder: str, lease_s: float) -> int | None:
        """Take the lease of a thread if it is free or run out; give its fence, else None."""
        now = self._now
        with self._database.transaction(lasting=False) as execute:
            rows = execute(
                "INSERT INTO threads (thread_id, fence, holder, expires, used) "
                f"VALUES (?, 1, ?, {now} + ?, {now}) ON CONFLICT (thread_id) DO UPDATE SET "
                "fence = threads.fence + 1, holder = excluded.holder, expires = excluded.expires "
                f"WHERE {_FREE.format(now=now)} RETURNING fence",
                (thread_id, holder, lease_s),
            )
        return int(rows[0][0]) if rows else None

    def renew(self, leases: Sequence[Lease], lease_s: float) -> None:
        """Let leases run for `lease_s` seconds from now, as far as they are still held."""
        with self._database.transaction(lasting=False) as execute:
            for lease in leases:
                execute(
                    f"UPDATE threads SET expires = {self._now} + ? "
                    "WHERE thread_id = ? AND holder = ?",
                    (lease_s, lease.thread_id, lease.holder),
                )

    def release(self, thread_id: str, holder: str) -> None:
        """Give a lease back."""
        with self._database.transaction(lasting=False) as execute:
            execute(
                "UPDATE threads SET holder = '' WHERE thread_id = ? AND holder = ?",
                (thread_id, holder),
            )

    def commit(self, thread_id: str, change: Change, lease: Lease | None, release: bool) -> None:
        """Store a change, whole or not at all.

        Args:
            thread_id: The thread.
            change: The rows.
            lease: The writer's lease; None for a write outside a turn.
            release: Give the lease back in the same step.

        Raises:
            LeaseLostError: The lease was taken over.
            ThreadBusyError: There is no lease, and someone else holds one.
        """
        with self._database.transaction() as execute:
            if lease is None:
                self._claim(execute, thread_id)
            else:
                self._check(execute, lease, release)
            for place in change.deleted:
                address = (thread_id, place.ns, place.id)
                where = "WHERE thread_id = ? AND ns = ?"
                execute(f"DELETE FROM checkpoints {where} AND id = ?", address)
                execute(f"DELETE FROM writes {where} AND checkpoint_id = ?", address)
            for row in change.checkpoints:
                execute(
                    f"INSERT INTO checkpoints ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT (thread_id, ns, id) DO UPDATE SET parent_id = excluded.parent_id, "
                    "channels = excluded.channels, run_id = excluded.run_id, "
                    "body = excluded.body, metadata = excluded.metadata",
                    row,
                )
            for write in change.writes:
                again = "DO NOTHING"
                if write.idx < 0:
                    again = "DO UPDATE SET channel = excluded.channel, body = excluded.body"
                execute(
                    f"INSERT INTO writes ({_WRITES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                    f"ON CONFLICT (thread_id, ns, checkpoint_id, task_id, idx) {again}",
                    write,
                )

    def head(self, thread_id: str, ns: str) -> CheckpointRow | None:
        """Give the checkpoint that was stored last."""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM checkpoints WHERE thread_id = ? AND ns = ? "
            "ORDER BY number DESC LIMIT 1",
            (thread_id, ns),
        )
        return CheckpointRow(*rows[0]) if rows else None

    def checkpoint(self, thread_id: str, place: Place) -> CheckpointRow | None:
        """Give one checkpoint."""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM checkpoints WHERE thread_id = ? AND ns = ? AND id = ?",
            (thread_id, place.ns, place.id),
        )
        return CheckpointRow(*rows[0]) if rows else None

    def writes(
        self, thread_id: str, ns: str, ids: Sequence[str], channels: Sequence[str] | None = None
    ) -> list[WriteRow]:
        """Give the writes beside checkpoints, ordered by task path, task and index."""
        among, listing = self._database.among, self._database.listing
        narrowed = "" if channels is None else f"AND channel {among} "
        found: list[WriteRow] = []
        for start in range(0, len(ids), _MOST):
            parameters = [thread_id, ns, listing(ids[start : start + _MOST])]
            parameters += [] if channels is None else [listing(channels)]
            found += [
                WriteRow(*row)
                for row in self._read(
                    f"SELECT {_WRITES} FROM writes WHERE thread_id = ? AND ns = ? "
                    f"AND checkpoint_id {among} {narrowed}",
                    parameters,
                )
            ]
        # Sorted here: databases order text by their collation, LangGraph by code point.
        found.sort(key=lambda write: (write.task_path, write.task_id, write.idx))
        return found

    def chain(self, thread_id: str, place: Place, limit: int) -> list[Link]:
        """Give a checkpoint and its ancestors, nearest first, at most `limit`."""
        rows = self._read(
            "WITH RECURSIVE chain (id, parent_id, channels, depth) AS ("
            "SELECT id, parent_id, channels, 1 FROM checkpoints "
            "WHERE thread_id = ? AND ns = ? AND id = ? UNION ALL "
            "SELECT c.id, c.parent_id, c.channels, chain.depth + 1 FROM chain JOIN checkpoints c "
            "ON c.thread_id = ? AND c.ns = ? AND c.id = chain.parent_id WHERE chain.depth < ?) "
            "SELECT id, parent_id, channels FROM chain ORDER BY depth",
            (thread_id, place.ns, place.id, thread_id, place.ns, limit),
        )
        return [Link(*row) for row in rows]

    def page(
        self, wanted: Wanted, after: int | None, limit: int
    ) -> list[tuple[int, CheckpointRow]]:
        """Give checkpoints newest first, each with its number; `after` is the last page's last."""
        given = {"thread_id": wanted.thread_id, "ns": wanted.ns}
        narrowed = {column: value for column, value in given.items() if value is not None}
        tests = [f"{column} = ?" for column in narrowed]
        parameters: list[Any] = list(narrowed.values())
        if wanted.before_id is not None:
            # Of the same thread: a copied thread has the ids of the one it was copied from.
            same = " AND ".join([*tests, "id = ?"])
            tests.append(f"number < (SELECT min(number) FROM checkpoints WHERE {same})")
            parameters += [*narrowed.values(), wanted.before_id]
        if wanted.id is not None:
            tests.append("id = ?")
            parameters.append(wanted.id)
        if after is not None:
            tests.append("number < ?")
            parameters.append(after)
        where = f"WHERE {' AND '.join(tests)}" if tests else ""
        rows = self._read(
            f"SELECT number, {_COLUMNS} FROM checkpoints {where} ORDER BY number DESC LIMIT ?",
            [*parameters, limit],
        )
        return [(int(number), CheckpointRow(*row)) for number, *row in rows]

    def of_runs(self, run_ids: Sequence[str]) -> list[tuple[str, Place]]:
        """Find the checkpoints that runs made, with their threads."""
        rows = self._read(
            f"SELECT thread_id, ns, id FROM checkpoints WHERE run_id {self._database.among}",
            [self._database.listing(run_ids)],
        )
        return [(thread_id, Place(ns, id_)) for thread_id, ns, id_ in rows]

    def threads(self) -> list[str]:
        """List all threads."""
        return [thread_id for (thread_id,) in self._read("SELECT thread_id FROM threads", [])]

    def expire(self, idle_s: float) -> list[str]:
        """Delete the threads that no turn runs in and none was stored in for `idle_s` seconds."""
        now = self._now
        with self._database.transaction() as execute:
            rows = execute(
                f"DELETE FROM threads WHERE used <= {now} - ? AND {_FREE.format(now=now)} "
                "RETURNING thread_id",
                [idle_s],
            )
            for row in rows:
                _delete_rows(execute, row[0])
        return [thread_id for (thread_id,) in rows]

    def forget(self, thread_id: str) -> None:
        """Delete a thread; a turn that runs in it will find its lease lost."""
        with self._database.transaction() as execute:
            execute("DELETE FROM threads WHERE thread_id = ?", [thread_id])
            _delete_rows(execute, thread_id)

    def close(self) -> None:
        """Let go of files and connections."""
        self._database.close()

    def _read(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._database.transaction(write=False) as execute:
            return execute(statement, parameters)

    def _check(self, execute: Execute, lease: Lease, release: bool) -> None:
        """Hold the thread's row for this transaction, or find that it is not ours any more."""
        holder = "" if release else lease.holder
        held = execute(
            f"UPDATE threads SET holder = ?, used = {self._now} "
            "WHERE thread_id = ? AND holder = ? AND fence = ? RETURNING fence",
            (holder, lease.thread_id, lease.holder, lease.fence),
        )
        if not held:
            raise LeaseLostError(lease.thread_id)

    def _claim(self, execute: Execute, thread_id: str) -> None:
        """Write without a lease: only while no one holds one, and ahead of all who once did."""
        now = self._now
        free = execute(
            "INSERT INTO threads (thread_id, fence, holder, expires, used) "
            f"VALUES (?, 1, '', 0, {now}) ON CONFLICT (thread_id) DO UPDATE SET "
            f"fence = threads.fence + 1, holder = '', used = {now} "
            f"WHERE {_FREE.format(now=now)} RETURNING fence",
            (thread_id,),
        )
        if not free:
            raise ThreadBusyError(thread_id, 0.0)


def _delete_rows(execute: Execute, thread_id: str) -> None:
    for table in ("checkpoints", "writes"):
        execute(f"DELETE FROM {table} WHERE thread_id = ?", [thread_id])
