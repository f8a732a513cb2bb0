"""The loop of an engine's worker thread: decode for running requests, start waiting ones."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import DeadlineError, EngineFailedError, StillroomError
from ..checkpoints.load_student import Checkpoint
from .batch import Batch
from .next_tokens import choose_tokens
from .request_queue import GenerationTask, RequestQueue, ScoringTask, Task
from .token_stream import wake


@dataclass(frozen=True)
class ServedModel:
    """What an engine needs to know about a model."""

    name: str
    context_length: int
    """Most tokens of prompt and answer together."""
    vocabulary: int
    """Number of ids: 0 to one less."""
    end_ids: frozenset[int]
    open_batch: Callable[[], Batch]
    """Makes an empty batch."""
    score: Callable[[Sequence[int], Sequence[Sequence[int]]], list[float]]
    """Computes the log-likelihood of each continuation of a prompt."""
    lock: AbstractContextManager[Any]
    """Held during every forward pass by all who compute with this model."""
    device: torch.device
    longest_answer: int | None = None
    """Most tokens of an answer; None for no limit but the context."""
    checkpoint: Checkpoint | None = None
    """Model and tokenizer, if it has them."""


class BatchLoop:
    """The loop and state of one worker thread."""

    def __init__(self, model: ServedModel, queue: RequestQueue, count: Counter[str]) -> None:
        """Start without a batch.

        Args:
            model: What to serve.
            queue: Of the engine.
            count: Receives the numbers of steps, tokens, finished and failed requests.
        """
        self._model = model
        self._queue = queue
        self._count = count
        self._batch: Batch | None = None
        self._rows: list[GenerationTask] = []
        self._starting: list[Task] = []
        self._newest: Tensor | None = None
        self._pass_began: float | None = None

    @property
    def running(self) -> int:
        """Number of requests in the batch."""
        return len(self._rows)

    @property
    def cached_tokens(self) -> int:
        """Tokens whose keys and values are held."""
        batch = self._batch
        return 0 if batch is None or not self._rows else batch.tokens

    def pass_s(self) -> float:
        """Seconds since the current forward pass began; 0 between passes."""
        began = self._pass_began
        return 0.0 if began is None else time.monotonic() - began

    def run(self) -> None:
        """Serve until the queue was idle for long enough, or is closed."""
        while (plan := self._queue.plan_step(self._rows)) is not None:
            self._starting = plan.starting
            for task in plan.expired:
                task.fail(DeadlineError("the time that the request was given is over; allow more"))
            self._count["failed"] += len(plan.expired)
            try:
                self._drop(plan.leaving)
                if self._rows:
                    self._step()
            except Exception as fault:  # noqa: BLE001 - raised to every caller concerned
                self._fail_batch(fault)
            try:
                self._start()
            except Exception as fault:  # noqa: BLE001
                self._fail_batch(fault)

    def fail_all(self, fault: BaseException, waiting: Sequence[Task]) -> None:
        """Fail every request after the thread failed."""
        unstarted = [task for task in (*waiting, *self._starting) if task not in self._rows]
        self._count["failed"] += len(unstarted)
        for task in unstarted:
            task.fail(_as_engine_error(fault, self._model.name))
        self._fail_batch(fault)

    def _step(self) -> None:
        """Decode one token of every running request."""
        if self._batch is None:
            raise RuntimeError("requests run without a batch")
        newest = self._newest
        if newest is None:
            last = [row.generated[-1] for row in self._rows]
            newest = torch.tensor(last, device=self._model.device)
        self._emit(self._pass(self._batch.step, newest), 0)

    def _start(self) -> None:
        """Read the prompts of new requests and decode their first token; score choices."""
        tasks, self._starting = self._starting, []
        answers = [task for task in tasks if isinstance(task, GenerationTask)]
        if answers:
            if self._batch is None or not (self._rows or self._batch.is_current()):
                self._batch = self._model.open_batch()
            for answer in answers:
                answer.prepare()
            before = len(self._rows)
            self._rows += answers
            prompts = [answer.request.prompt_ids for answer in answers]
            self._emit(self._pass(self._batch.add, prompts), before)
        for task in tasks:
            if isinstance(task, ScoringTask):
                self._score(task)

    def _score(self, task: ScoringTask) -> None:
        if not task.future.set_running_or_notify_cancel():
            return
        try:
            task.finish(self._model.score(task.prompt_ids, task.choices))
        except Exception as fault:  # noqa: BLE001 - raised to the caller
            task.fail(_as_engine_error(fault, self._model.name))

    def _pass(self, forward: Callable[[Any], Tensor], given: Any) -> Tensor:  # noqa: ANN401
        with self._model.lock:
            self._pass_began = time.monotonic()
            try:
                logits = forward(given)
            finally:
                self._pass_began = None
        self._count["steps"] += 1
        return logits

    def _emit(self, logits: Tensor, begin: int) -> None:
        """Choose the next token of the requests from slot `begin` on, and publish it."""
        rows = self._rows[begin:]
        chosen, faults = choose_tokens(logits, rows)
        self._count["tokens"] += len(rows)
        over = []
        for place, (row, fault) in enumerate(zip(rows, faults, strict=True)):
            if fault is not None:
                row.stream.fail(_as_engine_error(fault, self._model.name))
            if fault is not None or row.stream.finish_reason is not None:
                over.append(begin + place)
                self._count["finished" if fault is None else "failed"] += 1
        # The chosen tokens are the next input as they are if no row comes or goes.
        self._newest = chosen if begin == 0 and not over else None
        self._drop(over)
        for orphan in wake([row.stream for row in rows]):
            orphan.cancel()

    def _drop(self, places: Sequence[int]) -> None:
        """Free the slots of requests that have ended."""
        if not places or self._batch is None:
            return
        self._newest = None
        self._queue.forget([self._rows[place] for place in places])
        for place in reversed(places):  # the last one takes the place of one that goes
            self._batch.drop(place)
            self._rows[place] = self._rows[-1]
            self._rows.pop()

    def _fail_batch(self, fault: BaseException) -> None:
        """Fail all requests of the batch and go on without it."""
        lost, self._rows = self._rows, []
        self._batch = self._newest = None
        self._queue.forget(lost)
        self._count["restarts"] += 1
        self._count["failed"] += len(lost)
        for task in lost:
            task.fail(_as_engine_error(fault, self._model.name))


def _as_engine_error(fault: BaseException, name: str) -> StillroomError:
    """Make the error that a caller is given.

    The frames of the fault hold the batch and its activations. They are cleared, since these would
    stay in memory for as long as anybody keeps the error.
    """
    traceback.clear_frames(fault.__traceback__)
    if isinstance(fault, StillroomError):
        return fault
    error = EngineFailedError(f"{name} could not answer: {fault!r}; the next request starts anew")
    error.__cause__ = fault
    return error
