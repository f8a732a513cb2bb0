"""A compiled graph that runs one turn at a time in each thread.

All public methods of a LangGraph graph that write state call `stream`, `astream`,
`bulk_update_state` or `abulk_update_state`, so these four lock the thread.
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
from .leases import ThreadLocks
from .turn import Turn

Saver = BaseCheckpointSaver[Any]
OTHERS_WAIT_S = 30.0
"""How long a turn waits for the one before it with a checkpointer other than `ThreadSaver`."""
_TASK_KEY = "__pregel_task_id"
"""LangGraph's key for the task that a subgraph runs in; its turn is already in progress."""
_COORDINATES = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
"""A config with one of these keys starts its own turn, not a part of the surrounding one."""
_MAX_ID_CHARS = 500

_locks: weakref.WeakKeyDictionary[Saver, ThreadLocks] = weakref.WeakKeyDictionary()


class _Thread(NamedTuple):
    saver: Saver
    id: str


class _RunningTurn(NamedTuple):
    """The value under `TURN_KEY` in the config of a run."""

    thread: _Thread
    turn: Turn | None
    """None with a checkpointer other than `ThreadSaver`."""


class LeasedGraph(CompiledStateGraph[AgentState, Any, Any, Any]):
    """A compiled graph that runs one turn at a time in each thread.

    With a checkpointer of `open_checkpointer`, a turn is stored completely when it ends or is
    interrupted, and not at all when it fails or is cancelled; turns of other processes wait, too.
    With any other checkpointer, only the turns of this process wait for each other.

    Runs without a checkpointer and runs inside another graph's run are not locked.
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
            LeaseLostError: Another process took the thread over; nothing was stored.
        """
        thread = self._thread(config)
        with _turn(thread, config, _is_atomic(thread, options)) as own:
            yield from super().stream(input, own, **options)

    async def astream(
        self,
        input: Any,  # noqa: ANN401 - LangGraph's name and type
        config: RunnableConfig | None = None,
        **options: Any,  # noqa: ANN401 - LangGraph's own
    ) -> AsyncIterator[Any]:
        """Run the graph; see `stream`."""
        thread = self._thread(config)
        async with _aturn(thread, config, _is_atomic(thread, options)) as own:
            run = super().astream(input, own, **options)
            async with aclosing(run) as items:  # type: ignore[type-var]
                async for item in items:
                    yield item

    def bulk_update_state(self, config: RunnableConfig, supersteps: Any) -> RunnableConfig:  # noqa: ANN401
        """Update a thread's state; see LangGraph. `update_state` calls this."""
        thread = self._thread(config)
        with _turn(thread, config) as own:
            updated = super().bulk_update_state(own or config, supersteps)
        return updated if thread is None else _outside(updated)

    async def abulk_update_state(self, config: RunnableConfig, supersteps: Any) -> RunnableConfig:  # noqa: ANN401
        """Update a thread's state; see `bulk_update_state`."""
        thread = self._thread(config)
        async with _aturn(thread, config) as own:
            updated = await super().abulk_update_state(own or config, supersteps)
        return updated if thread is None else _outside(updated)

    def _thread(self, config: RunnableConfig | None) -> _Thread | None:
        """Return the thread to lock, or None if the run needs no lock of its own."""
        given = {**_configurable(self.config), **_configurable(config)}
        if not any(given.get(key) for key in _COORDINATES):
            given = {**_configurable(var_child_runnable_config.get()), **given}
        thread_id, saver = given.get("thread_id"), self.checkpointer
        if not isinstance(saver, BaseCheckpointSaver) or thread_id is None or _TASK_KEY in given:
            return None
        thread = _Thread(saver, _checked(thread_id))
        if thread == _surrounding_thread():
            raise ThreadBusyError(thread.id, 0.0)  # a node that would wait for its own turn
        return thread


def leased(compiled: CompiledStateGraph[Any, Any, Any, Any]) -> LeasedGraph:
    """Copy a compiled graph to one that runs one turn at a time in each thread.

    Args:
        compiled: Any LangGraph graph; it is not changed.
    """
    return LeasedGraph(**vars(compiled))


def _is_atomic(thread: _Thread | None, options: dict[str, Any]) -> bool:
    """Make "exit" the default durability of a run that is a turn, and tell whether it applies."""
    if thread is not None:
        options["durability"] = options.get("durability") or "exit"
    return options.get("durability") == "exit"


@contextmanager
def _turn(
    thread: _Thread | None, config: RunnableConfig | None, atomic: bool = True
) -> Iterator[RunnableConfig | None]:
    """Run a block as a turn of a thread; yield the config for it, unchanged without a thread."""
    if thread is None:
        yield config
    elif isinstance(thread.saver, ThreadSaver):
        with thread.saver.turn(thread.id, atomic=atomic) as turn:
            yield _within(config, _RunningTurn(thread, turn))
    else:
        locks = _locks.setdefault(thread.saver, ThreadLocks())
        locks.acquire(thread.id, OTHERS_WAIT_S)
        try:
            yield _within(config, _RunningTurn(thread, None))
        finally:
            locks.release(thread.id)


@asynccontextmanager
async def _aturn(
    thread: _Thread | None, config: RunnableConfig | None, atomic: bool = True
) -> AsyncIterator[RunnableConfig | None]:
    """Run a block as a turn; see `_turn`."""
    if thread is None:
        yield config
    elif isinstance(thread.saver, ThreadSaver):
        async with thread.saver.aturn(thread.id, atomic=atomic) as turn:
            yield _within(config, _RunningTurn(thread, turn))
    else:
        locks = _locks.setdefault(thread.saver, ThreadLocks())
        await locks.aacquire(thread.id, OTHERS_WAIT_S)
        try:
            yield _within(config, _RunningTurn(thread, None))
        finally:
            locks.release(thread.id)


def _configurable(config: RunnableConfig | None) -> dict[str, Any]:
    return (config or {}).get("configurable") or {}


def _within(config: RunnableConfig | None, running: _RunningTurn) -> RunnableConfig:
    """Add the turn to a config, and the run id to its metadata."""
    within = RunnableConfig(**(config or {}))
    run_id = within.get("run_id") or uuid4()
    within["run_id"] = run_id
    within["metadata"] = {**(within.get("metadata") or {}), "run_id": str(run_id)}
    within["configurable"] = {**_configurable(config), TURN_KEY: running}
    return within


def _outside(config: RunnableConfig) -> RunnableConfig:
    """Remove the turn from a config that is returned to the caller."""
    kept = {key: value for key, value in _configurable(config).items() if key != TURN_KEY}
    return {**config, "configurable": kept}


def _surrounding_thread() -> _Thread | None:
    """Return the thread whose turn this code runs in."""
    running = _configurable(var_child_runnable_config.get()).get(TURN_KEY)
    return running.thread if isinstance(running, _RunningTurn) else None


def _checked(thread_id: object) -> str:
    text = str(thread_id)
    surrogate = any("\ud800" <= character <= "\udfff" for character in text)
    if not text or len(text) > _MAX_ID_CHARS or "\0" in text or surrogate:
        raise ValueError(
            f"thread_id {text[:50]!r} cannot be used; give a text of 1 to {_MAX_ID_CHARS} "
            "characters without NUL and lone surrogates"
        )
    return text
