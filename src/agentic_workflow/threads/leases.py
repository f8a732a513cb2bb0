"""One turn at a time in each thread: a queue within the process, a lease between processes.

Within a process turns stand in line and each is called when the one before it ends; nothing polls.
The first in line asks the store for the lease, again and again where another process has it. A
lease runs out by itself when its holder no longer renews it, so a killed process blocks a thread
for some seconds only. A holder that merely stood still finds at its commit that its number (the
fence) is no longer the newest, and stores nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any, TypeVar
from uuid import uuid4

from ...errors import ThreadBusyError
from .rows import Lease
from .sql_store import SqlStore

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1
# Not the event loop's own pool: models that block may fill that one.
_STORE_CALLS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="stillroom-threads")
Result = TypeVar("Result")


class TurnQueue:
    """First come, first served, one at a time in each thread; for threads and event loops alike."""

    def __init__(self) -> None:
        """Start with nobody in line."""
        self._lock = threading.Lock()
        self._lines: dict[str, deque[Future[None]]] = {}

    def enter(self, thread_id: str, wait_s: float) -> None:
        """Wait for one's turn.

        Raises:
            ThreadBusyError: It did not come within `wait_s` seconds.
        """
        place = self._place(thread_id)
        try:
            place.result(wait_s)
        except BaseException as error:
            self._step_out(thread_id, place)
            if isinstance(error, FutureTimeoutError):
                raise ThreadBusyError(thread_id, wait_s) from None
            raise

    async def aenter(self, thread_id: str, wait_s: float) -> None:
        """Wait for one's turn without holding up the event loop; see `enter`."""
        place = self._place(thread_id)
        if place.done():
            return
        try:
            async with asyncio.timeout(wait_s):  # `wait_for` can swallow a cancellation
                await asyncio.wrap_future(place)
        except BaseException as error:
            self._step_out(thread_id, place)
            if isinstance(error, TimeoutError):
                raise ThreadBusyError(thread_id, wait_s) from None
            raise

    def leave(self, thread_id: str) -> None:
        """Let the next one in."""
        with self._lock:
            line = self._lines[thread_id]
            while line:
                following = line.popleft()
                if following.set_running_or_notify_cancel():
                    following.set_result(None)
                    return
            del self._lines[thread_id]

    def _place(self, thread_id: str) -> Future[None]:
        place: Future[None] = Future()
        with self._lock:
            if thread_id in self._lines:
                self._lines[thread_id].append(place)
            else:
                self._lines[thread_id] = deque()
                place.set_running_or_notify_cancel()
                place.set_result(None)
        return place

    def _step_out(self, thread_id: str, place: Future[None]) -> None:
        """Give up a place; one that was called in the same moment lets the next one in."""
        if not place.cancel():
            self.leave(thread_id)


class LeaseDesk:
    """Hands out the leases of one store, and renews those that are out.

    Args:
        store: The store.
        wait_s: How long a turn waits for the one before it, in seconds.
        lease_s: How long a lease lives without being renewed, in seconds.
    """

    def __init__(self, store: SqlStore, wait_s: float, lease_s: float) -> None:
        """Start with all leases at home."""
        self._store = store
        self._queue = TurnQueue()
        self._wait_s = wait_s
        self._lease_s = lease_s
        self._out: dict[str, Lease] = {}
        self._closed = threading.Event()
        self._starting = threading.Lock()
        self._renewer: threading.Thread | None = None

    def take(self, thread_id: str) -> Lease:
        """Take a thread's lease.

        Raises:
            ThreadBusyError: Another turn held it for all of `wait_s`.
        """
        deadline = time.monotonic() + self._wait_s
        self._queue.enter(thread_id, self._wait_s)
        holder = uuid4().hex
        try:
            pause = _FIRST_PAUSE_S
            while (fence := self._store.take(thread_id, holder, self._lease_s)) is None:
                pause = self._next_pause(thread_id, pause, deadline)
                time.sleep(pause)
        except BaseException:
            self._queue.leave(thread_id)
            raise
        return self._noted(Lease(thread_id, holder, fence))

    async def atake(self, thread_id: str) -> Lease:
        """Take a thread's lease; see `take`."""
        deadline = time.monotonic() + self._wait_s
        await self._queue.aenter(thread_id, self._wait_s)
        holder = uuid4().hex
        try:
            pause = _FIRST_PAUSE_S
            while (fence := await self._asked(thread_id, holder)) is None:
                pause = self._next_pause(thread_id, pause, deadline)
                await asyncio.sleep(pause)
        except BaseException:
            self._queue.leave(thread_id)
            raise
        return self._noted(Lease(thread_id, holder, fence))

    def give_back(self, lease: Lease, *, released: bool) -> None:
        """Let the next turn in; `released` where the store knows already."""
        self._out.pop(lease.holder, None)
        try:
            if not released:
                self._store.release(lease.thread_id, lease.holder)
        except Exception:  # noqa: BLE001 - it must not stand in the place of why the turn ended
            _LOG.warning("a lease could not be given back; it will run out", exc_info=True)
        finally:
            self._queue.leave(lease.thread_id)

    def close(self) -> None:
        """Stop renewing."""
        self._closed.set()

    async def _asked(self, thread_id: str, holder: str) -> int | None:
        """Ask the store; one that was cancelled while it asked gives back what it got."""
        try:
            return await off_loop(
                self._store.blocking, self._store.take, thread_id, holder, self._lease_s
            )
        except asyncio.CancelledError:
            await off_loop(self._store.blocking, self._store.release, thread_id, holder)
            raise

    def _next_pause(self, thread_id: str, pause: float, deadline: float) -> float:
        if time.monotonic() + pause > deadline:
            raise ThreadBusyError(thread_id, self._wait_s)
        return min(pause * 1.5, _LONGEST_PAUSE_S)

    def _noted(self, lease: Lease) -> Lease:
        self._out[lease.holder] = lease
        if self._store.shared:
            with self._starting:
                self._renew_from_now_on()
        return lease

    def _renew_from_now_on(self) -> None:
        # A process that was forked off has no threads but the one that forked.
        if self._renewer is None or not self._renewer.is_alive():
            self._renewer = threading.Thread(
                target=_renew_until_closed,
                args=(weakref.ref(self), self._closed, self._lease_s / 4),
                name="stillroom-leases",
                daemon=True,
            )
            self._renewer.start()

    def renew(self) -> None:
        """Renew all leases that are out."""
        leases = list(self._out.values())
        if leases:
            self._store.renew(leases, self._lease_s)


async def off_loop(blocking: bool, function: Callable[..., Result], *arguments: Any) -> Result:  # noqa: ANN401
    """Call a function that may wait for a disk without holding up the event loop.

    The call is always waited for, also when the task is cancelled: what it did is known then.
    """
    if not blocking:
        return function(*arguments)
    call = asyncio.get_running_loop().run_in_executor(_STORE_CALLS, function, *arguments)
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        with suppress(Exception):
            await asyncio.wait([call])
        raise


def _renew_until_closed(
    desk: weakref.ref[LeaseDesk], closed: threading.Event, every_s: float
) -> None:
    while not closed.wait(every_s):
        alive = desk()
        if alive is None:
            return
        try:
            alive.renew()
        except Exception:  # noqa: BLE001 - edge of a thread; the commit finds out what it means
            _LOG.warning("leases could not be renewed", exc_info=True)
        del alive
