"""What an engine's thread does, again and again: a step for all that run, a start for who waits."""

from __future__ import annotations

import time
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
from .request_queue import Answering, Job, JobDesk, Scoring
from .token_stream import wake


@dataclass(frozen=True)
class ServedModel:
    """What an engine needs to know of a model."""

    name: str
    context_length: int
    """Most tokens of prompt and answer together."""
    vocabulary: int
    """Ids from 0 to one less are known."""
    end_ids: frozenset[int]
    open_batch: Callable[[], Batch]
    """Starts an empty batch."""
    score: Callable[[Sequence[int], Sequence[Sequence[int]]], list[float]]
    """Gives the log-likelihood of each continuation of a prompt."""
    turn: AbstractContextManager[Any]
    """Held during every pass; others who compute with the same model hold it as well."""
    device: torch.device
    checkpoint: Checkpoint | None = None
    """Model and tokenizer, where there is one."""


class BatchLoop:
    """The state of one thread; another thread gets another one."""

    def __init__(self, model: ServedModel, desk: JobDesk, count: Counter[str]) -> None:
        """Start without a batch.

        Args:
            model: What to serve.
            desk: Where requests wait.
            count: Steps, tokens and ends are counted here.
        """
        self._model = model
        self._desk = desk
        self._count = count
        self._batch: Batch | None = None
        self._rows: list[Answering] = []
        self._starting: list[Job] = []
        self._newest: Tensor | None = None
        self._pass_began: float | None = None

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return len(self._rows)

    @property
    def cached_tokens(self) -> int:
        """Tokens whose keys and values are held."""
        batch = self._batch
        return 0 if batch is None or not self._rows else batch.tokens

    def pass_s(self) -> float:
        """Give the seconds since the pass that is being computed began; 0 without one."""
        began = self._pass_began
        return 0.0 if began is None else time.monotonic() - began

    def run(self) -> None:
        """Serve until there was nothing to do for a while, or the desk is closed."""
        while (turn := self._desk.next_turn(self._rows)) is not None:
            self._starting = turn.starting
            for job in turn.late:
                job.fail(DeadlineError("the time that the request was given is over; allow more"))
            self._count["failed"] += len(turn.late)
            try:
                self._drop(turn.leaving)
                if self._rows:
                    self._step()
            except Exception as fault:  # noqa: BLE001 - told to everyone it concerns
                self._break(fault)
            try:
                self._start()
            except Exception as fault:  # noqa: BLE001
                self._break(fault)

    def fail_all(self, fault: BaseException, waiting: Sequence[Job]) -> None:
        """Tell everyone that the thread broke."""
        unstarted = [job for job in (*waiting, *self._starting) if job not in self._rows]
        self._count["failed"] += len(unstarted)
        for job in unstarted:
            job.fail(_as_ours(fault, self._model.name))
        self._break(fault)

    def _step(self) -> None:
        """Make one more token of every request."""
        if self._batch is None:
            raise RuntimeError("requests run without a batch")
        newest = self._newest
        if newest is None:
            last = [row.generated[-1] for row in self._rows]
            newest = torch.tensor(last, device=self._model.device)
        self._emit(self._pass(self._batch.step, newest), 0)

    def _start(self) -> None:
        """Make the first token of requests that were waiting."""
        jobs, self._starting = self._starting, []
        answers = [job for job in jobs if isinstance(job, Answering)]
        if answers:
            if self._batch is None or not (self._rows or self._batch.is_current()):
                self._batch = self._model.open_batch()
            for answer in answers:
                answer.prepare()
            before = len(self._rows)
            self._rows += answers
            prompts = [answer.request.prompt_ids for answer in answers]
            self._emit(self._pass(self._batch.add, prompts), before)
        for job in jobs:
            if isinstance(job, Scoring):
                self._score(job)

    def _score(self, job: Scoring) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            job.finish(self._model.score(job.prompt_ids, job.choices))
        except Exception as fault:  # noqa: BLE001 - told to who asked
            job.fail(_as_ours(fault, self._model.name))

    def _pass(self, forward: Callable[[Any], Tensor], given: Any) -> Tensor:  # noqa: ANN401
        with self._model.turn:
            self._pass_began = time.monotonic()
            try:
                logits = forward(given)
            finally:
                self._pass_began = None
        self._count["steps"] += 1
        return logits

    def _emit(self, logits: Tensor, begin: int) -> None:
        """Choose and give out the next token of the requests from `begin` on."""
        rows = self._rows[begin:]
        chosen, faults = choose_tokens(logits, rows)
        self._count["tokens"] += len(rows)
        over = []
        for place, (row, fault) in enumerate(zip(rows, faults, strict=True)):
            if fault is not None:
                row.stream.fail(_as_ours(fault, self._model.name))
            if fault is not None or row.stream.finish_reason is not None:
                over.append(begin + place)
                self._count["finished" if fault is None else "failed"] += 1
        # What was chosen is the next input as it is, where no row comes or goes.
        self._newest = chosen if begin == 0 and not over else None
        self._drop(over)
        for orphan in wake([row.stream for row in rows]):
            orphan.cancel()

    def _drop(self, places: Sequence[int]) -> None:
        """Free the places of requests that are over."""
        if not places or self._batch is None:
            return
        self._newest = None
        self._desk.forget([self._rows[place] for place in places])
        for place in reversed(places):  # the last one takes the place of one that goes
            self._batch.drop(place)
            self._rows[place] = self._rows[-1]
            self._rows.pop()

    def _break(self, fault: BaseException) -> None:
        """Tell everyone whose request is lost with the batch, and go on without it."""
        lost, self._rows = self._rows, []
        self._batch = self._newest = None
        self._desk.forget(lost)
        self._count["restarts"] += 1
        self._count["failed"] += len(lost)
        for job in lost:
            job.fail(_as_ours(fault, self._model.name))


def _as_ours(fault: BaseException, name: str) -> StillroomError:
    if isinstance(fault, StillroomError):
        return fault
    ours = EngineFailedError(f"{name} could not answer: {fault!r}; the next request starts anew")
    ours.__cause__ = fault
    return ours
