"""The table of a sweep, the students on the front, and which one to take."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...evaluation.predictions import PREDICTIONS, read_predictions
from ...evaluation.statistics.alignment import Outcome, align
from ...evaluation.statistics.comparison import Comparison, compare_paired
from ...rate_interval import wilson_interval
from .search import Trial, name_of

SIZE, SPEED = "size", "speed"
_STUDENT: Final = f"{PREDICTIONS}/student.jsonl"


@dataclass(frozen=True)
class SweepResult:
    """All trials, and what follows from them."""

    varied: tuple[str, ...]
    trials: tuple[Trial, ...]
    fronts: dict[str, tuple[int, ...]]
    """`size` and `speed` -> numbers of the trials on that front: no other student is better in one
    and at least as good in the other."""
    taken: int
    """Number of the trial whose student is recommended."""
    best: int
    """Number of the trial with the most right answers."""
    margin: float
    against_best: Comparison | None = None
    """Of the recommended student with the best one; None where they are the same, or answers are
    not known."""

    def trial(self, number: int) -> Trial:
        """Give a trial by its number."""
        return self.trials[number - 1]

    @property
    def named(self) -> list[int]:
        """Numbers of the trials on any front, ascending."""
        return sorted({number for front in self.fronts.values() for number in front})

    def advice(self) -> str:
        """Say in one sentence which student to take, and why."""
        one = self.trial(self.taken)
        told = f"Take student {one.number} ({name_of(one.params)}): {figures(one)}"
        if self.taken == self.best:
            return f"{told}; none is better, and no smaller one is shown to be within " \
                   f"{100 * self.margin:g} points of it."  # fmt: skip
        best = self.trial(self.best)
        share = one.found.bytes / best.found.bytes
        shown = "as observed" if self.against_best is None else (
            f"{self.against_best.difference_in_words()}"
        )  # fmt: skip
        return (
            f"{told}; it is not worse by {100 * self.margin:g} points than the best, student "
            f"{best.number} with {100 * best.found.right:.1f} % ({shown}), at {100 * share:.0f} % "
            "of its size."
        )

    def rows(self) -> list[dict[str, Any]]:
        """Give the table, one row per trial, in the order of the trials."""
        return [
            {
                "student": one.number,
                **{name: one.params[name] for name in self.varied},
                "right": round(one.found.right, 6),
                "questions": one.found.count,
                "bytes": one.found.bytes,
                "parameters": one.found.parameters,
                "tokens_per_second": _rounded(one.found.tokens_per_second),
                "front": " ".join(n for n, front in self.fronts.items() if one.number in front),
                "taken": "yes" if one.number == self.taken else "",
                "folder": one.found.folder,
            }
            for one in self.trials
        ]

    def csv(self) -> str:
        """Write the table as CSV."""
        rows, stream = self.rows(), io.StringIO()
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return stream.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Give the result as JSON values."""
        return {
            "schema_version": 1,
            "advice": self.advice(),
            "taken": self.taken,
            "best": self.best,
            "margin": self.margin,
            "fronts": {name: list(front) for name, front in self.fronts.items()},
            "trials": [
                {"student": one.number, "params": one.params, **vars(one.found)}
                for one in self.trials
            ],
            "against_best": None if self.against_best is None else self.against_best.to_dict(),
        }


def judge_sweep(
    trials: Sequence[Trial], varied: Sequence[str], margin: float, folder: Path | None = None
) -> SweepResult:
    """Find the fronts and the student to take.

    The smallest student is taken that is not worse than the best by the margin: by the interval of
    the difference where the answers of both are in the folder, else as observed. Of equally small
    ones the better is taken.

    Args:
        trials: One or more.
        varied: What was varied, in the order of the table.
        margin: Loss of right answers that a smaller student may have, above 0 to 1.
        folder: Of the sweep; None where there are no answers.
    """
    best = min(trials, key=lambda one: (-one.found.right, one.found.bytes, one.number))
    taken, found = best, None
    for one in sorted(trials, key=lambda t: (t.found.bytes, -t.found.right, t.number)):
        if one.found.bytes >= best.found.bytes or one.found.right < best.found.right - margin:
            continue
        compared = None if folder is None else _compared(one, best, margin, folder)
        if compared is None or compared.verdict in ("better", "not_worse"):
            taken, found = one, compared
            break
    return SweepResult(
        tuple(varied), tuple(trials),
        {SIZE: front(trials, lambda one: -float(one.found.bytes)),
         SPEED: front([one for one in trials if one.found.tokens_per_second is not None],
                      lambda one: one.found.tokens_per_second or 0.0)},
        taken.number, best.number, margin, found,
    )  # fmt: skip


def front(trials: Sequence[Trial], merit: Callable[[Trial], float]) -> tuple[int, ...]:
    """List the trials that no other one beats in right answers and a second merit.

    Args:
        trials: Any number.
        merit: Larger is better.

    Returns:
        Their numbers, ascending; of equal ones all.
    """
    return tuple(
        one.number
        for one in trials
        if not any(
            other.found.right >= one.found.right
            and merit(other) >= merit(one)
            and (other.found.right > one.found.right or merit(other) > merit(one))
            for other in trials
        )
    )


def figures(one: Trial) -> str:
    """Write what a trial found in words."""
    found = one.found
    low, high = wilson_interval(found.right * found.count, found.count)
    told = (
        f"{100 * found.right:.1f} % right ({100 * low:.1f} to {100 * high:.1f}), "
        f"{found.bytes / 1e6:.3g} MB"
    )
    if found.tokens_per_second is not None:
        told += f", {found.tokens_per_second:,.0f} tokens per second"
    return told


def _compared(one: Trial, best: Trial, margin: float, folder: Path) -> Comparison | None:
    """Compare the answers of two trials; None where they are not known."""
    files = [folder / trial.found.folder / _STUDENT for trial in (one, best)]
    if not all(trial.found.folder and file.is_file()
               for trial, file in zip((one, best), files, strict=True)):  # fmt: skip
        return None
    own, other = (
        [Outcome(p.sample_id, float(p.right), p.source_id, p.category) for p in read_predictions(f)]
        for f in files
    )
    return compare_paired(align(own, other), margin=margin)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
