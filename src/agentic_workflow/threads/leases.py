"""One turn at a time in each thread: a lock within the process, a lease between processes.

Within a process the lock is first come, first served, without polling. The process whose turn is
next asks the store for the lease, repeatedly while another process holds it. A lease expires unless
its holder renews it, so a killed process blocks a thread for a few seconds only. If a holder stalls
until another process takes the lease over, the fencing number of its lease is no longer the newest,
and its commit fails (https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html).
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
from .sql_store import Lease, SqlStore

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_S = 0.005
_MAX_PAUSE_S = 0.1
# Not the event loop's default executor: blocking models may occupy all of its threads.
_STORE_CALLS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="stillroom-threads")
Result = TypeVar("Result")


class ThreadLocks:
    """A first-come, first-served lock per `thread_id`, for OS threads and event loops alike."""

    def __init__(self) -> None:
        """Start with no lock held."""
        self._guard = threading.Lock()
        self._waiting: dict[str, deque[Future[None]]] = {}

    def acquire(self, thread_id: str, wait_s: float) -> None:
        """Wait for the lock of a thread.

        Raises:
            ThreadBusyError: It was not free within `wait_s` seconds.
        """
        place = self._enqueue(thread_id)
        try:
            place.result(wait_s)
        except BaseException as error:
            self._withdraw(thread_id, place)
            if isinstance(error, FutureTimeoutError):
                raise ThreadBusyError(thread_id, wait_s) from None
            raise

    async def aacquire(self, thread_id: str, wait_s: float) -> None:
        """Wait for the lock without blocking the event loop; see `acquire`."""
        place = self._enqueue(thread_id)
        if place.done():
            return
        try:
            async with asyncio.timeout(wait_s):  # `wait_for` can swallow a cancellation
                await asyncio.wrap_future(place)
        except BaseException as error:
            self._withdraw(thread_id, place)
            if isinstance(error, TimeoutError):
                raise ThreadBusyError(thread_id, wait_s) from None
            raise

    def release(self, thread_id: str) -> None:
        """Pass the lock to the next waiter."""
        with self._guard:
            waiting = self._waiting[thread_id]
            while waiting:
                following = waiting.popleft()
                if following.set_running_or_notify_cancel():
                    following.set_result(None)
                    return
            del self._waiting[thread_id]

    def _enqueue(self, thread_id: str) -> Future[None]:
        place: Future[None] = Future()
        with self._guard:
            if thread_id in self._waiting:
                self._waiting[thread_id].append(place)
            else:
                self._waiting[thread_id] = deque()
                place.set_running_or_notify_cancel()
                place.set_result(None)
        return place

    def _withdraw(self, thread_id: str, place: Future[None]) -> None:
        """Stop waiting; if the lock was passed on at the same moment, release it."""
        if not place.cancel():
            self.release(thread_id)


class Leases:
    """The leases of one store that this process holds; a background thread renews them.

    Args:
        store: The store.
        wait_s: How long a turn waits for the one before it, in seconds.
        lease_s: After how many seconds a lease expires if it is not renewed.
    """

    def __init__(self, store: SqlStore, wait_s: float, lease_s: float) -> None:
        """Start with no lease held."""
        self._store = store
        self._locks = ThreadLocks()
        self._wait_s = wait_s
        self._lease_s = lease_s
        self._held: dict[str, Lease] = {}
        self._closed = threading.Event()
        self._starting = threading.Lock()
        self._renewer: threading.Thread | None = None

    def acquire(self, thread_id: str) -> Lease:
        """Acquire the lease of a thread.

        Raises:
            ThreadBusyError: Another turn held it for all of `wait_s`.
        """
        deadline = time.monotonic() + self._wait_s
        self._locks.acquire(thread_id, self._wait_s)
        holder, pause = uuid4().hex, _FIRST_PAUSE_S
        try:
            while (fence := self._store.acquire(thread_id, holder, self._lease_s)) is None:
                pause = self._next_pause(thread_id, pause, deadline)
                time.sleep(pause)
        except BaseException:
            self._locks.release(thread_id)
            raise
        return self._keep(Lease(thread_id, holder, fence))

    async def aacquire(self, thread_id: str) -> Lease:
        """Acquire the lease of a thread; see `acquire`."""
        deadline = time.monotonic() + self._wait_s
        await self._locks.aacquire(thread_id, self._wait_s)
        holder, pause = uuid4().hex, _FIRST_PAUSE_S
        try:
            while (fence := await self._ask_store(thread_id, holder)) is None:
                pause = self._next_pause(thread_id, pause, deadline)
                await asyncio.sleep(pause)
        except BaseException:
            self._locks.release(thread_id)
            raise
        return self._keep(Lease(thread_id, holder, fence))

    def release(self, lease: Lease, *, in_store: bool = True) -> None:
        """Release a lease; `in_store=False` if the commit has released it in the store already."""
        self._held.pop(lease.holder, None)
        try:
            if in_store:
                self._store.release(lease.thread_id, lease.holder)
        except Exception:  # noqa: BLE001 - must not replace the error that ended the turn
            _LOG.warning("a lease could not be released; it will expire", exc_info=True)
        finally:
            self._locks.release(lease.thread_id)

    def close(self) -> None:
        """Stop renewing."""
        self._closed.set()

    def renew(self) -> None:
        """Renew all leases held."""
        leases = list(self._held.values())
        if leases:
            self._store.renew(leases, self._lease_s)

    async def _ask_store(self, thread_id: str, holder: str) -> int | None:
        """Ask the store for a lease, and release it if the task is cancelled meanwhile."""
        try:
            return await off_loop(
                self._store.blocking, self._store.acquire, thread_id, holder, self._lease_s
            )
        except asyncio.CancelledError:
            await off_loop(self._store.blocking, self._store.release, thread_id, holder)
            raise

    def _next_pause(self, thread_id: str, pause: float, deadline: float) -> float:
        if time.monotonic() + pause > deadline:
            raise ThreadBusyError(thread_id, self._wait_s)
        return min(pause * 1.5, _MAX_PAUSE_S)

    def _keep(self, lease: Lease) -> Lease:
        self._held[lease.holder] = lease
        if self._store.shared:
            with self._starting:
                # A forked process has only the thread that forked it, so the renewer may be gone.
                if self._renewer is None or not self._renewer.is_alive():
                    self._renewer = threading.Thread(
                        target=_renew_until_closed,
                        args=(weakref.ref(self), self._closed, self._lease_s / 4),
                        name="stillroom-leases",
                        daemon=True,
                    )
                    self._renewer.start()
        return lease


async def off_loop(blocking: bool, function: Callable[..., Result], *arguments: Any) -> Result:  # noqa: ANN401
    """Call a function that may block without blocking the event loop.

    A cancelled task still waits for the call to end, so that its effect is known.
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
    reference: weakref.ref[Leases], closed: threading.Event, every_s: float
) -> None:
    while not closed.wait(every_s):
        leases = reference()
        if leases is None:
            return
        try:
            leases.renew()
        except Exception:  # noqa: BLE001 - edge of a thread; the commit notices a lost lease
            _LOG.warning("leases could not be renewed", exc_info=True)
        del leases
