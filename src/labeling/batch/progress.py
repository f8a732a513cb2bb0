"""Numbers of a labelling run: progress while it runs, error rate, and the totals at the end."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from ..teachers.protocol import TeacherAnswer
from .budget import Ledger

_NEWEST = 50
_LEAST = 20


@dataclass(frozen=True)
class LabelNumbers:
    """Counts, tokens and money of a run; `spent` includes earlier runs in the same folder."""

    records: int
    labelled: int
    cached: int
    """Of the labelled and failed, those that cost no call in this run."""
    failed: int
    remaining: int
    """Neither labelled nor failed, because the run was stopped."""
    calls: int
    retries: int
    prompt_tokens: int
    completion_tokens: int
    faults: Mapping[str, int]
    """Failed calls by kind, those repaired by a later attempt included."""
    cost: float | None
    """Known cost of this run; None without prices."""
    spent: float | None
    """The most that the folder can have cost so far: known costs, and the maximum of each call
    whose end is not known."""
    seconds: float
    repaired: int = 0
    """Answers of this run in which U+FFFD replaced half a surrogate pair."""
    thoughts: int = 0
    """Labels whose model gave its reasoning before the answer."""

    @property
    def records_per_second(self) -> float:
        """Finished records per second of this run, cached ones left out."""
        return max(0, self.labelled + self.failed - self.cached) / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class LabelProgress:
    """State of a run."""

    done: int
    total: int
    failed: int
    records_per_second: float
    cost: float | None
    """Of this run so far; None without prices."""
    cost_left: float | None
    """Expected for the rest; None without prices or before the first answer."""
    seconds_left: float | None
    """Expected for the rest; None before the first answer."""

    def __str__(self) -> str:
        """Format as one line."""
        words = [f"{self.done:,} of {self.total:,}", f"{self.records_per_second:.1f} a second"]
        if self.failed:
            words.insert(1, f"{self.failed:,} failed")
        if self.cost is not None:
            rest = "" if self.cost_left is None else f" + {self.cost_left:.4g} to come"
            words.append(f"cost {self.cost:.4g}{rest}")
        if self.seconds_left is not None:
            words.append(f"{self.seconds_left:.0f} s left")
        return ", ".join(words)


class LabelCounts:
    """Counts tasks, calls, tokens and faults of a run."""

    def __init__(self, total: int, ledger: Ledger, *, priced: bool) -> None:
        """Start at zero.

        Args:
            total: Tasks of the run.
            ledger: What calls cost.
            priced: Prices are known.
        """
        self._total, self._ledger, self._priced = total, ledger, priced
        self._began, self._known_before = time.monotonic(), ledger.known
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
        """Count finished tasks.

        Args:
            tasks: How many share the answer.
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
        """Return the share of failed records among the newest; None while they are too few."""
        return sum(self._newest) / len(self._newest) if len(self._newest) >= _LEAST else None

    def progress(self) -> LabelProgress:
        """Return the state of the run, with estimates for the rest."""
        done, seconds = self.labelled + self.failed, time.monotonic() - self._began
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
        """Return all numbers at the end."""
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
            seconds=time.monotonic() - self._began,
            repaired=self.repaired,
            thoughts=self.thoughts,
        )

    def _cost(self) -> float | None:
        return self._ledger.known - self._known_before if self._priced else None
