"""Prune, copy and delete checkpoints without changing the state of those that stay.

The value of a delta channel depends on the ancestors of a checkpoint. When these are deleted, one
small checkpoint that holds the values and writes of the delta channels replaces them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from .delta_history import read_history
from .serializer import StrictSerializer
from .sql_store import (
    Change,
    CheckpointFilter,
    CheckpointKey,
    CheckpointRow,
    SqlStore,
    WriteRow,
)
from .turn import Turn

LockThread = Callable[[str], AbstractContextManager[Turn]]
"""Waits for the turn in progress and opens one: `ThreadSaver.turn`."""

_PAGE = 100
_COUNTERS = "counters_since_delta_snapshot"
"""Metadata key under which LangGraph lists the delta channels of a checkpoint without snapshot."""


def prune(
    store: SqlStore,
    codec: StrictSerializer,
    lock: LockThread,
    thread_ids: Sequence[str],
    strategy: str = "keep_latest",
) -> None:
    """Delete old checkpoints, after a turn in progress has ended.

    Args:
        store: Where the threads are stored.
        codec: Encodes state.
        lock: Opens a turn in a thread.
        thread_ids: The threads.
        strategy: `keep_latest` keeps the newest checkpoint of each namespace (and, if it has
            delta channels, one parent with their values and writes); `delete` keeps nothing.

    Raises:
        ValueError: The strategy is unknown.
        ThreadBusyError: A turn did not end in time.
    """
    if strategy not in ("keep_latest", "delete"):
        raise ValueError(f"strategy {strategy!r}; allowed are 'keep_latest' and 'delete'")
    for thread_id in thread_ids:
        if strategy == "delete":
            store.delete(thread_id)
            continue
        with lock(thread_id) as turn:
            rows = _oldest_first(store, thread_id)
            heads = {row.ns: row for row in rows}
            if len(heads) < len(rows):
                _rewrite(store, codec, turn, rows, [row.id for row in heads.values()])


def delete_runs(
    store: SqlStore, codec: StrictSerializer, lock: LockThread, run_ids: Sequence[str]
) -> None:
    """Delete the checkpoints of runs; later state of the same threads does not change.

    Unknown run ids are ignored; for the other arguments and errors see `prune`.
    """
    for thread_id in store.threads_of_runs(run_ids):
        with lock(thread_id) as turn:
            rows = _oldest_first(store, thread_id)
            kept = [row.id for row in rows if row.run_id not in run_ids]
            if len(kept) < len(rows):
                _rewrite(store, codec, turn, rows, kept)


def copy(store: SqlStore, lock: LockThread, source: str, target: str) -> None:
    """Copy a thread with all its checkpoints; nothing happens if it is empty.

    Raises:
        ValueError: The target exists already.
    """
    rows = _oldest_first(store, source)
    if not rows:
        return
    with lock(target) as turn:
        if store.page(CheckpointFilter(target), None, 1):
            raise ValueError(
                f"thread {target!r} is there already; delete it first, or copy to another"
            )
        for row in rows:
            writes = store.writes(source, row.ns, [row.id])
            copies = [write._replace(thread_id=target) for write in writes]
            turn.add(Change([row._replace(thread_id=target)], copies))


def _rewrite(
    store: SqlStore,
    codec: StrictSerializer,
    turn: Turn,
    rows: Sequence[CheckpointRow],
    kept: Sequence[str],
) -> None:
    """Delete a thread's checkpoints but for the kept ones, and replace their ancestors."""
    thread_id = rows[0].thread_id
    staying = {CheckpointKey(row.ns, row.id) for row in rows if row.id in set(kept)}
    turn.deleted += [CheckpointKey(row.ns, row.id) for row in rows]
    for row in rows:
        if CheckpointKey(row.ns, row.id) not in staying:
            continue
        # Siblings depend on the same ancestors, so all of them share one replacement.
        if row.parent_id is not None and CheckpointKey(row.ns, row.parent_id) not in staying:
            turn.add(_replacement(store, codec, row))
        turn.add(Change([row], store.writes(thread_id, row.ns, [row.id])))


def _replacement(store: SqlStore, codec: StrictSerializer, row: CheckpointRow) -> Change:
    """Make the checkpoint that replaces the ancestors of a row, with its writes."""
    metadata = codec.loads(row.metadata)
    stored = set(row.channels.split("\n"))
    channels = [name for name in metadata.get(_COUNTERS) or () if name not in stored]
    if not channels or row.parent_id is None:
        return Change()
    key = CheckpointKey(row.ns, row.id)
    histories = read_history(store, codec, row.thread_id, key, channels)
    seeds = {name: history["seed"] for name, history in histories.items() if "seed" in history}
    checkpoint = codec.loads(row.body)
    body = {
        **checkpoint,
        "id": row.parent_id,
        "channel_values": seeds,
        "channel_versions": {name: checkpoint["channel_versions"][name] for name in channels},
        "versions_seen": {},
        "updated_channels": None,
    }
    replacement = CheckpointRow(
        thread_id=row.thread_id,
        ns=row.ns,
        id=row.parent_id,
        parent_id=None,
        channels="\n".join(sorted(seeds)),
        run_id=None,
        body=codec.dumps(body),
        metadata=codec.dumps({"source": "fork", "step": -2, "parents": {}}),
    )
    written = [write for history in histories.values() for write in history["writes"]]
    writes = [
        WriteRow(
            thread_id=row.thread_id,
            ns=row.ns,
            checkpoint_id=row.parent_id,
            # Ids and paths that sort in the order of the writes.
            task_id=f"{number:08x}-0000-4000-8000-000000000000",
            idx=0,
            task_path=f"{number:010d}",
            channel=channel,
            body=codec.dumps(value),
        )
        for number, (_, channel, value) in enumerate(written, start=1)
    ]
    return Change([replacement], writes)


def _oldest_first(store: SqlStore, thread_id: str) -> list[CheckpointRow]:
    rows: list[CheckpointRow] = []
    after: int | None = None
    while True:
        page = store.page(CheckpointFilter(thread_id), after, _PAGE)
        rows += [row for _, row in page]
        if len(page) < _PAGE:
            return rows[::-1]
        after = page[-1][0]
