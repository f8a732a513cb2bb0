"""What a thread is on disk: its rows, and the change one turn makes.

Rows hold bytes and know nothing of LangGraph; `thread_saver` translates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class CheckpointRow(NamedTuple):
    """State at the end of a turn, or of a step."""

    thread_id: str
    ns: str
    """Empty for the graph itself, else the path of the subgraph."""
    id: str
    parent_id: str | None
    channels: str
    """Names of the channels whose value stands in `body`, one per line."""
    run_id: str | None
    body: bytes
    metadata: bytes


class WriteRow(NamedTuple):
    """What one task wrote to one channel, beside the checkpoint it started from."""

    thread_id: str
    ns: str
    checkpoint_id: str
    task_id: str
    idx: int
    """Place within the task; below 0 for LangGraph's own, which replace what is there."""
    task_path: str
    channel: str
    body: bytes


class Place(NamedTuple):
    """A checkpoint's address within its thread."""

    ns: str
    id: str


class Link(NamedTuple):
    """One step of the way from a checkpoint to its oldest ancestor."""

    id: str
    parent_id: str | None
    channels: str


class Wanted(NamedTuple):
    """Which checkpoints to list; None where it does not matter."""

    thread_id: str | None = None
    ns: str | None = None
    id: str | None = None
    before_id: str | None = None
    """Only those stored before this one."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one thread, until it is given back or taken over."""

    thread_id: str
    holder: str
    """Unique to this lease."""
    fence: int
    """Grows by one with every holder; the commit of an older one is refused."""


@dataclass(slots=True)
class Change:
    """Rows to be stored together or not at all."""

    checkpoints: list[CheckpointRow] = field(default_factory=list)
    writes: list[WriteRow] = field(default_factory=list)
    deleted: list[Place] = field(default_factory=list)
    """Checkpoints to take away first, with the writes beside them."""


class ThreadReader(Protocol):
    """What can be read of threads."""

    def head(self, thread_id: str, ns: str) -> CheckpointRow | None:
        """Give the checkpoint that was stored last."""

    def checkpoint(self, thread_id: str, place: Place) -> CheckpointRow | None:
        """Give one checkpoint."""

    def writes(
        self, thread_id: str, ns: str, ids: Sequence[str], channels: Sequence[str] | None = None
    ) -> list[WriteRow]:
        """Give the writes beside checkpoints, ordered by task path, task and index."""

    def chain(self, thread_id: str, place: Place, limit: int) -> list[Link]:
        """Give a checkpoint and its ancestors, nearest first, at most `limit`."""
