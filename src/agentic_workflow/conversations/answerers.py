"""What answers the questions of a conversation: a workflow, or a table without a student."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from typing import Any, Final, Protocol
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ...errors import ConfigError, EngineClosedError
from ...tables import FactTable
from ..answer_events import Event
from ..grounding.grounded_answer import MOST_CITED
from ..model_calls.deadlines import RunContext
from ..reading.table_reader import TableReader, Understood
from ..state import Citation, Step
from ..workflow import Workflow
from .transcript import ChatTurn

_WAITS_NO_MORE: Final = "this does not wait for a decision any more; ask the question again"


class Answerer(Protocol):
    """Answers the questions of threads; the chat page knows nothing else of what answers."""

    @property
    def label(self) -> str:
        """What it is, in a few words for users."""

    @property
    def table(self) -> FactTable | None:
        """The table that its answers come from; None without one."""

    def events(
        self, question: str, *, owner: str, thread_id: str, run_id: str, before: Sequence[ChatTurn]
    ) -> AsyncIterator[Event]:
        """Answer a question; see `answer_events`.

        Args:
            question: The user's words.
            owner: Whose thread it is.
            thread_id: The thread; another owner's of the same id is another one.
            run_id: Id of the run, a UUID.
            before: The turns of the thread before this one, by whatever answered them; later ones
                were undone.
        """

    def decision_events(
        self, answers: Mapping[str, Any], *, owner: str, thread_id: str, before: Sequence[ChatTurn]
    ) -> AsyncIterator[Event]:
        """Go on with the last turn of a thread, which waits for a person; see `answer_events`.

        Args:
            answers: Id of a proposal -> its answer; see `human_approval.answer_to`.
            owner: Whose thread it is.
            thread_id: The thread.
            before: The turns of the thread; the last one is the one that waits.

        Raises:
            ConfigError: It does not wait any more.
        """

    def rename(self, words: Mapping[str, Sequence[str]]) -> FactTable:
        """Set what people say for columns.

        Args:
            words: Name of a column -> its other names.

        Returns:
            The table with these names.
        """


class WorkflowAnswerer:
    """Answers by a workflow, which remembers its threads in its checkpointer.

    Args:
        workflow: The workflow; without a checkpointer it is given one in memory.
        label: As in `Answerer`.
        reader: The reader of its table, where column names are to be edited.
    """

    def __init__(self, workflow: Workflow, label: str, reader: TableReader | None = None) -> None:
        """Take the workflow."""
        if workflow.checkpointer is None:
            workflow.remember("memory")
        self.workflow = workflow
        self.label = label
        self.reader = reader

    @property
    def table(self) -> FactTable | None:
        """The student's table."""
        return None if self.reader is None else self.reader.table

    async def events(
        self, question: str, *, owner: str, thread_id: str, run_id: str, before: Sequence[ChatTurn]
    ) -> AsyncIterator[Event]:
        """Answer a question; see `Answerer`."""
        key = f"{owner}/{thread_id}"
        place = await continue_after(self.workflow.checkpointer, key, before)
        config = RunnableConfig(run_id=UUID(run_id), configurable={"thread_id": key, **place})
        events = self.workflow.astream_events(question, config)
        async with aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                yield event

    async def decision_events(
        self, answers: Mapping[str, Any], *, owner: str, thread_id: str, before: Sequence[ChatTurn]
    ) -> AsyncIterator[Event]:
        """Go on with a turn that waits for a person; see `Answerer`."""
        key = f"{owner}/{thread_id}"
        config = RunnableConfig(run_id=UUID(before[-1].run_id), configurable={"thread_id": key})
        await _check_waits(self.workflow, config, answers, before)
        events = self.workflow.aresume_events(answers, config)
        async with aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                yield event

    def rename(self, words: Mapping[str, Sequence[str]]) -> FactTable:
        """Set what people say for columns; see `Answerer`."""
        return _rename(self.reader, words)


class Turn(Protocol):
    """A turn that a server has admitted; see `http.service.Turn`."""

    workflow: Workflow | None
    config: RunnableConfig
    limits: RunContext
    outcome: str

    def note_token(self) -> None:
        """Record the time of the first token."""


class TurnService(Protocol):
    """What a server runs turns with; see `http.service.Service`."""

    def turn(
        self, name: str, owner: str, *, thread_id: str | None = None, run_id: str | None = None
    ) -> AbstractAsyncContextManager[Turn]:
        """Admit a turn for the time of a block."""


class ServiceAnswerer:
    """Answers by a workflow of a server, within its limits, counts and deadlines.

    Args:
        service: Admits the turns.
        name: Name of the workflow there.
        label: As in `Answerer`.
        reader: As in `WorkflowAnswerer`.
    """

    def __init__(
        self, service: TurnService, name: str, label: str, reader: TableReader | None = None
    ) -> None:
        """Take the service."""
        self._service, self._name = service, name
        self.label, self.reader = label, reader

    @property
    def table(self) -> FactTable | None:
        """The student's table."""
        return None if self.reader is None else self.reader.table

    async def events(
        self, question: str, *, owner: str, thread_id: str, run_id: str, before: Sequence[ChatTurn]
    ) -> AsyncIterator[Event]:
        """Answer a question; see `Answerer`.

        Raises:
            EngineClosedError: The server takes no turns any more.
        """

        async def started(turn: Turn, workflow: Workflow) -> AsyncIterator[Event]:
            thread = turn.config["configurable"]
            place = await continue_after(workflow.checkpointer, thread["thread_id"], before)
            config = RunnableConfig(**{**turn.config, "configurable": {**thread, **place}})
            return workflow.astream_events(question, config, limits=turn.limits)

        async with aclosing(self._admitted(owner, thread_id, run_id, started)) as stream:  # type: ignore[type-var]
            async for event in stream:
                yield event

    async def decision_events(
        self, answers: Mapping[str, Any], *, owner: str, thread_id: str, before: Sequence[ChatTurn]
    ) -> AsyncIterator[Event]:
        """Go on with a turn that waits for a person; see `Answerer`.

        Raises:
            EngineClosedError: The server takes no turns any more.
        """

        async def started(turn: Turn, workflow: Workflow) -> AsyncIterator[Event]:
            await _check_waits(workflow, turn.config, answers, before)
            return workflow.aresume_events(answers, turn.config, limits=turn.limits)

        run_id = before[-1].run_id
        async with aclosing(self._admitted(owner, thread_id, run_id, started)) as stream:  # type: ignore[type-var]
            async for event in stream:
                yield event

    async def _admitted(
        self,
        owner: str,
        thread_id: str,
        run_id: str,
        start: Callable[[Turn, Workflow], Awaitable[AsyncIterator[Event]]],
    ) -> AsyncIterator[Event]:
        """Run a turn within the server's limits."""
        from ..http.replies import FaultError  # needs FastAPI, which only a server has

        admitted = self._service.turn(self._name, owner, thread_id=thread_id, run_id=run_id)
        try:
            async with admitted as turn:
                assert turn.workflow is not None
                events = await start(turn, turn.workflow)
                async with aclosing(events) as stream:  # type: ignore[type-var]
                    async for event in stream:
                        if event["type"] == "token":
                            turn.note_token()
                        elif event["type"] == "final":
                            turn.outcome = event["exit"]
                        yield event
        except FaultError as fault:
            raise EngineClosedError(str(fault)) from fault

    def rename(self, words: Mapping[str, Sequence[str]]) -> FactTable:
        """Set what people say for columns; see `Answerer`."""
        return _rename(self.reader, words)


class TableAnswerer:
    """Answers from a table without any student, as `stillroom ask` does.

    Args:
        table: The table.
        label: As in `Answerer`.
    """

    def __init__(self, table: FactTable, label: str) -> None:
        """Take the table; it is typed when the first question comes."""
        self.label = label
        self.reader = TableReader(table)

    @property
    def table(self) -> FactTable:
        """The table."""
        return self.reader.table

    async def events(
        self, question: str, *, owner: str, thread_id: str, run_id: str, before: Sequence[ChatTurn]
    ) -> AsyncIterator[Event]:
        """Answer a question; see `Answerer`. What it leans on stands in the turn before."""
        last = before[-1] if before else None
        topic = str(last.final.get("topic") or "") if last else ""
        found = await asyncio.to_thread(self._read, question, topic, last)
        step = Step(node="table", what=found.verdict, detail=found.plan or found.message)
        yield {"type": "step", **step, "sources": []}
        if found.verdict == "answered":
            topic = found.text
        yield self._final(question, found, step, topic)

    def rename(self, words: Mapping[str, Sequence[str]]) -> FactTable:
        """Set what people say for columns; see `Answerer`."""
        self.reader.call_columns(words)
        return self.table

    def decision_events(
        self, answers: Mapping[str, Any], *, owner: str, thread_id: str, before: Sequence[ChatTurn]
    ) -> AsyncIterator[Event]:
        """Nothing of a table's waits for a person; see `Answerer`."""
        raise ConfigError([_WAITS_NO_MORE])

    def _read(self, question: str, topic: str, last: ChatTurn | None) -> Understood:
        """Read a question; it may choose a reading that the last turn asked back about."""
        if last is not None and last.final.get("exit") == "ask_back":
            chosen = self.reader.read(last.question, topic).chosen(question)
            if chosen is not None:  # a later question leans on the words that chose it
                return replace(chosen, text=question)
        return self.reader.read(question, topic)

    def _final(self, question: str, found: Understood, step: Step, topic: str) -> Event:
        answered = found.verdict == "answered"
        values = found.answer or (tuple(found.match.values()) if found.match else ())
        match = found.match if answered else None
        exits = {"answered": "answered", "ask_back": "ask_back", "abstained": "abstained"}
        return {
            "type": "final",
            "query": question,
            "response": ", ".join(values) if answered else found.message,
            "task_type": "qa",
            "route_probability": None,
            "verdict": "agrees" if answered else "abstained",
            "reason": "",
            "sources": [] if match is None else [self.reader.source(match, match.row)],
            "citations": self._citations(found) if answered else [],
            "attempts": 1,
            "plan": found.plan,
            "choices": [choice.plan for choice in found.choices],
            "confidence": found.confidence if answered else None,
            "answered_by": "table",
            "teacher_calls": 0,
            "steps": [step],
            "exit": exits[found.verdict],
            "topic": topic,
        }

    def _citations(self, found: Understood) -> list[Citation]:
        key, rows = self.table.key, self.reader.row_by_number
        places = [
            (number, name)
            for number, column in found.cells[:MOST_CITED]
            for name in dict.fromkeys((key, column))
        ]
        return [
            Citation(
                table=self.table.source,
                row=number,
                key=rows[number].key,
                column=name,
                value=rows[number].key if name == key else rows[number].values.get(name, ""),
            )
            for number, name in dict.fromkeys(places)
        ]


async def _check_waits(
    workflow: Workflow,
    config: RunnableConfig,
    answers: Mapping[str, Any],
    before: Sequence[ChatTurn],
) -> None:
    """Check that proposals wait in the newest state of a thread, and that a turn made it.

    Raises:
        ConfigError: They do not: they were answered, or a later question dropped them.
    """
    saver, key = workflow.checkpointer, config["configurable"]["thread_id"]
    place = await continue_after(saver, key, before)
    found = await workflow.graph.aget_state(config)
    if place or answers.keys() - {one.id for one in found.interrupts}:
        raise ConfigError([_WAITS_NO_MORE])


def _rename(reader: TableReader | None, words: Mapping[str, Sequence[str]]) -> FactTable:
    if reader is None:
        raise ConfigError(["there is no table whose columns could be named"])
    reader.call_columns(words)
    return reader.table


async def continue_after(
    saver: BaseCheckpointSaver[Any] | None, key: str, before: Sequence[ChatTurn]
) -> dict[str, str]:
    """Point to where a thread goes on: after the last of its turns that was not undone.

    Memory of a thread whose turns were all undone is deleted.

    Args:
        saver: The checkpointer.
        key: The thread as the checkpointer knows it.
        before: The turns that were not undone.

    Returns:
        `checkpoint_id` for the config; empty where the thread goes on from its newest state.
    """
    thread = RunnableConfig(configurable={"thread_id": key})
    newest = None if saver is None else await saver.aget_tuple(thread)
    if saver is None or newest is None:
        return {}
    runs = [turn.run_id for turn in reversed(before)]
    stored = {(newest.metadata or {}).get("run_id"): ""}
    if runs and runs[0] not in stored:
        async for one in saver.alist(thread):
            place = str(one.config["configurable"]["checkpoint_id"])
            stored.setdefault((one.metadata or {}).get("run_id"), place)
    for run in runs:
        if run in stored:
            return {"checkpoint_id": stored[run]} if stored[run] else {}
    await saver.adelete_thread(key)
    return {}
