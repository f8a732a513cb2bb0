"""Threads: create, search, change, delete, copy; their states and history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from langchain_core.runnables import RunnableConfig
from langgraph.errors import InvalidUpdateError
from langgraph.types import StateSnapshot

from ...errors import ThreadBusyError
from ..graphs import Graph
from .assistants import Assistants, contains, picked
from .requests import (
    Checkpoint,
    HistoryQuery,
    RunConfig,
    StateQuery,
    StateUpdate,
    ThreadCount,
    ThreadCreate,
    ThreadPatch,
    ThreadSearch,
    bad_field,
    check_input,
)
from .run_store import ThreadRow
from .run_worker import RunWorker
from .wire import jsonable, thread_id_of, thread_key, time_text, to_json

_PAGE = 200
Select = Annotated[list[str] | None, Query()]
_COLUMNS = {"thread_id": "key", "created_at": "created", "updated_at": "updated"}


def owner(request: Request) -> str:
    """Return who asks, as the server's authentication found."""
    found: str = request.state.owner
    return found


class Threads:
    """The threads of all owners; each owner sees its own only."""

    def __init__(self, worker: RunWorker, assistants: Assistants) -> None:
        """Use a worker's store."""
        self.worker = worker
        self.store = worker.store
        self.assistants = assistants

    def key(self, request: Request, thread_id: str) -> str:
        """Return the name of the asking owner's thread in the store."""
        return thread_key(owner(request), thread_id)

    async def get(self, request: Request, thread_id: str) -> ThreadRow:
        """Return a thread.

        Raises:
            HTTPException: The asking owner has none of this id: 404.
        """
        row = await self.worker.call(self.store.thread, self.key(request, thread_id))
        if row is None:
            raise no_thread(thread_id)
        return row

    def graph(self, thread: ThreadRow) -> Graph:
        """Return the graph that a thread's runs are of; before the first run, any."""
        name = json.loads(thread.metadata).get("graph_id")
        known = self.worker.workflows
        return self.worker.graph(name if name in known else next(iter(known)))

    async def state(
        self, thread: ThreadRow, checkpoint_id: str | None = None, *, subgraphs: bool = False
    ) -> dict[str, Any]:
        """Return a state of a thread, the newest one by default.

        Raises:
            HTTPException: There is no such checkpoint: 404.
        """
        config = _config(thread.key, checkpoint_id)
        found = await self.graph(thread).aget_state(config, subgraphs=subgraphs)
        if checkpoint_id and not found.values and found.metadata is None:
            raise HTTPException(404, f"there is no checkpoint {checkpoint_id[:200]!r}")
        return shown_state(found)

    async def refresh(self, thread: ThreadRow) -> None:
        """Store a thread's newest state beside it, where lists show it."""
        found = await self.graph(thread).aget_state(_config(thread.key))
        waiting = {task.id: task.interrupts for task in found.tasks if task.interrupts}
        await self.worker.call(
            self.store.update_thread,
            thread.key,
            state=to_json(found.values or None),
            interrupts=to_json(waiting),
            status="interrupted" if found.interrupts or found.next else "idle",
        )

    async def find(
        self,
        request: Request,
        query: ThreadSearch | ThreadCount,
        most: int,
        select: list[str] | None = None,
    ) -> list[dict[str, Any]]:
        """List an owner's threads that a query means, at most so many."""
        sort = getattr(query, "sort_by", None) or "updated_at"
        column = _COLUMNS.get(sort, sort)
        descending = getattr(query, "sort_order", None) != "asc"
        ids = getattr(query, "ids", None)
        found: list[dict[str, Any]] = []
        start = 0
        while len(found) < most:
            rows = await self.worker.call(
                self.store.threads_of,
                owner(request),
                query.status,
                column,
                descending=descending,
                page=(start, _PAGE),
            )
            for row in rows:
                about = shown_thread(row)
                if (
                    (ids is None or about["thread_id"] in ids)
                    and contains(about["metadata"], query.metadata or {})
                    and contains(about["values"] or {}, query.values or {})
                ):
                    found.append(picked(about, select))
            if len(rows) < _PAGE:
                break
            start += _PAGE
        return found[:most]


def no_thread(thread_id: str) -> HTTPException:
    """Make the error for a thread that the asking owner does not have."""
    return HTTPException(404, f"there is no thread {thread_id[:200]!r}")


def shown_thread(row: ThreadRow) -> dict[str, Any]:
    """Describe a thread as LangGraph Server does."""
    return {
        "thread_id": thread_id_of(row.key),
        "created_at": time_text(row.created),
        "updated_at": time_text(row.updated),
        "metadata": json.loads(row.metadata),
        "status": row.status,
        "config": {},
        "values": json.loads(row.state),
        "interrupts": json.loads(row.interrupts),
    }


def shown_state(found: StateSnapshot) -> dict[str, Any]:
    """Describe a state as LangGraph Server does."""
    return {
        "values": jsonable(found.values),
        "next": list(found.next),
        "tasks": [
            {
                "id": task.id,
                "name": task.name,
                "path": jsonable(task.path),
                "error": None if task.error is None else "the node failed",
                "interrupts": jsonable(task.interrupts),
                "checkpoint": None,
                "state": shown_state(task.state) if isinstance(task.state, StateSnapshot) else None,
                "result": jsonable(task.result),
            }
            for task in found.tasks
        ],
        "metadata": jsonable(found.metadata or {}),
        "created_at": found.created_at,
        "checkpoint": _place(found.config),
        "parent_checkpoint": _place(found.parent_config) if found.parent_config else None,
        "interrupts": jsonable(found.interrupts),
    }


def thread_routes(threads: Threads) -> APIRouter:
    """Make the routes of threads."""
    router = APIRouter(prefix="/threads", tags=["threads"])
    _add_records(router, threads)
    _add_states(router, threads)
    return router


def _add_records(router: APIRouter, threads: Threads) -> None:
    worker, store = threads.worker, threads.store

    @router.post("")
    async def create(request: Request, body: ThreadCreate) -> dict[str, Any]:
        thread_id = body.thread_id or str(uuid4())
        key = threads.key(request, thread_id)
        metadata = {k: v for k, v in (body.metadata or {}).items() if v is not None}
        row = await worker.call(store.add_thread, key, owner(request), metadata)
        if row is None and body.if_exists != "do_nothing":
            raise HTTPException(409, f"there is a thread {thread_id!r} already")
        return shown_thread(row or await threads.get(request, thread_id))

    @router.post("/search")
    async def search(request: Request, query: ThreadSearch) -> list[dict[str, Any]]:
        most = query.offset + query.limit
        found = await threads.find(request, query, most, query.select)
        return found[query.offset :]

    @router.post("/count")
    async def count(request: Request, query: ThreadCount) -> int:
        return len(await threads.find(request, query, 1_000_000, ["thread_id"]))

    @router.get("/{thread_id}")
    async def get(request: Request, thread_id: str) -> dict[str, Any]:
        return shown_thread(await threads.get(request, thread_id))

    @router.patch(
        "/{thread_id}",
        response_model=None,
        responses={204: {"description": "Changed; `Prefer: return=minimal` was sent."}},
    )
    async def patch(
        request: Request,
        thread_id: str,
        body: ThreadPatch,
        prefer: Annotated[str, Header()] = "",
    ) -> dict[str, Any] | Response:
        key = threads.key(request, thread_id)
        row = await worker.call(store.update_thread, key, metadata=body.metadata or {})
        if row is None:
            raise no_thread(thread_id)
        return Response(status_code=204) if "return=minimal" in prefer else shown_thread(row)

    @router.delete("/{thread_id}", status_code=204)
    async def delete(request: Request, thread_id: str) -> None:
        row = await threads.get(request, thread_id)
        for status in ("pending", "running"):  # those that wait first, so that none is started
            for run in await worker.call(store.runs_of, row.key, status, (0, 1000)):
                await worker.cancel(row.key, run.run_id)
                await worker.ended(row.key, run.run_id)
        await worker.call(store.delete_thread, row.key)
        await worker.saver.adelete_thread(row.key)
        worker.feed.wake(row.key)

    @router.post("/{thread_id}/copy")
    async def copy(request: Request, thread_id: str) -> dict[str, Any]:
        row = await threads.get(request, thread_id)
        new_id = str(uuid4())
        key = threads.key(request, new_id)
        metadata = {**json.loads(row.metadata), "copied_from": thread_id}
        await worker.call(store.add_thread, key, owner(request), metadata)
        await worker.saver.acopy_thread(row.key, key)
        await threads.refresh(await threads.get(request, new_id))
        return shown_thread(await threads.get(request, new_id))


def _add_states(router: APIRouter, threads: Threads) -> None:
    @router.get("/{thread_id}/state")
    async def state(
        request: Request, thread_id: str, subgraphs: bool = False, select: Select = None
    ) -> dict[str, Any]:
        row = await threads.get(request, thread_id)
        return picked(await threads.state(row, subgraphs=subgraphs), select)

    @router.post("/{thread_id}/state/checkpoint")
    async def state_of(request: Request, thread_id: str, query: StateQuery) -> dict[str, Any]:
        row = await threads.get(request, thread_id)
        deep = bool(query.subgraphs)
        found = await threads.state(row, query.checkpoint.checkpoint_id, subgraphs=deep)
        return picked(found, query.select)

    @router.get("/{thread_id}/state/{checkpoint_id}")
    async def state_at(
        request: Request,
        thread_id: str,
        checkpoint_id: str,
        subgraphs: bool = False,
        select: Select = None,
    ) -> dict[str, Any]:
        row = await threads.get(request, thread_id)
        return picked(await threads.state(row, checkpoint_id, subgraphs=subgraphs), select)

    @router.post("/{thread_id}/state")
    async def update(request: Request, thread_id: str, body: StateUpdate) -> dict[str, Any]:
        row = await threads.get(request, thread_id)
        graph = threads.graph(row)
        check_input(graph, body.values)
        if body.as_node is not None and body.as_node not in graph.nodes:
            raise bad_field(["as_node"], f"there is no node {body.as_node[:200]!r}")
        at = body.checkpoint.checkpoint_id if body.checkpoint else None
        place = body.checkpoint_id or at
        try:
            config = await graph.aupdate_state(
                _config(row.key, place), body.values, as_node=body.as_node
            )
        except InvalidUpdateError as error:
            raise bad_field(["as_node"], str(error).partition("\n")[0]) from error
        except ThreadBusyError as error:
            raise HTTPException(409, "a run of the thread is in progress") from error
        await threads.refresh(row)
        place_now = _place(config)
        return {"checkpoint": place_now, "configurable": place_now}

    @router.post("/{thread_id}/history")
    async def history(request: Request, thread_id: str, query: HistoryQuery) -> list[Any]:
        row = await threads.get(request, thread_id)
        return await _history(threads.graph(row), row.key, query)

    @router.get("/{thread_id}/history")
    async def history_of(
        request: Request,
        thread_id: str,
        limit: Annotated[int, Query(ge=1, le=1000)] = 10,
        before: str | None = None,
    ) -> list[Any]:
        row = await threads.get(request, thread_id)
        before_it = None if before is None else Checkpoint(checkpoint_id=before)
        query = HistoryQuery(limit=limit, before=before_it)
        return await _history(threads.graph(row), row.key, query)


async def _history(graph: Graph, key: str, query: HistoryQuery) -> list[dict[str, Any]]:
    given = query.before
    before: str | None
    if isinstance(given, Checkpoint):
        before = given.checkpoint_id
    elif isinstance(given, RunConfig):
        before = given.configurable.get("checkpoint_id")
    else:
        before = given
    start = query.checkpoint.checkpoint_id if query.checkpoint else None
    found = graph.aget_state_history(
        _config(key, start),
        filter=query.metadata,
        before=_config(key, before) if before else None,
        limit=query.limit,
    )
    return [picked(shown_state(one), query.select) async for one in found]


def _config(key: str, checkpoint_id: str | None = None) -> RunnableConfig:
    place = {"checkpoint_id": checkpoint_id} if checkpoint_id else {}
    return RunnableConfig(configurable={"thread_id": key, **place})


def _place(config: Mapping[str, Any]) -> dict[str, Any]:
    """Describe where a checkpoint is, with the thread's id as its owner knows it."""
    given = config.get("configurable") or {}
    return {
        "thread_id": thread_id_of(given["thread_id"]),
        "checkpoint_ns": given.get("checkpoint_ns") or "",
        "checkpoint_id": given.get("checkpoint_id"),
        "checkpoint_map": None,
    }
