"""An engine in this process: one thread that owns a batch, which requests join and leave.

Requests come and go between two steps, so all that run together cost little more than one. What
computes is behind `batch.Batch`; `transformers_engine` and others say how one is opened.
"""

from __future__ import annotations

import atexit
import itertools
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from weakref import WeakSet

import torch

from ...errors import GenerationError
from ..checkpoints.load_student import Checkpoint
from ..no_real_models import check_models_allowed
from .protocol import EngineStats, GenerationRequest, PromptForm
from .request_queue import Answering, JobDesk, Scoring
from .token_stream import AnswerStream
from .worker_thread import BatchLoop, ServedModel

_numbers = itertools.count(1)
_open: WeakSet[BatchEngine] = WeakSet()


class BatchEngine:
    """See `engine.Engine`."""

    def __init__(
        self,
        model: ServedModel,
        *,
        most_running: int = 32,
        most_waiting: int = 256,
        idle_s: float = 10.0,
        stall_s: float = 30.0,
    ) -> None:
        """Take a model; nothing runs before the first request.

        Args:
            model: What to serve.
            most_running: Requests in the batch at once; memory grows with it.
            most_waiting: Requests that may wait for a place; more are refused.
            idle_s: Seconds without work after which the thread and its buffers go.
            stall_s: Seconds in one pass after which `ready` says no.
        """
        self._model = model
        self._slots, self._stall_s = most_running, stall_s
        self._desk = JobDesk(
            model.name,
            self._run,
            most_running=most_running,
            most_waiting=most_waiting,
            idle_s=idle_s,
        )
        self._loop: BatchLoop | None = None
        self._count: Counter[str] = Counter()
        _open.add(self)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._model.name

    @property
    def takes(self) -> PromptForm:
        """Token ids."""
        return "ids"

    @property
    def closed(self) -> bool:
        """Say whether `close` was called."""
        return self._desk.closed

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Model and tokenizer, where there is one."""
        return self._model.checkpoint

    def submit(self, request: GenerationRequest) -> AnswerStream:
        """Take a request; see `Engine.submit`."""
        check_models_allowed(self.name)
        ids, model = request.prompt_ids, self._model
        room = model.context_length - len(ids)
        self._check_ids(ids)
        if room < 1:
            raise GenerationError(
                f"the prompt has {len(ids)} tokens, the model attends to {model.context_length} in "
                "all, so none is left for an answer; shorten the prompt or its context"
            )
        number = f"{self.name}-{next(_numbers)}"
        stream = AnswerStream(number, len(ids), self.cancel, request.deadline)
        ends = request.stop_ids if request.ignore_end else model.end_ids | request.stop_ids
        self._desk.put(Answering(request, stream, min(request.max_tokens, room), ends))
        return stream

    def cancel(self, request_id: str) -> None:
        """End a request; see `Engine.cancel`."""
        self._desk.cancel(request_id)

    def score_choices(
        self,
        prompt_ids: Sequence[int],
        choices: Sequence[Sequence[int]],
        *,
        caller: str = "",
        deadline: float | None = None,
    ) -> Future[list[float]]:
        """Score continuations; see `Engine.score_choices`."""
        check_models_allowed(self.name)
        self._check_ids(prompt_ids)
        if not choices or not all(choices):
            raise GenerationError("there is no choice to score, or an empty one; give token ids")
        for choice in choices:
            self._check_ids(choice)
            if len(prompt_ids) + len(choice) > self._model.context_length:
                raise GenerationError(
                    f"the prompt has {len(prompt_ids)} tokens and a choice {len(choice)}, the "
                    f"model attends to {self._model.context_length} in all; shorten the prompt"
                )
        job = Scoring(prompt_ids, choices, caller, deadline)
        self._desk.put(job)
        return job.future

    def stats(self) -> EngineStats:
        """Say what the engine is doing."""
        loop, count = self._loop, self._count
        return EngineStats(
            waiting=self._desk.waiting,
            running=0 if loop is None else loop.running,
            slots=self._slots,
            cached_tokens=0 if loop is None else loop.cached_tokens,
            steps=count["steps"],
            tokens=count["tokens"],
            finished=count["finished"],
            cancelled=self._desk.cancelled,
            failed=count["failed"],
            restarts=count["restarts"],
        )

    def ready(self) -> bool:
        """Say whether a request submitted now would be worked on."""
        loop = self._loop
        stalled = loop is not None and loop.pass_s() > self._stall_s
        return not (self._desk.closed or self._desk.is_full or stalled)

    def close(self) -> None:
        """Stop; whatever runs or waits fails at once."""
        self._desk.close()

    def _check_ids(self, ids: Sequence[int]) -> None:
        """Refuse what would break the pass of everyone in the batch."""
        if len(ids) == 0:
            raise GenerationError("the prompt is empty; give at least one word")
        low, high, known = min(ids), max(ids), self._model.vocabulary
        if low < 0 or high >= known:
            raise GenerationError(
                f"the prompt holds ids from {low} to {high}; {self.name} knows 0 to {known - 1}: "
                "it was encoded with another tokenizer"
            )

    def _run(self) -> None:
        loop = BatchLoop(self._model, self._desk, self._count)
        self._loop = loop
        try:
            with torch.inference_mode():
                loop.run()
        except BaseException as fault:  # noqa: BLE001 - told to everyone who waits
            waiting = self._desk.give_up()
            loop.fail_all(fault, waiting)
        finally:
            if self._loop is loop:  # else the next thread is at work already
                self._loop = None


@atexit.register
def _close_all() -> None:
    """Join the threads before the interpreter goes: one that computes then would crash it."""
    for engine in list(_open):
        engine.close()
