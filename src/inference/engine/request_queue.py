"""Where an engine's requests wait: bounded, fair, with deadlines; and the thread that serves them.

The thread is started by the first request and ends after a while without any, so nothing is left
behind by a program that asked one question, and the next request replaces a thread that broke.
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
    """Items of several callers, in order for each of them; not safe between threads by itself."""

    def __init__(self) -> None:
        """Make an empty queue."""
        # Callers in the order in which it is their turn.
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        """Count the items of all callers."""
        return self._size

    def __iter__(self) -> Iterator[Item]:
        """Give the items, caller by caller."""
        return (item for items in self._waiting.values() for item in items)

    def push(self, caller: str, item: Item) -> None:
        """Append an item."""
        self._waiting.setdefault(caller, deque()).append(item)
        self._size += 1

    def pop(self, running: Mapping[str, int]) -> Item:
        """Take the next item: of the caller that has the least running, else of who waited longest
        for a turn.

        Args:
            running: Items that each caller has in work; callers without may be missing.

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
        """Take out all items for which `chosen` is true."""
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
class Answering:
    """A request for an answer, on its way through an engine."""

    request: GenerationRequest
    stream: AnswerStream
    limit: int
    """Most tokens: what was asked for, or what the context leaves."""
    end_ids: frozenset[int]
    generated: list[int] = field(default_factory=list)
    draws: list[float] | None = None
    """Random numbers, one per token; None where the likeliest token is taken."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens to be read before the first one is made."""
        return len(self.request.prompt_ids)

    @property
    def caller(self) -> str:
        """Who asks."""
        return self.request.caller

    @property
    def deadline(self) -> float | None:
        """`time.monotonic()` at which it fails."""
        return self.request.deadline

    @property
    def is_plain(self) -> bool:
        """Say whether the likeliest token is all that is wanted."""
        asked = self.request
        return self.draws is None and asked.constraint is None and asked.top_logprobs == 0

    def prepare(self) -> None:
        """Draw the random numbers; in the engine's thread, because it takes a while."""
        asked = self.request
        if asked.temperature > 0:
            self.draws = make_draws(asked.seed, asked.prompt_ids, self.limit).tolist()

    def fail(self, fault: Exception) -> None:
        """End it with an error."""
        self.stream.fail(fault)
        wake([self.stream])


@dataclass(eq=False)
class Scoring:
    """A request for the scores of choices."""

    prompt_ids: Sequence[int]
    choices: Sequence[Sequence[int]]
    caller: str
    deadline: float | None
    future: Future[list[float]] = field(default_factory=Future)

    @property
    def prompt_tokens(self) -> int:
        """Tokens to be read."""
        return len(self.prompt_ids) + sum(len(choice) for choice in self.choices)

    def finish(self, scores: list[float]) -> None:
        """Give the scores to who waits."""
        with suppress(InvalidStateError):  # the engine was closed meanwhile
            self.future.set_result(scores)

    def fail(self, fault: Exception) -> None:
        """End it with an error."""
        with suppress(InvalidStateError):
            self.future.set_exception(fault)


Job = Answering | Scoring


_PROMPT_TOKENS_PER_TURN = 2048
"""New prompts read between two tokens of those that run; more would hold these up."""
_CLOSING_S = 10.0


class Turn(NamedTuple):
    """What is to be done between two steps, in this order."""

    late: list[Job]
    """Their time is over; some may be running."""
    leaving: list[int]
    """Places of running requests that are over: late or cancelled."""
    starting: list[Job]


class JobDesk:
    """Takes requests from all threads and hands them to the one that computes."""

    def __init__(
        self,
        name: str,
        serve: Callable[[], None],
        *,
        most_running: int,
        most_waiting: int,
        idle_s: float,
    ) -> None:
        """Open the desk; no thread runs yet.

        Args:
            name: Of the model, for messages.
            serve: Runs in the thread; calls `next_turn` until that gives None.
            most_running: Requests in work at once.
            most_waiting: Requests that may wait; more are refused.
            idle_s: Seconds without work after which the thread is to end.
        """
        self._name = name
        self._serve = serve
        self._most_running, self._most_waiting = most_running, most_waiting
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._waiting: FairQueue[Job] = FairQueue()
        self._answers: dict[str, Answering] = {}
        self._gone: set[Answering] = set()
        self._next_deadline = math.inf
        self.closed = False
        self.cancelled = 0
        """Requests cancelled so far."""

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Say whether a request put now would be refused."""
        return len(self._waiting) >= self._most_waiting

    def put(self, job: Job) -> None:
        """Take a request.

        Raises:
            EngineBusyError: The queue is full.
            EngineClosedError: The desk is closed.
        """
        with self._changed:
            if self.closed:
                raise EngineClosedError(f"the engine of {self._name} was closed; open another one")
            if self.is_full:
                raise EngineBusyError(
                    f"{self._most_waiting} requests wait for {self._name} already; ask again later"
                )
            self._waiting.push(job.caller, job)
            if job.deadline is not None:
                self._next_deadline = min(self._next_deadline, job.deadline)
            if isinstance(job, Answering):
                self._answers[job.stream.request_id] = job
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="stillroom-engine", daemon=True
                )
                self._thread.start()
            else:
                self._changed.notify()

    def cancel(self, request_id: str) -> None:
        """End a request; unknown and finished ones are passed over."""
        with self._changed:
            job = self._answers.pop(request_id, None)
            if job is None:
                return
            if not self._waiting.remove(lambda one: one is job):
                self._gone.add(job)
            self.cancelled += 1
        job.stream.abandon()
        wake([job.stream])

    def next_turn(self, running: Sequence[Answering]) -> Turn | None:
        """Say what to do next; waits while there is nothing.

        Args:
            running: Requests in work, by place.

        Returns:
            None where the thread is to end.
        """
        with self._changed:
            while not self.closed and not running and not self._waiting:
                if not self._changed.wait(self._idle_s) and not self._waiting:
                    break
            if self.closed or not (running or self._waiting):
                # In the same breath, so that nobody puts a job before a thread that ends.
                self._thread = None
                return None
            late = self._take_late(running)
            over = self._gone.union(job for job in late if isinstance(job, Answering))
            self._gone = set()
            leaving = [place for place, row in enumerate(running) if row in over]
            starting = self._take(running, len(leaving))
            self._forget(late)
        return Turn(late, leaving, starting)

    def forget(self, jobs: Iterable[Job]) -> None:
        """Take note that requests are over."""
        with self._changed:
            self._forget(jobs)

    def give_up(self) -> list[Job]:
        """Give all that waits, after the thread broke; the next request starts another one."""
        with self._changed:
            self._thread = None
            jobs = self._waiting.remove(lambda _: True)
            self._forget(jobs)
        return jobs

    def close(self) -> None:
        """Refuse requests from now on, fail all that are here, and wait for the thread to end."""
        with self._changed:
            self.closed = True
            thread = self._thread
            jobs: dict[Job, None] = dict.fromkeys(self._answers.values())
            jobs.update(dict.fromkeys(self._waiting.remove(lambda _: True)))
            self._answers.clear()
            self._changed.notify_all()
        for job in jobs:
            job.fail(EngineClosedError(f"the engine of {self._name} was closed"))
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSING_S)

    def _forget(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if isinstance(job, Answering):
                self._answers.pop(job.stream.request_id, None)

    def _take_late(self, running: Sequence[Answering]) -> list[Job]:
        """Take what is over its time; most turns need not look at everything that waits."""
        now = time.monotonic()
        if now <= self._next_deadline:
            return []
        late = self._waiting.remove(lambda job: _is_late(job, now))
        late += [row for row in running if _is_late(row, now) and row not in self._gone]
        others = (job.deadline for job in (*self._waiting, *running) if not _is_late(job, now))
        self._next_deadline = min((d for d in others if d is not None), default=math.inf)
        return late

    def _take(self, running: Sequence[Answering], leaving: int) -> list[Job]:
        shares = Counter(row.caller for row in running)
        places = self._most_running - len(running) + leaving
        jobs: list[Job] = []
        tokens = 0
        while self._waiting and len(jobs) < places and tokens < _PROMPT_TOKENS_PER_TURN:
            job = self._waiting.pop(shares)
            jobs.append(job)
            shares[job.caller] += 1
            tokens += job.prompt_tokens
        return jobs


def _is_late(job: Job, now: float) -> bool:
    return job.deadline is not None and now > job.deadline
