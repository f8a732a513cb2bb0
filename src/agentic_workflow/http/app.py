"""The app that every API and the chat page are part of.

    app = build_app(service, settings, routers=[openai_routes(service)])

`server_app` puts all of them together; `run_server` serves the app with deadlines on connections.
Middlewares, from the outside: security headers, receive deadline, body limit, header limit, rate
per address, CORS, authentication, rate per owner, request id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from ... import __version__
from .authentication import PUBLIC, Authentication
from .body_limits import BodyLimit, HeaderLimit, ReceiveDeadline
from .headers import RequestId, SecurityHeaders
from .health import health_routes
from .keys import KeyFile
from .login import login_routes
from .rate_limits import AddressRate, OwnerRate, RateWindow
from .replies import add_error_handlers
from .service import Service
from .settings import ServerSettings
from .watchdog import watch_engine

_SEEN_HEADERS = ["x-request-id", "retry-after", "location", "content-location"]
"""Response headers that pages of allowed origins may read."""


def build_app(
    service: Service,
    settings: ServerSettings | None = None,
    *,
    routers: Sequence[APIRouter] = (),
    mount_page: Callable[[FastAPI, Service], FastAPI] | None = None,
) -> FastAPI:
    """Build the app: its limits and authentication hold for every route and mount in it.

    `request.state.owner` names whose request it is: the key's owner, or `local` without keys.

    Args:
        service: Runs the turns.
        settings: Limits; those of the service by default.
        routers: Routes of the APIs.
        mount_page: Mounts the chat page and returns the app; called last, so that a page at `/`
            leaves the other routes alone.

    Raises:
        ConfigError: The file of keys cannot be used.
    """
    chosen = settings or service.settings
    keys = None if chosen.tokens is None else KeyFile(chosen.tokens)
    app = FastAPI(
        title="stillroom",
        version=__version__,
        docs_url=None,  # the pages load their scripts from another host
        redoc_url=None,
        lifespan=_lifespan(service, chosen),
    )
    add_error_handlers(app)
    if keys is not None:
        app.openapi = lambda: _with_security(app)  # type: ignore[method-assign]
    app.include_router(health_routes(service))
    app.include_router(login_routes(keys))
    for router in routers:
        app.include_router(router)
    # The last one added is the outermost.
    app.add_middleware(RequestId)
    app.add_middleware(OwnerRate, window=RateWindow(chosen.owner_rate))
    app.add_middleware(Authentication, settings=chosen, keys=keys)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(chosen.allowed_origins),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=_SEEN_HEADERS,
    )
    app.add_middleware(AddressRate, window=RateWindow(chosen.address_rate))
    app.add_middleware(HeaderLimit, most_bytes=chosen.max_header_bytes)
    app.add_middleware(
        BodyLimit, most_bytes=chosen.max_body_bytes, most_upload_bytes=chosen.max_upload_bytes
    )
    app.add_middleware(
        ReceiveDeadline, receive_s=chosen.receive_deadline_s, send_s=chosen.send_deadline_s
    )
    app.add_middleware(SecurityHeaders)
    return app if mount_page is None else mount_page(app, service)


def _with_security(app: FastAPI) -> dict[str, Any]:
    """Write the OpenAPI document, with the ways to send a key."""
    document = FastAPI.openapi(app)
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path in PUBLIC else [{"bearer": []}, {"apiKey": []}]
    return document


def _lifespan(
    service: Service, settings: ServerSettings
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        # Nodes of a graph are functions that wait for the engine, each in a thread. The default of
        # a few threads would keep most turns from the engine's batch.
        pool = ThreadPoolExecutor(settings.max_turns + 8, "stillroom-turn")
        asyncio.get_running_loop().set_default_executor(pool)
        watchdog = asyncio.create_task(watch_engine(service, settings))
        try:
            yield
        finally:
            watchdog.cancel()
            await asyncio.gather(watchdog, return_exceptions=True)

    return run
