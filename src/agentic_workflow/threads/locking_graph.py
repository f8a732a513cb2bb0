"""A compiled graph whose runs take turns in their thread.

Every way into a LangGraph graph ends in `stream`, `astream`, or one of the two that update a
state: invoke, batch, events and their async forms all call these. So the turn is opened and ended
here, and no way leads past it.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph

from ...errors import ThreadBusyError
from ..state import AgentState
from .checkpointer import TURN_KEY, ThreadSaver
from .leases import TurnQueue
from .pending_turn import OpenTurn

Saver = BaseCheckpointSaver[Any]
OTHERS_WAIT_S = 30.0
"""How long a turn waits for the one before it under a checkpointer that is not ours."""
_TASK_KEY = "__pregel_task_id"
"""LangGraph's key for the task that a subgraph runs in; the turn around that task is open."""
_COORDINATES = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
"""A config that names one of these starts a run of its own, not one within another."""
_LONGEST_ID = 500

_queues: weakref.WeakKeyDictionary[Saver, TurnQueue] = weakref.WeakKeyDictionary()


class _Thread(NamedTuple):
    saver: Saver
    id: str


class _Turn(NamedTuple):
    """What a run's config holds: its thread, and its rows where the checkpointer is ours."""

    thread: _Thread
    open: OpenTurn | None


class LeasedGraph(CompiledStateGraph[AgentState, Any, Any, Any]):
    """A compiled graph with one turn at a time in each thread.

    With a checkpointer of `open_checkpointer` a turn is stored whole when it ends well (an
    interrupt counts as an end), and not at all when it fails or is cancelled; other processes wait
    as well. With any other checkpointer turns take their turn within this process.

    A run without a checkpointer, and one within another graph's run, is LangGraph's own.
    """

    def stream(
        self,
        input: Any,  # noqa: ANN401 - LangGraph's name and type
        config: RunnableConfig | None = None,
        **options: Any,  # noqa: ANN401 - LangGraph's own
    ) -> Iterator[Any]:
        """Run the graph; see LangGraph. `durability` is "exit" unless it is given.

        Raises:
            ThreadBusyError: Another turn of the thread did not end in time.
            LeaseLostError: The thread was taken over meanwhile; nothing was stored.
        """
        thread = self._thread(config)
        if thread is None:
            yield from super().stream(input, config, **options)
            return
        options["durability"] = options.get("durability") or "exit"
        with _turn(thread, whole=options["durability"] == "exit") as turn:
            yield from super().stream(input, _within(config, turn), **options)

    async def astream(
        self,
        input: Any,  # noqa: ANN401 - LangGraph's name and type
        config: RunnableConfig | None = None,
        **options: Any,  # noqa: ANN401 - LangGraph's own
    ) -> AsyncIterator[Any]:
        """Run the graph; see `stream`."""
        thread = self._thread(config)
        if thread is None:
            async with aclosing(super().astream(input, config, **options)) as items:  # type: ignore[type-var]
                async for item in items:
                    yield item
            return
        options["durability"] = options.get("durability") or "exit"
        async with _aturn(thread, whole=options["durability"] == "exit") as turn:
            run = super().astream(input, _within(config, turn), **options)
            async with aclosing(run) as items:  # type: ignore[type-var]
                async for item in items:
                    yield item

    def bulk_update_state(self, config: RunnableConfig, supersteps: Any) -> RunnableConfig:  # noqa: ANN401
        """Change a thread's state; see LangGraph. `update_state` comes through here."""
        thread = self._thread(config)
        if thread is None:
            return super().bulk_update_state(config, supersteps)
        with _turn(thread, whole=True) as turn:
            return _outside(super().bulk_update_state(_within(config, turn), supersteps))

    async def abulk_update_state(self, config: RunnableConfig, supersteps: Any) -> RunnableConfig:  # noqa: ANN401
        """Change a thread's state; see `bulk_update_state`."""
        thread = self._thread(config)
        if thread is None:
            return await super().abulk_update_state(config, supersteps)
        async with _aturn(thread, whole=True) as turn:
            updated = await super().abulk_update_state(_within(config, turn), supersteps)
            return _outside(updated)

    def _thread(self, config: RunnableConfig | None) -> _Thread | None:
        """Find the thread that a run of its own writes to."""
        given = {**_configurable(self.config), **_configurable(config)}
        if not any(given.get(key) for key in _COORDINATES):
            given = {**_configurable(var_child_runnable_config.get()), **given}
        thread_id, saver = given.get("thread_id"), self.checkpointer
        if not isinstance(saver, BaseCheckpointSaver) or thread_id is None or _TASK_KEY in given:
            return None
        thread = _Thread(saver, _checked(thread_id))
        if thread == _thread_around():
            raise ThreadBusyError(thread.id, 0.0)  # a node that would wait for its own turn
        return thread


def leased(compiled: CompiledStateGraph[Any, Any, Any, Any]) -> LeasedGraph:
    """Make a compiled graph take turns in its threads.

    Args:
        compiled: Any graph of LangGraph's; stays as it is.

    Returns:
        The same graph as a `LeasedGraph`.
    """
    return LeasedGraph(**vars(compiled))


@contextmanager
def _turn(thread: _Thread, *, whole: bool) -> Iterator[_Turn]:
    if not isinstance(thread.saver, ThreadSaver):
        queue = _queues.setdefault(thread.saver, TurnQueue())
        queue.enter(thread.id, OTHERS_WAIT_S)
        try:
            yield _Turn(thread, None)
        finally:
            queue.leave(thread.id)
        return
    with thread.saver.turn(thread.id, whole=whole) as turn:
        yield _Turn(thread, turn)


@asynccontextmanager
async def _aturn(thread: _Thread, *, whole: bool) -> AsyncIterator[_Turn]:
    if not isinstance(thread.saver, ThreadSaver):
        queue = _queues.setdefault(thread.saver, TurnQueue())
        await queue.aenter(thread.id, OTHERS_WAIT_S)
        try:
            yield _Turn(thread, None)
        finally:
            queue.leave(thread.id)
        return
    async with thread.saver.aturn(thread.id, whole=whole) as turn:
        yield _Turn(thread, turn)


def _configurable(config: RunnableConfig | None) -> dict[str, Any]:
    return (config or {}).get("configurable") or {}


def _within(config: RunnableConfig | None, turn: _Turn) -> RunnableConfig:
    """Add the turn to a config, and the run's id to what is stored with it."""
    within = RunnableConfig(**(config or {}))
    run_id = within.get("run_id") or uuid4()
    within["run_id"] = run_id
    within["metadata"] = {**(within.get("metadata") or {}), "run_id": str(run_id)}
    within["configurable"] = {**_configurable(config), TURN_KEY: turn}
    return within


def _outside(config: RunnableConfig) -> RunnableConfig:
    """Take the turn out of a config that is given to the caller."""
    kept = {key: value for key, value in _configurable(config).items() if key != TURN_KEY}
    return {**config, "configurable": kept}


def _thread_around() -> _Thread | None:
    """Find the thread whose turn this code runs in."""
    turn = _configurable(var_child_runnable_config.get()).get(TURN_KEY)
    return turn.thread if isinstance(turn, _Turn) else None


def _checked(thread_id: object) -> str:
    text = str(thread_id)
    surrogate = any("\ud800" <= character <= "\udfff" for character in text)
    if not text or len(text) > _LONGEST_ID or "\0" in text or surrogate:
        raise ValueError(
            f"thread_id {text[:50]!r} cannot be used; give a text of 1 to {_LONGEST_ID} "
            "characters without NUL and lone surrogates"
        )
    return text
