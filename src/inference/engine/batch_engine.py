"""An engine in this process: one worker thread that decodes a batch of requests.

Requests join and leave between two steps (continuous batching), so that many cost little more than
one. `batch.Batch` computes; `transformers_engine` and `onnx_export.engine` open one.
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
from .request_queue import GenerationTask, RequestQueue, ScoringTask
from .token_stream import AnswerStream
from .worker_thread import BatchLoop, ServedModel

_numbers = itertools.count(1)
_open: WeakSet[BatchEngine] = WeakSet()


class BatchEngine:
    """Serve requests in one worker thread; see `protocol.Engine`."""

    def __init__(
        self,
        model: ServedModel,
        *,
        most_running: int = 32,
        most_waiting: int = 256,
        idle_s: float = 10.0,
        stall_s: float = 30.0,
    ) -> None:
        """Prepare the engine; nothing runs before the first request.

        Args:
            model: What to serve.
            most_running: Slots: requests in the batch at once; memory grows with it.
            most_waiting: Requests that may wait for a slot; more are refused.
            idle_s: Seconds without work after which the thread and its buffers are freed.
            stall_s: Seconds in one forward pass after which `ready` is false.
        """
        self._model = model
        self._slots, self._stall_s = most_running, stall_s
        self._queue = RequestQueue(
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
        """Whether `close` was called."""
        return self._queue.closed

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Model and tokenizer, if it has them."""
        return self._model.checkpoint

    def submit(self, request: GenerationRequest) -> AnswerStream:
        """Accept a request; see `Engine.submit`."""
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
        most = min(request.max_tokens, room, model.longest_answer or room)
        self._queue.put(GenerationTask(request, stream, most, ends))
        return stream

    def cancel(self, request_id: str) -> None:
        """End a request; see `Engine.cancel`."""
        self._queue.cancel(request_id)

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
        task = ScoringTask(prompt_ids, choices, caller, deadline)
        self._queue.put(task)
        return task.future

    def stats(self) -> EngineStats:
        """Return the current load and totals."""
        loop, count = self._loop, self._count
        return EngineStats(
            waiting=self._queue.waiting,
            running=0 if loop is None else loop.running,
            slots=self._slots,
            cached_tokens=0 if loop is None else loop.cached_tokens,
            steps=count["steps"],
            tokens=count["tokens"],
            finished=count["finished"],
            cancelled=self._queue.cancelled,
            failed=count["failed"],
            restarts=count["restarts"],
        )

    def pass_s(self) -> float:
        """Return the seconds since the current forward pass began; 0 between passes."""
        loop = self._loop
        return 0.0 if loop is None else loop.pass_s()

    def ready(self) -> bool:
        """Return whether a request submitted now would be worked on."""
        stalled = self.pass_s() > self._stall_s
        return not (self._queue.closed or self._queue.is_full or stalled)

    def close(self) -> None:
        """Stop; running and waiting requests fail at once."""
        self._queue.close()

    def _check_ids(self, ids: Sequence[int]) -> None:
        """Refuse ids that would break the forward pass of the whole batch."""
        if len(ids) == 0:
            raise GenerationError("the prompt is empty; give at least one word")
        low, high, known = min(ids), max(ids), self._model.vocabulary
        if low < 0 or high >= known:
            raise GenerationError(
                f"the prompt holds ids from {low} to {high}; {self.name} knows 0 to {known - 1}: "
                "it was encoded with another tokenizer"
            )

    def _run(self) -> None:
        loop = BatchLoop(self._model, self._queue, self._count)
        self._loop = loop
        try:
            with torch.inference_mode():
                loop.run()
        except BaseException as fault:  # noqa: BLE001 - raised to every waiting caller
            waiting = self._queue.give_up()
            loop.fail_all(fault, waiting)
        finally:
            if self._loop is loop:  # else the next thread has started already
                self._loop = None


@atexit.register
def _close_all() -> None:
    """Join the threads before the interpreter exits: one that computes then would crash it."""
    for engine in list(_open):
        engine.close()
