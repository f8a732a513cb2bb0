"""An engine behind an OpenAI-compatible server, such as vLLM, SGLang, Ollama or llama-server.

    engine = RemoteEngine("elements", base_url="http://127.0.0.1:8000/v1", endpoint="completions")
    stream = engine.submit(GenerationRequest(prompt="Question: ...\\n\\nAnswer:"))

One thread with its own event loop talks to the server and fills the same streams as an engine in
this process. Cancelling a request closes its connection, so that the server stops generating.
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
class _RemoteTask:
    """A request, its stream, and the asyncio task that sends it."""

    request: GenerationRequest
    stream: AnswerStream
    runner: asyncio.Task[None] | None = None


class RemoteEngine:
    """Serve requests by a server; see `engine.protocol.Engine`."""

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
            base_url: Address with version: `http://127.0.0.1:8000/v1`.
            endpoint: `chat`: the server renders messages; `completions`: it gets a rendered prompt.
            api_key_env: Environment variable of the key. It is read for every request, sent to this
                server only, and kept out of errors.
            max_retries: How often a request is repeated after a temporary fault; never after its
                first token.
            connect_timeout_s: Seconds to connect.
            read_timeout_s: Seconds between two pieces of an answer.
            backoff_s: Seconds before the first retry; doubled for each further one.
            most_running: Requests sent at once.
            most_waiting: Requests that may wait; more are refused.
            idle_s: Seconds without work after which thread and connections are closed.

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
        self._waiting: FairQueue[_RemoteTask] = FairQueue()
        self._tasks: dict[str, _RemoteTask] = {}
        self._running: set[_RemoteTask] = set()
        self._count: Counter[str] = Counter()
        _open.add(self)

    @property
    def name(self) -> str:
        """The model's name on the server."""
        return self._server.model

    @property
    def takes(self) -> PromptForm:
        """Messages or text, by endpoint."""
        return "messages" if self._server.endpoint == "chat" else "text"

    def submit(self, request: GenerationRequest) -> AnswerStream:
        """Accept a request; see `Engine.submit`."""
        check_models_allowed(self.name)
        self._server.check(request)
        number = f"{self.name}-{next(_numbers)}"
        task = _RemoteTask(request, AnswerStream(number, 0, self.cancel, request.deadline))
        with self._lock:
            if self._closed:
                raise EngineClosedError(f"the engine of {self.name} was closed; open another one")
            if len(self._waiting) >= self._most_waiting:
                raise EngineBusyError(
                    f"{self._most_waiting} requests wait for {self.name} already; ask again later"
                )
            self._waiting.push(request.caller, task)
            self._tasks[number] = task
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="stillroom-remote", daemon=True
                )
                self._thread.start()
            elif self._loop is not None:  # else it is starting and will look into the queue
                self._loop.call_soon_threadsafe(self._start_waiting)
        return task.stream

    def cancel(self, request_id: str) -> None:
        """End a request; see `Engine.cancel`."""
        with self._lock:
            task = self._tasks.pop(request_id, None)
            if task is None:
                return
            self._waiting.remove(lambda one: one is task)
            self._count["cancelled"] += 1
            if task.runner is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(task.runner.cancel)
        task.stream.abandon()
        wake([task.stream])

    def score_choices(
        self,
        prompt_ids: Sequence[int],
        choices: Sequence[Sequence[int]],
        *,
        caller: str = "",
        deadline: float | None = None,
    ) -> Future[list[float]]:
        """Refuse: OpenAI's protocol does not score given texts."""
        raise ConfigError(
            [f"{self.name} is on a server, which does not score choices; load the checkpoint here"]
        )

    def stats(self) -> EngineStats:
        """Return the current load and totals; `steps` are requests sent."""
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
        """Return whether a request would be accepted; the server is not task."""
        return not self._closed and len(self._waiting) < self._most_waiting

    def close(self) -> None:
        """Stop; running and waiting requests fail at once."""
        with self._lock:
            self._closed = True
            thread, tasks = self._thread, list(self._tasks.values())
            self._tasks.clear()
            self._waiting.remove(lambda _: True)
            for task in tasks:
                if task.runner is not None and self._loop is not None:
                    self._loop.call_soon_threadsafe(task.runner.cancel)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._start_waiting)
        for task in tasks:
            task.stream.fail(EngineClosedError(f"the engine of {self.name} was closed"))
            wake([task.stream])
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSING_S)

    # In the worker thread.

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as fault:  # noqa: BLE001 - raised to every waiting caller
            with self._lock:
                if self._thread is not threading.current_thread():
                    return
                self._thread = self._loop = None
                tasks, self._tasks = list(self._tasks.values()), {}
                self._waiting.remove(lambda _: True)
                self._running.clear()
            for task in tasks:
                self._fail(task, fault)

    async def _main(self) -> None:
        timeout = httpx.Timeout(self._connect_timeout_s, read=self._server.read_timeout_s)
        # `_start_waiting` limits to `most_running`. A limit of the pool leaks places of requests
        # that are cancelled while they wait for it
        # (https://github.com/encode/httpcore/issues/1093).
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=self._most_running)
        # No proxy for a server on this machine.
        proxies = not self._server.is_local
        async with httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=proxies) as client:
            self._client, self._news = client, asyncio.Event()
            with self._lock:
                self._loop = asyncio.get_running_loop()
            self._start_waiting()
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
            # Under the same lock, so that no request is submitted to a thread that is ending.
            self._thread = self._loop = None
            return True

    def _start_waiting(self) -> None:
        """Send waiting requests while slots are free; runs in the event loop."""
        with self._lock:
            while self._waiting and len(self._running) < self._most_running:
                task = self._waiting.pop(Counter(one.request.caller for one in self._running))
                self._running.add(task)
                task.runner = asyncio.ensure_future(self._answer(task))
                # Not in the task itself: a task that is cancelled before it starts runs no code.
                task.runner.add_done_callback(lambda _, task=task: self._leave(task))  # type: ignore[misc]
        self._news.set()

    async def _answer(self, task: _RemoteTask) -> None:
        deadline = task.request.deadline
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            async with asyncio.timeout(patience):
                await ask_server(self._client, self._server, task.request, task.stream, self._count)
            self._count["finished"] += 1
        except TimeoutError:  # of the deadline; the server's own are RemoteErrors
            self._fail(task, DeadlineError("the time that the request was given is over"))
        except Exception as fault:  # noqa: BLE001 - raised to the caller
            self._fail(task, fault)
        wake([task.stream])

    def _leave(self, task: _RemoteTask) -> None:
        with self._lock:
            self._running.discard(task)
            self._tasks.pop(task.stream.request_id, None)
        self._start_waiting()

    def _fail(self, task: _RemoteTask, fault: BaseException) -> None:
        self._count["failed"] += 1
        if not isinstance(fault, StillroomError):
            ours = EngineFailedError(f"{self.name} could not answer: {fault!r}")
            ours.__cause__ = fault
            fault = ours
        task.stream.fail(fault)
        wake([task.stream])


@atexit.register
def _close_all() -> None:
    for engine in list(_open):
        engine.close()
