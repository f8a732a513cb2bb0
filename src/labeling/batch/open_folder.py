"""A folder of calls that stays open from one run to the next.

with OpenFolder("outputs/calls") as folder:
    for batch in batches:
        run = BatchLabeler(teacher, folder).run(batch)

Its journal is read once, its limits per minute hold across the runs, and its teachers keep their
connections, because all runs share one event loop. Processes that have the same folder open take
turns, run by run, and each finds the answers of the others; the limits are those of each process.
What failed before the folder was opened, for a fault that may have passed, is asked for once more.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ..teachers.client_faults import fault_place
from ..teachers.protocol import Teacher
from .journal import Journal
from .label_run import LabelSettings
from .loop_state import PASSING, LoopState, day_quota

logger = logging.getLogger(__name__)
_T = TypeVar("_T")
_LAST_S = 30.0
"""Longest time in seconds that an interrupted run may take to end."""


class OpenFolder:
    """The journal, event loop and limits of a folder; runs of several threads take turns."""

    def __init__(self, folder: str | Path) -> None:
        """Open or create the folder, and start its event loop in a thread.

        Raises:
            DataError: Its journal is damaged.
        """
        self.path = Path(folder)
        self.journal = Journal(folder, wait=True)
        self.journal.release()
        self._old = {key for key, fault in self.journal.dead.items() if fault.kind in PASSING}
        self._states: dict[tuple[object, ...], LoopState] = {}
        self._teachers: dict[int, Teacher] = {}
        self._turn = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="stillroom-labeler", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        """Return the folder."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the folder."""
        self.close()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the folder's event loop and wait; an interrupt cancels it."""
        ended = threading.Event()

        async def tracked() -> _T:
            try:
                return await work
            finally:
                ended.set()

        with self._turn:
            try:
                self.journal.acquire()
            except BaseException:
                work.close()
                raise
            future = asyncio.run_coroutine_threadsafe(tracked(), self._loop)
            try:
                return future.result()
            except BaseException:
                future.cancel()
                ended.wait(_LAST_S)
                raise
            finally:
                self.journal.release()

    def revive_old(self, keys: Iterable[str]) -> None:
        """Ask again for dead letters that were there when the folder was opened; once each."""
        for key in self._old.intersection(keys):
            if key in self.journal.dead:
                self.journal.revive(key)
            self._old.remove(key)

    def state(self, teacher: Teacher, settings: LabelSettings) -> LoopState:
        """Return what is known about a teacher; it is closed with the folder.

        Runs with other limits have a state of their own.
        """
        self._teachers[id(teacher)] = teacher
        key = (
            id(teacher),
            settings.requests_per_minute,
            settings.tokens_per_minute,
            settings.tokens_at_once,
            settings.requests_per_day,
        )
        if key not in self._states:
            self._states[key] = LoopState(settings, day_quota(self.path, teacher, settings))
        return self._states[key]

    def call_seconds(self, teacher: Teacher) -> list[float]:
        """Return the seconds of the newest answered calls of a teacher."""
        return [
            seconds
            for (held, *_), state in self._states.items()
            if held == id(teacher)
            for seconds in state.seconds
        ]

    def close(self) -> None:
        """Close the teachers, the event loop and the journal."""
        asyncio.run_coroutine_threadsafe(self._close_teachers(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.journal.close()

    async def _close_teachers(self) -> None:
        for teacher in self._teachers.values():
            await close_quietly(teacher)


async def close_quietly(teacher: Teacher) -> None:
    """Close a teacher; only log an error, so that no answer is lost."""
    try:
        await teacher.close()
    except Exception as fault:  # noqa: BLE001 - any error of a client's package
        logger.warning("the teacher did not close: %s: %s", fault_place(fault), fault)
