"""Numbers of a labelling while it runs: progress, the error rate, and what is left to expect."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from ..teachers.protocol import TeacherAnswer
from .budget import Ledger
from .parse_label import LabelNumbers, LabelProgress

_NEWEST = 50
_LEAST = 20


class LabelCounts:
    """What happened so far; records are counted as tasks, calls as calls."""

    def __init__(
        self,
        total: int,
        ledger: Ledger,
        *,
        priced: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start to count.

        Args:
            total: Tasks of the run.
            ledger: What calls cost.
            priced: Prices are known.
            clock: Seconds.
        """
        self._total, self._ledger, self._priced, self._clock = total, ledger, priced, clock
        self._began, self._known_before = clock(), ledger.known
        self._newest: deque[bool] = deque(maxlen=_NEWEST)
        self.labelled = self.cached = self.failed = 0
        self.calls = self.retries = self.prompt_tokens = self.completion_tokens = 0
        self.repaired = self.thoughts = 0
        self.faults: Counter[str] = Counter()

    def answered(self, answer: TeacherAnswer) -> None:
        """Count the tokens of a whole answer, whether it is a label or not."""
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens

    def finish(self, tasks: int, *, failed: bool, cached: int = 0) -> None:
        """Count tasks that are done.

        Args:
            tasks: How many share what was asked.
            failed: They are dead letters.
            cached: How many of them cost no call of this run.
        """
        if failed:
            self.failed += tasks
        else:
            self.labelled += tasks
        self.cached += cached
        if cached < tasks:
            self._newest.append(failed)

    def error_rate(self) -> float | None:
        """Give the share of failed records among the newest; None while they are too few."""
        return sum(self._newest) / len(self._newest) if len(self._newest) >= _LEAST else None

    def progress(self) -> LabelProgress:
        """Say where the run stands."""
        done, seconds = self.labelled + self.failed, self._clock() - self._began
        asked = done - self.cached
        left = (self._total - done) / asked if asked else None
        cost = self._cost()
        return LabelProgress(
            done=done,
            total=self._total,
            failed=self.failed,
            records_per_second=asked / max(seconds, 1e-9),
            cost=cost,
            cost_left=None if cost is None or left is None else cost * left,
            seconds_left=None if left is None else seconds * left,
        )

    def numbers(self) -> LabelNumbers:
        """Give all numbers at the end."""
        return LabelNumbers(
            records=self._total,
            labelled=self.labelled,
            cached=self.cached,
            failed=self.failed,
            remaining=self._total - self.labelled - self.failed,
            calls=self.calls,
            retries=self.retries,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            faults=dict(sorted(self.faults.items())),
            cost=self._cost(),
            spent=self._ledger.most if self._priced else None,
            seconds=self._clock() - self._began,
            repaired=self.repaired,
            thoughts=self.thoughts,
        )

    def _cost(self) -> float | None:
        return self._ledger.known - self._known_before if self._priced else None
