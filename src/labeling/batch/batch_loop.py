"""A labelling run through the batch endpoint of a provider, at about half the price.

The requests of a run go into files, and the files into batches; their answers are written to the
same journal as those of single calls. Each step is logged before it is taken (`batch_log`), so a
run that was killed goes on with the batches that the provider has, and pays for none twice.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ...errors import ConfigError, RemoteError, StillroomError, require_settings
from ...inference.remote.backoff import wait_s
from ..teachers.client_faults import first_fault
from ..teachers.openai_http import RemoteTeacher, read_answer
from ..teachers.protocol import Teacher, TeacherAnswer, prompt_bytes
from .batch_client import RUNNING, BatchClient, BatchReply, ProviderBatch
from .batch_log import BatchLog, LoggedBatch
from .failures import CallFault, judge_fault, whole_answer
from .journal import Journal
from .label_run import Check, LabelSettings
from .loop_state import LoopState
from .progress import LabelCounts, LabelProgress
from .request_keys import PlannedLabel
from .worker_loop import PROMPT_OVERHEAD, LabelLoop

_LEAST_SHARE: Final = 0.1
"""The run stops when the rest of the budget pays for less than this share of the largest batch,
because each batch may take a day."""
_T = TypeVar("_T")
_LATER: Final = (408, 425, 429, 500, 502, 503, 504, 529)


@dataclass(frozen=True)
class BatchEndpoint:
    """How the batch endpoint of a provider is used."""

    price_factor: float = 0.5
    """Price of an answer divided by that of a single call, 0 to 1."""
    window: str = "24h"
    """Time in which answers are wanted."""
    most_requests: int = 50_000
    """Most requests in a batch, 1 or more."""
    most_bytes: int = 100 << 20
    """Most bytes of a file of requests, 1 or more; a longer request has a file of its own."""
    poll_s: float = 15.0
    """Seconds between two looks at a batch, above 0."""
    patience: int = 40
    """Failed calls of the endpoint in a row before the run stops, 1 or more."""

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        checks = (
            ("price_factor", 0 <= self.price_factor <= 1, "0 to 1"),
            ("most_requests", self.most_requests >= 1, "1 or more"),
            ("most_bytes", self.most_bytes >= 1, "1 or more"),
            ("poll_s", self.poll_s > 0, "above 0"),
            ("patience", self.patience >= 1, "1 or more"),
        )
        require_settings(self, checks)


class BatchLoop(LabelLoop):
    """Writes the labels of one run to the journal, like `LabelLoop`, but asks in batches."""

    def __init__(
        self,
        teacher: Teacher,
        journal: Journal,
        settings: LabelSettings,
        check: Check | None,
        counts: LabelCounts,
        state: LoopState,
        *,
        endpoint: BatchEndpoint,
        log: BatchLog,
    ) -> None:
        """Set up within the running event loop.

        Raises:
            ConfigError: The teacher is no server.
        """
        super().__init__(teacher, journal, settings, check, counts, state)
        if not isinstance(teacher, RemoteTeacher):
            raise ConfigError(["a batch endpoint is that of a server; this teacher is none"])
        self._remote, self._endpoint, self._log = teacher, endpoint, log
        self._once = False
        self._client = BatchClient(teacher.server)
        self._wanted: dict[str, PlannedLabel] = {}
        self._largest = 0
        """Most labels that were asked for at once."""

    async def run(
        self,
        planned: Iterable[PlannedLabel],
        progress: Callable[[LabelProgress], None] | None,
    ) -> None:
        """Get all labels, or stop early; batches that an earlier run left are finished first."""
        self._wanted = {one.key: one for one in planned}
        ticker = asyncio.create_task(self._tick(progress))
        try:
            for batch in list(self._log.open.values()):
                await self._resume(batch)
            while self._wanted and self.stopped is None:
                chosen = self._affordable()
                async with asyncio.TaskGroup() as group:
                    for number, part in enumerate(self._cut(chosen)):
                        group.create_task(self._ask(part, number))
        except BaseExceptionGroup as faults:
            raise first_fault(faults) from None  # callers expect no exception group
        finally:
            ticker.cancel()
            await self._client.close()

    def _affordable(self) -> list[tuple[PlannedLabel, float]]:
        """Choose the labels that fit into the budget together, with their largest costs."""
        budget, spent = self._settings.budget, self._journal.ledger.most
        chosen: list[tuple[PlannedLabel, float]] = []
        most = 0.0
        for one in self._wanted.values():
            most = self._cost(
                prompt_bytes(one.task.prompt) + PROMPT_OVERHEAD, one.profile.max_tokens
            )
            if budget is not None and spent + most > budget:
                break
            spent += most
            chosen.append((one, most))
        if len(chosen) < len(self._wanted) and len(chosen) <= _LEAST_SHARE * self._largest:
            self._stop(
                "budget",
                f"the budget is {budget:g}; {self._journal.ledger.most:.6g} may be spent, and a "
                f"call may cost {most:.6g}",
            )
            return []
        self._largest = max(self._largest, len(chosen))
        return chosen

    def _cut(
        self, chosen: Iterable[tuple[PlannedLabel, float]]
    ) -> Iterator[tuple[dict[str, float], bytes]]:
        """Cut requests into files; gives their keys with the largest costs, and their lines."""
        keys: dict[str, float] = {}
        lines = bytearray()
        for one, most in chosen:
            body = self._remote.request_body(one.task.prompt, one.profile)
            request = {
                "custom_id": one.key, "method": "POST", "url": "/v1/chat/completions", "body": body,
            }  # fmt: skip
            line = json.dumps(request).encode() + b"\n"
            full = len(keys) == self._endpoint.most_requests
            if keys and (full or len(lines) + len(line) > self._endpoint.most_bytes):
                yield keys, bytes(lines)
                keys, lines = {}, bytearray()
            keys[one.key] = most
            lines += line
        if keys:
            yield keys, bytes(lines)

    async def _ask(self, part: tuple[dict[str, float], bytes], number: int) -> None:
        """Upload a file, create its batch, and wait for its answers."""
        keys, lines = part
        batch = self._log.planned(f"{secrets.token_hex(8)}-{number}", keys)
        file_id = await self._patiently(lambda: self._client.upload(lines, batch.label))
        if file_id is None:
            self._log.over(batch)
            return
        self._log.uploaded(batch, file_id)
        for key, most in keys.items():
            self._journal.sent(key, most, once=False)
        self._journal.sync()
        self._counts.calls += len(keys)
        self._state.calls += len(keys)
        await self._create(batch, file_id)

    async def _create(self, batch: LoggedBatch, file_id: str) -> None:
        """Create a batch, unless the provider has it from a call whose answer was lost."""

        async def create() -> ProviderBatch:
            found = None
            if attempts[0]:
                found = await self._client.find(batch.label)
            attempts[0] += 1
            if found is not None:
                return found
            return await self._client.create(file_id, batch.label, self._endpoint.window)

        attempts = [0]
        made = await self._patiently(create)
        if made is None:
            return  # it may be there: the next run looks for it
        self._log.created(batch, made.id)
        await self._wait(batch, made.id)

    async def _resume(self, batch: LoggedBatch) -> None:
        """Go on with a batch that an earlier run left."""
        if self.stopped is not None:
            return
        if batch.file_id is None:
            self._log.over(batch)
            return
        batch_id = batch.id
        if batch_id is None:
            looked = await self._patiently(lambda: self._look(batch.label))
            if looked is None:
                return
            (found,) = looked
            if found is None:  # the process died before it was created
                self._close(batch, "the process died before the batch was created", counted=False)
                return
            batch_id = found.id
            self._log.created(batch, batch_id)
        await self._wait(batch, batch_id)

    async def _look(self, label: str) -> tuple[ProviderBatch | None]:
        return (await self._client.find(label),)

    async def _wait(self, batch: LoggedBatch, batch_id: str) -> None:
        """Wait for the end of a batch and take its answers."""
        while True:
            now = await self._patiently(lambda: self._client.get(batch_id))
            if now is None:
                return
            if now.status not in RUNNING:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), self._endpoint.poll_s)
            if self.stopped is not None:
                return
        replies = await self._patiently(lambda: self._client.replies(now))
        if replies is None:
            return
        for reply in replies:
            if reply.key in batch.keys and reply.key in self._journal.under_way:
                self._take_reply(reply, batch.keys[reply.key])
        why = f"batch {now.id} is {now.status} without an answer. {now.errors}".strip()
        whole = now.status in ("failed", "cancelled")
        self._close(batch, why, counted=not whole)
        if whole:
            self._stop("same_fault", f"batch {now.id} is {now.status}. {now.errors}".strip())

    def _take_reply(self, reply: BatchReply, most: float) -> None:
        """Write the outcome of one request to the journal."""
        one = self._wanted.get(reply.key)
        answer = _answer(reply, one)
        if isinstance(answer, CallFault):
            self._write_fault(reply.key, answer, most)
            self._end(one, answer)
            return
        self._counts.answered(answer)
        self._state.answered()
        if one is None:  # of an earlier run with other records; judged when it is wanted
            cost = self._cost(answer.prompt_tokens, answer.completion_tokens)
            self._journal.answered(
                reply.key, answer, good=False, most=most, cost=cost, once=False
            )  # fmt: skip
            return
        fault = self._take(one, answer, most)
        if fault is None:
            del self._wanted[reply.key]
        else:
            self._end(one, fault)

    def _end(self, one: PlannedLabel | None, fault: CallFault) -> None:
        """Give a label up if no further attempt is left."""
        if one is not None and self._gave_up(one, fault, self._state.calls):
            del self._wanted[one.key]

    def _close(self, batch: LoggedBatch, why: str, *, counted: bool) -> None:
        """Close a batch; its requests without an answer cost nothing and may be asked again.

        Args:
            batch: The batch.
            why: Why they have no answer.
            counted: Whether this counts as an attempt.
        """
        fault = CallFault(
            "llm_api_error", why, again=True, answered=True, free=True, raises=not counted
        )
        for key, most in batch.keys.items():
            if key in self._journal.under_way:
                self._write_fault(key, fault, most)
                if counted:
                    self._end(self._wanted.get(key), fault)
        self._journal.sync()
        self._log.over(batch)

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return self._endpoint.price_factor * super()._cost(prompt_tokens, completion_tokens)

    async def _patiently(self, call: Callable[[], Coroutine[Any, Any, _T]]) -> _T | None:
        """Call the endpoint, again where that may help; None if the run is stopped."""
        failed = 0
        while self.stopped is None:
            try:
                return await call()
            except RemoteError as fault:
                failed += 1
                if fault.status in (401, 402):
                    self._stop("auth_error", str(fault))
                elif fault.status is not None and fault.status not in _LATER:
                    self._stop("same_fault", f"the batch endpoint refuses: {fault}")
                elif failed >= self._endpoint.patience:
                    self._stop("same_fault", f"the batch endpoint failed {failed} times: {fault}")
                else:
                    pause = wait_s(failed, self._settings.backoff_s, fault.retry_after)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._ended.wait(), 30.0 if pause is None else pause)
        return None


def _answer(reply: BatchReply, one: PlannedLabel | None) -> TeacherAnswer | CallFault:
    """Read a reply."""
    if reply.error:
        told = f"the provider did not answer: {reply.error}"
        return CallFault("llm_api_error", told, again=True, answered=True, free=True)
    prompt = "" if one is None else one.task.prompt
    try:
        if reply.status != 200:
            raise RemoteError(
                f"status {reply.status}: {reply.body[:300].decode('utf-8', 'replace')}",
                status=reply.status,
            )
        return whole_answer(read_answer(reply.body, prompt), prompt)
    except StillroomError as fault:
        return judge_fault(fault)
