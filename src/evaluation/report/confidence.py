"""The section on confidence: is an answer of 90 % right in 90 % of the cases, and what is withheld?

Sizes: N answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ...inference.scoring.confidence import RiskLimit
from ...rate_interval import wilson_interval
from ..calibration import calibration_error, risk_coverage
from .content import Block, Line, Lines, Paragraph, Section, Table, section
from .quality import percents

_BINS: Final = 8
_MOST_POINTS: Final = 150


def confidence_section(
    probabilities: Sequence[float],
    right: Sequence[bool],
    *,
    calibrated: bool,
    limits: Sequence[RiskLimit] = (),
    missing: str = "",
) -> tuple[Section, dict[str, Any]]:
    """Show calibration, and risk over coverage.

    Args:
        probabilities: (N,), probability that the answer is right, 0 to 1.
        right: (N,).
        calibrated: Whether the probabilities are calibrated, on other questions.
        limits: Thresholds chosen for stated shares of wrong answers.
        missing: Why there are no probabilities.
    """
    blocks: list[Block | None] = []
    numbers: dict[str, Any] = {}
    if probabilities:
        p, y = np.asarray(probabilities), np.asarray(right, dtype=float)
        bins = _reliability(p, y)
        curve = risk_coverage(p, y)
        error = calibration_error(p, y)
        numbers = {
            "n": len(p), "calibrated": calibrated, "calibration_error": error,
            "area_under_risk_coverage": curve.area, "reliability": bins,
            "limits": [vars(limit) for limit in limits],
        }  # fmt: skip
        kind = "calibrated" if calibrated else "not calibrated: the model's own probability"
        blocks = [
            Paragraph(
                f"Over {len(p):,} answers the stated probability ({kind}) differs from the share "
                f"of right answers by {100 * error:.1f} points on average."
            ),
            _reliability_chart(bins),
            _risk_chart(curve.coverage, curve.risk, limits),
            _limits_table(limits),
        ]
    made = section(
        "confidence", "Does it know when it is wrong?",
        "Look whether the points lie on the dashed line, where the stated confidence is the share "
        "of right answers; in the second chart, how few answers are wrong if the least sure ones "
        "are withheld.",
        blocks, missing,
    )  # fmt: skip
    return made, numbers


def _reliability(p: Any, y: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - arrays
    """Group answers by confidence, about equally many in each group."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, _BINS + 1)))
    group = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, max(0, len(edges) - 2))
    bins = []
    for number in np.unique(group):
        inside = group == number
        count, hits = int(inside.sum()), int(y[inside].sum())
        bins.append({
            "n": count, "confidence": float(p[inside].mean()), "right": hits / count,
            "right_ci95": list(wilson_interval(hits, count)),
        })  # fmt: skip
    return bins


def _reliability_chart(bins: Sequence[dict[str, Any]]) -> Lines:
    points = tuple((100 * one["confidence"], 100 * one["right"]) for one in bins)
    return Lines(
        "Calibration: right answers among those of a stated confidence",
        "stated confidence, %", "right, %",
        (Line("a group of answers of similar confidence", points, is_points=True),),
        (0, 100), (0, 100), diagonal=True,
    )  # fmt: skip


def _risk_chart(coverage: Any, risk: Any, limits: Sequence[RiskLimit]) -> Lines:  # noqa: ANN401
    step = max(1, len(coverage) // _MOST_POINTS)
    chosen = sorted({*range(0, len(coverage), step), len(coverage) - 1})
    points = tuple((100 * float(coverage[n]), 100 * float(risk[n])) for n in chosen)
    lines = [Line("student", points)]
    kept = [limit for limit in limits if limit.threshold is not None]
    if kept:
        lines.append(Line(
            "thresholds chosen for at most so many wrong answers",
            tuple((100 * one.coverage, 100 * one.risk) for one in kept), is_points=True,
            labels=tuple(f"{one.target:.0%}" for one in kept),
        ))  # fmt: skip
    return Lines("Wrong answers if only the surest are given (risk over coverage)",
                 "answers given, %", "wrong among them, %", tuple(lines), (0, 100))  # fmt: skip


def _limits_table(limits: Sequence[RiskLimit]) -> Table | None:
    if not limits:
        return None
    rows = tuple(
        (
            f"at most {limit.target:.0%}",
            "none keeps it" if limit.threshold is None else f"{limit.threshold:.3f}",
            f"{limit.coverage:.1%}",
            f"{limit.risk:.1%}" if limit.threshold is not None else "-",
        )
        for limit in limits
    )
    return Table(
        ("wrong answers wanted", "least confidence", "answers given", "wrong, when chosen"), rows,
        "The thresholds were chosen on one half of the questions, and hold with 90 % confidence.",
    )  # fmt: skip


def interval_words(right: int, count: int) -> str:
    """Write the interval of a rate."""
    return percents(wilson_interval(right, count))
