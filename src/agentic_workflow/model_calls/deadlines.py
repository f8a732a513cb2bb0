"""Limits of one run, and deadlines for its nodes.

    workflow.run("What is the symbol of gold?", limits=RunContext(deadline_s=2.0))
    graph.invoke(state, context={"deadline_s": 2.0})         # the graph itself, or over HTTP

LangGraph's own node timeouts cancel asyncio tasks: they refuse plain functions and cannot end a
blocking call. Here a node with a deadline runs in its own thread, and a late node is abandoned: its
result is dropped, and a student that generates in it stops at its next token. A function that never
returns keeps its thread until the process ends.
"""

from __future__ import annotations

import asyncio
import math
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from langchain_core.runnables import Runnable
from langgraph.runtime import get_runtime

from ...errors import ConfigError
from ..state import AgentState

T = TypeVar("T")
Node = Callable[..., Any]
AgentNode = Node | Runnable[Any, Any]
"""A function of the state, or a graph."""


@dataclass(frozen=True)
class RunContext:
    """Limits of one run; the deadline counts from the creation, so make one for each run.

    Raises:
        ConfigError: A number is out of range.
    """

    deadline_s: float | None = None
    """Seconds after which the run ends, with or without an answer; None: no limit."""
    teacher_calls: int | None = None
    """Most calls of the teacher; None: as in the policy."""
    risk_target: float | None = None
    """Share of given answers that may be wrong, above 0 to 1; None: as in the policy."""
    caller: str = ""
    """Name of the caller; the student's engine serves callers in turn."""
    ends_at: float | None = field(init=False, default=None)
    """End of the time, by `time.monotonic`."""

    def __post_init__(self) -> None:
        """Check the numbers and start the clock."""
        faults = []
        if self.deadline_s is not None and not 0.0 < self.deadline_s < math.inf:
            faults.append(f"deadline_s is {self.deadline_s!r}; allowed is above 0 seconds, or None")
        if self.teacher_calls is not None and self.teacher_calls < 0:
            faults.append(f"teacher_calls is {self.teacher_calls!r}; allowed is 0 or more, or None")
        if self.risk_target is not None and not 0.0 < self.risk_target <= 1.0:
            faults.append(f"risk_target is {self.risk_target!r}; allowed is above 0 to 1, or None")
        if faults:
            raise ConfigError(faults)
        if self.deadline_s is not None:
            object.__setattr__(self, "ends_at", time.monotonic() + self.deadline_s)


_UNLIMITED = RunContext()
_abandoned: ContextVar[threading.Event | None] = ContextVar("left_behind", default=None)


def run_context() -> RunContext:
    """Give the limits of this run; none outside a run."""
    try:
        context = getattr(get_runtime(RunContext), "context", None)
    except (RuntimeError, KeyError):  # called outside a graph
        return _UNLIMITED
    return context if isinstance(context, RunContext) else _UNLIMITED


def time_left() -> float | None:
    """Give the seconds that this run has left, at least 0; None without a deadline."""
    ends_at = run_context().ends_at
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())


def is_abandoned() -> bool:
    """Tell whether the calling node missed its deadline, so that nobody waits for it."""
    event = _abandoned.get()
    return event is not None and event.is_set()


def with_deadline(node: AgentNode, late: Callable[[AgentState], Any]) -> Node:
    """End a node when the time of its run is up; no-op in a run without a deadline.

    Args:
        node: A function of the state, sync or async; or a Runnable, such as another graph.
        late: Gives the update in its place when the time is up.
    """
    node = _called(node)
    if iscoroutinefunction(node):

        @wraps(node)
        async def run_async(state: AgentState, *args: Any, **options: Any) -> Any:  # noqa: ANN401
            left = time_left()
            try:
                return await acall_within(lambda: node(state, *args, **options), left)
            except OverTimeError:
                return late(state)

        return run_async

    @wraps(node)
    def run(state: AgentState, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        left = time_left()
        try:
            return call_within(lambda given: node(given, *args, **options), state, left)
        except OverTimeError:
            return late(state)

    return run


def _called(node: AgentNode) -> Node:
    """Make a function of a Runnable; it finds the run's config by itself."""
    return (lambda state: node.invoke(state)) if isinstance(node, Runnable) else node


class OverTimeError(Exception):
    """A call took too long; raised and caught within this room."""


def call_within(function: Callable[[Any], T], state: Any, seconds: float | None) -> T:  # noqa: ANN401
    """Call a function of the state, and wait for it at most so long.

    Args:
        function: Runs in its own thread if there is a limit.
        state: Its argument; copied if there is a limit, so that a late function changes nothing.
        seconds: The limit; 0 calls nothing, None waits.

    Raises:
        OverTimeError: It took longer.
        Exception: What the function raises.
    """
    if seconds is None:
        return function(state)
    if seconds <= 0.0:
        raise OverTimeError
    given_up, results = threading.Event(), queue.SimpleQueue[tuple[bool, Any]]()
    context = copy_context()
    context.run(_abandoned.set, given_up)
    copied = {k: list(v) if isinstance(v, list) else v for k, v in state.items()}

    def work() -> None:
        try:
            results.put((True, context.run(function, copied)))
        except BaseException as fault:  # noqa: BLE001 - handed to the caller, who raises it
            results.put((False, fault))

    threading.Thread(target=work, name="stillroom-node", daemon=True).start()
    try:
        well, value = results.get(timeout=seconds)
    except queue.Empty:
        given_up.set()
        raise OverTimeError from None
    if not well:
        raise value
    result: T = value
    return result


async def acall_within(start: Callable[[], Awaitable[T]], seconds: float | None) -> T:
    """Await what a function starts, and cancel it after so many seconds.

    Raises:
        OverTimeError: It took longer.
        Exception: What is awaited raises.
    """
    if seconds is None:
        return await start()
    if seconds <= 0.0:
        raise OverTimeError
    async with asyncio.timeout(seconds) as limit:
        try:
            return await start()
        except asyncio.CancelledError:
            if limit.expired():
                raise OverTimeError from None
            raise
