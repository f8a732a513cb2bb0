"""Stored events as server-sent events: of a run, or of a thread.

An event's id is its number in the thread. A client that reconnects sends the last one it had, and
gets what came after it. A comment is sent when nothing happened for a while, so that proxies keep
the connection.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import aclosing
from typing import Any

from ..threads.leases import off_loop
from .event_feed import EventFeed
from .requests import EventsQuery
from .run_events import BLOCKS, END, ERROR, INPUT, INTERRUPT, LIFECYCLE, METADATA
from .run_store import ACTIVE, EventRow

HEARTBEAT = ": heartbeat\n\n"
_WIRE_NAMES = {"messages-tuple": "messages"}
_ALWAYS = frozenset({METADATA, ERROR, END})
CHANNELS = frozenset(
    {"values", "updates", "messages", "tools", "lifecycle", "input", "checkpoints", "tasks",
     "custom"}
)  # fmt: skip
"""Channels of a thread's stream; `custom:NAME`, too."""


async def run_stream(
    feed: EventFeed,
    key: str,
    run_id: str,
    *,
    after: int = -1,
    modes: Collection[str] | None = None,
    subgraphs: bool = False,
    left: Callable[[], None] | None = None,
) -> AsyncIterator[str]:
    """Stream the events of a run until its end.

    Args:
        feed: The stored events.
        key: The thread.
        run_id: The run.
        after: Number of the last event that the client had; -1 for none.
        modes: Stream modes, as in the request; None: all.
        subgraphs: Stream the events of subgraphs, too.
        left: Called where the client leaves before the end.
    """
    wanted = None if modes is None else {_WIRE_NAMES.get(mode, mode) for mode in modes}
    ended = False
    pages = feed.follow(key, after, run_id)
    try:
        async with aclosing(pages):  # type: ignore[type-var]
            first = True
            async for rows in pages:
                for row in rows:
                    if line := _run_event(row, wanted, subgraphs):
                        yield line
                    if row.method == END:
                        ended = True
                        return
                if not rows:
                    if await _is_over(feed, key, run_id):
                        ended = True
                        return
                    if not first:
                        yield HEARTBEAT
                first = False
    finally:
        if not ended and left is not None:
            left()


async def thread_stream(
    feed: EventFeed, key: str, query: EventsQuery, ends: Callable[[], bool] = lambda: False
) -> AsyncIterator[str]:
    """Stream the events of a thread, over all its runs, until the client leaves.

    Args:
        feed: The stored events.
        key: The thread.
        query: Channels, namespaces, and the number after which to begin; without it, all events
            that are kept are sent.
        ends: Tells that the server ends; the client then reconnects to another one.
    """
    after = -1 if query.since is None else query.since
    pages = feed.follow(key, after)
    async with aclosing(pages):  # type: ignore[type-var]
        first = True
        async for rows in pages:
            for row in rows:
                shown = protocol_event(row)
                if shown is not None and _is_wanted(shown, query):
                    data = json.dumps(shown, separators=(",", ":"))
                    yield f"id: {row.seq}\nevent: {shown['method']}\ndata: {data}\n\n"
            if not rows and not first:
                yield HEARTBEAT
                if ends() or key not in (await _newest(feed, key)):
                    return  # or the thread was deleted
            first = False


def protocol_event(row: EventRow) -> dict[str, Any] | None:
    """Show a stored event as the thread-scoped protocol does; None where it is not part of that."""
    if row.method in _ALWAYS or row.method == "messages":
        return None
    data = json.loads(row.body)
    namespace = json.loads(row.namespace)
    event_id = f"{row.run_id}:{row.seq}"
    method, extra = row.method, {}
    if row.method == BLOCKS:
        method, extra, data = "messages", {"node": data["node"]}, data["data"]
    elif row.method == LIFECYCLE:
        # The SDK for JavaScript reads the run off an id of this form.
        event_id = f"synth:{row.run_id}:{row.seq}"
    elif row.method == "values":
        data.pop(INTERRUPT, None)
        if not data:
            return None
    elif row.method == "updates":
        ((node, values),) = data.items()
        if node == INTERRUPT:
            return None
        data = {"node": node, "values": values}
    elif row.method == "custom":
        named = isinstance(data, dict) and isinstance(data.get("name"), str)
        data = {**({"name": data["name"]} if named else {}), "payload": data}
    params = {
        "namespace": namespace,
        "timestamp": int(row.at * 1000),
        **extra,
        "data": data,
    }
    return {
        "type": "event", "event_id": event_id, "seq": row.seq, "method": method, "params": params
    }  # fmt: skip


def _run_event(row: EventRow, wanted: Collection[str] | None, subgraphs: bool) -> str:
    """Write an event of a run's stream; empty where it is not part of that."""
    if row.method in (LIFECYCLE, INPUT, BLOCKS):
        return ""
    if row.method not in _ALWAYS and wanted is not None and row.method not in wanted:
        return ""
    namespace = json.loads(row.namespace)
    if namespace and not subgraphs:
        return ""
    name = "|".join([row.method, *namespace])
    return f"id: {row.seq}\nevent: {name}\ndata: {row.body}\n\n"


def _is_wanted(shown: dict[str, Any], query: EventsQuery) -> bool:
    """Tell whether an event is in the channels and namespaces of a query."""
    method, params = shown["method"], shown["params"]
    channel = {INPUT: "input"}.get(method, method)
    if method == "custom" and "name" in params["data"]:
        named = f"custom:{params['data']['name']}"
        if named not in query.channels and "custom" not in query.channels:
            return False
    elif channel not in query.channels:
        return False
    if not query.namespaces:
        return True
    return any(_is_within(params["namespace"], one, query.depth) for one in query.namespaces)


def _is_within(namespace: list[str], prefix: list[str], depth: int | None) -> bool:
    """Tell whether a namespace begins with a prefix; `node` stands for `node:<any task>`."""
    if len(namespace) < len(prefix):
        return False
    fits = all(
        part == wanted or (":" not in wanted and part.partition(":")[0] == wanted)
        for part, wanted in zip(namespace, prefix, strict=False)
    )
    return fits and (depth is None or len(namespace) - len(prefix) <= depth)


async def _is_over(feed: EventFeed, key: str, run_id: str) -> bool:
    """Tell whether a run has ended or was deleted."""
    run = await off_loop(feed.store.database.blocking, feed.store.run, key, run_id)
    return run is None or run.status not in ACTIVE


async def _newest(feed: EventFeed, key: str) -> dict[str, int]:
    return await off_loop(feed.store.database.blocking, feed.store.newest, [key])
