"""Serving the app: uvicorn with deadlines on connections, and an orderly end.

uvicorn waits for headers and bodies as long as a client likes
(https://github.com/Kludex/uvicorn/issues/1685). `BoundedConnection` cuts what is too slow.
"""

from __future__ import annotations

import asyncio
import logging
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from .service import Service
from .settings import ServerSettings

_log = logging.getLogger(__name__)


def bounded_connection(settings: ServerSettings) -> type[H11Protocol]:
    """Make the protocol class of connections with the settings' deadlines."""
    seconds = {
        "headers": settings.header_deadline_s,
        "body": settings.receive_deadline_s + 1.0,  # `ReceiveDeadline` tells the client before
        "read": settings.send_deadline_s,
    }

    class BoundedConnection(H11Protocol):
        """A connection whose client must send headers and body, and read the answer, in time.

        A deadline runs from the first moment of a phase; further bytes do not extend it.
        """

        _deadline: asyncio.TimerHandle | None = None
        _timed: tuple[str, object] = ("", None)

        def connection_made(self, transport: Any) -> None:  # noqa: ANN401
            super().connection_made(transport)
            if len(self.connections) > settings.max_connections:
                self._cut("there are too many connections")
            else:
                self._time_phase()

        def connection_lost(self, exc: Exception | None) -> None:
            self._limit(None)
            super().connection_lost(exc)

        def handle_events(self) -> None:
            super().handle_events()
            self._time_phase()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._time_phase()
            if self._phase() == "body":  # what is still coming is of no use to anyone
                self._limit(1.0, "the rest of a body")

        def _phase(self) -> str:
            """Name what the client is to do now."""
            if self.transport.is_closing():
                return "read"
            theirs = self.conn.their_state
            if theirs is h11.IDLE:
                begun = self.cycle is None or self.conn.trailing_data[0]
                return "headers" if begun else "idle"
            return "body" if theirs is h11.SEND_BODY else "wait"

        def _time_phase(self) -> None:
            phase = (self._phase(), self.cycle)
            if phase != self._timed:
                self._timed = phase
                self._limit(seconds.get(phase[0]), phase[0])

        def _limit(self, seconds: float | None, what: str = "") -> None:
            if self._deadline is not None:
                self._deadline.cancel()
            told = f"{what} took a client longer than {seconds} s"
            self._deadline = (
                None if seconds is None else self.loop.call_later(seconds, self._cut, told)
            )

        def _cut(self, why: str) -> None:
            _log.info("a connection is cut: %s", why)
            self.transport.abort()

    return BoundedConnection


class Server(uvicorn.Server):
    """A uvicorn server that lets the service know when it is to end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        """Prepare to serve."""
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Refuse new turns and let those in progress end; a second signal ends them, too.

        The signal is not raised again when the server has ended, as uvicorn would, so that the
        caller can close what it opened.
        """
        self._service.draining = True
        self.force_exit = self.should_exit
        self.should_exit = True


def make_server(app: FastAPI, service: Service, settings: ServerSettings) -> Server:
    """Prepare a server for an app; `run` serves until SIGTERM or Ctrl-C."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=bounded_connection(settings),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # anyone could name another address in X-Forwarded-For
        h11_max_incomplete_event_size=settings.max_header_bytes,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=int(settings.drain_s),
        backlog=512,
    )
    return Server(config, service)
