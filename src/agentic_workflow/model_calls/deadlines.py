"""What is fixed for one run, and the time it has.

    workflow.run("What is the symbol of gold?", limits=RunContext(deadline_s=2.0))
    graph.invoke(state, context={"deadline_s": 2.0})         # the graph itself, or over HTTP

LangGraph's own node timeouts cancel asyncio tasks: they refuse plain functions and end nothing that
blocks. So a node runs beside its run here, and a late one is left behind: its result is dropped,
and a student that is writing in it stops at its next token. A function that never returns keeps its
thread until the process ends.
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
"""What may be an agent: a function of the state, or a graph."""


@dataclass(frozen=True)
class RunContext:
    """What is fixed for one run; its time begins when this is made, so make one for each run.

    Raises:
        ConfigError: A number is out of range.
    """

    deadline_s: float | None = None
    """Seconds after which the run ends, with the answer it has or without; None: no limit."""
    teacher_calls: int | None = None
    """Most calls of the teacher; None: what the workflow's policy says."""
    risk_target: float | None = None
    """Share of given answers that may be wrong, above 0 to 1; None: what the policy says."""
    caller: str = ""
    """Who asks; callers take turns at the student's engine."""
    ends_at: float | None = field(init=False, default=None)
    """When the time is up, by `time.monotonic`."""

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
_left_behind: ContextVar[threading.Event | None] = ContextVar("left_behind", default=None)


def run_context() -> RunContext:
    """Give what is fixed for this run; no limits outside a run."""
    try:
        context = getattr(get_runtime(RunContext), "context", None)
    except (RuntimeError, KeyError):  # called outside a graph
        return _UNLIMITED
    return context if isinstance(context, RunContext) else _UNLIMITED


def time_left() -> float | None:
    """Give the seconds this run has left, 0 where its time is up; None without a deadline."""
    ends_at = run_context().ends_at
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())


def is_left_behind() -> bool:
    """Tell whether the node this is called in was too late, so that nobody waits for it."""
    event = _left_behind.get()
    return event is not None and event.is_set()


def in_time(node: AgentNode, late: Callable[[AgentState], Any]) -> Node:
    """Let a node run no longer than its run may.

    Args:
        node: A function of the state, also an async one; or a Runnable, such as another graph.
        late: Gives the update in its place when the time is up.

    Returns:
        A node. Without a deadline it is the same but for nothing.
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
    """Give a function in the place of a Runnable; it finds the run's config by itself."""
    return (lambda state: node.invoke(state)) if isinstance(node, Runnable) else node


class OverTimeError(Exception):
    """A call was left behind; never leaves this package."""


def call_within(function: Callable[[Any], T], state: Any, seconds: float | None) -> T:  # noqa: ANN401
    """Call a function of the state and wait at most so long.

    Args:
        function: Runs in a thread of its own where there is a limit.
        state: Given to it; with a limit as a copy, so that what is left behind changes nothing.
        seconds: 0 calls nothing; None waits.

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
    context.run(_left_behind.set, given_up)
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
    """Await what a function starts, at most so long; it is cancelled after that.

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
