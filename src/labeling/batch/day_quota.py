"""Limit calls per day, across runs: the moments of all calls are kept in the folder.

No 24 hours hold more calls than the quota, whatever hour the provider's day begins at. A run that
has used its quota waits and says until when; one that is killed and started again still knows.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

DAY_S: Final = 86_400.0
logger = logging.getLogger(__name__)


class DayQuota:
    """Calls of one teacher in the last 24 hours.

    Attributes:
        path: One line per call with its Unix time; older lines are removed when it is opened.
    """

    def __init__(
        self,
        folder: str | Path,
        teacher: str,
        per_day: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read the calls of earlier runs.

        Args:
            folder: Folder of the calls.
            teacher: Name of the model, as quotas are those of a model.
            per_day: Most calls in any 24 hours, 1 or more.
            clock: Returns Unix time in seconds.
        """
        short = hashlib.sha256(teacher.encode()).hexdigest()[:12]
        self.path = Path(folder) / f"calls_of_day_{short}.txt"
        self._per_day, self._clock = per_day, clock
        self._told = 0.0
        self._sent = deque(self._read())

    def wait_s(self) -> float:
        """Give the seconds until a call may be sent, 0 if it may now; tell of a pause once."""
        now = self._clock()
        while self._sent and self._sent[0] <= now - DAY_S:
            self._sent.popleft()
        if len(self._sent) < self._per_day:
            return 0.0
        free_at = self._sent[len(self._sent) - self._per_day] + DAY_S
        if free_at > self._told:
            self._told = free_at
            logger.warning(
                "the quota of %d calls a day is used; waiting until %s (stop at any time, the same "
                "command goes on then)", self._per_day, moment(free_at),
            )  # fmt: skip
        return free_at - now

    def take(self) -> None:
        """Write down a call that is about to be sent."""
        now = self._clock()
        self._sent.append(now)
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(f"{now:.3f}\n")

    def _read(self) -> list[float]:
        if not self.path.exists():
            return []
        now, found = self._clock(), []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(float(line))
            except ValueError:  # cut off by a crash of the machine; the call may have been sent
                found.append(now)
        # A clock that was set back must not hold calls up for longer than a day.
        kept = sorted(min(one, now) for one in found if one > now - DAY_S)
        temporary = self.path.with_name(f"{self.path.name}.tmp-{os.getpid()}")
        temporary.write_text("".join(f"{one:.3f}\n" for one in kept), encoding="utf-8")
        temporary.replace(self.path)
        return kept


def moment(seconds: float) -> str:
    """Write a Unix time to the second.

    >>> moment(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
