"""The unstored rows of a turn in progress.

Only the turn itself reads its rows before they are stored, because a subgraph may read what it
wrote earlier. Nodes that run in parallel read and add from several OS threads, so a dictionary is
copied, which is atomic in Python, before it is iterated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .sql_store import Ancestor, Change, CheckpointKey, CheckpointRow, Lease, SqlStore, WriteRow


class _WriteKey(NamedTuple):
    checkpoint: CheckpointKey
    task_id: str
    idx: int


class Turn:
    """A turn in progress: its lease, and its rows on top of the stored ones.

    Args:
        lease: The turn's lease.
        store: Where the turn will be stored.
        atomic: Store all rows together when the turn ends; otherwise each as it is put.
    """

    def __init__(self, lease: Lease, store: SqlStore, *, atomic: bool) -> None:
        """Start without rows."""
        self.lease = lease
        self.atomic = atomic
        self.ended = False
        self.deleted: list[CheckpointKey] = []
        self._store = store
        self._checkpoints: dict[CheckpointKey, CheckpointRow] = {}
        self._writes: dict[_WriteKey, WriteRow] = {}

    @property
    def change(self) -> Change:
        """All rows to store, and the checkpoints to delete before."""
        return Change(list(self._checkpoints.values()), list(self._writes.values()), self.deleted)

    def add(self, change: Change) -> None:
        """Add rows; after a rollback they have no effect."""
        for row in change.checkpoints:
            self._checkpoints[CheckpointKey(row.ns, row.id)] = row
        for write in change.writes:
            key = _key_of(write)
            if write.idx < 0 or key not in self._writes:
                self._writes[key] = write

    def newest(self, thread_id: str, ns: str) -> CheckpointRow | None:
        """Return the checkpoint that was put last."""
        own = [row for row in list(self._checkpoints.values()) if row.ns == ns]
        return own[-1] if own else self._store.newest(thread_id, ns)

    def checkpoint(self, thread_id: str, key: CheckpointKey) -> CheckpointRow | None:
        """Return one checkpoint."""
        return self._checkpoints.get(key) or self._store.checkpoint(thread_id, key)

    def writes(
        self, thread_id: str, ns: str, ids: Sequence[str], channels: Sequence[str] | None = None
    ) -> list[WriteRow]:
        """Return the writes of checkpoints, ordered by task path, task and index."""
        wanted = {CheckpointKey(ns, id_) for id_ in ids}
        merged = {
            _key_of(write): write for write in self._store.writes(thread_id, ns, ids, channels)
        }
        for key, write in list(self._writes.items()):
            chosen = key.checkpoint in wanted and (channels is None or write.channel in channels)
            if chosen and (key.idx < 0 or key not in merged):
                merged[key] = write
        return sorted(merged.values(), key=lambda w: (w.task_path, w.task_id, w.idx))

    def ancestors(self, thread_id: str, key: CheckpointKey, limit: int) -> list[Ancestor]:
        """Return a checkpoint and its ancestors, nearest first, at most `limit`."""
        found: list[Ancestor] = []
        while len(found) < limit and (row := self._checkpoints.get(key)) is not None:
            found.append(Ancestor(row.id, row.parent_id, row.channels))
            if row.parent_id is None:
                return found
            key = CheckpointKey(key.ns, row.parent_id)
        return found + self._store.ancestors(thread_id, key, limit - len(found))


def _key_of(write: WriteRow) -> _WriteKey:
    return _WriteKey(CheckpointKey(write.ns, write.checkpoint_id), write.task_id, write.idx)


ThreadReader = SqlStore | Turn
