"""The thread-scoped protocol: commands, and one stream of events over all runs of a thread.

POST /threads/{id}/commands          {"id": 1, "method": "run.start", "params": {...}}
POST /threads/{id}/stream/events     {"channels": ["values", "lifecycle"], "since": 17}
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ValidationError

from .assistants import picked
from .event_streams import CHANNELS, thread_stream
from .requests import (
    Body,
    EventsQuery,
    Ident,
    Json,
    JsonObject,
    ProtocolCommand,
    RunCommand,
    RunCreate,
    bad_field,
    check_input,
)
from .run_routes import SSE_HEADERS, Runs
from .run_store import RunRow
from .thread_routes import owner


class Respond(Body):
    """The answer to one question, or the answers to several."""

    namespace: list[str] | None = None
    interrupt_id: str | None = None
    response: Json = None
    responses: list[Respond] | None = None
    update: JsonObject | None = None
    goto: Any = None
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class StateGet(Body):
    """Which keys of the state to return."""

    namespace: list[str] | None = None
    keys: list[str] | None = None


class CommandError(Exception):
    """Ends a command with an error of the protocol."""

    def __init__(self, code: str, message: str) -> None:
        """Keep code and message."""
        self.code = code
        super().__init__(message)


_NOT_SUPPORTED = (
    "agent.getTree", "input.inject", "state.listCheckpoints", "state.fork",
    "subscription.subscribe", "subscription.unsubscribe", "subscription.reconnect",
)  # fmt: skip


class Commands:
    """Carries out commands."""

    def __init__(self, runs: Runs) -> None:
        """Use the runs' worker."""
        self._runs = runs

    async def handle(
        self, request: Request, thread_id: Ident, command: ProtocolCommand
    ) -> dict[str, Any]:
        """Carry out a command; return its answer, an error of the protocol included."""
        methods = {
            "run.start": self._start,
            "input.respond": self._respond,
            "state.get": self._state,
        }
        try:
            if command.method in _NOT_SUPPORTED:
                raise CommandError("not_supported", f"{command.method} is not supported here")
            if command.method not in methods:
                known = sorted(methods)
                message = f"there is no command {command.method[:100]!r}; known are {known}"
                raise CommandError("unknown_command", message)
            return {
                "type": "success",
                "id": command.id,
                **await methods[command.method](request, thread_id, command.params),
            }
        except CommandError as error:
            code, message = error.code, str(error)
        except (ValidationError, RequestValidationError) as error:
            code, message = "invalid_argument", _told(error)
        except HTTPException as error:
            if error.status_code in (401, 429):
                raise
            codes = {404: "no_such_run", 409: "invalid_argument"}
            code, message = codes.get(error.status_code, "unknown_error"), str(error.detail)
        return {"type": "error", "id": command.id, "error": code, "message": message}

    async def _start(
        self, request: Request, thread_id: str, params: dict[str, Any]
    ) -> dict[str, Any]:
        """Start a run; the thread is made where there is none, since clients choose its id."""
        given = dict(params)
        strategy = given.pop("multitaskStrategy", None)
        if strategy is not None:  # older and newer spelling of one field
            given.setdefault("multitask_strategy", strategy)
        body = RunCreate.model_validate(given)
        threads = self._runs.threads
        graph_id = threads.assistants.name(body.assistant_id)
        if body.command is None:
            check_input(self._runs.worker.graph(graph_id), body.input)
        key = threads.key(request, thread_id)
        worker = self._runs.worker
        await worker.call(worker.store.add_thread, key, owner(request), body.metadata or {})
        return _started(*await self._runs.submit(key, graph_id, body))

    async def _respond(
        self, request: Request, thread_id: str, params: dict[str, Any]
    ) -> dict[str, Any]:
        """Answer the questions at which the thread's last run stopped."""
        body = Respond.model_validate(params)
        row = await self._runs.threads.get(request, thread_id)
        given = body.responses or [body]
        answers = {str(one.interrupt_id): one.response for one in given}
        graph = self._runs.threads.graph(row)
        snapshot = await graph.aget_state({"configurable": {"thread_id": row.key}})
        waiting = {one.id for one in snapshot.interrupts}
        for unknown in answers.keys() - waiting:
            message = f"no question {unknown[:100]!r} waits; waiting are {sorted(waiting)}"
            raise CommandError("no_such_interrupt", message)
        command = RunCommand(resume=answers, update=body.update, goto=body.goto)
        name = graph.name if graph.name in self._runs.worker.workflows else None
        run = RunCreate.model_validate(
            {
                "assistant_id": self._graph_name(row.metadata, name),
                "command": command.model_dump(exclude_none=True),
                "config": body.config,
                "metadata": body.metadata,
            }
        )
        return _started(*await self._runs.submit(row.key, run.assistant_id, run))

    async def _state(
        self, request: Request, thread_id: str, params: dict[str, Any]
    ) -> dict[str, Any]:
        body = StateGet.model_validate(params)
        row = await self._runs.threads.get(request, thread_id)
        state = await self._runs.threads.state(row)
        values = picked(state["values"], body.keys)
        place = {"id": state["checkpoint"]["checkpoint_id"]}
        return {"result": {"values": values, "checkpoint": place}}

    def _graph_name(self, metadata: str, given: str | None) -> str:
        name = json.loads(metadata).get("graph_id") or given
        if name not in self._runs.worker.workflows:
            raise CommandError("no_such_run", "the thread has no run yet")
        return str(name)


def protocol_routes(runs: Runs) -> APIRouter:
    """Make the routes of the thread-scoped protocol."""
    router = APIRouter(prefix="/threads", tags=["protocol"])
    commands = Commands(runs)

    @router.post("/{thread_id}/commands")
    async def command(request: Request, thread_id: Ident, body: ProtocolCommand) -> JSONResponse:
        return JSONResponse(await commands.handle(request, thread_id, body))

    @router.post("/{thread_id}/stream/events")
    async def events(request: Request, thread_id: str, body: EventsQuery) -> StreamingResponse:
        unknown = [c for c in body.channels if c not in CHANNELS and not c.startswith("custom:")]
        if unknown:
            raise bad_field(["channels"], f"there are no channels {unknown[:5]}")
        row = await runs.threads.get(request, thread_id)
        lines = thread_stream(runs.worker.feed, row.key, body, lambda: runs.worker.service.draining)
        return StreamingResponse(lines, media_type="text/event-stream", headers=SSE_HEADERS)

    return router


def _started(run: RunRow, seq: int) -> dict[str, Any]:
    """Tell the run, and the newest event before it, by which a client tells old from new."""
    return {"result": {"run_id": run.run_id}, "meta": {"applied_through_seq": seq}}


def _told(error: ValidationError | RequestValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(step) for step in first["loc"] if step != "body")
    return f"{place}: {first['msg']}"
