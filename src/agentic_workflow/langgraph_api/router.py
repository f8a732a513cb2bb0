"""All routes of LangGraph Server's API as one router.

build_app(service, settings, routers=[langgraph_routes(service)])
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends

from ... import __version__
from ...errors import ConfigError
from ..http.replies import FaultBody
from ..http.service import Service
from ..threads.checkpointer import ThreadSaver
from .assistants import Assistants, assistant_routes
from .protocol_routes import protocol_routes
from .requests import check_query
from .run_routes import Runs, run_routes
from .run_worker import RunWorker
from .settings import RunSettings
from .thread_routes import Threads, owner, thread_routes

FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": FaultBody, "description": told}
    for status, told in {
        400: "The body is not JSON.",
        401: "There is no key, or it is wrong.",
        403: "Web pages of this origin may not call the server.",
        404: "The caller has no such thread, run or assistant.",
        408: "The body was not complete in time.",
        409: "A run of the thread is in progress, or what is to be made is there already.",
        413: "The body is too large.",
        421: "The Host header names another machine.",
        422: "A field or parameter is unknown, not supported, or out of range; `detail` names it.",
        429: "Too many requests or turns; see Retry-After.",
        431: "The headers are too large.",
        500: "An internal error; the server's log has its reason.",
        503: "The engine failed, or the server goes down.",
    }.items()
}
"""What every route may answer besides its result."""


def langgraph_routes(service: Service, settings: RunSettings | None = None) -> APIRouter:
    """Make the routes; runs begin and end with the life of the app.

    Args:
        service: Its workflows are the assistants. All of them remember their threads where the
            default one does, in a store of `open_checkpointer`; runs and events are stored beside
            the threads, and several processes may share the database.
        settings: Times and limits of runs and streams.

    Raises:
        ConfigError: The workflows remember nothing, or in a store of another kind.
    """
    saver: Any = service.checkpointer
    if not isinstance(saver, ThreadSaver):
        raise ConfigError(
            ["LangGraph's API needs a store of threads; open one with open_checkpointer(URL)"]
        )
    for workflow in service.workflows.values():
        if workflow.checkpointer is not saver:
            workflow.remember(saver)
    worker = RunWorker(service, saver, settings or RunSettings())

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:  # noqa: ANN401 - the application
        worker.start()
        try:
            yield
        finally:
            await worker.stop()

    router = APIRouter(lifespan=lifespan)
    assistants = Assistants(service.workflows)
    threads = Threads(worker, assistants)
    runs = Runs(threads)

    @router.get("/info", tags=["server"])
    async def info() -> dict[str, Any]:
        return {
            "version": __version__,
            "langgraph_py_version": version("langgraph"),
            "flags": {"assistants": True, "crons": False, "langsmith": False, "store": False},
            "metadata": {"server": "stillroom"},
        }

    @router.get("/ok", tags=["server"])
    async def ok() -> dict[str, bool]:
        return {"ok": True}

    for routes in (
        assistant_routes(assistants),
        protocol_routes(runs),
        run_routes(runs),
        thread_routes(threads),
    ):
        router.include_router(
            routes, dependencies=[Depends(owner), Depends(check_query)], responses=FAULTS
        )
    return router
