"""The asynchronous loop of a labelling run.

For each record, wait for a slot, the rate limits and the budget; write the call to the journal;
send it; write its outcome. If it gave no label and a retry may help, free the slot, wait, and try
again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from ...inference.remote.backoff import wait_s
from ..teachers.answer_parts import label_view
from ..teachers.client_faults import first_fault
from ..teachers.protocol import Teacher, TeacherAnswer, prompt_bytes
from .failures import CallFault, judge_answer, judge_fault, whole_answer
from .journal import Journal
from .label_run import Check, LabelFault, LabelSettings, Stopped
from .loop_state import LoopState
from .progress import LabelCounts, LabelProgress
from .request_keys import PlannedLabel

_TICK_S = 1.0
_PATIENCE_S = 600.0
"""Longest Retry-After, in seconds, that the run waits for; a longer one stops it."""
PROMPT_OVERHEAD = 256
"""Most tokens that a server's chat template adds to a prompt."""


class LabelLoop:
    """Writes the labels of one run to the journal."""

    def __init__(
        self,
        teacher: Teacher,
        journal: Journal,
        settings: LabelSettings,
        check: Check | None,
        counts: LabelCounts,
        state: LoopState,
    ) -> None:
        """Set up within the running event loop."""
        self._teacher, self._journal, self._settings = teacher, journal, settings
        self._check, self._counts, self._state = check, counts, state
        self._once = bool(getattr(teacher, "honours_idempotency", False))
        self._limits, self._guess = state.limits, state.guess
        self._slots = asyncio.Semaphore(settings.concurrency)
        # More records than slots, because those that wait for a retry hold no slot.
        self._open_records = asyncio.Semaphore(4 * settings.concurrency + 16)
        self._under_way = 0
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()
        self.stopped: Stopped | None = None
        self.message = ""

    async def run(
        self,
        planned: Iterable[PlannedLabel],
        progress: Callable[[LabelProgress], None] | None,
    ) -> None:
        """Get all labels, or stop early.

        Raises:
            ConfigError: The teacher does not support the profile. Other mistakes of the caller are
                raised too.
        """
        self._limits.begin()
        try:
            async with asyncio.TaskGroup() as group:
                ticker = group.create_task(self._tick(progress))
                async with asyncio.TaskGroup() as labels:
                    for one in planned:
                        await self._open_records.acquire()
                        if self.stopped is not None:
                            break
                        labels.create_task(self._get(one))
                ticker.cancel()
        except BaseExceptionGroup as faults:
            raise first_fault(faults) from None  # callers expect no exception group

    async def _tick(self, progress: Callable[[LabelProgress], None] | None) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await asyncio.to_thread(self._journal.sync)
            if progress is not None:
                progress(self._counts.progress())

    async def _get(self, one: PlannedLabel) -> None:
        try:
            begun: int | None = None
            while True:
                async with self._slots:
                    begun = self._state.calls if begun is None else begun
                    fault = await self._call(one)
                if fault is None or fault.ends_run or self._gave_up(one, fault, begun):
                    return
                await self._back_off(one, fault)
                if self.stopped is not None:
                    return
                self._counts.retries += 1
        finally:
            self._open_records.release()

    async def _call(self, one: PlannedLabel) -> CallFault | None:
        """Make one call; return None if it gave a label or the run has stopped."""
        key, size = one.key, prompt_bytes(one.task.prompt)
        expected = self._guess.guess(size, one.profile.max_tokens)
        most = self._cost(size + PROMPT_OVERHEAD, one.profile.max_tokens)
        admission = await self._limits.admit(expected)
        used = 0.0  # tokens
        try:
            if not await self._afford(key, most):
                return None
            used = expected
            said = await self._send(one, most)
            if isinstance(said, CallFault):
                used = 0.0 if said.free else expected
                return said
            used = said.prompt_tokens + said.completion_tokens
            self._guess.learn(size, said.prompt_tokens, said.completion_tokens)
        finally:
            self._limits.settle(admission, used)
        return self._take(one, said, most)

    async def _send(self, one: PlannedLabel, most: float) -> TeacherAnswer | CallFault:
        """Send a call that is affordable; there is no await between that check and its charge."""
        key = one.key
        call_id = self._journal.call_id(key)
        self._journal.sent(key, most, once=self._once)
        self._counts.calls += 1
        self._state.calls += 1
        self._under_way += 1
        began = time.monotonic()
        try:
            said = await self._teacher.ask(one.task.prompt, one.profile, call_id=call_id)
            answer = whole_answer(said, one.task.prompt)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as fault:  # any error of a client concerns one answer
            task = asyncio.current_task()
            if isinstance(fault, asyncio.CancelledError) and (task is None or task.cancelling()):
                raise  # the run is cancelled; otherwise the client cancelled a call of its own
            judged = judge_fault(fault)
            self._write_fault(key, judged, most)
            if judged.raises:
                raise
            return judged
        finally:
            self._under_way -= 1
            self._settled.set()
        self._counts.repaired += answer.text != said.text
        self._state.answered(time.monotonic() - began)
        self._counts.answered(answer)
        return answer

    def _take(self, one: PlannedLabel, answer: TeacherAnswer, most: float) -> CallFault | None:
        """Write a whole answer to the journal, and judge it."""
        settings, journal = self._settings, self._journal
        cost = self._cost(answer.prompt_tokens, answer.completion_tokens)
        label = label_view(answer, one.task.prompt, keep_thoughts=settings.keep_thoughts)
        fault = judge_answer(label, None)
        good = fault is None and self._check is None
        journal.answered(one.key, answer, good=good, most=most, cost=cost, once=self._once)
        if fault is None and self._check is not None:
            fault = judge_answer(label, self._check(one.task, label))
        if fault is not None:
            self._write_fault(one.key, fault, most, cost)
            return fault
        if not good:
            journal.accept(one.key)
        self._counts.finish(len(one.places), failed=False, cached=len(one.places) - 1)
        self._state.labelled(one.key)
        self._stop_on_error_rate()
        return None

    def _write_fault(
        self, key: str, fault: CallFault, most: float, cost: float | None = None
    ) -> None:
        if fault.free:
            cost = 0.0
        self._journal.failed(key, fault, most=most, cost=cost, once=self._once)
        self._counts.faults[fault.kind] += 1
        if fault.ends_run:
            self._stop("auth_error", fault.message)

    def _gave_up(self, one: PlannedLabel, fault: CallFault, begun: int) -> bool:
        """Make a record without further attempts a dead letter; return whether it is one."""
        journal, settings = self._journal, self._settings
        attempts, rejections = journal.attempts[one.key], journal.rejections[one.key]
        if (
            fault.again
            and attempts < settings.max_attempts
            and rejections < settings.max_rejections
        ):
            return False
        journal.give_up(one.key, LabelFault(fault.kind, fault.message, attempts))
        self._counts.finish(len(one.places), failed=True)
        in_a_row = self._state.gave_up(one.key, fault, begun)
        if in_a_row is not None:
            self._stop(
                "same_fault",
                f"{in_a_row} records in a row failed in the same way, the last of them with: "
                f"{fault.message}",
            )
        self._stop_on_error_rate()
        return True

    async def _back_off(self, one: PlannedLabel, fault: CallFault) -> None:
        attempts = self._journal.attempts[one.key]
        told, backoff_s = fault.retry_after, self._settings.backoff_s
        wait = wait_s(max(1, attempts), backoff_s, told, patience_s=_PATIENCE_S)
        if wait is None:
            self._stop("rate_limit", f"{fault.message} (Retry-After: {told})")
            return
        if fault.kind == "rate_limit":
            self._limits.pause(wait)  # all calls: the others would be refused as well
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), wait)

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        prices = self._settings.prices
        return 0.0 if prices is None else prices.cost(prompt_tokens, completion_tokens)

    async def _afford(self, key: str, most: float) -> bool:
        """Wait until a call fits into the budget; return False where it never will."""
        budget, ledger = self._settings.budget, self._journal.ledger
        while self.stopped is None:
            if ledger.fits(key, most, budget, once=self._once):
                return True
            if not self._under_way:
                self._stop(
                    "budget",
                    f"the budget is {budget:g}; {ledger.most:.6g} may be spent, and the next call "
                    f"may cost {most:.6g}",
                )
                return False
            self._settled.clear()
            await self._settled.wait()
        return False

    def _stop_on_error_rate(self) -> None:
        rate, allowed = self._state.error_rate(), self._settings.max_error_rate
        if rate is not None and allowed is not None and rate > allowed:
            self._stop(
                "error_rate",
                f"{rate:.0%} of the newest records failed, {allowed:.0%} are allowed; mostly: "
                f"{', '.join(kind for kind, _ in self._counts.faults.most_common(2))}",
            )

    def _stop(self, why: Stopped, message: str) -> None:
        if self.stopped is None:
            self.stopped, self.message = why, message
        self._ended.set()
        self._settled.set()
        self._limits.end()
