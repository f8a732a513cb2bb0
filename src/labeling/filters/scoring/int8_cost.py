"""A student in eight bits, and what that costs in quality: the same texts scored both ways.

faster, cost = int8_scorer(open_scorer(package), articles[:256])
print("\\n".join(cost.lines()))
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ....errors import ConfigError, EmptyDataError
from .score_order import judge_scores
from .scorer import INVALID
from .student_scorer import StudentScorer


@dataclass(frozen=True)
class Int8Cost:
    """How far the scores of eight bits are from those of the student as it is."""

    texts: int
    mean_difference: float
    """Of scores, in points of 0 to 10."""
    largest_difference: float
    tiers_changed: float
    """Share of the texts, 0 to 1."""
    passes_changed: float
    """Share of the texts whose pass or block is another, 0 to 1."""
    ms_before: float
    """Processor milliseconds per text."""
    ms_after: float

    def to_dict(self) -> dict[str, Any]:
        """Give the numbers as JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Format the numbers for people."""
        return [
            f"of {self.texts:,} texts, scores differ by {self.mean_difference:.3f} on average and "
            f"by {self.largest_difference:.3f} at most; {100 * self.tiers_changed:.1f} % change "
            f"their tier, {100 * self.passes_changed:.1f} % pass or block",
            f"{self.ms_before:.2f} -> {self.ms_after:.2f} ms a text",
        ]


def int8_scorer(
    scorer: StudentScorer, articles: Sequence[Mapping[str, Any]], batch_size: int = 16
) -> tuple[StudentScorer, Int8Cost]:
    """Round a student's layers to eight bits, and compare both on articles.

    Raises:
        ConfigError: The student has no layers to round, or is not on a processor.
        EmptyDataError: There is no article that can be scored.
    """
    rounded = getattr(scorer.student, "int8", None)
    if rounded is None:
        raise ConfigError([f"int8: a student of the kind {scorer.student.kind!r} has no encoder "
                           "to round"])  # fmt: skip
    made = copy.copy(scorer)
    made.student = rounded()
    view = scorer.package.view
    usable = [one for one in articles if _is_usable(scorer, one)]
    texts = [scorer.text_of(view.read(one)) for one in usable]
    if not texts:
        raise EmptyDataError("no article can be scored, so the cost of int8 is not known")
    (before, ms_before), (after, ms_after) = (
        _timed(one, texts, batch_size) for one in (scorer, made)
    )
    config, names = scorer.package.config, scorer.package.config.dimension_names
    pairs = [
        [
            judge_scores(dict(zip(names, row, strict=True)), config, calibration=scorer.calibration)
            for row in rows
        ]
        for rows in (before.tolist(), after.tolist())
    ]
    changed = [(a.tier != b.tier, a.passed != b.passed) for a, b in zip(*pairs, strict=True)]
    difference = np.abs(before - after)
    cost = Int8Cost(
        len(texts), float(difference.mean()), float(difference.max()),
        float(np.mean([tier for tier, _ in changed])),
        float(np.mean([passed for _, passed in changed])), ms_before, ms_after,
    )  # fmt: skip
    return made, cost


def _is_usable(scorer: StudentScorer, article: Mapping[str, Any]) -> bool:
    reason = scorer._screen(article, skip=True).prefilter_reason
    return reason is None or not reason.startswith(INVALID)


def _timed(
    scorer: StudentScorer, texts: Sequence[str], batch_size: int
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], float]:
    started = time.process_time()
    rows = [scorer.predict(texts[at : at + batch_size]) for at in range(0, len(texts), batch_size)]
    return np.concatenate(rows), 1000 * (time.process_time() - started) / len(texts)
