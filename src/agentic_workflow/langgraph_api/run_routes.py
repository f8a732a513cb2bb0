"""Runs: start, stream, wait, join, cancel, list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from ...errors import ThreadBusyError
from .assistants import assistant_id, picked
from .event_streams import run_stream
from .requests import (
    CancelMany,
    RunCreate,
    RunStatus,
    StreamMode,
    bad_field,
    check_input,
    check_nodes,
)
from .run_store import RunLostError, RunRow
from .thread_routes import Threads, no_thread, owner
from .wire import thread_id_of, time_text

SSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
Modes = Annotated[list[StreamMode | Literal[""]] | None, Query()]
"""Wanted modes; the SDK for Python sends an empty one where it wants all."""
LastEvent = Annotated[str | None, Header(alias="Last-Event-ID")]


class Runs:
    """Starts and finds the runs of owners' threads."""

    def __init__(self, threads: Threads) -> None:
        """Use the store of the threads."""
        self.threads = threads
        self.worker = threads.worker
        self._background: set[asyncio.Task[Any]] = set()

    async def start(self, request: Request, thread_id: str | None, body: RunCreate) -> RunRow:
        """Start a run.

        Args:
            request: It tells the owner.
            thread_id: The thread; None for a run with a thread of its own.
            body: The run.

        Raises:
            HTTPException: There is no such thread or assistant: 404; another run of the thread is
                in progress: 409.
            RequestValidationError: A field is not usable.
            EngineBusyError, FaultError: Too many turns are in progress, or the server ends.
        """
        if thread_id is not None and body.on_completion is not None:
            raise bad_field(["on_completion"], "it is for runs without a thread; leave it out")
        graph_id = self.threads.assistants.name(body.assistant_id)
        graph = self.worker.graph(graph_id)
        if body.command is None:
            check_input(graph, body.input)
        check_nodes(graph, body)
        key = self.threads.key(request, thread_id or str(uuid4()))
        if thread_id is None or body.if_not_exists == "create":
            store = self.worker.store
            await self.worker.call(store.add_thread, key, owner(request), body.metadata or {})
        run, _ = await self.submit(key, graph_id, body)
        return run

    async def submit(self, key: str, graph_id: str, body: RunCreate) -> tuple[RunRow, int]:
        """Start a run of a thread; raises as `start` does."""
        try:
            return await self.worker.submit(
                key, assistant_id(graph_id), body.metadata or {}, body.request(graph_id)
            )
        except (ThreadBusyError, TimeoutError) as error:
            waits = body.multitask_strategy == "enqueue"
            most = f"{self.worker.settings.most_waiting} runs of the thread wait already"
            told = most if waits else "another run of the thread is in progress"
            raise HTTPException(409, told) from error
        except RunLostError as error:
            raise no_thread(thread_id_of(key)) from error

    async def get(self, request: Request, thread_id: str, run_id: str) -> RunRow:
        """Return a run.

        Raises:
            HTTPException: The asking owner has no such run: 404.
        """
        key = self.threads.key(request, thread_id)
        run = await self.worker.call(self.worker.store.run, key, run_id)
        if run is None:
            raise HTTPException(404, f"there is no run {run_id[:200]!r}")
        return run

    def stream(
        self,
        run: RunRow,
        body: RunCreate | None = None,
        **options: Any,  # noqa: ANN401
    ) -> StreamingResponse:
        """Stream a run; one that was started for this stream ends with it where its client asks."""
        if body is not None:
            options = {"modes": body.modes(), "subgraphs": bool(body.stream_subgraphs)}
            if body.on_disconnect == "cancel":
                options["left"] = lambda: self.later(self.worker.cancel(run.key, run.run_id))
        lines = run_stream(self.worker.feed, run.key, run.run_id, **options)
        return StreamingResponse(
            lines, media_type="text/event-stream", headers={**SSE_HEADERS, **places(run)}
        )

    async def result(self, run: RunRow) -> JSONResponse:
        """Wait for the end of a run; return its last state.

        White space is sent while there is nothing else, so that proxies keep the connection.
        """
        ended = await self.worker.ended(run.key, run.run_id)
        return JSONResponse(None if ended is None else json.loads(ended.output))

    def later(self, call: Any) -> None:  # noqa: ANN401 - a coroutine
        """Do something after the response."""
        task = asyncio.ensure_future(call)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def forget(self, run: RunRow) -> None:
        """Delete the thread that was made for a run, when the run has ended."""
        await self.worker.ended(run.key, run.run_id)
        await self.worker.call(self.worker.store.delete_thread, run.key)
        await self.worker.saver.adelete_thread(run.key)


def shown_run(run: RunRow) -> dict[str, Any]:
    """Describe a run as LangGraph Server does."""
    request = json.loads(run.request)
    return {
        "run_id": run.run_id,
        "thread_id": thread_id_of(run.key),
        "assistant_id": run.assistant_id,
        "created_at": time_text(run.created),
        "updated_at": time_text(run.updated),
        "status": run.status,
        "metadata": json.loads(run.metadata),
        "kwargs": {name: request[name] for name in ("input", "command", "config", "context")},
        "multitask_strategy": request.get("multitask_strategy") or "reject",
        "cancel_reason": run.cancel or None,
    }


def places(run: RunRow) -> dict[str, str]:
    """Return the headers from which clients learn the run, and where to reconnect."""
    place = f"/threads/{thread_id_of(run.key)}/runs/{run.run_id}"
    return {"Content-Location": place, "Location": f"{place}/stream"}


def run_routes(runs: Runs) -> APIRouter:
    """Make the routes of runs."""
    router = APIRouter(tags=["runs"])
    _add_starts(router, runs)
    _add_others(router, runs)
    return router


def _add_starts(router: APIRouter, runs: Runs) -> None:
    worker = runs.worker

    @router.post("/threads/{thread_id}/runs")
    async def create(
        request: Request, response: Response, thread_id: str, body: RunCreate
    ) -> dict[str, Any]:
        run = await runs.start(request, thread_id, body)
        response.headers.update(places(run))
        return shown_run(run)

    @router.post("/threads/{thread_id}/runs/stream")
    async def stream(request: Request, thread_id: str, body: RunCreate) -> StreamingResponse:
        return runs.stream(await runs.start(request, thread_id, body), body)

    @router.post("/threads/{thread_id}/runs/wait")
    async def wait(request: Request, thread_id: str, body: RunCreate) -> Response:
        run = await runs.start(request, thread_id, body)
        return _waiting(runs, run, body.on_disconnect == "cancel")

    @router.post("/runs")
    async def create_alone(request: Request, response: Response, body: RunCreate) -> dict[str, Any]:
        run = await runs.start(request, None, body)
        if body.on_completion != "keep":
            runs.later(runs.forget(run))
        response.headers.update(places(run))
        return shown_run(run)

    @router.post("/runs/stream")
    async def stream_alone(request: Request, body: RunCreate) -> StreamingResponse:
        run = await runs.start(request, None, body)
        streamed = runs.stream(run, body)
        if body.on_completion != "keep":
            streamed.body_iterator = _then(streamed.body_iterator, runs, run)
        return streamed

    @router.post("/runs/wait")
    async def wait_alone(request: Request, body: RunCreate) -> Response:
        run = await runs.start(request, None, body)
        answer = await runs.result(run)
        if body.on_completion != "keep":
            await runs.forget(run)
        return answer

    @router.post("/runs/cancel", status_code=204)
    async def cancel_many(
        request: Request, body: CancelMany, action: Literal["interrupt", "rollback"] = "interrupt"
    ) -> None:
        key = runs.threads.key(request, body.thread_id)
        wanted = ("pending", "running") if body.status in (None, "all") else (body.status,)
        for status in wanted:  # those that wait first, so that none of them is started
            for run in await worker.call(worker.store.runs_of, key, status, (0, 1000)):
                if not body.run_ids or run.run_id in body.run_ids:
                    await worker.cancel(key, run.run_id, action)


def _add_others(router: APIRouter, runs: Runs) -> None:
    worker = runs.worker

    @router.get("/threads/{thread_id}/runs")
    async def listed(
        request: Request,
        thread_id: str,
        limit: Annotated[int, Query(ge=1, le=1000)] = 10,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
        status: RunStatus | None = None,
        select: Annotated[list[str] | None, Query()] = None,
    ) -> list[dict[str, Any]]:
        row = await runs.threads.get(request, thread_id)
        page = (offset, limit)
        found = await worker.call(worker.store.runs_of, row.key, status, page)
        return [picked(shown_run(run), select) for run in found]

    @router.get("/threads/{thread_id}/runs/{run_id}")
    async def get(request: Request, thread_id: str, run_id: str) -> dict[str, Any]:
        return shown_run(await runs.get(request, thread_id, run_id))

    @router.delete("/threads/{thread_id}/runs/{run_id}", status_code=204)
    async def delete(request: Request, thread_id: str, run_id: str) -> None:
        run = await runs.get(request, thread_id, run_id)
        if not await worker.call(worker.store.delete_run, run.key, run_id):
            raise HTTPException(409, "the run is in progress; cancel it first")

    @router.get("/threads/{thread_id}/runs/{run_id}/join")
    async def join(
        request: Request, thread_id: str, run_id: str, cancel_on_disconnect: bool = False
    ) -> Response:
        run = await runs.get(request, thread_id, run_id)
        return _waiting(runs, run, cancel_on_disconnect)

    @router.get("/threads/{thread_id}/runs/{run_id}/stream")
    async def join_stream(
        request: Request,
        thread_id: str,
        run_id: str,
        cancel_on_disconnect: bool = False,
        stream_mode: Modes = None,
        last_event_id: LastEvent = None,
    ) -> StreamingResponse:
        run = await runs.get(request, thread_id, run_id)
        options: dict[str, Any] = {
            "after": _number(last_event_id),
            "modes": [mode for mode in stream_mode or () if mode] or None,
        }
        if cancel_on_disconnect:
            options["left"] = lambda: runs.later(worker.cancel(run.key, run_id))
        return runs.stream(run, **options)

    @router.post(
        "/threads/{thread_id}/runs/{run_id}/cancel",
        response_model=None,
        status_code=202,
        responses={204: {"description": "The run has ended."}},
    )
    async def cancel(
        request: Request,
        thread_id: str,
        run_id: str,
        wait: bool = False,
        action: Literal["interrupt", "rollback"] = "interrupt",
    ) -> Response:
        run = await runs.get(request, thread_id, run_id)
        if not await worker.cancel(run.key, run_id, action):
            raise HTTPException(409, "the run has ended")
        if wait:
            await worker.ended(run.key, run_id)
        return Response(status_code=204 if wait else 202)


def _waiting(runs: Runs, run: RunRow, cancels: bool) -> Response:
    """Send a run's result when it ends; blanks before it, so that proxies keep the connection."""
    left = (lambda: runs.later(runs.worker.cancel(run.key, run.run_id))) if cancels else None
    heartbeat_s = runs.worker.settings.heartbeat_s

    async def lines() -> AsyncIterator[str]:
        result = asyncio.ensure_future(runs.result(run))
        try:
            while not (await asyncio.wait([result], timeout=heartbeat_s))[0]:
                yield "\n"
            yield bytes(result.result().body).decode()
        finally:
            if not result.done():
                result.cancel()
                if left is not None:
                    left()

    place: Mapping[str, str] = places(run)
    headers = {
        **place,
        "Location": f"{place['Content-Location']}/join",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(lines(), media_type="application/json", headers=headers)


async def _then(lines: Any, runs: Runs, run: RunRow) -> AsyncIterator[Any]:  # noqa: ANN401
    """Stream a run that has a thread of its own, and delete the thread after the run."""
    try:
        async for line in lines:
            yield line
    finally:
        runs.later(runs.forget(run))


def _number(last_event_id: str | None) -> int:
    """Read the id of the last event that a client had.

    Raises:
        HTTPException: It is no id of an event: 422.
    """
    given = last_event_id or "-1"
    try:
        return int(given)
    except ValueError as error:
        raise HTTPException(422, f"Last-Event-ID is {given[:50]!r}, not a number") from error
