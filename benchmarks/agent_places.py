"""The thread stores that `agent_turns` compares: this project's, and plain LangGraph's.

Plain LangGraph runs the same three nodes in a graph that LangGraph compiled, with its reducer for
messages and its savers. `durability` is LangGraph's default, or its fastest mode "exit" where that
is named. Its SQLite saver is a separate package and skipped if it is not installed:
pip install langgraph-checkpoint-sqlite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from stillroom.agentic_workflow.custom_nodes import Builder
from stillroom.agentic_workflow.graphs import compile_graph, wire_single_agent
from stillroom.agentic_workflow.nodes import agent_nodes as nodes
from stillroom.agentic_workflow.state import AgentState
from stillroom.agentic_workflow.state_updates import answered
from stillroom.agentic_workflow.threads.locking_graph import Saver
from stillroom.agentic_workflow.threads.open_store import open_checkpointer

Graph = CompiledStateGraph[Any, Any, Any, Any]


@dataclass(frozen=True)
class Place:
    """A graph over a place for threads, opened anew in an empty folder each time."""

    name: str
    graph: Callable[[Path], AbstractContextManager[Graph]]
    """With plain nodes."""
    async_graph: Callable[[Path], AbstractAsyncContextManager[Graph]]
    """With async nodes; opened within the event loop that runs it."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keywords of every run."""
    bar_ms: float | None = None
    """Most milliseconds that a turn may cost."""


def answer(state: AgentState) -> dict[str, Any]:
    return {**answered(state, AIMessage("Au")), "steps": state["steps"]}


async def answer_async(state: AgentState) -> dict[str, Any]:
    return answer(state)


async def read_async(state: AgentState) -> dict[str, Any]:
    return nodes.process_input(state)


async def finish_async(state: AgentState) -> dict[str, Any]:
    return nodes.finalize(state)


def wired(*, is_async: bool) -> Builder:
    if is_async:
        return wire_single_agent(read_async, answer_async, finish_async)
    return wire_single_agent(nodes.process_input, answer, nodes.finalize)


def turn_input() -> dict[str, Any]:
    text = "What is the symbol of gold?"
    return {"messages": [HumanMessage(text)], "context": "", "results": []}


def config(graph: Graph, thread: str) -> RunnableConfig | None:
    return {"configurable": {"thread_id": thread}} if graph.checkpointer else None


def ours(
    name: str, url: str | None, *, delta: bool | None = None, bar_ms: float | None = None
) -> Place:
    """Describe one of our places; `{folder}` in the URL is where its file goes."""

    @contextmanager
    def opened(folder: Path, *, is_async: bool) -> Iterator[Graph]:
        saver = open_checkpointer(url.format(folder=folder)) if url else None
        try:
            yield compile_graph(wired(is_async=is_async), saver, delta=delta)
        finally:
            if saver is not None:
                saver.close()

    @asynccontextmanager
    async def opened_async(folder: Path) -> AsyncIterator[Graph]:
        with opened(folder, is_async=True) as graph:
            yield graph

    return Place(name, lambda folder: opened(folder, is_async=False), opened_async, bar_ms=bar_ms)


def plain(saver: Saver | None, *, is_async: bool) -> Graph:
    return wired(is_async=is_async).compile(checkpointer=saver)


def plain_in_memory(**options: Any) -> Place:  # noqa: ANN401 - LangGraph's own
    return Place(
        _named("LangGraph, InMemorySaver", options),
        lambda folder: nullcontext(plain(InMemorySaver(), is_async=False)),
        lambda folder: nullcontext(plain(InMemorySaver(), is_async=True)),
        options,
    )


def plain_in_sqlite(**options: Any) -> Place:  # noqa: ANN401 - LangGraph's own
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    @contextmanager
    def opened(folder: Path) -> Iterator[Graph]:
        with SqliteSaver.from_conn_string(str(folder / "plain.db")) as saver:
            yield plain(saver, is_async=False)

    @asynccontextmanager
    async def opened_async(folder: Path) -> AsyncIterator[Graph]:
        async with AsyncSqliteSaver.from_conn_string(str(folder / "plain.db")) as saver:
            yield plain(saver, is_async=True)

    return Place(_named("LangGraph, SqliteSaver", options), opened, opened_async, options)


def _named(name: str, options: dict[str, Any]) -> str:
    return ", ".join([name, *(f"{key}={value}" for key, value in options.items())])


def has_sqlite_peer() -> bool:
    try:
        import langgraph.checkpoint.sqlite.aio  # noqa: F401 - looked for
    except ImportError:
        return False
    return True


def row_bytes(path: Path) -> int:
    """Add up all that the rows of a file of threads hold, keys and all."""
    total = 0
    connection = sqlite3.connect(path)
    for table in ("checkpoints", "writes"):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        length = " + ".join(f"coalesce(length({column}), 0)" for column in columns)
        ((rows,),) = connection.execute(f"SELECT coalesce(sum({length}), 0) FROM {table}")
        total += rows
    connection.close()
    return total
