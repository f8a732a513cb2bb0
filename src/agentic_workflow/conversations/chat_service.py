"""Run the turns of conversations: the only thing that the chat page calls.

    service = ChatService({"multi": WorkflowAnswerer(workflow, "Checked against the table")})
    async for event in service.ask("anna", thread, "multi", "symbol of gold?", run_id):
        ...

Every method takes the owner: what belongs to another owner does not exist. A turn is stored before
its final event is passed on.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4
from weakref import WeakValueDictionary

from ...errors import ConfigError, EngineBusyError
from ...tables import FactTable
from ..answer_events import Event
from ..feedback.feedback_store import Decision, Feedback, FeedbackStore, Opinion
from ..nodes.human_approval import PendingApproval, answer_to
from .answerers import Answerer, TableAnswerer
from .answers_csv import answers_csv
from .comparison import Compared, Comparison
from .own_tables import OwnTables
from .review_queue import ReviewQueue
from .transcript import ChatTurn, Thread, Transcript

MOST_QUESTION_CHARS: Final = 2000
"""Longest question."""
MOST_RUNNING: Final = 4
"""Turns that run at the same time; the engine batches them."""
MOST_WAITING: Final = 20
"""Turns that wait for those; further ones are refused at once."""
_THREAD_ID = re.compile(r"[0-9a-f]{32}")

ReadTable = Callable[[Path, str], FactTable]
"""Reads a file into a table, given its path and the name that it is shown by."""


class ChatService:
    """Runs the turns of conversations and keeps them.

    Args:
        answerers: Name -> what answers; the first is the default.
        transcript: Keeps the turns; by default in memory.
        feedback: Keeps opinions on answers; by default in memory.
        comparison: The models that can be compared; None for none.
        report: The run's `report.html`; None for none.
        read_table: Reads the tables that users bring; None allows none.
        own_tables: Keeps those tables; by default in memory.
        save_table: Keeps the table whose column names were edited; None: editing is not allowed.
        review: What waits for a person; None: nobody reviews here.
        most_running: Turns that run at the same time.
        most_waiting: Turns that may wait for those.
    """

    def __init__(
        self,
        answerers: Mapping[str, Answerer],
        *,
        transcript: Transcript | None = None,
        feedback: FeedbackStore | None = None,
        comparison: Comparison | None = None,
        report: Path | None = None,
        read_table: ReadTable | None = None,
        own_tables: OwnTables | None = None,
        save_table: Callable[[FactTable], object] | None = None,
        review: ReviewQueue | None = None,
        most_running: int = MOST_RUNNING,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """Run nothing yet."""
        if not answerers:
            raise ConfigError(["a chat service needs at least one answerer"])
        self._answerers = dict(answerers)
        self._own = own_tables or OwnTables()
        self.transcript = transcript or Transcript()
        self.feedback = feedback or FeedbackStore()
        self.comparison = comparison
        self._report = report
        self._read_table = read_table
        self._save_table = save_table
        self.review = review
        self._most = most_running + most_waiting
        self._running = asyncio.Semaphore(most_running)
        self._taken = 0
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._stops: dict[tuple[str, str], asyncio.Event] = {}

    def workflows(self, owner: str) -> dict[str, str]:
        """Return what can answer: name -> label, the default first."""
        return {name: one.label for name, one in {**self._answerers, **self._tables(owner)}.items()}

    @property
    def default_table(self) -> FactTable | None:
        """The table of the default workflow; None without one."""
        return next(iter(self._answerers.values())).table

    def table(self, owner: str, workflow: str) -> FactTable | None:
        """Return the table that a workflow answers from; None without one.

        Raises:
            ConfigError: There is no such workflow.
        """
        return self._answerer(owner, workflow).table

    def tables(self, owner: str) -> dict[str, FactTable]:
        """Return the tables of all workflows that have one, by workflow."""
        known: dict[str, Answerer] = {**self._answerers, **self._tables(owner)}
        return {name: table for name, one in known.items() if (table := one.table) is not None}

    async def ask(
        self, owner: str, thread_id: str, workflow: str, question: str, run_id: str
    ) -> AsyncIterator[Event]:
        """Answer a question of a thread; yield the events of `answer_events`.

        The last event is `final`, or `stopped` where `stop` was called. Turns of one thread run one
        after the other.

        Args:
            owner: Whose thread it is.
            thread_id: The thread: 32 hexadecimal digits, as `new_thread` gives them.
            workflow: Name of what answers; see `workflows`.
            question: The user's words.
            run_id: Id of the run, a UUID that no run had before.

        Raises:
            ConfigError: The question is empty or too long, or an id or name is unknown.
            EngineBusyError: Too many turns are waiting.
            StillroomError: The workflow failed; the turn is not stored.
        """
        faults = [] if _THREAD_ID.fullmatch(thread_id) else [f"there is no thread {thread_id!r}"]
        faults += list(filter(None, [question_fault(question)]))
        if faults:
            raise ConfigError(faults)
        answerer = self._answerer(owner, workflow)

        def start() -> AsyncIterator[Event]:
            return answerer.events(
                question,
                owner=owner,
                thread_id=thread_id,
                run_id=run_id,
                before=self.transcript.turns(owner, thread_id),
            )

        asked_at = datetime.now(UTC).isoformat(timespec="seconds")

        def store(final: Event) -> None:
            turn = ChatTurn(run_id, workflow, question, final, asked_at)
            self.transcript.append(owner, thread_id, turn)

        async with aclosing(self._run(owner, thread_id, run_id, start, store)) as stream:  # type: ignore[type-var]
            async for event in stream:
                yield event

    async def decide(
        self,
        owner: str,
        thread_id: str,
        approval_id: str,
        *,
        approve: bool,
        note: str = "",
        edited: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Event]:
        """Approve or reject what the last turn of a thread waits for; yield events as `ask` does.

        Args:
            owner: Whose thread it is.
            thread_id: The thread.
            approval_id: One of the turn's `approvals`.
            approve: The decision.
            note: Why, in the person's words.
            edited: Name of a detail -> what the person typed for it.

        Raises:
            ConfigError: The thread does not wait for that decision (any more), or the note is too
                long.
            EngineBusyError: Too many turns are waiting.
            StillroomError: The workflow failed; the turn still waits.
        """
        if len(note) > MOST_QUESTION_CHARS:
            raise ConfigError([f"the note has {len(note)} characters; allowed are "
                               f"{MOST_QUESTION_CHARS}"])  # fmt: skip
        run_id = self._waiting(owner, thread_id, approval_id)[0].run_id

        def start() -> AsyncIterator[Event]:
            turn, waiting = self._waiting(owner, thread_id, approval_id)
            given = {k: v for k, v in (edited or {}).items() if k in waiting.editable}
            answer = answer_to(waiting, approve=approve, note=note, edited=given)
            return self._answerer(owner, turn.workflow).decision_events(
                {waiting.id: answer},
                owner=owner,
                thread_id=thread_id,
                before=self.transcript.turns(owner, thread_id),
            )

        def store(final: Event) -> None:
            turn = self._waiting(owner, thread_id, approval_id)[0]
            self.transcript.replace(owner, replace(turn, final=final))

        async with aclosing(self._run(owner, thread_id, run_id, start, store)) as stream:  # type: ignore[type-var]
            async for event in stream:
                yield event

    def _waiting(
        self, owner: str, thread_id: str, approval_id: str
    ) -> tuple[ChatTurn, PendingApproval]:
        """Return the last turn of a thread and what it waits for; raises as `decide` does."""
        for turn in self.transcript.turns(owner, thread_id)[-1:]:
            for one in turn.final.get("approvals") or []:
                if one["id"] == approval_id:
                    return turn, PendingApproval(**one)
        raise ConfigError(["nothing waits for this decision any more"])

    async def _run(
        self,
        owner: str,
        thread_id: str,
        run_id: str,
        start: Callable[[], AsyncIterator[Event]],
        store: Callable[[Event], None],
    ) -> AsyncIterator[Event]:
        """Run a turn of a thread when its turn has come, and store its end."""
        stop = self._stops.setdefault((owner, run_id), asyncio.Event())
        try:
            async with self._place(), self._turn_of(owner, thread_id):
                async with aclosing(_until(stop, start())) as stream:  # type: ignore[type-var]
                    async for event in stream:
                        if event["type"] == "final":
                            store(event)
                        yield event
                if stop.is_set():
                    yield {"type": "stopped"}
        finally:
            self._stops.pop((owner, run_id), None)

    def stop(self, owner: str, run_id: str) -> None:
        """End a run; no-op if the owner has no such run in progress."""
        stop = self._stops.get((owner, run_id))
        if stop is not None:
            stop.set()

    def threads(self, owner: str) -> list[Thread]:
        """List the owner's threads, the newest first."""
        return self.transcript.threads(owner)

    def turns(self, owner: str, thread_id: str) -> list[ChatTurn]:
        """Return the turns of a thread; none if the owner has no such thread."""
        return self.transcript.turns(owner, thread_id)

    def keep_first(self, owner: str, thread_id: str, count: int) -> None:
        """Undo all turns of a thread but the first `count`; 0 deletes the thread."""
        self.transcript.keep_first(owner, thread_id, max(0, count))

    def give_feedback(
        self, owner: str, run_id: str, opinion: Opinion, comment: str = "", correction: str = ""
    ) -> None:
        """Store an opinion on an answer of the owner's.

        Raises:
            ConfigError: The owner has no such run, or a text is too long.
            FeedbackLimitError: The owner has said enough.
        """
        turn = self.transcript.turn(owner, run_id)
        if turn is None:
            raise ConfigError([f"there is no answer of run {run_id!r}"])
        final = turn.final
        cited = (final.get("citations") or final.get("sources") or [None])[0]
        self.feedback.give(
            Feedback(
                run_id=run_id,
                owner=owner,
                question=turn.question,
                answer=final.get("response") or "",
                opinion=opinion,
                comment=comment.strip(),
                correction=correction.strip(),
                about=f"{cited['table']} row {cited['row']}" if cited else "",
                verdict=final.get("verdict") or "",
                workflow=turn.workflow,
            )
        )

    def opinions(self, owner: str, turns: Sequence[ChatTurn]) -> dict[str, Feedback]:
        """Return the owner's opinions on turns, by run."""
        return self.feedback.of_runs(owner, [turn.run_id for turn in turns])

    async def compare(self, question: str) -> AsyncIterator[Compared]:
        """Ask all models of the run; yield the answers so far.

        Raises:
            ConfigError: The question is empty or too long, or there is nothing to compare.
            EngineBusyError: Too many turns are waiting.
        """
        fault = question_fault(question)
        if fault or self.comparison is None:
            raise ConfigError([fault or "this run has no models to compare"])
        async with self._place():
            async for now in self.comparison.ask(question):
                yield now

    @property
    def takes_tables(self) -> bool:
        """Whether users can bring tables."""
        return self._read_table is not None

    async def add_table(self, owner: str, path: Path, name: str) -> str:
        """Read a table of the owner's, which can then be asked without a student.

        Args:
            owner: Whose it is; nobody else sees it.
            path: The file.
            name: Name that it is shown by.

        Returns:
            The name of its workflow.

        Raises:
            DataError: The file cannot be read as a table.
            ConfigError: No tables are taken, or it is too large.
        """
        if self._read_table is None:
            raise ConfigError(["no tables are taken here"])
        table = await asyncio.to_thread(self._read_table, path, name)
        return await asyncio.to_thread(self._own.add, owner, replace(table, source=name))

    def is_own(self, owner: str, workflow: str) -> bool:
        """Tell whether a workflow answers from a table that the owner brought."""
        return workflow in self._tables(owner)

    def delete_table(self, owner: str, workflow: str) -> None:
        """Delete a table that the owner brought.

        Raises:
            ConfigError: The owner has no such table.
        """
        self._own.delete(owner, workflow)

    def may_rename(self, owner: str, workflow: str) -> bool:
        """Tell whether the owner can edit the names of a table's columns."""
        own = self.is_own(owner, workflow)
        return own or (self._save_table is not None and self.table(owner, workflow) is not None)

    def rename(self, owner: str, workflow: str, words: Mapping[str, Sequence[str]]) -> FactTable:
        """Set what people say for columns.

        Args:
            owner: Who does so.
            workflow: What answers from the table.
            words: Name of a column -> all its other names.

        Raises:
            ConfigError: There is no such column, a name is unusable, or the owner may not.
        """
        if not self.may_rename(owner, workflow):
            raise ConfigError(["the names of these columns cannot be edited here"])
        table = self._answerer(owner, workflow).rename(words)
        if workflow in self._answerers and self._save_table is not None:
            self._save_table(table)
        elif self.is_own(owner, workflow):
            self._own.save(owner, workflow)
        return table

    def review_answer(self, owner: str, place: str, decision: Decision) -> None:
        """Decide about an answer or a proposal of the review; an accepted name is used at once.

        Raises:
            ConfigError: Nobody reviews here, nothing has this id, or the answer is too long.
        """
        if self.review is None:
            raise ConfigError(["answers are not reviewed here; stillroom renew --review does so"])
        proposal = next((one for one in self.review.proposals() if one.id == place), None)
        self.review.decide(place, replace(decision, reviewer=owner))
        if proposal is not None and decision.verdict == "accepted" and proposal.column:
            workflow = next(iter(self._answerers))
            table = self.table(owner, workflow)
            also = next(c.also for c in table.columns if c.name == proposal.column) if table else ()
            self.rename(owner, workflow, {proposal.column: (*also, proposal.words)})

    def answers_csv(self, owner: str) -> str:
        """Return all answers of the owner's with their cells, as CSV."""
        return answers_csv(self.transcript.all_turns(owner))

    def report_html(self) -> str | None:
        """Return the run's report; None where there is none."""
        if self._report is None or not self._report.is_file():
            return None
        return self._report.read_text(encoding="utf-8")

    def close(self) -> None:
        """Close the files."""
        self.transcript.close()
        self.feedback.close()

    def _tables(self, owner: str) -> dict[str, TableAnswerer]:
        return self._own.of(owner)

    def _answerer(self, owner: str, workflow: str) -> Answerer:
        known: dict[str, Answerer] = {**self._answerers, **self._tables(owner)}
        if workflow not in known:
            raise ConfigError([f"there is no workflow {workflow!r}; there are {list(known)}"])
        return known[workflow]

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for one of the running turns to end; refuse where too many wait."""
        if self._taken >= self._most:
            raise EngineBusyError(
                f"{self._taken} questions are being answered or waiting; ask again in a moment"
            )
        self._taken += 1
        try:
            async with self._running:
                yield
        finally:
            self._taken -= 1

    @asynccontextmanager
    async def _turn_of(self, owner: str, thread_id: str) -> AsyncIterator[None]:
        """Run one turn of a thread at a time."""
        lock = self._turns.setdefault((owner, thread_id), asyncio.Lock())  # held by its users alone
        async with lock:
            yield


def new_thread() -> str:
    """Name a new thread."""
    return uuid4().hex


def question_fault(question: str) -> str:
    """Return why a question cannot be asked; empty if it can."""
    if not question.strip():
        return "Please type a question."
    if len(question) > MOST_QUESTION_CHARS:
        return (
            f"That is {len(question):,} characters; a question may have {MOST_QUESTION_CHARS:,}. "
            "Please shorten it."
        )
    return ""


async def _until(stop: asyncio.Event, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """Pass events on until the stop is set. All of them are taken by one task, which is cancelled
    by the stop, so that the run behind them sees one task from its beginning to its end."""
    passed: asyncio.Queue[Event | None] = asyncio.Queue()

    async def take() -> None:
        try:
            async with aclosing(events) as stream:  # type: ignore[type-var]
                async for event in stream:
                    passed.put_nowait(event)
        finally:
            passed.put_nowait(None)

    taking = asyncio.create_task(take())
    stopping = asyncio.create_task(stop.wait())
    stopping.add_done_callback(lambda _: taking.cancel())
    try:
        while (event := await passed.get()) is not None:
            yield event
        if not stop.is_set():
            await taking  # raises what the run raised
    finally:
        stopping.cancel()
        taking.cancel()
        await asyncio.wait({taking})
        if not taking.cancelled():
            taking.exception()  # it was raised above, or nobody waits for it any more
