"""What was written to a channel since it was last stored whole.

A `DeltaChannel` keeps only what each turn adds. Its value is the last whole value among the
ancestors of a checkpoint, and the writes since then in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from langgraph.checkpoint.base import DeltaChannelHistory

from ...errors import StoredStateError
from .rows import Link, Place, ThreadReader
from .serializer import StrictSerializer

_PAGE = 256


def read_history(
    reader: ThreadReader,
    codec: StrictSerializer,
    thread_id: str,
    place: Place,
    channels: Sequence[str],
) -> dict[str, DeltaChannelHistory]:
    """Collect the writes to channels on the way to a checkpoint.

    Args:
        reader: The store, or the open turn over it.
        codec: Reads what was stored.
        thread_id: The thread.
        place: The checkpoint; writes beside it belong to the next one and are left out.
        channels: The channels.

    Returns:
        For each channel its writes, oldest first, and as `seed` the value they start from; without
        a seed they start from nothing.
    """
    on_the_way: dict[str, list[str]] = {channel: [] for channel in channels}
    seeds: dict[str, object] = {}
    for link in _ancestors(reader, thread_id, place):
        stored = set(link.channels.split("\n"))
        missing = [channel for channel in channels if channel not in seeds]
        for channel in missing:
            on_the_way[channel].append(link.id)
        found = [channel for channel in missing if channel in stored]
        if found:
            values = _values(reader, codec, thread_id, Place(place.ns, link.id))
            seeds |= {channel: values[channel] for channel in found}
        if len(seeds) == len(channels):
            break
    ids = max(on_the_way.values(), key=len, default=[])
    beside: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
    for write in reader.writes(thread_id, place.ns, ids, channels):
        beside.setdefault((write.checkpoint_id, write.channel), []).append(
            (write.task_id, write.body)
        )
    histories: dict[str, DeltaChannelHistory] = {}
    for channel, way in on_the_way.items():
        history = DeltaChannelHistory(
            writes=[
                (task_id, channel, codec.loads(body))
                for id_ in reversed(way)
                for task_id, body in beside.get((id_, channel), ())
            ]
        )
        if channel in seeds:
            history["seed"] = seeds[channel]
        histories[channel] = history
    return histories


def _ancestors(reader: ThreadReader, thread_id: str, place: Place) -> Iterator[Link]:
    """Walk from a checkpoint's parent to the oldest, page by page; ends where it comes back."""
    seen = {place.id}
    start = place.id
    while True:
        page = reader.chain(thread_id, Place(place.ns, start), _PAGE)[1:]  # without `start`
        for link in page:
            if link.id in seen:
                return
            seen.add(link.id)
            yield link
        if len(page) < _PAGE - 1:
            return
        start = page[-1].id


def _values(
    reader: ThreadReader, codec: StrictSerializer, thread_id: str, place: Place
) -> dict[str, object]:
    row = reader.checkpoint(thread_id, place)
    checkpoint = None if row is None else codec.loads(row.body)
    values = checkpoint.get("channel_values") if isinstance(checkpoint, dict) else None
    if not isinstance(values, dict):
        raise StoredStateError(f"thread {thread_id!r}: {place.id!r} holds no checkpoint")
    return values
