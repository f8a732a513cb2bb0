"""Middlewares that bound what a client sends: time and size of the body, and size of the headers.

The server's protocol (`connections`) bounds the headers' time and cuts connections; here the client
is told why.
"""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .replies import Fault, fault_response

_CLOSE = {"connection": "close"}
MOST_HEADERS = 100


class ReceiveDeadline:
    """End requests whose body is not there in time, and responses that are not read in time."""

    def __init__(self, app: ASGIApp, receive_s: float, send_s: float) -> None:
        """Set the deadlines, in seconds."""
        self.app, self._receive_s, self._send_s = app, receive_s, send_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        ends = asyncio.get_running_loop().time() + self._receive_s
        complete = False

        async def receive_in_time() -> Message:
            nonlocal complete
            if complete:  # only the disconnect is left, for which a stream waits as long as it runs
                return await receive()
            try:
                async with asyncio.timeout_at(ends):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, f"the body was not complete within {self._receive_s:g} s", _CLOSE
                ) from None
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._send_s):
                await send(message)

        await self.app(scope, receive_in_time, send_in_time)


class BodyLimit:
    """Refuse bodies that are too large, before they are in memory."""

    def __init__(self, app: ASGIApp, most_bytes: int, most_upload_bytes: int) -> None:
        """Set the limits: of any body, and of a file that is uploaded to the chat page."""
        self.app, self._most, self._most_upload = app, most_bytes, most_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        upload = scope["path"].endswith("/gradio_api/upload")
        most = self._most_upload if upload else self._most
        stated = dict(scope["headers"]).get(b"content-length", b"")
        told = f"the body has more than {most} bytes, which is the limit"
        if stated.isdigit() and int(stated[:20]) > most:
            fault = Fault(413, told, "body_too_large", headers=_CLOSE)
            await fault_response(scope, fault)(scope, receive, send)
            return
        seen = 0

        async def receive_counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise HTTPException(413, told, _CLOSE)
            return message

        await self.app(scope, receive_counted, send)


class HeaderLimit:
    """Refuse requests with too large or too many headers, or a path or query that is too long."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        """Set the limit of all headers, path and query together."""
        self.app, self._most = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            headers = scope["headers"]
            size = sum(len(name) + len(value) + 4 for name, value in headers)
            size += len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
            if size > self._most or len(headers) > MOST_HEADERS:
                told = (
                    f"{len(headers)} headers with {size} bytes; allowed are {MOST_HEADERS} and "
                    f"{self._most} bytes"
                )
                fault = Fault(431, told, "headers_too_large", headers=_CLOSE)
                await fault_response(scope, fault)(scope, receive, send)
                return
        await self.app(scope, receive, send)
