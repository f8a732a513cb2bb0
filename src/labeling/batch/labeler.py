"""`BatchLabeler`: labels many records with a teacher that fails, costs money and has limits.

labeler = BatchLabeler(open_teacher("ollama", model="qwen3:8b"), "outputs/labels")
run = labeler.run([LabelTask(id="1", prompt="Question: ...\\n\\nAnswer:")])
for one in run.labelled:
    print(one.task.id, one.answer.text)
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...files import write_json_lines
from ..teachers.answer_parts import label_view
from ..teachers.protocol import DecodeProfile, Teacher, TeacherAnswer
from .batch_log import BatchLog
from .batch_loop import BatchEndpoint, BatchLoop
from .failures import judge_answer
from .journal import Journal
from .label_run import Check, LabelFault, Labelled, LabelRun, LabelSettings, LabelTask, Stopped
from .loop_state import LoopState, day_quota
from .open_folder import OpenFolder, close_quietly
from .progress import LabelCounts, LabelProgress
from .request_keys import PlannedLabel, plan_labels
from .worker_loop import LabelLoop

__all__ = ["BatchLabeler", "LabelSettings", "LabelTask"]
logger = logging.getLogger(__name__)
DEAD_LETTERS_FILE = "dead_letter.jsonl"
_IN_DOUBT = LabelFault(
    "in_doubt", "the process died while this was asked; it may have been paid for", 1
)


class BatchLabeler:
    """Labels records; an answer that arrived is never asked for again, even after a crash.

    Each call is written to `calls.jsonl` in the folder before it is sent, and its outcome on
    arrival. The file is ledger and cache: a later labeler in the same folder, also for other
    records, asks only for answers that are not in it.
    """

    def __init__(
        self,
        teacher: Teacher,
        folder: str | Path | OpenFolder,
        *,
        profile: DecodeProfile | None = None,
        settings: LabelSettings | None = None,
        check: Check | None = None,
        batch_endpoint: BatchEndpoint | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set teacher, folder and limits; nothing is opened or sent yet.

        Args:
            teacher: The model that answers.
            folder: Keeps calls and answers; created when needed. Only one process may use it at a
                time. One that is open stays open, and so does the teacher.
            profile: How answers are decoded; None takes the defaults.
            settings: Limits, retries and budget; None takes the defaults.
            check: Judges complete, non-empty answers, including cached ones: rejected ones are
                asked for again. None accepts all.
            batch_endpoint: Asks a server in batches, at about half the price and with answers
                within a day; None asks by single calls.
            clock: Returns Unix time in seconds, for the limit per day.
        """
        self.teacher = teacher
        self.open_folder = folder if isinstance(folder, OpenFolder) else None
        self.folder = folder.path if isinstance(folder, OpenFolder) else Path(folder)
        self.profile = profile or DecodeProfile()
        self.settings = settings or LabelSettings()
        self.check = check
        self.batch_endpoint = batch_endpoint
        self.clock = clock

    def run(
        self,
        tasks: Iterable[LabelTask],
        *,
        progress: Callable[[LabelProgress], None] | None = None,
    ) -> LabelRun:
        """Label tasks and wait for the end; works inside a running event loop, as in notebooks.

        The dead letters of this run are written to `dead_letter.jsonl`, unless the folder was open.

        Args:
            tasks: What to label; ids are unique.
            progress: Called about once a second and at the end.

        Returns:
            One result per task, in the order of the tasks, and the numbers. The run ends early, and
            reports why in `stopped`, if the budget is used up, the API key is refused, too many
            records fail, ten in a row fail for a shared cause, or the server's Retry-After is
            longer than ten minutes.

        Raises:
            DataError: An id occurs twice, or a prompt is empty.
            ConfigError: The teacher does not support the profile, or the folder is in use.
        """
        if self.open_folder is not None:
            return self.open_folder.run(self.arun(tasks, progress=progress))
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.arun(tasks, progress=progress))
        return _run_beside(lambda: self.arun(tasks, progress=progress))

    async def arun(
        self,
        tasks: Iterable[LabelTask],
        *,
        progress: Callable[[LabelProgress], None] | None = None,
    ) -> LabelRun:
        """Label tasks within an event loop: see `run`."""
        listed, planned = plan_labels(tasks, self.profile, self.teacher)
        opened = self.open_folder
        with Journal(self.folder) if opened is None else nullcontext(opened.journal) as journal:
            state = (
                LoopState(
                    self.settings, day_quota(self.folder, self.teacher, self.settings, self.clock)
                )
                if opened is None
                else opened.state(self.teacher, self.settings)
            )
            priced = self.settings.prices is not None
            counts = LabelCounts(len(listed), journal.ledger, priced=priced)
            if opened is not None:
                opened.revive_old(one.key for one in planned)
            log = BatchLog(self.folder)
            held = self._held(log, planned, journal)
            cached = {one.key for one in planned if self._is_there(one, journal, counts, held)}
            loop = self._loop(journal, counts, state, log)
            try:
                done = cached | journal.dead.keys()
                await loop.run((one for one in planned if one.key not in done), progress)
            finally:
                if opened is None:
                    await close_quietly(self.teacher)
            if opened is not None:
                _forgive(journal, state, loop.stopped)
                journal.sync()
            results = self._results(listed, planned, journal, cached)
        counts.thoughts = sum(1 for one in results if one.answer and one.answer.thoughts)
        run = LabelRun(results, counts.numbers(), loop.stopped, loop.message)
        if opened is None:
            self._write_dead_letters(run)
        if counts.repaired:
            logger.warning(
                "U+FFFD replaced half a surrogate pair, which cannot be stored, in %d answers",
                counts.repaired,
            )
        if progress is not None:
            progress(counts.progress())
        return run

    def _loop(
        self, journal: Journal, counts: LabelCounts, state: LoopState, log: BatchLog
    ) -> LabelLoop:
        common = (self.teacher, journal, self.settings, self.check, counts, state)
        if self.batch_endpoint is None:
            return LabelLoop(*common)
        return BatchLoop(*common, endpoint=self.batch_endpoint, log=log)

    def _held(self, log: BatchLog, planned: list[PlannedLabel], journal: Journal) -> set[str]:
        """Return the keys whose answers are in a batch of the provider that is not over.

        Raises:
            ConfigError: They would be asked for, and paid for, once more by single calls.
        """
        held = {key: name for key, name in log.held.items() if key in journal.under_way}
        found = [held[one.key] for one in planned if one.key in held]
        if found and self.batch_endpoint is None:
            raise ConfigError([
                f"the provider's batch {found[0]} holds {len(found)} of these calls; continue with "
                "the batch endpoint, which takes its answers"
            ])  # fmt: skip
        return set(held)

    def _is_there(
        self, one: PlannedLabel, journal: Journal, counts: LabelCounts, held: set[str]
    ) -> bool:
        """Tell whether the journal holds an accepted label; also decide about dead letters."""
        count, known = len(one.places), journal.answer(one.key)
        if known is not None:
            known = self._view(known, one.task)
            verdict = None if self.check is None else self.check(one.task, known)
            if judge_answer(known, verdict) is None:
                if one.key in journal.unjudged:
                    journal.accept(one.key)
                counts.finish(count, failed=False, cached=count)
                return True
            journal.revive(one.key)
        if one.key in journal.dead and self.settings.retry_failed:
            journal.revive(one.key)
        elif (
            one.key in journal.under_way
            and one.key not in held
            and self.settings.in_doubt == "dead_letter"
        ):
            journal.give_up(one.key, _IN_DOUBT)
        if one.key in journal.dead:
            counts.finish(count, failed=True, cached=count)
        return False

    def _view(self, answer: TeacherAnswer, task: LabelTask) -> TeacherAnswer:
        return label_view(answer, task.prompt, keep_thoughts=self.settings.keep_thoughts)

    def _results(
        self,
        listed: list[LabelTask],
        planned: list[PlannedLabel],
        journal: Journal,
        cached: set[str],
    ) -> list[Labelled]:
        found: dict[int, Labelled] = {}
        for one in planned:
            answer, fault = journal.label(one.key), journal.dead.get(one.key)
            label = None if answer is None else self._view(answer, one.task)
            for number, place in enumerate(one.places):
                was_there = label is not None and (one.key in cached or number > 0)
                calls = journal.attempts.get(one.key, 0) + (label is not None)
                found[place] = Labelled(listed[place], label, fault, was_there, calls, one.key)
        return [found[place] for place in range(len(listed))]

    def _write_dead_letters(self, run: LabelRun) -> None:
        letters = [
            {
                "id": one.task.id,
                "attempts": one.fault.attempts,
                "error_type": one.fault.kind,
                "error_message": one.fault.message,
                "record": dict(one.task.record) or {"prompt": one.task.prompt},
            }
            for one in run.failed
            if one.fault is not None
        ]
        path = self.folder / DEAD_LETTERS_FILE
        if letters or path.exists():
            write_json_lines(path, letters)


def _forgive(journal: Journal, state: LoopState, stopped: Stopped | None) -> None:
    """Revive the records that failed because of the teacher whose failures stopped the run."""
    if stopped in ("same_fault", "error_rate"):
        for key in state.forgive():
            if key in journal.dead:
                journal.revive(key)


def _run_beside(work: Callable[[], Coroutine[Any, Any, LabelRun]]) -> LabelRun:
    """Run in an event loop in another thread; interrupting this thread cancels the run."""
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []
    ended: list[LabelRun | BaseException] = []

    async def tracked() -> LabelRun:
        running.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await work()

    def run() -> None:
        try:
            ended.append(asyncio.run(tracked()))
        except BaseException as fault:  # noqa: BLE001 - raised below
            ended.append(fault)

    thread = threading.Thread(target=run, name="stillroom-labeler")
    thread.start()
    try:
        thread.join()
    except BaseException:
        for loop, task in running:
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if isinstance(ended[0], BaseException):
        raise ended[0]
    return ended[0]
