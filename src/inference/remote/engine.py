"""An engine that asks a server: anything that speaks OpenAI's HTTP, such as vLLM, SGLang, Ollama or
llama-server.

    engine = RemoteEngine("elements", base_url="http://127.0.0.1:8000/v1", endpoint="completions")
    stream = engine.submit(GenerationRequest(prompt="Question: ...\\n\\nAnswer:"))

One thread with an event loop of its own speaks with the server; its tokens take the same way as
those of an engine in this process. Leaving an answer closes its connection, which is how servers
learn that nobody reads.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from weakref import WeakSet

import httpx

from ...errors import (
    ConfigError,
    DeadlineError,
    EngineBusyError,
    EngineClosedError,
    EngineFailedError,
    StillroomError,
)
from ..engine.protocol import EngineStats, GenerationRequest, PromptForm
from ..engine.request_queue import FairQueue
from ..engine.token_stream import AnswerStream, wake
from ..no_real_models import check_models_allowed
from .http_client import ask_server
from .server_address import Server

_CLOSING_S = 10.0
_numbers = itertools.count(1)
_open: WeakSet[RemoteEngine] = WeakSet()


@dataclass(eq=False)
class _Job:
    request: GenerationRequest
    stream: AnswerStream
    task: asyncio.Task[None] | None = None


class RemoteEngine:
    """See `engine.Engine`."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None,
        endpoint: str = "chat",
        api_key_env: str | None = None,
        max_retries: int = 2,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 60.0,
        backoff_s: float = 0.5,
        most_running: int = 16,
        most_waiting: int = 256,
        idle_s: float = 10.0,
    ) -> None:
        """Describe the server; nothing is sent before the first request.

        Args:
            model: The model's name on the server.
            base_url: Where the server listens, with its version: `http://127.0.0.1:8000/v1`.
            endpoint: `chat`, where the server makes the prompt from messages, or `completions`,
                where it gets a rendered prompt.
            api_key_env: Name of the environment variable that holds the key; read at every
                request, sent to this server alone, and kept out of errors.
            max_retries: How often a request that failed in a way that may pass is sent again. Never
                after its first token.
            connect_timeout_s: Seconds to reach the server.
            read_timeout_s: Seconds between two pieces of an answer.
            backoff_s: Seconds before the first retry; doubles with each.
            most_running: Requests sent at once.
            most_waiting: Requests that may wait; more are refused.
            idle_s: Seconds without work after which thread and connections go.

        Raises:
            ConfigError: A setting is missing or out of range.
        """
        self._server = Server(
            model, base_url, endpoint, api_key_env, max_retries, read_timeout_s, backoff_s
        )
        self._connect_timeout_s = connect_timeout_s
        self._most_running, self._most_waiting = most_running, most_waiting
        self._idle_s = idle_s
        # Guarded by `_lock`.
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: FairQueue[_Job] = FairQueue()
        self._jobs: dict[str, _Job] = {}
        self._running: set[_Job] = set()
        self._count: Counter[str] = Counter()
        _open.add(self)

    @property
    def name(self) -> str:
        """The model's name on the server."""
        return self._server.model

    @property
    def takes(self) -> PromptForm:
        """Messages or text, as the endpoint wants."""
        return "messages" if self._server.endpoint == "chat" else "text"

    def submit(self, request: GenerationRequest) -> AnswerStream:
        """Take a request; see `Engine.submit`."""
        check_models_allowed(self.name)
        self._server.check(request)
        number = f"{self.name}-{next(_numbers)}"
        job = _Job(request, AnswerStream(number, 0, self.cancel, request.deadline))
        with self._lock:
            if self._closed:
                raise EngineClosedError(f"the engine of {self.name} was closed; open another one")
            if len(self._waiting) >= self._most_waiting:
                raise EngineBusyError(
                    f"{self._most_waiting} requests wait for {self.name} already; ask again later"
                )
            self._waiting.push(request.caller, job)
            self._jobs[number] = job
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="stillroom-remote", daemon=True
                )
                self._thread.start()
            elif self._loop is not None:  # else it is starting and will look into the queue
                self._loop.call_soon_threadsafe(self._start_jobs)
        return job.stream

    def cancel(self, request_id: str) -> None:
        """End a request; see `Engine.cancel`."""
        with self._lock:
            job = self._jobs.pop(request_id, None)
            if job is None:
                return
            self._waiting.remove(lambda one: one is job)
            self._count["cancelled"] += 1
            if job.task is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(job.task.cancel)
        job.stream.abandon()
        wake([job.stream])

    def score_choices(
        self,
        prompt_ids: Sequence[int],
        choices: Sequence[Sequence[int]],
        *,
        caller: str = "",
        deadline: float | None = None,
    ) -> Future[list[float]]:
        """Refuse: the protocol of servers has no scores of given texts."""
        raise ConfigError(
            [f"{self.name} is on a server, which does not score choices; load the checkpoint here"]
        )

    def stats(self) -> EngineStats:
        """Say what the engine is doing; `steps` are requests sent."""
        with self._lock:
            return EngineStats(
                waiting=len(self._waiting),
                running=len(self._running),
                slots=self._most_running,
                steps=self._count["sent"],
                tokens=self._count["tokens"],
                finished=self._count["finished"],
                cancelled=self._count["cancelled"],
                failed=self._count["failed"],
                restarts=self._count["retries"],
            )

    def ready(self) -> bool:
        """Say whether a request would be taken; the server itself is not asked."""
        return not self._closed and len(self._waiting) < self._most_waiting

    def close(self) -> None:
        """Stop; whatever runs or waits fails at once."""
        with self._lock:
            self._closed = True
            thread, jobs = self._thread, list(self._jobs.values())
            self._jobs.clear()
            self._waiting.remove(lambda _: True)
            for job in jobs:
                if job.task is not None and self._loop is not None:
                    self._loop.call_soon_threadsafe(job.task.cancel)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._start_jobs)
        for job in jobs:
            job.stream.fail(EngineClosedError(f"the engine of {self.name} was closed"))
            wake([job.stream])
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSING_S)

    # The thread.

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as fault:  # noqa: BLE001 - told to everyone who waits
            with self._lock:
                if self._thread is not threading.current_thread():
                    return
                self._thread = self._loop = None
                jobs, self._jobs = list(self._jobs.values()), {}
                self._waiting.remove(lambda _: True)
                self._running.clear()
            for job in jobs:
                self._fail(job, fault)

    async def _main(self) -> None:
        timeout = httpx.Timeout(self._connect_timeout_s, read=self._server.read_timeout_s)
        # `_start_jobs` keeps to `most_running`. A limit of the pool's own would be used up by
        # requests that are cancelled while they wait for it
        # (https://github.com/encode/httpcore/issues/1093).
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=self._most_running)
        # A proxy has no business between this machine and itself.
        proxies = not self._server.is_local
        async with httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=proxies) as client:
            self._client, self._news = client, asyncio.Event()
            with self._lock:
                self._loop = asyncio.get_running_loop()
            self._start_jobs()
            idle = False
            while not self._may_end(idle):
                try:
                    await asyncio.wait_for(self._news.wait(), self._idle_s)
                    idle = False
                except TimeoutError:
                    idle = True
                self._news.clear()

    def _may_end(self, idle: bool) -> bool:
        with self._lock:
            if self._running or not (self._closed or (idle and not self._waiting)):
                return False
            # In the same breath, so that nobody submits to a thread that ends.
            self._thread = self._loop = None
            return True

    def _start_jobs(self) -> None:
        """Send what waits, as far as there is room; in the loop."""
        with self._lock:
            while self._waiting and len(self._running) < self._most_running:
                job = self._waiting.pop(Counter(one.request.caller for one in self._running))
                self._running.add(job)
                job.task = asyncio.ensure_future(self._answer(job))
                # Not in the task itself: one that is cancelled before it begins runs nothing.
                job.task.add_done_callback(lambda _, job=job: self._leave(job))  # type: ignore[misc]
        self._news.set()

    async def _answer(self, job: _Job) -> None:
        deadline = job.request.deadline
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            async with asyncio.timeout(patience):
                await ask_server(self._client, self._server, job.request, job.stream, self._count)
            self._count["finished"] += 1
        except TimeoutError:  # of the deadline; the server's own are RemoteErrors
            self._fail(job, DeadlineError("the time that the request was given is over"))
        except Exception as fault:  # noqa: BLE001 - told to who asked
            self._fail(job, fault)
        wake([job.stream])

    def _leave(self, job: _Job) -> None:
        with self._lock:
            self._running.discard(job)
            self._jobs.pop(job.stream.request_id, None)
        self._start_jobs()

    def _fail(self, job: _Job, fault: BaseException) -> None:
        self._count["failed"] += 1
        if not isinstance(fault, StillroomError):
            ours = EngineFailedError(f"{self.name} could not answer: {fault!r}")
            ours.__cause__ = fault
            fault = ours
        job.stream.fail(fault)
        wake([job.stream])


@atexit.register
def _close_all() -> None:
    for engine in list(_open):
        engine.close()
