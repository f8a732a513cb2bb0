"""A turn that is running: its rows wait here until it ends, and are stored together or not at all.

What a turn has put is visible to the turn itself (a subgraph may read what it stored a moment ago)
and to nobody else. Nodes that run side by side read and add from threads of their own: so what is
looked through is copied first, which Python does in one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .rows import Change, CheckpointRow, Lease, Link, Place, WriteRow
from .sql_store import SqlStore


class _Slot(NamedTuple):
    """What makes a write unique."""

    place: Place
    task_id: str
    idx: int


class OpenTurn:
    """The rows of a running turn over those that are stored.

    Args:
        lease: The turn's lease.
        store: Where it will be stored.
        whole: Keep all rows until the end; otherwise they are stored one by one.
    """

    def __init__(self, lease: Lease, store: SqlStore, *, whole: bool) -> None:
        """Start with nothing to store."""
        self.lease = lease
        self.whole = whole
        self.ended = False
        self.deleted: list[Place] = []
        self._store = store
        self._checkpoints: dict[Place, CheckpointRow] = {}
        self._writes: dict[_Slot, WriteRow] = {}

    @property
    def change(self) -> Change:
        """All of it."""
        return Change(list(self._checkpoints.values()), list(self._writes.values()), self.deleted)

    def add(self, change: Change) -> None:
        """Keep rows; those of a turn that was given up are dropped without a word."""
        for row in change.checkpoints:
            self._checkpoints[Place(row.ns, row.id)] = row
        for write in change.writes:
            slot = _Slot(Place(write.ns, write.checkpoint_id), write.task_id, write.idx)
            if write.idx < 0 or slot not in self._writes:
                self._writes[slot] = write

    def head(self, thread_id: str, ns: str) -> CheckpointRow | None:
        """Give the checkpoint that was put last."""
        own = [row for row in list(self._checkpoints.values()) if row.ns == ns]
        return own[-1] if own else self._store.head(thread_id, ns)

    def checkpoint(self, thread_id: str, place: Place) -> CheckpointRow | None:
        """Give one checkpoint."""
        return self._checkpoints.get(place) or self._store.checkpoint(thread_id, place)

    def writes(
        self, thread_id: str, ns: str, ids: Sequence[str], channels: Sequence[str] | None = None
    ) -> list[WriteRow]:
        """Give the writes beside checkpoints, ordered by task path, task and index."""
        places = {Place(ns, id_) for id_ in ids}
        merged = {
            _Slot(Place(ns, write.checkpoint_id), write.task_id, write.idx): write
            for write in self._store.writes(thread_id, ns, ids, channels)
        }
        for slot, write in list(self._writes.items()):
            wanted = slot.place in places and (channels is None or write.channel in channels)
            if wanted and (slot.idx < 0 or slot not in merged):
                merged[slot] = write
        return sorted(merged.values(), key=lambda w: (w.task_path, w.task_id, w.idx))

    def chain(self, thread_id: str, place: Place, limit: int) -> list[Link]:
        """Give a checkpoint and its ancestors, nearest first, at most `limit`."""
        links: list[Link] = []
        while len(links) < limit and (row := self._checkpoints.get(place)) is not None:
            links.append(Link(row.id, row.parent_id, row.channels))
            if row.parent_id is None:
                return links
            place = Place(place.ns, row.parent_id)
        return links + self._store.chain(thread_id, place, limit - len(links))
