"""Numbers of a labelling run: progress while it runs, and totals at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..teachers.protocol import TeacherAnswer
from .budget import Ledger


@dataclass(frozen=True)
class LabelNumbers:
    """Counts, tokens and costs of a run; `spent` includes earlier runs in the same folder."""

    records: int
    labelled: int
    cached: int
    """Labelled and failed records that cost no call in this run."""
    failed: int
    remaining: int
    """Records that are neither labelled nor failed, because the run was stopped."""
    calls: int
    retries: int
    prompt_tokens: int
    completion_tokens: int
    faults: Mapping[str, int]
    """Kind -> number of failed calls, including those with a successful later attempt."""
    cost: float | None
    """Known cost of this run; None without prices."""
    spent: float | None
    """Upper bound of what the folder has cost so far: the known costs, and the largest possible
    cost of each call with an unknown outcome."""
    seconds: float
    repaired: int = 0
    """Answers of this run in which half a surrogate pair was replaced by U+FFFD."""
    thoughts: int = 0
    """Labels for which the model returned its reasoning."""

    @property
    def records_per_second(self) -> float:
        """Finished records per second in this run, without cached ones."""
        return max(0, self.labelled + self.failed - self.cached) / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class LabelProgress:
    """State of a run."""

    done: int
    total: int
    failed: int
    records_per_second: float
    cost: float | None
    """Cost of this run so far; None without prices."""
    cost_left: float | None
    """Estimated cost of the rest; None without prices or before the first answer."""
    seconds_left: float | None
    """Estimated seconds for the rest; None before the first answer."""

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
            total: Number of tasks in the run.
            ledger: Costs of the calls.
            priced: Whether prices are known.
        """
        self._total, self._ledger, self._priced = total, ledger, priced
        self._began, self._known_before = time.monotonic(), ledger.known
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
            tasks: Number of tasks that share the answer.
            failed: Whether they are dead letters.
            cached: How many of them cost no call in this run.
        """
        if failed:
            self.failed += tasks
        else:
            self.labelled += tasks
        self.cached += cached

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
