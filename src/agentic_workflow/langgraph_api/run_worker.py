"""Execute runs: start, record, cancel, take over from a process that died.

A run is a turn of its thread, stored completely or not at all, so it can be executed again from its
request. Its process renews its hold on the run; when the process is killed, another one, or the
next start of the same one, executes the run again, and its events follow those of the attempt
before. Nodes that write elsewhere must therefore be safe to run twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import Any, TypeVar, cast
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphRecursionError, InvalidUpdateError
from langgraph.types import Command, StateSnapshot

from ...errors import StillroomError, ThreadBusyError
from ..graphs import Graph
from ..http.replies import FaultError
from ..http.service import Service, Turn
from ..model_calls.ask import STOP_KEY
from ..model_calls.deadlines import RunContext
from ..threads.checkpointer import ThreadSaver
from ..threads.leases import off_loop
from .event_feed import EventFeed
from .run_events import END, ERROR, GRAPH_MODES, INTERRUPT, LIFECYCLE, METADATA, RunEvents, event
from .run_store import NewEvent, RunLostError, RunRow, RunStore
from .settings import RunSettings
from .wire import jsonable, owner_of, thread_id_of, to_json

_LOG = logging.getLogger(__name__)
_TOLD = (StillroomError, FaultError, ValueError, GraphRecursionError, InvalidUpdateError)
"""Errors whose message the client is given; of others it learns the class."""
_MOST_UNSTORED = 1000
Result = TypeVar("Result")


@dataclass(eq=False)
class _Execution:
    """A run that this process executes."""

    run: RunRow
    stop: Flag = field(default_factory=Flag)
    task: asyncio.Task[None] | None = None
    cancel: str = ""
    """`interrupt` or `rollback` once it is to be cancelled."""
    released: bool = False
    """The server stops, and another process takes the run over."""


class RunWorker:
    """Executes runs in this process, until `stop`.

    Args:
        service: Admits the turns; its workflows remember their threads in `saver`.
        saver: Where threads are stored; runs and events are stored beside them.
        settings: Times and limits.
    """

    def __init__(self, service: Service, saver: ThreadSaver, settings: RunSettings) -> None:
        """Create missing tables."""
        self.service = service
        self.workflows = service.workflows
        self.saver = saver
        self.settings = settings
        self.store = RunStore(saver.store.database)
        self.feed = EventFeed(self.store, settings.poll_s, settings.heartbeat_s)
        self._holder = uuid4().hex
        self._executions: dict[str, _Execution] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self) -> None:
        """Begin to renew, to take over and to look for events of other processes."""
        self._tasks = [asyncio.create_task(self._keep_up())]
        if self.store.database.shared:
            self._tasks.append(asyncio.create_task(self.feed.poll()))

    async def stop(self) -> None:
        """Let runs end for `drain_s` seconds; leave the rest to another process."""
        self._stopping = True
        tasks = [one.task for one in self._executions.values() if one.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self.settings.drain_s)
        left = [one for one in self._executions.values() if one.task is not None]
        for one in left:
            one.released = True
            self._end_early(one)
        await asyncio.gather(*(one.task for one in left if one.task), return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.call(self.store.release, self._holder)

    async def call(self, function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:  # noqa: ANN401
        """Call the store without blocking the event loop."""
        return await off_loop(self.store.database.blocking, lambda: function(*arguments, **named))

    def identity(self, run: RunRow) -> dict[str, str]:
        """Return what names a run's answer: run id, workflow, hashes of prompts and checkpoint."""
        return {
            "run_id": run.run_id,
            "model": json.loads(run.request)["graph_id"],
            "prompt_sha256": self.service.prompt_sha256,
            "checkpoint_sha256": self.service.checkpoint_sha256,
        }

    def graph(self, name: str) -> Graph:
        """Return the graph of a workflow."""
        return self.workflows[name].graph

    async def submit(
        self, key: str, assistant_id: str, metadata: Mapping[str, Any], request: Mapping[str, Any]
    ) -> tuple[RunRow, int]:
        """Start a run.

        Args:
            key: The thread.
            assistant_id: Id of the assistant.
            metadata: The run's metadata.
            request: What is run: see `_execute`; `multitask_strategy` says what happens to a run of
                the thread that is in progress.

        Returns:
            The run, and the number of the thread's newest event before it.

        Raises:
            EngineBusyError: As many turns are in progress as may be.
            FaultError: The server ends, or its engine hangs: 503.
            ThreadBusyError: Another run of the thread is in progress; or, where this one may wait
                for it, as many wait as may.
            RunLostError: There is no such thread.
        """
        strategy = request.get("multitask_strategy") or "reject"
        told = to_json(request)
        run = RunRow(
            str(uuid4()), key, 0, 0, "running", assistant_id, to_json(metadata), told, "null", 1, ""
        )
        async with asyncio.timeout(self.settings.lease_s * 2):
            while True:
                self.service.check_capacity(owner_of(key))
                busy, seq = await self.call(
                    self.store.add_run,
                    run,
                    self._holder,
                    self.settings.lease_s,
                    self.settings.kept_runs,
                    self.settings.most_waiting if strategy == "enqueue" else 0,
                )
                if busy is None:
                    break
                if strategy in ("reject", "enqueue"):
                    raise ThreadBusyError(key, 0.0)
                await self.cancel(key, busy.run_id, strategy)
                await self.ended(key, busy.run_id)
        stored = await self.call(self.store.run, key, run.run_id) or run
        if stored.status == "running":
            self._launch(run)
        else:  # the one it waits for may have ended this moment
            await self._start_waiting(key)
        return stored, seq

    async def cancel(self, key: str, run_id: str, action: str = "interrupt") -> bool:
        """Cancel a run, in whichever process it is; False where it is not in progress.

        Nothing of a cancelled turn is stored. `rollback` deletes the run as well. A run whose turn
        is stored already ends as if nobody had cancelled it.
        """
        error = {"error": "UserInterrupt", "message": "the run was cancelled"}
        last = [event(ERROR, error), event(END, {"run_id": run_id, "status": "interrupted"})]
        output = to_json({"__error__": error})
        if await self.call(self.store.drop_waiting, key, run_id, last, output):
            if action == "rollback":
                await self.call(self.store.delete_run, key, run_id)
            self.feed.wake(key)
            return True
        found = await self.call(self.store.ask_to_cancel, key, run_id, action)
        execution = self._executions.get(run_id)
        if found and execution is not None and not execution.cancel:
            execution.cancel = action
            self._end_early(execution)
        return found

    async def ended(self, key: str, run_id: str) -> RunRow | None:
        """Wait for the end of a run; None where it was deleted."""
        newest = await self.call(self.store.newest, [key])
        pages = self.feed.follow(key, newest.get(key, 0), run_id)
        async with aclosing(pages):  # type: ignore[type-var]
            async for rows in pages:
                if rows and rows[-1].method != END:
                    continue
                run = await self.call(self.store.run, key, run_id)
                if run is None or run.status not in ("pending", "running"):
                    return run
        return None

    def _launch(self, run: RunRow) -> None:
        execution = _Execution(run)
        self._executions[run.run_id] = execution
        task = execution.task = asyncio.create_task(self._supervise(execution))
        task.add_done_callback(lambda _: self._executions.pop(run.run_id, None))

    def _end_early(self, execution: _Execution) -> None:
        """Stop the student after its current token, and the graph at once."""
        execution.stop.set()
        if execution.task is not None:
            execution.task.cancel()

    async def _keep_up(self) -> None:
        """Renew runs, cancel those that another process was asked to cancel, take over others."""
        pause = min(self.settings.lease_s / 4, 0.5)
        while True:
            try:
                await self._keep_up_once()
            except Exception:  # noqa: BLE001 - edge of a task; the next round may succeed
                _LOG.warning("runs could not be renewed", exc_info=True)
            await asyncio.sleep(pause)

    async def _keep_up_once(self) -> None:
        lease_s = self.settings.lease_s
        mine = list(self._executions.values())
        # Renewed before others are looked for: after a long stall they would look expired, too.
        ids = [one.run.run_id for one in mine]
        held = await self.call(self.store.renew, self._holder, ids, lease_s) if ids else {}
        for one in mine:
            wanted = held.get(one.run.run_id)
            if wanted is None:  # taken over, deleted, or ended this moment
                current = await self.call(self.store.run, one.run.key, one.run.run_id)
                if current is None or current.status == "running":
                    self._end_early(one)
            elif wanted and not one.cancel:
                one.cancel = wanted
                self._end_early(one)
        if self._free > 0:
            for run in await self.call(self.store.take_over, self._holder, lease_s, self._free):
                _LOG.warning("run %s goes on here, attempt %d", run.run_id, run.attempt)
                self._launch(run)
        await self._start_waiting()

    @property
    def _free(self) -> int:
        """How many runs may be started here."""
        if self.service.draining or self._stopping:
            return 0
        return self.service.settings.max_turns - len(self.service.turns)

    async def _start_waiting(self, key: str | None = None) -> None:
        """Start runs whose turn has come, of one thread or of all."""
        if self._free > 0:
            for run in await self.call(
                self.store.start_waiting, self._holder, self.settings.lease_s, self._free, key
            ):
                self._launch(run)

    async def _supervise(self, execution: _Execution) -> None:
        run, recorder = execution.run, _Recorder(self, execution.run)
        modes = json.loads(run.request).get("modes") or ()
        events = RunEvents(run.key, task_inputs="tasks" in modes)
        try:
            await self._attempt(execution, events, recorder)
        except RunLostError:
            _LOG.warning("run %s was taken over or deleted", run.run_id)
        except asyncio.CancelledError:
            if execution.released:
                raise
            with suppress(RunLostError):
                await self._cancelled(execution, events, recorder)
        except Exception:  # noqa: BLE001 - edge of a task; the run is taken over when its hold ends
            _LOG.exception("the result of run %s could not be stored", run.run_id)
        finally:
            await recorder.close()
            self.feed.wake(run.key)
        try:
            await self._start_waiting(run.key)
        except Exception:  # noqa: BLE001 - edge of a task; the next round of `_keep_up` starts it
            _LOG.warning("a waiting run could not be started", exc_info=True)

    async def _attempt(self, execution: _Execution, events: RunEvents, recorder: _Recorder) -> None:
        run = execution.run
        request = json.loads(run.request)
        graph_id = request["graph_id"]
        await recorder.add(
            [
                event(METADATA, {**self.identity(run), "attempt": run.attempt}),
                event(LIFECYCLE, {"event": "running", "graph_name": graph_id}),
            ]
        )
        if run.attempt > self.settings.max_attempts:
            fault = RuntimeError(f"the run's process ended {run.attempt - 1} times")
            return await self._failed(run, events, recorder, fault)
        # Its process may have died between the end of the turn and the note of it.
        snapshot = await self._stored_turn(run) if run.attempt > 1 else None
        if snapshot is None:
            try:
                async with self.service.turn(
                    graph_id,
                    owner_of(run.key),
                    thread_id=thread_id_of(run.key),
                    run_id=run.run_id,
                    deadline_s=(request.get("context") or {}).get("deadline_s"),
                ) as turn:
                    await self._execute(execution, turn, events, recorder)
            except RunLostError:
                raise
            except Exception as fault:  # noqa: BLE001 - edge of a run; the client is told
                return await self._failed(run, events, recorder, fault)
            snapshot = await self._snapshot(graph_id, run.key)
        return await self._completed(run, events, recorder, snapshot)

    async def _completed(
        self, run: RunRow, events: RunEvents, recorder: _Recorder, snapshot: StateSnapshot
    ) -> None:
        """End a run whose turn is stored."""
        waits = bool(snapshot.interrupts or snapshot.next)
        status = "interrupted" if waits else "success"
        output = jsonable(events.state if isinstance(events.state, dict) else snapshot.values)
        interrupts = events.interrupts or snapshot.interrupts
        if interrupts:
            output[INTERRUPT] = jsonable(interrupts)
        graph_id = json.loads(run.request)["graph_id"]
        ended = {"event": "interrupted" if waits else "completed", "graph_name": graph_id}
        last = [*events.close(), event(LIFECYCLE, ended)]
        await recorder.end(status, to_json(output), last, snapshot, status)

    async def _execute(
        self,
        execution: _Execution,
        turn: Turn,
        events: RunEvents,
        recorder: _Recorder,
    ) -> None:
        """Run the graph once and record what it streams.

        The run's request has `graph_id`, `input` or `command`, and optionally `config`, `context`,
        `checkpoint_id`, `interrupt_before` and `interrupt_after`.
        """
        request = json.loads(execution.run.request)
        command = request.get("command")
        given = Command(**command) if command else request.get("input")
        items = self.graph(request["graph_id"]).astream(
            given,
            _config(turn, execution.stop, request),
            context=_limits(turn, request),
            stream_mode=list(GRAPH_MODES),
            subgraphs=True,
            interrupt_before=request.get("interrupt_before"),
            interrupt_after=request.get("interrupt_after"),
        )
        async with aclosing(items):  # type: ignore[type-var]
            async for namespace, mode, item in items:
                if mode == "messages" and turn.first_token_s is None:
                    turn.note_token()
                await recorder.add(list(events.read(tuple(namespace), mode, item)))
        await recorder.flush()
        turn.outcome = (events.state or {}).get("exit") or "answered"

    async def _snapshot(self, graph_id: str, key: str) -> StateSnapshot:
        return await self.graph(graph_id).aget_state({"configurable": {"thread_id": key}})

    async def _stored_turn(self, run: RunRow) -> StateSnapshot | None:
        """Return the thread's state where the run's turn is its newest; None where it is not."""
        snapshot = await self._snapshot(json.loads(run.request)["graph_id"], run.key)
        newest = (snapshot.metadata or {}).get("run_id")
        return snapshot if newest == run.run_id else None

    async def _failed(
        self, run: RunRow, events: RunEvents, recorder: _Recorder, fault: Exception
    ) -> None:
        """End a run with an error; what went wrong inside is in the log only."""
        told = str(fault) if isinstance(fault, _TOLD) else "the server's log has the reason"
        if not isinstance(fault, StillroomError):
            _LOG.error("run %s failed", run.run_id, exc_info=fault)
        error = {"error": type(fault).__name__, "message": told}
        graph_id = json.loads(run.request)["graph_id"]
        last = [
            *events.close(),
            event(ERROR, error),
            event(LIFECYCLE, {"event": "failed", "graph_name": graph_id, "error": told}),
        ]
        snapshot = await self._snapshot(graph_id, run.key)
        await recorder.end("error", to_json({"__error__": error}), last, snapshot, "error")

    async def _cancelled(
        self, execution: _Execution, events: RunEvents, recorder: _Recorder
    ) -> None:
        """End a run that was cancelled; its thread is as it was before.

        Where the turn was stored already, it came too late, and the run ends as any other.
        """
        run = execution.run
        stored = await self._stored_turn(run)
        if stored is not None:
            events.state = None  # perhaps not the last one
            await self._completed(run, events, recorder, stored)
            return
        error = {"error": "UserInterrupt", "message": "the run was cancelled"}
        graph_id = json.loads(run.request)["graph_id"]
        last = [
            *events.close(),
            event(ERROR, error),
            event(LIFECYCLE, {"event": "interrupted", "graph_name": graph_id}),
        ]
        snapshot = await self._snapshot(graph_id, run.key)
        waits = "interrupted" if snapshot.interrupts else "idle"
        output = to_json({"__error__": error})
        await recorder.end("interrupted", output, last, snapshot, waits)
        if execution.cancel == "rollback":
            await self.call(self.store.delete_run, run.key, run.run_id)


def _config(turn: Turn, stop: Flag, request: Mapping[str, Any]) -> RunnableConfig:
    """Join the config of a turn and what the client wished."""
    wished = request.get("config") or {}
    place = {"checkpoint_id": request["checkpoint_id"]} if request.get("checkpoint_id") else {}
    configurable = {
        **(wished.get("configurable") or {}),
        **turn.config.get("configurable", {}),
        **place,
        STOP_KEY: stop,
    }
    return cast(RunnableConfig, {**wished, **turn.config, "configurable": configurable})


def _limits(turn: Turn, request: Mapping[str, Any]) -> RunContext:
    """Join the limits of a turn, of its workflow and of its client; the nearest deadline counts."""
    given = {k: v for k, v in (request.get("context") or {}).items() if k != "deadline_s"}
    own = turn.workflow.policy.deadline_s if turn.workflow is not None else None
    seconds = [s for s in (own, turn.limits.deadline_s) if s is not None]
    return RunContext(deadline_s=min(seconds, default=None), caller=turn.owner, **given)


class _Recorder:
    """Stores the events of one run, as many at once as came while the last ones were stored."""

    def __init__(self, worker: RunWorker, run: RunRow) -> None:
        self._worker = worker
        self._run = run
        self._unstored: list[NewEvent] = []
        self._stored = 0
        self._storing: asyncio.Task[None] | None = None

    async def add(self, events: Sequence[NewEvent]) -> None:
        """Store events soon; waits only where too many are not stored yet.

        Raises:
            RunLostError: The process does not hold the run any more.
            ValueError: The run has too many events.
        """
        self._unstored += events
        storing = self._storing
        if storing is not None and storing.done():
            storing.result()  # raises its error
            self._storing = None
        if self._stored + len(self._unstored) > self._worker.settings.kept_events:
            raise ValueError(f"the run has more than {self._worker.settings.kept_events} events")
        if self._storing is None:
            self._storing = asyncio.create_task(self._store())
        elif len(self._unstored) > _MOST_UNSTORED:
            await self.flush()

    async def flush(self) -> None:
        """Wait until all events are stored; raises as `add` does."""
        while (storing := self._storing) is not None:
            await asyncio.shield(storing)
            if self._storing is storing:
                self._storing = None
        if self._unstored:
            await self._store()

    async def end(
        self,
        status: str,
        output: str,
        events: Sequence[NewEvent],
        snapshot: StateSnapshot,
        thread_status: str,
    ) -> None:
        """Store the last events and the result; raises as `add` does."""
        await self.flush()
        run = self._run
        waiting = {task.id: jsonable(task.interrupts) for task in snapshot.tasks if task.interrupts}
        await self._worker.call(
            self._worker.store.end_run,
            run,
            self._worker._holder,
            status,
            output,
            [*events, event(END, {"run_id": run.run_id, "status": status})],
            state=to_json(snapshot.values or None),
            interrupts=to_json(waiting),
            thread_status=thread_status if thread_status != "success" else "idle",
        )
        self._worker.feed.wake(run.key)

    async def close(self) -> None:
        """Wait for what is being stored."""
        if self._storing is not None:
            with suppress(Exception, asyncio.CancelledError):
                await self._storing

    async def _store(self) -> None:
        while self._unstored:
            events, self._unstored = self._unstored, []
            await self._worker.call(
                self._worker.store.add_events, self._run, self._worker._holder, events
            )
            self._stored += len(events)
            self._worker.feed.wake(self._run.key)
