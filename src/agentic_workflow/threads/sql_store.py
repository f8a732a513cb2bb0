"""The SQL store of threads: row types, tables and statements for SQLite and PostgreSQL.

Three tables: `threads` has one row per thread with its lease; `checkpoints` and `writes` have the
state. A turn is stored in one transaction that checks the lease, writes the rows and releases the
lease. The newest checkpoint is the one stored last, by a serial number: checkpoint ids contain the
clock of the machine that made them, and clocks of several machines differ. Rows hold bytes;
`checkpointer` converts them to and from LangGraph's types.

LangGraph's savers (langgraph-checkpoint-sqlite 3.1, -postgres 3.2) were tried in place of these
statements. A `put` commits by itself, so a turn of two puts can be half stored, and lease check and
rows are not one transaction; an SQLite turn took 36 to 52 ms instead of 7 to 10 (busy machine).
Overriding `SqliteSaver.cursor` mends both, but neither saver can delete runs or copy threads,
pruning is missing (SQLite) or refuses delta channels (PostgreSQL), and JSONB rejects NUL in a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ...errors import LeaseLostError, ThreadBusyError


class CheckpointRow(NamedTuple):
    """The state at the end of a turn or of a step."""

    thread_id: str
    ns: str
    """Empty for the graph itself, otherwise the path of the subgraph."""
    id: str
    parent_id: str | None
    channels: str
    """Names of the channels whose value is in `body`, one per line."""
    run_id: str | None
    body: bytes
    metadata: bytes


class WriteRow(NamedTuple):
    """What one task wrote to one channel, stored with the checkpoint it started from."""

    thread_id: str
    ns: str
    checkpoint_id: str
    task_id: str
    idx: int
    """Index within the task; negative for LangGraph's own writes, which replace earlier ones."""
    task_path: str
    channel: str
    body: bytes


class CheckpointKey(NamedTuple):
    """Identifies a checkpoint within its thread."""

    ns: str
    id: str


class Ancestor(NamedTuple):
    """The columns of a checkpoint that are needed to walk to its ancestors."""

    id: str
    parent_id: str | None
    channels: str


class CheckpointFilter(NamedTuple):
    """Which checkpoints to list; a field that is None does not restrict."""

    thread_id: str | None = None
    ns: str | None = None
    id: str | None = None
    before_id: str | None = None
    """Only checkpoints stored before this one."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to one thread, until it is released or taken over."""

    thread_id: str
    holder: str
    """Unique to this lease."""
    fence: int
    """Fencing number: grows with every holder, and a commit with an older one is rejected."""


@dataclass(slots=True)
class Change:
    """Rows to be stored in one transaction."""

    checkpoints: list[CheckpointRow] = field(default_factory=list)
    writes: list[WriteRow] = field(default_factory=list)
    deleted: list[CheckpointKey] = field(default_factory=list)
    """Checkpoints to delete first, with their writes."""


Execute = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Executes one statement with `?` for its parameters, and returns its rows."""


class Database(Protocol):
    """The differences between SQLite and PostgreSQL."""

    blocking: bool
    """Calls wait for a disk or a network and must not run in an event loop."""
    shared: bool
    """Other processes may use the same threads, so leases must be renewed."""
    blob: str
    """Column type for bytes."""
    serial: str
    """Column type for a serial number."""
    real: str
    """Column type for seconds."""
    now: str
    """Expression for the seconds since 1970, from a clock that all users of the database share."""
    in_list: str
    """Predicate that a column is in a list, which is one parameter."""

    def list_parameter(self, values: Sequence[str]) -> object:
        """Convert a list to the parameter of `in_list`."""

    def transaction(self, *, write: bool = True, durable: bool = True) -> Transaction:
        """Open a transaction; it is committed at the end of the block, or rolled back on an error.

        Args:
            write: Whether it writes.
            durable: Whether its writes must survive a power failure.
        """

    def create_tables(self, statements: Sequence[str]) -> None:
        """Execute statements that create missing tables, one process at a time."""

    def close(self) -> None:
        """Close all connections."""


Transaction = AbstractContextManager[Execute]

_COLUMNS = "thread_id, ns, id, parent_id, channels, run_id, body, metadata"
_WRITES = "thread_id, ns, checkpoint_id, task_id, idx, task_path, channel, body"
_LEASE_IS_FREE = "(threads.holder = '' OR threads.expires < {now})"
_IDS_PER_STATEMENT = 500


def schema(database: Database) -> list[str]:
    """Return the statements that create missing tables and indexes."""
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
        """Use a database whose tables exist."""
        self.database = database
        self._now = database.now
        self.blocking, self.shared = database.blocking, database.shared

    def acquire(self, thread_id: str, holder: str, lease_s: float) -> int | None:
        """Acquire the lease of a thread if it is free or expired; return its fence, else None."""
        now = self._now
        with self.database.transaction(durable=False) as execute:
            rows = execute(
                "INSERT INTO threads (thread_id, fence, holder, expires, used) "
                f"VALUES (?, 1, ?, {now} + ?, {now}) ON CONFLICT (thread_id) DO UPDATE SET "
                "fence = threads.fence + 1, holder = excluded.holder, expires = excluded.expires "
                f"WHERE {_LEASE_IS_FREE.format(now=now)} RETURNING fence",
                (thread_id, holder, lease_s),
            )
        return int(rows[0][0]) if rows else None

    def renew(self, leases: Sequence[Lease], lease_s: float) -> None:
        """Extend leases that are still held to `lease_s` seconds from now."""
        with self.database.transaction(durable=False) as execute:
            for lease in leases:
                execute(
                    f"UPDATE threads SET expires = {self._now} + ? "
                    "WHERE thread_id = ? AND holder = ?",
                    (lease_s, lease.thread_id, lease.holder),
                )

    def release(self, thread_id: str, holder: str) -> None:
        """Release a lease."""
        with self.database.transaction(durable=False) as execute:
            execute(
                "UPDATE threads SET holder = '' WHERE thread_id = ? AND holder = ?",
                (thread_id, holder),
            )

    def commit(self, thread_id: str, change: Change, lease: Lease | None, release: bool) -> None:
        """Store a change in one transaction.

        Args:
            thread_id: The thread.
            change: The rows.
            lease: The writer's lease; None for a write outside a turn.
            release: Release the lease in the same transaction.

        Raises:
            LeaseLostError: The lease was taken over.
            ThreadBusyError: `lease` is None, and someone else holds the lease.
        """
        with self.database.transaction() as execute:
            if lease is None:
                self._write_without_lease(execute, thread_id)
            else:
                self._check_lease(execute, lease, release)
            for key in change.deleted:
                address = (thread_id, key.ns, key.id)
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
                on_conflict = "DO NOTHING"
                if write.idx < 0:
                    on_conflict = "DO UPDATE SET channel = excluded.channel, body = excluded.body"
                execute(
                    f"INSERT INTO writes ({_WRITES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                    f"ON CONFLICT (thread_id, ns, checkpoint_id, task_id, idx) {on_conflict}",
                    write,
                )

    def newest(self, thread_id: str, ns: str) -> CheckpointRow | None:
        """Return the checkpoint that was stored last."""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM checkpoints WHERE thread_id = ? AND ns = ? "
            "ORDER BY number DESC LIMIT 1",
            (thread_id, ns),
        )
        return CheckpointRow(*rows[0]) if rows else None

    def checkpoint(self, thread_id: str, key: CheckpointKey) -> CheckpointRow | None:
        """Return one checkpoint."""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM checkpoints WHERE thread_id = ? AND ns = ? AND id = ?",
            (thread_id, key.ns, key.id),
        )
        return CheckpointRow(*rows[0]) if rows else None

    def writes(
        self, thread_id: str, ns: str, ids: Sequence[str], channels: Sequence[str] | None = None
    ) -> list[WriteRow]:
        """Return the writes of checkpoints, ordered by task path, task and index."""
        in_list, parameter = self.database.in_list, self.database.list_parameter
        narrowed = "" if channels is None else f"AND channel {in_list} "
        found: list[WriteRow] = []
        for start in range(0, len(ids), _IDS_PER_STATEMENT):
            parameters = [thread_id, ns, parameter(ids[start : start + _IDS_PER_STATEMENT])]
            parameters += [] if channels is None else [parameter(channels)]
            found += [
                WriteRow(*row)
                for row in self._read(
                    f"SELECT {_WRITES} FROM writes WHERE thread_id = ? AND ns = ? "
                    f"AND checkpoint_id {in_list} {narrowed}",
                    parameters,
                )
            ]
        # Sorted here, because databases sort by their collation and LangGraph by code point.
        found.sort(key=lambda write: (write.task_path, write.task_id, write.idx))
        return found

    def ancestors(self, thread_id: str, key: CheckpointKey, limit: int) -> list[Ancestor]:
        """Return a checkpoint and its ancestors, nearest first, at most `limit`."""
        rows = self._read(
            "WITH RECURSIVE chain (id, parent_id, channels, depth) AS ("
            "SELECT id, parent_id, channels, 1 FROM checkpoints "
            "WHERE thread_id = ? AND ns = ? AND id = ? UNION ALL "
            "SELECT c.id, c.parent_id, c.channels, chain.depth + 1 FROM chain JOIN checkpoints c "
            "ON c.thread_id = ? AND c.ns = ? AND c.id = chain.parent_id WHERE chain.depth < ?) "
            "SELECT id, parent_id, channels FROM chain ORDER BY depth",
            (thread_id, key.ns, key.id, thread_id, key.ns, limit),
        )
        return [Ancestor(*row) for row in rows]

    def page(
        self, wanted: CheckpointFilter, after: int | None, limit: int
    ) -> list[tuple[int, CheckpointRow]]:
        """Return checkpoints newest first with their serial numbers, those below `after`."""
        given = {"thread_id": wanted.thread_id, "ns": wanted.ns}
        narrowed = {column: value for column, value in given.items() if value is not None}
        tests = [f"{column} = ?" for column in narrowed]
        parameters: list[Any] = list(narrowed.values())
        if wanted.before_id is not None:
            # Within the thread, because a copied thread has the same ids as its original.
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

    def threads_of_runs(self, run_ids: Sequence[str]) -> list[str]:
        """List the threads that have checkpoints of some runs."""
        rows = self._read(
            f"SELECT DISTINCT thread_id FROM checkpoints WHERE run_id {self.database.in_list} "
            "ORDER BY thread_id",
            [self.database.list_parameter(run_ids)],
        )
        return [thread_id for (thread_id,) in rows]

    def threads(self) -> list[str]:
        """List all threads."""
        return [thread_id for (thread_id,) in self._read("SELECT thread_id FROM threads", [])]

    def delete_idle(self, idle_s: float) -> list[str]:
        """Delete threads without a turn in progress and without a stored turn for `idle_s` s."""
        now = self._now
        with self.database.transaction() as execute:
            rows = execute(
                f"DELETE FROM threads WHERE used <= {now} - ? AND {_LEASE_IS_FREE.format(now=now)} "
                "RETURNING thread_id",
                [idle_s],
            )
            for row in rows:
                _delete_rows(execute, row[0])
        return [thread_id for (thread_id,) in rows]

    def delete(self, thread_id: str) -> None:
        """Delete a thread; a turn in progress loses its lease."""
        with self.database.transaction() as execute:
            execute("DELETE FROM threads WHERE thread_id = ?", [thread_id])
            _delete_rows(execute, thread_id)

    def close(self) -> None:
        """Close files and connections."""
        self.database.close()

    def _read(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.database.transaction(write=False) as execute:
            return execute(statement, parameters)

    def _check_lease(self, execute: Execute, lease: Lease, release: bool) -> None:
        """Lock the thread's row for this transaction, or raise if the lease was taken over."""
        holder = "" if release else lease.holder
        held = execute(
            f"UPDATE threads SET holder = ?, used = {self._now} "
            "WHERE thread_id = ? AND holder = ? AND fence = ? RETURNING fence",
            (holder, lease.thread_id, lease.holder, lease.fence),
        )
        if not held:
            raise LeaseLostError(lease.thread_id)

    def _write_without_lease(self, execute: Execute, thread_id: str) -> None:
        """Raise if someone holds the lease; otherwise invalidate the leases of former holders."""
        now = self._now
        free = execute(
            "INSERT INTO threads (thread_id, fence, holder, expires, used) "
            f"VALUES (?, 1, '', 0, {now}) ON CONFLICT (thread_id) DO UPDATE SET "
            f"fence = threads.fence + 1, holder = '', used = {now} "
            f"WHERE {_LEASE_IS_FREE.format(now=now)} RETURNING fence",
            (thread_id,),
        )
        if not free:
            raise ThreadBusyError(thread_id, 0.0)


def _delete_rows(execute: Execute, thread_id: str) -> None:
    for table in ("checkpoints", "writes"):
        execute(f"DELETE FROM {table} WHERE thread_id = ?", [thread_id])
