"""Open a store of conversation threads by its URL, and keep it small.

    workflow = MultiAgentWorkflow(student, checkpointer="sqlite:///threads.db")
    workflow.run("What is the symbol of gold?", thread_id="anna")

URLs are `memory`, `sqlite:///threads.db` and `postgresql://host/database`. One turn at a
time runs in a thread; the next one waits, and raises `ThreadBusyError` if it waits too
long. A turn is stored completely when it ends, and not at all if it fails or is cancelled: `run`
and `invoke` return, and streams end, after it is stored. `locking_graph.leased` does the same for a
graph that was compiled elsewhere. Turns of one process run in the order of their calls; between
processes the order is not defined.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from langgraph.checkpoint.base import BaseCheckpointSaver

from ...errors import ConfigError
from .checkpointer import ThreadSaver
from .serializer import StrictSerializer
from .sql_store import SqlStore

FORMS = "'memory', 'sqlite:///<file>' or 'postgresql://<host>/<database>'"


def open_checkpointer(
    url: str,
    *,
    allowed: Iterable[type] = (),
    wait_s: float = 30.0,
    lease_s: float = 20.0,
) -> ThreadSaver:
    """Open a store of threads.

    Args:
        url: `memory`; `sqlite:///threads.db` (four slashes for an absolute path), with
            `?power_safe=0` if a turn must survive the end of the process but not a power failure;
            `postgresql://user@host/database`.
        allowed: Your own types in the state; see `serializer.StrictSerializer`.
        wait_s: How long a turn waits for the one before it in the same thread, in seconds.
        lease_s: How long a killed process can block a thread, in seconds.

    Returns:
        A LangGraph checkpointer; `close()` closes the file or the connections.

    Raises:
        ConfigError: The URL has another form, or a time is not above 0.
        MissingDependencyError: The URL is of PostgreSQL, and psycopg is not installed.
    """
    times = {"wait_s": wait_s, "lease_s": lease_s}
    faults = [
        f"{name} is {value}; it must be above 0" for name, value in times.items() if value <= 0
    ]
    if faults:
        raise ConfigError(faults)
    codec = StrictSerializer(allowed)
    return ThreadSaver(_store(url), codec, wait_s=wait_s, lease_s=lease_s)


def as_checkpointer(
    given: BaseCheckpointSaver[Any] | str | None,
) -> BaseCheckpointSaver[Any] | None:
    """Open the checkpointer of a URL; return a checkpointer or None unchanged."""
    return open_checkpointer(given) if isinstance(given, str) else given


def prune_threads(saver: ThreadSaver, thread_ids: Iterable[str] | None = None) -> None:
    """Delete all but the newest state of threads; their earlier states cannot be restored.

    Args:
        saver: The checkpointer.
        thread_ids: The threads; None for all.

    Raises:
        ThreadBusyError: A turn did not end in time.
    """
    saver.prune(saver.store.threads() if thread_ids is None else list(thread_ids))


def delete_idle_threads(saver: ThreadSaver, idle_s: float) -> list[str]:
    """Delete threads without a recently stored turn and without a turn in progress.

    Args:
        saver: The checkpointer.
        idle_s: Seconds since the last stored turn; 30 days are 2_592_000.

    Returns:
        The deleted threads.

    Raises:
        ValueError: `idle_s` is below 0.
    """
    if idle_s < 0:
        raise ValueError(f"idle_s is {idle_s}; give seconds, 0 or more")
    return saver.store.delete_idle(idle_s)


def _store(url: str) -> SqlStore:
    parts = urlsplit(url)
    if url in ("memory", "memory:", "memory://"):
        from .sqlite import IN_MEMORY, SqliteDatabase

        return SqlStore(SqliteDatabase(IN_MEMORY))
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        from .sqlite import SqliteDatabase

        return SqlStore(
            SqliteDatabase(unquote(parts.path[1:]), power_safe=_power_safe(parts.query))
        )
    if parts.scheme in ("postgresql", "postgres"):
        from .postgres import PostgresDatabase

        return SqlStore(PostgresDatabase(url))
    shown = f"{parts.scheme}://..." if parts.netloc else url  # it may contain a password
    raise ConfigError([f"checkpointer {shown!r} is not a store of threads; allowed are {FORMS}"])


def _power_safe(query: str) -> bool:
    options = dict(parse_qsl(query, keep_blank_values=True))
    value = options.pop("power_safe", "1")
    if options or value not in ("0", "1"):
        raise ConfigError(
            [f"sqlite option {query!r} is unknown; allowed are power_safe=0 and power_safe=1"]
        )
    return value == "1"
