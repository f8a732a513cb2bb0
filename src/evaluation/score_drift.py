"""Have scores changed? Those of new articles, or those that an oracle gives the same anchors.

score_drift({"joy": last_month}, {"joy": this_month})      # other articles: has the input changed?
oracle_drift({"joy": first}, {"joy": again})               # the same anchors: has the oracle?

Sizes: N articles of the reference, M new ones, A anchors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, EmptyDataError
from .statistics.comparison import SIGNIFICANCE
from .statistics.detectable_effect import detectable_mean_difference
from .statistics.paired_tests import SEED, bootstrap_mean, holm

LEAST_DISTANCE: Final = 0.2
"""Points between two distributions below which a change does not matter, however sure it is."""
LEAST_SCORES: Final = 20
Floats = NDArray[np.float64]
Scores = Mapping[str, Sequence[float] | Floats]


@dataclass(frozen=True)
class Drift:
    """What is known about one dimension."""

    name: str
    drifted: bool
    shift: float
    """New mean minus old mean, in points."""
    p_value: float
    """Adjusted for all dimensions (Holm)."""
    before: int
    """Scores of the reference."""
    after: int
    distance: float | None = None
    """Mean distance of the two distributions (Wasserstein), in points; for other articles."""
    low: float | None = None
    """Lower end of the 95 % interval of the shift; for anchors."""
    high: float | None = None
    spread: float | None = None
    """Standard deviation of the new scores divided by that of the old; for anchors."""
    minimum_detectable: float | None = None
    """Shift that would be found in at least four of five cases, at the level that holds for all
    dimensions together; for anchors."""

    def in_words(self) -> str:
        """Say what was found."""
        told = "drifted" if self.drifted else "no drift found"
        if self.distance is not None:
            return (f"{self.name}: {told}; mean {self.shift:+.2f}, distance {self.distance:.2f} "
                    f"points (p = {self.p_value:.3g}, n = {self.before:,} and "
                    f"{self.after:,})")  # fmt: skip
        words = f"{self.name}: {told}; mean {self.shift:+.2f}"
        if self.low is not None and self.high is not None:
            words += f" ({self.low:+.2f} to {self.high:+.2f})"
        if self.spread is not None:
            words += f", spread x {self.spread:.2f}"
        words += f" (p = {self.p_value:.3g}, {self.after:,} anchors)"
        if self.minimum_detectable is not None:
            words += f"; a shift of {self.minimum_detectable:.2f} would be found"
        return words


def score_drift(
    reference: Scores,
    current: Scores,
    *,
    least: float = LEAST_DISTANCE,
    significance: float = SIGNIFICANCE,
) -> dict[str, Drift]:
    """Compare the scores of new articles with those of earlier ones.

    Drifted means: the two-sample test of Kolmogorov and Smirnov is significant for all dimensions
    together, and the distributions are at least `least` points apart, as with many articles any
    difference is significant.

    Args:
        reference: Dimension -> scores, (N,), N at least 20.
        current: The same dimensions, (M,), M at least 20.
        least: Points that matter, 0 or more.
        significance: Chance of an alarm in any dimension where nothing has changed.

    Raises:
        DataError: The dimensions differ, or a score is not finite.
        EmptyDataError: There are fewer than 20 scores.
    """
    from scipy.stats import ks_2samp, wasserstein_distance

    pairs = {name: _pair(name, reference, current) for name in _names(reference, current)}
    adjusted = holm({
        name: float(ks_2samp(one, other, method="asymp").pvalue)
        for name, (one, other) in pairs.items()
    })  # fmt: skip
    found = {}
    for name, (one, other) in pairs.items():
        distance = float(wasserstein_distance(one, other))
        drifted = adjusted[name] < significance and distance >= least
        found[name] = Drift(name, drifted, float(other.mean() - one.mean()), adjusted[name],
                            len(one), len(other), distance)  # fmt: skip
    return found


def oracle_drift(
    before: Scores, after: Scores, *, significance: float = SIGNIFICANCE, seed: int = SEED
) -> dict[str, Drift]:
    """Compare the scores that an oracle gave the same anchors at two times.

    Two paired tests per dimension: of the mean, and of the spread (Pitman 1939 and Morgan 1939:
    sums and differences of the two scores are uncorrelated where the spread is equal), both by
    bootstrap of anchors. Noise of the oracle alone changes neither.

    Args:
        before: Dimension -> scores, (A,), A at least 20.
        after: The same dimensions and anchors, in the same order.
        significance: Chance of an alarm in any dimension where nothing has changed.
        seed: Of the bootstrap.

    Raises:
        DataError: The dimensions or numbers of anchors differ, or a score is not finite.
        EmptyDataError: There are fewer than 20 anchors.
    """
    names = _names(before, after)
    share = significance / (2 * len(names))
    tests: dict[str, float] = {}
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        one, other = _pair(name, before, after)
        if len(one) != len(other):
            raise DataError(f"{name} has {len(one)} anchors before and {len(other)} after")
        change, level = other - one, other + one
        shift = bootstrap_mean(change, seed=seed)
        product = (change - change.mean()) * (level - level.mean())
        tests[f"mean {name}"] = shift.p_value
        tests[f"spread {name}"] = bootstrap_mean(product, seed=seed).p_value
        found[name] = {
            "shift": shift.mean,
            "low": shift.low,
            "high": shift.high,
            "spread": _ratio(float(other.std()), float(one.std())),
            "before": len(one),
            "after": len(other),
            "minimum_detectable": detectable_mean_difference(
                shift.standard_error, len(one) - 1, share
            ),
        }
    adjusted = holm(tests)
    drifts = {}
    for name, values in found.items():
        p_value = min(adjusted[f"mean {name}"], adjusted[f"spread {name}"])
        drifts[name] = Drift(name, p_value < significance, p_value=p_value, **values)
    return drifts


def _names(one: Scores, other: Scores) -> list[str]:
    if not one or one.keys() != other.keys():
        raise DataError(f"the dimensions differ: {', '.join(one)} and {', '.join(other)}")
    return list(one)


def _pair(name: str, one: Scores, other: Scores) -> tuple[Floats, Floats]:
    made = []
    for scores in (one[name], other[name]):
        values = np.asarray(scores, dtype=np.float64)
        if len(values) < LEAST_SCORES:
            raise EmptyDataError(f"{name} has {len(values)} scores; at least {LEAST_SCORES} are "
                                 "needed")  # fmt: skip
        if not np.isfinite(values).all():
            raise DataError("a score is not finite (not_finite)", column=name)
        made.append(values)
    return made[0], made[1]


def _ratio(one: float, other: float) -> float | None:
    return one / other if other > 0 and math.isfinite(one) else None
