"""Two recipes, each trained with several seeds, on the same records: `compare_over_seeds`.

One lucky seed makes a student better than its predecessor on these records, truly and beyond the
chance of drawing records; but not the recipe or the data. So the spread between seeds counts too.

Sizes: K runs of the candidate, M of the baseline, N records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, DataError
from .alignment import PairedRuns
from .comparison import (
    LEAST_SOURCES,
    SIGNIFICANCE,
    Comparison,
    adjusted,
    compare_by_category,
    compare_paired,
    judged,
)
from .detectable_effect import AIMED_POWER
from .paired_tests import cluster_sums, mean_error

LEAST_RUNS: Final = 3
"""Of the candidate; fewer say too little about the spread between seeds."""
Floats = NDArray[np.float64]


def compare_over_seeds(
    candidate: Sequence[Sequence[float]] | Floats,
    baseline: Sequence[Sequence[float]] | Floats,
    clusters: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    margin: float | None = None,
    lower_is_better: bool = False,
    significance: float = SIGNIFICANCE,
) -> Comparison:
    """Compare the mean of K runs with that of M runs.

    The variance of the difference is that of drawing records (or their sources) plus that of
    drawing seeds, `s^2 (1/K + 1/M)`, where `s^2` is the pooled variance between runs of one side.
    The critical value is Cochran and Cox's (1950): the mean of those of both parts, weighted by
    their variances. Few seeds widen the interval; Satterthwaite's degrees of freedom would not do
    so where the runs of three seeds happen to be alike.

    Args:
        candidate: Values, (K, N), K at least 3.
        baseline: Values of the same records, (M, N); one run is compared as one draw of a seed.
        clusters: Number of the source record of each, (N,); None makes each its own.
        margin: Largest loss that counts as not worse, above 0.
        lower_is_better: Whether the values are errors.
        significance: Chance to call equal recipes different.

    Raises:
        ConfigError: There are fewer than three runs of the candidate.
        DataError: The sizes differ.
    """
    own, other = (np.atleast_2d(np.asarray(one, dtype=np.float64)) for one in (candidate, baseline))
    if len(own) < LEAST_RUNS:
        raise ConfigError([f"the candidate has {len(own)} runs; at least {LEAST_RUNS} seeds are "
                           "needed"])  # fmt: skip
    if own.shape[1] != other.shape[1]:
        raise DataError(f"the candidate has {own.shape[1]} records, the baseline {other.shape[1]}")
    sign = -1.0 if lower_is_better else 1.0
    gains = sign * (own.mean(axis=0) - other.mean(axis=0))  # (N,)
    sums, sizes = cluster_sums(gains, clusters)
    difference = float(gains.mean())
    runs = len(own) + len(other) - 2
    between = sum(float(((one.mean(axis=1) - one.mean()) ** 2).sum()) for one in (own, other))
    of_seeds = between / runs * (1 / len(own) + 1 / len(other))
    of_records = mean_error(sums, sizes) ** 2
    error = math.sqrt(of_seeds + of_records)
    values: dict[str, Any] = {
        "records": own.shape[1],
        "sources": len(sums),
        "candidate": float(own.mean()),
        "baseline": float(other.mean()),
        "difference": difference,
        "significance": significance,
        "margin": margin,
        "is_rate": bool(np.isin(own, (0, 1)).all() and np.isin(other, (0, 1)).all()),
        "test": f"t test over records and {len(own)} + {len(other)} seeds",
        "minimum_detectable": None,
        "records_needed": None,
        "low": -math.inf,
        "high": math.inf,
        "p_value": 1.0,
    }
    if len(sums) >= LEAST_SOURCES and error == 0:
        values |= {"low": difference, "high": difference, "p_value": float(difference == 0)}
    elif len(sums) >= LEAST_SOURCES:
        critical = _critical_values(of_records, len(sums) - 1, of_seeds, runs)
        reach = critical(significance) * error
        values |= {
            "low": difference - reach,
            "high": difference + reach,
            "p_value": _p_value(critical, abs(difference) / error),
            "minimum_detectable": reach + critical(2 * (1 - AIMED_POWER)) * error,
        }
    return judged(values, values["p_value"] < significance)


def compare_runs(
    runs: PairedRuns,
    *,
    margin: float | None = None,
    lower_is_better: bool = False,
    significance: float = SIGNIFICANCE,
) -> Comparison:
    """Compare two models, or two recipes where a side has several runs.

    Args:
        runs: One run on each side, or at least three of the candidate.
        margin: As for `compare_paired`.
        lower_is_better: As for `compare_paired`.
        significance: As for `compare_paired`.

    Raises:
        ConfigError: There are several runs, but fewer than three of the candidate.
    """
    options: dict[str, Any] = {
        "margin": margin, "lower_is_better": lower_is_better, "significance": significance
    }  # fmt: skip
    if len(runs.candidate) == len(runs.baseline) == 1:
        return compare_paired(runs.first(), **options)
    return compare_over_seeds(runs.candidate, runs.baseline, runs.sources, **options)


def compare_runs_by_category(
    runs: PairedRuns,
    *,
    margin: float | None = None,
    lower_is_better: bool = False,
    significance: float = SIGNIFICANCE,
) -> dict[str, Comparison]:
    """Compare as `compare_runs` in each category, with Holm's adjustment over the categories."""
    options: dict[str, Any] = {"margin": margin, "lower_is_better": lower_is_better}
    if len(runs.candidate) == len(runs.baseline) == 1:
        return compare_by_category(runs.first(), significance=significance, **options)
    names = sorted(set(runs.categories))
    share = significance / len(names)
    found = {name: compare_runs(runs.part(name), significance=share, **options) for name in names}
    return adjusted(found, significance)


def _critical_values(
    of_records: float, records: int, of_seeds: float, runs: int
) -> Callable[[float], float]:
    """Give the function from a two-sided significance to its critical value.

    Args:
        of_records: Variance of the difference by records.
        records: Its degrees of freedom.
        of_seeds: Variance by seeds.
        runs: Its degrees of freedom.
    """
    from scipy.stats import t

    share = of_seeds / (of_seeds + of_records)

    def critical(significance: float) -> float:
        quantile = 1 - significance / 2
        return float((1 - share) * t.ppf(quantile, records) + share * t.ppf(quantile, runs))

    return critical


def _p_value(critical: Callable[[float], float], statistic: float) -> float:
    """Find the significance whose critical value is the statistic, 0 or more."""
    from scipy.optimize import brentq

    least = 1e-12
    if critical(least) <= statistic:
        return least
    return float(brentq(lambda p: critical(p) - statistic, least, 1.0, xtol=1e-12))
