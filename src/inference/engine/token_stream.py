"""Streams of tokens from the worker thread to readers in threads and event loops.

The producer never waits: it appends to a deque and, once per step, wakes all readers of one event
loop with a single call. A slow reader finds several tokens at once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress

from ...errors import DeadlineError, GenerationError
from .protocol import FinishReason, TokenEvent, Usage

_GRACE_S = 1.0
"""How long after its deadline a reader still waits for the engine's own error."""
_CANCELLED = "the request was cancelled before its answer was complete"

_Loop = asyncio.AbstractEventLoop
_Waiter = threading.Event | tuple[_Loop, asyncio.Future[None]]


class AnswerStream:
    """The tokens of one answer (`protocol.TokenStream`), for one reader."""

    def __init__(
        self,
        request_id: str,
        prompt_tokens: int,
        cancel: Callable[[str], None],
        deadline: float | None = None,
    ) -> None:
        """Start an answer without tokens.

        Args:
            request_id: Name of the request.
            prompt_tokens: Tokens of the prompt, 0 if not known yet.
            cancel: Called with the request's name to end it.
            deadline: `time.monotonic()` after which the reader stops waiting.
        """
        self._id = request_id
        self._cancel = cancel
        self._deadline = deadline
        self._events: deque[TokenEvent] = deque()
        # A deque, because the producer empties it while the reader may be appending; replacing a
        # list instead could lose a reader, which would then wait for ever.
        self._waiters: deque[_Waiter] = deque()
        self._collecting = False
        self._ended = False
        self._fault: Exception | None = None
        self._reason: FinishReason | None = None
        self._usage = Usage(prompt_tokens, 0)

    @property
    def request_id(self) -> str:
        """Name of the request."""
        return self._id

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why it ended; None before, or if it failed."""
        return self._reason

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return self._usage

    def cancel(self) -> None:
        """End the request."""
        self._cancel(self._id)

    # For the producer.

    def put(self, event: TokenEvent, usage: Usage | None = None) -> None:
        """Append a token; its finish reason, if it has one, ends the answer.

        Args:
            event: The token.
            usage: Tokens so far as a server counts them; None adds one.
        """
        if self._ended:
            return
        asked, made = self._usage.prompt_tokens, self._usage.completion_tokens
        self._usage = usage or Usage(asked, made + 1)
        self._events.append(event)
        if event.finish_reason is not None:
            self._reason = event.finish_reason
            self._ended = True

    def fail(self, fault: Exception) -> None:
        """End the answer with an error, unless it has ended."""
        if not self._ended:
            self._fault = fault
            self._ended = True

    def abandon(self) -> None:
        """End the answer after a cancel; unread tokens are dropped."""
        self.fail(GenerationError(_CANCELLED))
        self._events.clear()

    def take_waiters(self) -> list[_Waiter]:
        """Return what wakes the reader; empty if it need not be woken."""
        if self._collecting and not self._ended:
            return []
        taken = []
        while self._waiters:
            taken.append(self._waiters.popleft())
        return taken

    # For the reader.

    def __iter__(self) -> AnswerStream:
        """Read in this thread, which blocks."""
        return self

    def __next__(self) -> TokenEvent:
        """Return the next token."""
        while True:
            ended = self._ended  # read before the tokens: the last of them comes before the end
            if self._events:
                return self._events.popleft()
            if ended:
                self._raise_fault()
                raise StopIteration
            self._wait()

    def __aiter__(self) -> AnswerStream:
        """Read in an event loop without blocking it."""
        return self

    async def __anext__(self) -> TokenEvent:
        """Return the next token."""
        while True:
            ended = self._ended  # read before the tokens: the last of them comes before the end
            if self._events:
                return self._events.popleft()
            if ended:
                self._raise_fault()
                raise StopAsyncIteration
            await self._sleep()

    def collect(self) -> list[TokenEvent]:
        """Wait for the whole answer."""
        self._collecting = True
        while not self._ended:
            self._wait()
        return self._all()

    async def acollect(self) -> list[TokenEvent]:
        """Await the whole answer."""
        self._collecting = True
        while not self._ended:
            await self._sleep()
        return self._all()

    def _all(self) -> list[TokenEvent]:
        self._raise_fault()
        return list(self._events)

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _must_wait(self) -> bool:
        return not self._ended and (self._collecting or not self._events)

    def _wait(self) -> None:
        woken = threading.Event()
        self._waiters.append(woken)
        if self._must_wait() and not woken.wait(self._timeout_s()):
            raise _too_late()

    async def _sleep(self) -> None:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        self._waiters.append((loop, woken))
        if not self._must_wait():  # it came in between
            return
        timeout_s = self._timeout_s()
        limit: AbstractAsyncContextManager[object] = (
            nullcontext() if timeout_s is None else asyncio.timeout(timeout_s)
        )
        try:
            async with limit:
                await woken
        except TimeoutError as fault:
            raise _too_late() from fault

    def _timeout_s(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - time.monotonic()) + _GRACE_S


def wake(streams: Sequence[AnswerStream]) -> list[AnswerStream]:
    """Wake the readers of streams, with one call per event loop.

    Returns:
        Streams whose event loop is closed; they will never be read.
    """
    by_loop: dict[_Loop, list[asyncio.Future[None]]] = {}
    owners: dict[_Loop, list[AnswerStream]] = {}
    for stream in streams:
        for waiter in stream.take_waiters():
            if isinstance(waiter, threading.Event):
                waiter.set()
            else:
                loop, future = waiter
                by_loop.setdefault(loop, []).append(future)
                owners.setdefault(loop, []).append(stream)
    orphans: list[AnswerStream] = []
    for loop, futures in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, futures)
        except RuntimeError:  # the loop is closed
            orphans += owners[loop]
    return orphans


def _resolve(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        with suppress(asyncio.InvalidStateError):  # its task was cancelled meanwhile
            future.set_result(None)


def _too_late() -> DeadlineError:
    return DeadlineError("the answer was not there before its deadline; allow more time")
