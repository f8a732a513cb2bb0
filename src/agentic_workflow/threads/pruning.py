"""Keeping threads small: what may be taken away, and what must be put in its place.

A checkpoint may depend on its ancestors: delta channels are rebuilt from what was written on the
way. Where ancestors are taken away, one small checkpoint takes their place and holds just that. So
no state changes, whatever is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from .delta_history import read_history
from .pending_turn import OpenTurn
from .rows import Change, CheckpointRow, Place, ThreadReader, Wanted, WriteRow
from .serializer import StrictSerializer
from .sql_store import SqlStore

LockThread = Callable[[str], AbstractContextManager[OpenTurn]]
"""Opens a turn in a thread once no other is in progress: `ThreadSaver.turn`."""

_PAGE = 100
_COUNTERS = "counters_since_delta_snapshot"
"""Key under which LangGraph notes the delta channels that a checkpoint does not hold whole."""


def prune(
    store: SqlStore,
    codec: StrictSerializer,
    lock: LockThread,
    thread_ids: Sequence[str],
    strategy: str = "keep_latest",
) -> None:
    """Take away old state; a turn in progress is waited for.

    Args:
        store: Where the threads are kept.
        codec: How state is written.
        lock: Opens a turn in a thread.
        thread_ids: The threads.
        strategy: `keep_latest` keeps the newest checkpoint of each namespace (and, where it has
            delta channels, one beneath it that holds what they are made of); `delete` keeps
            nothing.

    Raises:
        ValueError: There is no such strategy.
        ThreadBusyError: A turn did not end in time.
    """
    if strategy not in ("keep_latest", "delete"):
        raise ValueError(f"strategy {strategy!r}; allowed are 'keep_latest' and 'delete'")
    for thread_id in thread_ids:
        if strategy == "delete":
            store.forget(thread_id)
            continue
        with lock(thread_id) as turn:
            rows = _oldest_first(store, thread_id)
            heads = {row.ns: row for row in rows}
            if len(heads) < len(rows):
                _rewrite(store, codec, turn, rows, [row.id for row in heads.values()])


def delete_runs(
    store: SqlStore, codec: StrictSerializer, lock: LockThread, run_ids: Sequence[str]
) -> None:
    """Delete the checkpoints that runs made; later state of the same threads stays as it is.

    Args:
        store: Where the threads are kept.
        codec: How state is written.
        lock: Opens a turn in a thread.
        run_ids: The runs; unknown ones do not matter.

    Raises:
        ThreadBusyError: A turn did not end in time.
    """
    for thread_id in sorted({thread_id for thread_id, _ in store.of_runs(run_ids)}):
        with lock(thread_id) as turn:
            rows = _oldest_first(store, thread_id)
            kept = [row.id for row in rows if row.run_id not in run_ids]
            if len(kept) < len(rows):
                _rewrite(store, codec, turn, rows, kept)


def copy(store: SqlStore, lock: LockThread, source: str, target: str) -> None:
    """Copy a thread with all its checkpoints.

    Args:
        store: Where the threads are kept.
        lock: Opens a turn in a thread.
        source: The thread to copy; nothing happens where it is empty.
        target: A thread that is not there yet.

    Raises:
        ValueError: The target is there already.
    """
    rows = _oldest_first(store, source)
    if not rows:
        return
    with lock(target) as turn:
        if store.page(Wanted(target), None, 1):
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
    turn: OpenTurn,
    rows: Sequence[CheckpointRow],
    kept: Sequence[str],
) -> None:
    """Leave only some of a thread's checkpoints, each with all that it needs."""
    thread_id = rows[0].thread_id
    there = {Place(row.ns, row.id) for row in rows if row.id in set(kept)}
    turn.deleted += [Place(row.ns, row.id) for row in rows]
    for row in rows:
        if Place(row.ns, row.id) not in there:
            continue
        # A place that several children share is filled for the first of them: what they need of
        # it is the same.
        if row.parent_id is not None and Place(row.ns, row.parent_id) not in there:
            turn.add(_stand_in(store, codec, row))
        turn.add(Change([row], store.writes(thread_id, row.ns, [row.id])))


def _stand_in(reader: ThreadReader, codec: StrictSerializer, row: CheckpointRow) -> Change:
    """Make the checkpoint that takes the place of a row's ancestors, with the writes beside it."""
    metadata = codec.loads(row.metadata)
    stored = set(row.channels.split("\n"))
    channels = [name for name in metadata.get(_COUNTERS) or () if name not in stored]
    if not channels or row.parent_id is None:
        return Change()
    place = Place(row.ns, row.id)
    histories = read_history(reader, codec, row.thread_id, place, channels)
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
    stand_in = CheckpointRow(
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
    return Change([stand_in], writes)


def _oldest_first(store: SqlStore, thread_id: str) -> list[CheckpointRow]:
    rows: list[CheckpointRow] = []
    after: int | None = None
    while True:
        page = store.page(Wanted(thread_id), after, _PAGE)
        rows += [row for _, row in page]
        if len(page) < _PAGE:
            return rows[::-1]
        after = page[-1][0]
