"""The queue of an engine's requests: bounded, fair between callers, with deadlines.

It also owns the worker thread. The first request starts it, and it ends after some idle time, so a
program that asked one question leaves nothing behind. A request after a failure starts a new one.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from ...errors import EngineBusyError, EngineClosedError
from .protocol import GenerationRequest
from .sampling import make_draws
from .token_stream import AnswerStream, wake

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """A queue that serves its callers in turn, and each caller in order. Not thread-safe."""

    def __init__(self) -> None:
        """Make an empty queue."""
        # Callers; the first is served next.
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        """Count the items of all callers."""
        return self._size

    def __iter__(self) -> Iterator[Item]:
        """Iterate over the items, caller by caller."""
        return (item for items in self._waiting.values() for item in items)

    def push(self, caller: str, item: Item) -> None:
        """Append an item."""
        self._waiting.setdefault(caller, deque()).append(item)
        self._size += 1

    def pop(self, running: Mapping[str, int]) -> Item:
        """Take the next item: of the caller with the fewest running, among equals of the
        one that was served longest ago.

        Args:
            running: Number of running items by caller; 0 may be left out.

        Raises:
            IndexError: The queue is empty.
        """
        if not self._waiting:
            raise IndexError("the queue is empty")
        caller = min(self._waiting, key=lambda name: running.get(name, 0))
        items = self._waiting.pop(caller)
        item = items.popleft()
        self._size -= 1
        if items:
            self._waiting[caller] = items  # at the end
        return item

    def remove(self, chosen: Callable[[Item], bool]) -> list[Item]:
        """Remove and return all items for which `chosen` is true."""
        removed: list[Item] = []
        for caller, items in list(self._waiting.items()):
            kept: deque[Item] = deque()
            for item in items:
                (removed if chosen(item) else kept).append(item)
            if kept:
                self._waiting[caller] = kept
            else:
                del self._waiting[caller]
        self._size -= len(removed)
        return removed


@dataclass(eq=False)
class GenerationTask:
    """A request for an answer, with its progress."""

    request: GenerationRequest
    stream: AnswerStream
    limit: int
    """Most tokens: what was asked for, or what is left of the context."""
    end_ids: frozenset[int]
    generated: list[int] = field(default_factory=list)
    draws: list[float] | None = None
    """Random numbers, one per token; None where the likeliest token is taken."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.request.prompt_ids)

    @property
    def caller(self) -> str:
        """Name of the caller."""
        return self.request.caller

    @property
    def deadline(self) -> float | None:
        """`time.monotonic()` at which it fails."""
        return self.request.deadline

    @property
    def is_plain(self) -> bool:
        """Whether greedy decoding without constraint and alternatives is enough."""
        asked = self.request
        return self.draws is None and asked.constraint is None and asked.top_logprobs == 0

    def prepare(self) -> None:
        """Draw the random numbers; called in the worker thread, because it takes time."""
        asked = self.request
        if asked.temperature > 0:
            self.draws = make_draws(asked.seed, asked.prompt_ids, self.limit).tolist()

    def fail(self, fault: Exception) -> None:
        """End it with an error."""
        self.stream.fail(fault)
        wake([self.stream])


@dataclass(eq=False)
class ScoringTask:
    """A request for the log-likelihoods of choices."""

    prompt_ids: Sequence[int]
    choices: Sequence[Sequence[int]]
    caller: str
    deadline: float | None
    future: Future[list[float]] = field(default_factory=Future)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt and all choices."""
        return len(self.prompt_ids) + sum(len(choice) for choice in self.choices)

    def finish(self, scores: list[float]) -> None:
        """Resolve the future."""
        with suppress(InvalidStateError):  # the engine was closed meanwhile
            self.future.set_result(scores)

    def fail(self, fault: Exception) -> None:
        """End it with an error."""
        with suppress(InvalidStateError):
            self.future.set_exception(fault)


Task = GenerationTask | ScoringTask


_PROMPT_TOKENS_PER_STEP = 2048
"""Prompt tokens read between two decode steps; more would delay the running requests."""
_CLOSING_S = 10.0


class StepPlan(NamedTuple):
    """What the worker does before its next decode step, in this order."""

    expired: list[Task]
    """Requests past their deadline, waiting or running."""
    leaving: list[int]
    """Slots of running requests that expired or were cancelled."""
    starting: list[Task]
    """Waiting requests that get a slot now."""


class RequestQueue:
    """Takes requests from any thread and hands them to the worker thread."""

    def __init__(
        self,
        name: str,
        serve: Callable[[], None],
        *,
        most_running: int,
        most_waiting: int,
        idle_s: float,
    ) -> None:
        """Make an empty queue; no thread runs yet.

        Args:
            name: Name of the model, for messages.
            serve: Body of the worker thread; calls `plan_step` until it returns None.
            most_running: Slots: requests that run at once.
            most_waiting: Requests that may wait; more are refused.
            idle_s: Seconds without requests after which the thread ends.
        """
        self._name = name
        self._serve = serve
        self._most_running, self._most_waiting = most_running, most_waiting
        self._idle_s = idle_s
        # Entered by itself: the condition's own `with` is a Python function, in which a thread that
        # is killed could leave the lock taken.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._waiting: FairQueue[Task] = FairQueue()
        self._answers: dict[str, GenerationTask] = {}
        self._gone: set[GenerationTask] = set()
        self._next_deadline = math.inf
        self.closed = False
        self.cancelled = 0
        """Requests cancelled so far."""

    @property
    def waiting(self) -> int:
        """Number of waiting requests."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether `put` would refuse a request now."""
        return len(self._waiting) >= self._most_waiting

    def put(self, task: Task) -> None:
        """Take a request.

        Raises:
            EngineBusyError: The queue is full.
            EngineClosedError: The engine was closed.
        """
        with self._lock:
            if self.closed:
                raise EngineClosedError(f"the engine of {self._name} was closed; open another one")
            if self.is_full:
                raise EngineBusyError(
                    f"{self._most_waiting} requests wait for {self._name} already; ask again later"
                )
            self._waiting.push(task.caller, task)
            if task.deadline is not None:
                self._next_deadline = min(self._next_deadline, task.deadline)
            if isinstance(task, GenerationTask):
                self._answers[task.stream.request_id] = task
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="stillroom-engine", daemon=True
                )
                self._thread.start()
            else:
                self._changed.notify()

    def cancel(self, request_id: str) -> None:
        """End a request; unknown and finished ones are ignored."""
        with self._lock:
            task = self._answers.pop(request_id, None)
            if task is None:
                return
            if not self._waiting.remove(lambda one: one is task):
                self._gone.add(task)
            self.cancelled += 1
        task.stream.abandon()
        wake([task.stream])

    def plan_step(self, running: Sequence[GenerationTask]) -> StepPlan | None:
        """Wait for work and plan the next decode step.

        Args:
            running: Running requests, by slot.

        Returns:
            None when the thread must end.
        """
        with self._lock:
            while not self.closed and not running and not self._waiting:
                if not self._changed.wait(self._idle_s) and not self._waiting:
                    break
            if self.closed or not (running or self._waiting):
                # Under the same lock, so that no task is put for a thread that is ending.
                self._thread = None
                return None
            expired = self._take_expired(running)
            over = self._gone.union(task for task in expired if isinstance(task, GenerationTask))
            self._gone = set()
            leaving = [slot for slot, row in enumerate(running) if row in over]
            starting = self._take_waiting(running, len(leaving))
            self._forget(expired)
        return StepPlan(expired, leaving, starting)

    def forget(self, tasks: Iterable[Task]) -> None:
        """Remove requests that have ended."""
        with self._lock:
            self._forget(tasks)

    def give_up(self) -> list[Task]:
        """Remove and return all requests, running ones included, after the thread failed; the next
        request starts a new thread."""
        with self._lock:
            self._thread = None
            return self._take_all()

    def close(self) -> None:
        """Refuse further requests, fail all present ones, and wait for the thread to end."""
        with self._lock:
            self.closed = True
            thread = self._thread
            tasks = self._take_all()
            self._changed.notify_all()
        for task in tasks:
            task.fail(EngineClosedError(f"the engine of {self._name} was closed"))
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSING_S)

    def _take_all(self) -> list[Task]:
        tasks: dict[Task, None] = dict.fromkeys(self._answers.values())
        tasks.update(dict.fromkeys(self._waiting.remove(lambda _: True)))
        self._answers.clear()
        self._gone.clear()
        return list(tasks)

    def _forget(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            if isinstance(task, GenerationTask):
                self._answers.pop(task.stream.request_id, None)

    def _take_expired(self, running: Sequence[GenerationTask]) -> list[Task]:
        """Take the requests past their deadline; most steps need not look at the whole queue."""
        now = time.monotonic()
        if now <= self._next_deadline:
            return []
        expired = self._waiting.remove(lambda task: _is_expired(task, now))
        expired += [row for row in running if _is_expired(row, now) and row not in self._gone]
        others = (
            task.deadline for task in (*self._waiting, *running) if not _is_expired(task, now)
        )
        self._next_deadline = min((d for d in others if d is not None), default=math.inf)
        return expired

    def _take_waiting(self, running: Sequence[GenerationTask], leaving: int) -> list[Task]:
        shares = Counter(row.caller for row in running)
        slots = self._most_running - len(running) + leaving
        tasks: list[Task] = []
        tokens = 0
        while self._waiting and len(tasks) < slots and tokens < _PROMPT_TOKENS_PER_STEP:
            task = self._waiting.pop(shares)
            tasks.append(task)
            shares[task.caller] += 1
            tokens += task.prompt_tokens
        return tasks


def _is_expired(task: Task, now: float) -> bool:
    return task.deadline is not None and now > task.deadline
