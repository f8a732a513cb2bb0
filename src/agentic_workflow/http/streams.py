"""Answers that end with the client: a turn is cancelled when nobody reads its answer any more.

A turn runs in a task of its own. The server's tasks of one response differ from each other, and
LangGraph's context variables and the watchdog need one task from the turn's begin to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse

T = TypeVar("T")
PING = ": ping\n\n"
"""A comment of server-sent events, which clients skip."""
PING_S = 15.0
_MOST_AHEAD = 256
"""Items that a turn may be ahead of its reader."""


class ClientGoneError(Exception):
    """The client has closed the connection before the answer was complete."""


class SilenceError(Exception):
    """There was no item for as long as the reader would wait; not a TimeoutError, as those of turns
    are such."""


class Pumped(Generic[T]):
    """An async iterator that runs in a task of its own.

    Args:
        items: Makes the iterator.
    """

    def __init__(self, items: Callable[[], AsyncIterator[T]]) -> None:
        """Start at once."""
        self._queue: asyncio.Queue[T | None] = asyncio.Queue(_MOST_AHEAD)
        self._fault: BaseException | None = None
        self._ended = False
        self._task = asyncio.create_task(self._run(items))

    async def _run(self, items: Callable[[], AsyncIterator[T]]) -> None:
        try:
            async with aclosing(items()) as stream:  # type: ignore[type-var]
                async for item in stream:
                    await self._queue.put(item)
        except asyncio.CancelledError:
            raise
        except BaseException as fault:  # noqa: BLE001 - raised to the reader
            self._fault = fault
        await self._queue.put(None)

    def __aiter__(self) -> Pumped[T]:
        """Read the items."""
        return self

    async def __anext__(self) -> T:
        """Return the next item, or raise what ended the iterator."""
        return await self.next_within(None)

    async def next_within(self, seconds: float | None) -> T:
        """Return the next item, or raise what ended the iterator.

        Raises:
            SilenceError: There was none for so long; it is not lost.
        """
        if self._ended:
            raise StopAsyncIteration
        if self._queue.empty():
            try:
                async with asyncio.timeout(seconds):
                    item = await self._queue.get()
            except TimeoutError:
                raise SilenceError from None
        else:
            item = self._queue.get_nowait()
        if item is not None:
            return item
        self._ended = True
        if self._fault is not None:
            raise self._fault
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cancel what still runs, and wait for its end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def first_of(stream: Pumped[T]) -> T:
    """Await the first item, so that an error before it can still have its own status.

    Raises:
        Exception: What ended the iterator; it is closed then.
    """
    try:
        return await anext(stream)
    except BaseException:
        await stream.aclose()
        raise


async def sse_lines(
    first: str, stream: Pumped[str], on_error: Callable[[Exception], str], last: str = ""
) -> AsyncIterator[str]:
    """Give the text of server-sent events, with a comment whenever the stream is silent.

    Args:
        first: The first event.
        stream: The others.
        on_error: Writes the event of an error that ends the stream.
        last: What follows the last event of a stream without an error.
    """
    async with aclosing(stream):
        yield first
        while True:
            try:
                item = await stream.next_within(PING_S)
            except SilenceError:
                item = PING
            except StopAsyncIteration:
                yield last
                return
            except Exception as fault:  # noqa: BLE001 - told to the client, logged by `fault_of`
                yield on_error(fault)
                return
            yield item


def sse_response(lines: AsyncIterator[str]) -> StreamingResponse:
    """Make the response of server-sent events; proxies are asked not to buffer it."""
    return StreamingResponse(
        lines, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


async def while_connected(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """Run something as long as the client waits for it.

    Args:
        request: Its body must have been read.
        work: Starts the work; it is cancelled when the client goes.

    Raises:
        ClientGoneError: The client has gone.
        Exception: What the work raises.
    """
    task = asyncio.ensure_future(work())
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGoneError
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
