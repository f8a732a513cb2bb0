"""What a labelling run knows about its teacher: paces, token estimate, and recent failures.

It outlives the run where the folder stays open (`open_folder.OpenFolder`), so that limits per
minute hold across runs, and a teacher that fails is noticed although each run is short.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..teachers.protocol import Teacher
from .day_quota import DayQuota
from .failures import CallFault
from .label_run import LabelSettings
from .rate_limits import Limits, TokenGuess

_NEWEST: Final = 50
_TIMED: Final = 1000
_LEAST: Final = 20
_MOST_IN_A_ROW: Final = 10
"""Number of successive records that fail for the same shared cause before the run stops."""
PASSING: Final = frozenset({"timeout", "connection", "rate_limit", "llm_api_error"})
"""Kinds of faults of a teacher that may work again later."""
_OF_THE_TEACHER: Final = PASSING | {"auth_error"}
"""Kinds of faults that may concern the teacher instead of the record."""


@dataclass(frozen=True)
class _Finished:
    key: str
    failed: bool
    blameless: bool
    """Whether the teacher, and not the record, may be the cause of the failure."""


def day_quota(
    folder: Path,
    teacher: Teacher,
    settings: LabelSettings,
    clock: Callable[[], float] = time.time,
) -> DayQuota | None:
    """Open the quota per day of a teacher in a folder; None where there is no such limit."""
    limit = settings.requests_per_day
    return None if limit is None else DayQuota(folder, teacher.name, limit, clock)


class LoopState:
    """Paces and failures of the calls of one teacher, within one event loop."""

    def __init__(self, settings: LabelSettings, day: DayQuota | None = None) -> None:
        """Start without calls, but for those of the last day."""
        self.limits = Limits(
            settings.requests_per_minute,
            settings.tokens_per_minute,
            tokens_at_once=settings.tokens_at_once,
            day=day,
        )
        self.guess = TokenGuess()
        self.calls = 0
        self.seconds: deque[float] = deque(maxlen=_TIMED)
        """Seconds from a call to its answer, of the newest answered calls."""
        self._newest: deque[_Finished] = deque(maxlen=_NEWEST)
        self._shared_cause: str | None = None
        self._in_a_row = 0
        self._answered_at = 0
        """Number of the newest answered call."""

    def answered(self, seconds: float | None = None) -> None:
        """Note that a call was answered, so no cause of failures is shared by all records.

        Args:
            seconds: Time of the call; None if it was not measured.
        """
        if seconds is not None:
            self.seconds.append(seconds)
        self._shared_cause, self._in_a_row, self._answered_at = None, 0, self.calls

    def labelled(self, key: str) -> None:
        """Note that a record got its label."""
        self._newest.append(_Finished(key, failed=False, blameless=False))

    def gave_up(self, key: str, fault: CallFault, begun: int) -> int | None:
        """Note that a record failed for good.

        Records are not counted if another call was answered during their attempts: at the end of a
        run only retried records are left.

        Args:
            key: Key of the record.
            fault: Its last failure.
            begun: Number of calls before its first attempt.

        Returns:
            The number of successive records with the same shared cause if it is too large, else
            None.
        """
        shared = fault.shared_cause
        self._newest.append(
            _Finished(
                key, failed=True, blameless=shared is not None or fault.kind in _OF_THE_TEACHER
            )
        )
        same = shared is not None and begun >= self._answered_at
        self._in_a_row = (self._in_a_row if shared == self._shared_cause else 0) + same
        self._shared_cause = shared
        return self._in_a_row if same and self._in_a_row >= _MOST_IN_A_ROW else None

    def error_rate(self) -> float | None:
        """Return the share of failed records among the newest ones; None if there are too few."""
        if len(self._newest) < _LEAST:
            return None
        return sum(one.failed for one in self._newest) / len(self._newest)

    def forgive(self) -> list[str]:
        """Return the keys of recent records that failed because of the teacher, and start anew."""
        keys = [one.key for one in self._newest if one.failed and one.blameless]
        self._newest.clear()
        self.answered()
        return keys
