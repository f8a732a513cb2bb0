"""All routes of LangGraph Server's API as one router.

    app.include_router(langgraph_router({"multi_agent": workflow}, saver))

The application's authentication puts the owner's name into `request.state.owner`; without one every
route but `/info` and `/ok` answers 401.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends

from ... import __version__
from ...errors import ConfigError
from ..threads.checkpointer import ThreadSaver
from ..workflow import Workflow
from .assistants import Assistants, assistant_routes
from .protocol_routes import protocol_routes
from .run_routes import Runs, run_routes
from .run_worker import RunWorker
from .settings import RunSettings
from .thread_routes import Threads, owner, thread_routes


def langgraph_router(
    workflows: Mapping[str, Workflow],
    saver: ThreadSaver,
    settings: RunSettings | None = None,
) -> APIRouter:
    """Make the router; its runs begin and end with the application's life.

    Args:
        workflows: Name -> workflow, each an assistant of that name. They remember their threads in
            `saver` from now on.
        saver: Where threads, runs and events are stored; several processes may share its database.
        settings: Limits and times.

    Returns:
        A router for `app.include_router`.

    Raises:
        ConfigError: There is no workflow.
    """
    if not workflows:
        raise ConfigError(["there is no workflow to serve; give at least one"])
    for workflow in workflows.values():
        if workflow.checkpointer is not saver:
            workflow.remember(saver)
    worker = RunWorker(workflows, saver, settings or RunSettings())

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:  # noqa: ANN401 - the application
        worker.start()
        try:
            yield
        finally:
            await worker.stop()

    router = APIRouter(lifespan=lifespan)
    assistants = Assistants(workflows)
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
        router.include_router(routes, dependencies=[Depends(owner)])
    return router
