"""Follow the stored events of a thread, each exactly once, whichever process stores them.

A follower asks the database for the events after the last one it had, so it holds one page of them
at most, however slowly its client reads. It is woken by the process itself for its own runs; events
of other processes are found by one question to the database, every `poll_s` seconds, for all
threads that are followed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from ..threads.leases import off_loop
from .run_store import EventRow, RunStore

_LOG = logging.getLogger(__name__)


class EventFeed:
    """Wakes the followers of threads in this process."""

    def __init__(self, store: RunStore, poll_s: float, heartbeat_s: float) -> None:
        """Start without followers; times in seconds."""
        self.store = store
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._known: dict[str, int] = {}

    def wake(self, key: str) -> None:
        """Tell the followers of a thread that there is something new."""
        for event in self._waiting.get(key, ()):
            event.set()

    async def follow(
        self, key: str, after: int, run_id: str | None = None
    ) -> AsyncIterator[list[EventRow]]:
        """Yield pages of events with numbers above `after`, without end.

        An empty page comes when nothing happened for `heartbeat_s` seconds, and at once where there
        is nothing new to begin with.
        """
        blocking = self.store.database.blocking
        first = True
        with self._place(key) as news:
            while True:
                news.clear()  # before the look, so that nothing between look and wait is missed
                rows = await off_loop(blocking, self.store.events, key, after, run_id)
                if rows or first:
                    first = False
                    after = rows[-1].seq if rows else after
                    yield rows
                    continue
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        await news.wait()
                except TimeoutError:
                    yield []

    async def poll(self) -> None:
        """Wake followers for the events of other processes, until cancelled."""
        while True:
            await asyncio.sleep(self._poll_s)
            if self._waiting:
                try:
                    await self._look()
                except Exception:  # noqa: BLE001 - edge of a task; the next look may succeed
                    _LOG.warning("the database could not be asked for events", exc_info=True)

    async def _look(self) -> None:
        newest = await off_loop(
            self.store.database.blocking, self.store.newest, list(self._waiting)
        )
        for key in list(self._waiting):
            # A thread that was deleted is news, too: its followers must end.
            if newest.get(key) != self._known.get(key):
                self._known[key] = newest.get(key, -1)
                self.wake(key)

    @contextmanager
    def _place(self, key: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._waiting.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]
                self._known.pop(key, None)
