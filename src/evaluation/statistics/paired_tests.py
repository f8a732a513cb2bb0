"""Tests and intervals of differences between two models on the same records.

Sizes: N records, G source records (clusters), R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, EmptyDataError
from ...rate_interval import wilson_interval

RESAMPLES: Final = 5000
SEED: Final = 42
_MOST_DRAWS: Final = 4_000_000
"""Drawn at once, so that memory does not grow with R times G."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeanInterval:
    """A mean over records, with what is known about it."""

    mean: float
    low: float
    high: float
    p_value: float
    """Two-sided, of a true mean of 0."""
    standard_error: float
    clusters: int


def mcnemar_exact(only_candidate: int, only_baseline: int) -> float:
    """Test whether two models are right equally often (McNemar 1947, exact binomial form).

    Args:
        only_candidate: Records that the candidate alone has right.
        only_baseline: Records that the baseline alone has right.

    Returns:
        The two-sided p-value, 0 to 1.

    >>> round(mcnemar_exact(12, 3), 5)
    0.03516
    """
    from scipy.special import bdtr

    trials = only_candidate + only_baseline
    if trials == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_candidate, only_baseline), trials, 0.5)))


def paired_rate_interval(
    both: int, only_candidate: int, only_baseline: int, neither: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Compute the interval of the difference between two rates on the same records.

    It joins the Wilson intervals of both rates (Newcombe 1998, Statistics in Medicine 17:2635,
    method 10), so it has a width also where the models agree on every record.

    Args:
        both: Records that both models have right; the other counts likewise, and at least one is
            above 0.
        only_candidate: Those that the candidate alone has right.
        only_baseline: Those that the baseline alone has right.
        neither: Those that neither has right.
        confidence: Of the two-sided interval.

    Returns:
        Both ends of the candidate's rate minus the baseline's, -1 to 1.
    """
    n = both + only_candidate + only_baseline + neither
    if n == 0:
        raise EmptyDataError("there are no records to compare")
    first, second = both + only_candidate, both + only_baseline
    p1, p2 = first / n, second / n
    low1, high1 = wilson_interval(first, n, confidence)
    low2, high2 = wilson_interval(second, n, confidence)
    spread = math.sqrt(float(first) * (n - first) * second * (n - second))
    shared = float(both) * neither - float(only_candidate) * only_baseline
    if shared > 0:
        shared = max(0.0, shared - n / 2)  # Newcombe's correction of continuity
    phi = shared / spread if spread else 0.0

    def width(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    difference = p1 - p2
    low = difference - width(p1 - low1, high2 - p2)
    high = difference + width(high1 - p1, p2 - low2)
    return max(-1.0, low), min(1.0, high)


def bootstrap_mean(
    values: Sequence[float] | Floats,
    clusters: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> MeanInterval:
    """Compute the interval of a mean by drawing source records with replacement.

    Of the differences of two models this is the paired bootstrap. The percentiles are widened as
    Hesterberg 2015 (arXiv 1411.5279, section 5.3) does, since plain percentiles of few source
    records are too narrow: by a twentieth at 20, and not visibly at 200.

    Args:
        values: One per record, (N,).
        clusters: Number of the source record of each, (N,); None makes each record its own.
        confidence: Of the two-sided interval.
        resamples: R.
        seed: Of the draws.

    Raises:
        EmptyDataError: There are no values.
        DataError: A value is not finite, or the sizes differ.
    """
    sums, sizes = cluster_sums(values, clusters)
    count = len(sums)
    mean = float(sums.sum() / sizes.sum())
    if count == 1:
        return MeanInterval(mean, -math.inf, math.inf, 1.0, math.inf, 1)
    means = _resampled(sums, sizes, resamples, seed)
    tail = expanded_tail((1 - confidence) / 2, count)
    low, high = (float(one) for one in np.quantile(means, (tail, 1 - tail)))
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    # One is added to both counts, as the sample itself is one of the draws: p is never 0.
    share = (beyond + 1) / (resamples + 1)
    return MeanInterval(mean, low, high, _contracted(share, count), float(means.std()), count)


def cluster_sums(
    values: Sequence[float] | Floats, clusters: Sequence[int] | NDArray[np.int64] | None = None
) -> tuple[Floats, Floats]:
    """Sum up values by source record; see `bootstrap_mean`.

    Returns:
        Sum of the values and number of records of each source record, (G,) each.
    """
    given = np.asarray(values, dtype=np.float64)
    if given.size == 0:
        raise EmptyDataError("there are no values to compare")
    if not np.isfinite(given).all():
        raise DataError("a value is not finite (not_finite)")
    if clusters is None:
        return given, np.ones_like(given)
    if len(clusters) != len(given):
        raise DataError(f"there are {len(given)} values and {len(clusters)} source records")
    numbers = np.unique(np.asarray(clusters), return_inverse=True)[1]
    sums = np.bincount(numbers, weights=given).astype(np.float64)
    return sums, np.bincount(numbers).astype(np.float64)


def mean_error(sums: Floats, sizes: Floats) -> float:
    """Compute the standard error of a mean over records from `cluster_sums`; infinite for one."""
    count = len(sums)
    if count < 2:
        return math.inf
    spread = sums - sums.sum() / sizes.sum() * sizes
    return float(math.sqrt(count / (count - 1) * float((spread**2).sum())) / sizes.sum())


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values for testing several categories (Holm 1979).

    >>> {name: round(p, 3) for name, p in holm({"a": 0.01, "b": 0.04, "c": 0.03}).items()}
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    adjusted, highest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda one: p_values[one])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def expanded_tail(tail: float, clusters: int) -> float:
    """Give the share of draws in a tail that makes up for few source records (at least 2)."""
    from scipy.stats import t

    quantile = float(t.ppf(tail, clusters - 1))
    return NormalDist().cdf(quantile * math.sqrt(clusters / (clusters - 1)))


def _contracted(share: float, clusters: int) -> float:
    """Turn the share of draws beyond 0 into a p-value; the inverse of `expanded_tail`."""
    from scipy.stats import t

    if share >= 0.5:
        return 1.0
    quantile = NormalDist().inv_cdf(share) * math.sqrt((clusters - 1) / clusters)
    return min(1.0, 2 * float(t.cdf(quantile, clusters - 1)))


def _resampled(sums: Floats, sizes: Floats, resamples: int, seed: int) -> Floats:
    """Draw source records, R times G, and compute the mean of each draw, (R,)."""
    count = len(sums)
    generator: Any = np.random.default_rng(seed)
    rows = max(1, _MOST_DRAWS // count)
    means = []
    for start in range(0, resamples, rows):
        drawn = generator.integers(0, count, (min(rows, resamples - start), count))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(means)
