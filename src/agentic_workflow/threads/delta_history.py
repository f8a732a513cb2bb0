"""Read the value of a delta channel: its last snapshot and the writes since then.

A checkpoint stores only the writes that a turn adds to a `DeltaChannel`. Its value is the last
snapshot among the ancestors of a checkpoint, with the later writes applied in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from langgraph.checkpoint.base import DeltaChannelHistory

from ...errors import StoredStateError
from .serializer import StrictSerializer
from .sql_store import Ancestor, CheckpointKey
from .turn import ThreadReader

_PAGE = 256


def read_history(
    reader: ThreadReader,
    codec: StrictSerializer,
    thread_id: str,
    key: CheckpointKey,
    channels: Sequence[str],
) -> dict[str, DeltaChannelHistory]:
    """Collect the snapshot of channels and the writes between it and a checkpoint.

    Args:
        reader: The store, or a turn in progress.
        codec: Decodes stored values.
        thread_id: The thread.
        key: The checkpoint; its own writes belong to the next one and are left out.
        channels: The channels.

    Returns:
        For each channel its writes, oldest first, and its snapshot as `seed`; there is no seed if
        the channel was never stored in full.
    """
    paths: dict[str, list[str]] = {channel: [] for channel in channels}
    seeds: dict[str, object] = {}
    for link in _ancestors(reader, thread_id, key):
        stored = set(link.channels.split("\n"))
        missing = [channel for channel in channels if channel not in seeds]
        for channel in missing:
            paths[channel].append(link.id)
        found = [channel for channel in missing if channel in stored]
        if found:
            values = _values(reader, codec, thread_id, CheckpointKey(key.ns, link.id))
            seeds |= {channel: values[channel] for channel in found}
        if len(seeds) == len(channels):
            break
    ids = max(paths.values(), key=len, default=[])
    stored_writes: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
    for write in reader.writes(thread_id, key.ns, ids, channels):
        stored_writes.setdefault((write.checkpoint_id, write.channel), []).append(
            (write.task_id, write.body)
        )
    histories: dict[str, DeltaChannelHistory] = {}
    for channel, path in paths.items():
        history = DeltaChannelHistory(
            writes=[
                (task_id, channel, codec.loads(body))
                for id_ in reversed(path)
                for task_id, body in stored_writes.get((id_, channel), ())
            ]
        )
        if channel in seeds:
            history["seed"] = seeds[channel]
        histories[channel] = history
    return histories


def _ancestors(reader: ThreadReader, thread_id: str, key: CheckpointKey) -> Iterator[Ancestor]:
    """Walk from the parent of a checkpoint to the oldest ancestor; stop at a cycle."""
    seen = {key.id}
    start = key.id
    while True:
        page = reader.ancestors(thread_id, CheckpointKey(key.ns, start), _PAGE)
        for link in page[1:]:  # the first one is `start`
            if link.id in seen:
                return
            seen.add(link.id)
            yield link
        if len(page) < _PAGE:
            return
        start = page[-1].id


def _values(
    reader: ThreadReader, codec: StrictSerializer, thread_id: str, key: CheckpointKey
) -> dict[str, object]:
    row = reader.checkpoint(thread_id, key)
    checkpoint = None if row is None else codec.loads(row.body)
    values = checkpoint.get("channel_values") if isinstance(checkpoint, dict) else None
    if not isinstance(values, dict):
        raise StoredStateError(f"thread {thread_id!r}: {key.id!r} holds no checkpoint")
    return values
