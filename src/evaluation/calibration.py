"""Fit a `ConfidenceMap` to answers that are known to be right or wrong, and measure its error.

The map is an isotonic regression (Zadrozny and Elkan 2002) of right or wrong on the signal; it
assumes only that the probability does not fall as the signal rises. Selective risk as in Geifman
and El-Yaniv 2017 (arXiv 1705.08500).

Sizes: N answers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, EmptyDataError
from ..inference.scoring.confidence import ConfidenceMap, RiskLimit, Signal

Floats = NDArray[np.float64]

RISK_TARGETS: Final = (0.01, 0.02, 0.05, 0.1)
FOLDS: Final = 5
BINS: Final = 15
BOUND_CONFIDENCE: Final = 0.9
"""Confidence with which a threshold keeps its risk target."""


@dataclass(frozen=True)
class RiskCoverage:
    """Risk over coverage when the least confident answers are withheld."""

    coverage: Floats
    """Share of answers given, ascending, (M,): one entry per distinct confidence."""
    risk: Floats
    """Share of wrong ones among them, (M,)."""
    threshold: Floats
    """Lowest confidence among the answers given, (M,)."""

    @property
    def area(self) -> float:
        """Mean risk over all coverages (AURC): 0 is perfect, the error rate is chance."""
        widths = np.diff(self.coverage, prepend=0.0)
        return float((widths * self.risk).sum())


def fit_confidence(
    signals: Mapping[Signal, Sequence[float]],
    right: Sequence[bool],
    *,
    risk_targets: Sequence[float] = RISK_TARGETS,
    seed: int = 0,
) -> ConfidenceMap:
    """Fit a map of the signal that separates right from wrong best in cross-validation.

    Args:
        signals: (N,) each; from `inference.scoring.confidence.signal_of`.
        right: (N,), whether each answer is right; the student was not trained on the questions.
        risk_targets: Shares of wrong answers that thresholds are chosen for.
        seed: Seed of the cross-validation folds.

    Raises:
        EmptyDataError: There are fewer answers than folds.
        DataError: A signal does not have N values.
    """
    y = np.asarray(right, dtype=np.float64)
    if len(y) < FOLDS:
        raise EmptyDataError(f"there are {len(y)} answers; at least {FOLDS} are needed")
    if any(len(values) != len(y) for values in signals.values()) or not signals:
        raise DataError(f"each signal needs {len(y)} values, one per answer")
    predicted = {
        name: _cross_validated(np.asarray(values, dtype=np.float64), y, seed)
        for name, values in signals.items()
    }
    name = min(predicted, key=lambda n: risk_coverage(predicted[n], y).area)
    curve = ConfidenceMap(name, fit_isotonic(np.asarray(signals[name], dtype=np.float64), y))
    # Thresholds are chosen on the stored curve: on the curves of the folds, a threshold could lie
    # between two steps of the stored one.
    probability = [curve.probability(float(value)) for value in signals[name]]
    return ConfidenceMap(
        name,
        curve.knots,
        limits=tuple(risk_limit(probability, y, target) for target in risk_targets),
        fitted_on=len(y),
        calibration_error=calibration_error(predicted[name], y),
    )


def fit_isotonic(signal: Floats, right: Floats) -> tuple[tuple[float, float], ...]:
    """Fit an ascending curve, with a knot in the middle of each flat piece.

    The probability of a piece with k right of n answers is (k + 1/2) / (n + 1), so that a few right
    answers do not give probability 1.

    Args:
        signal: (N,).
        right: (N,), 0 or 1.

    Returns:
        (signal, probability), both ascending.
    """
    from scipy.optimize import isotonic_regression  # loads for a second

    order = np.argsort(signal, kind="stable")
    x, counts_of = np.unique(signal[order], return_counts=True)
    ends = np.cumsum(counts_of)
    hits = np.add.reduceat(right[order], ends - counts_of)  # (U,)
    first = isotonic_regression(hits / counts_of, weights=counts_of)
    starts = np.asarray(first.blocks[:-1])
    n, k = np.add.reduceat(counts_of, starts), np.add.reduceat(hits, starts)
    # Smoothing moves small pieces more towards 1/2 than large ones, which may break the order.
    smooth = isotonic_regression((k + 0.5) / (n + 1.0), weights=n + 1.0)
    centre = np.add.reduceat(x * counts_of, starts) / n
    merged = np.asarray(smooth.blocks)
    return tuple(
        (float(np.average(centre[a:b], weights=n[a:b])), float(smooth.x[a]))
        for a, b in itertools.pairwise(merged)
    )


def calibration_error(
    probability: Sequence[float] | Floats, right: Sequence[Any] | Floats
) -> float:
    """Compute the expected calibration error: mean distance of predicted and observed rate.

    The 15 bins have equally many answers (Nixon et al. 2019, arXiv 1904.01685); equal probabilities
    are in the same bin.

    Args:
        probability: (N,), 0 to 1.
        right: (N,), 0 or 1.

    Returns:
        0 to 1.
    """
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if len(p) == 0:
        raise EmptyDataError("there are no answers to compare")
    order = np.argsort(p, kind="stable")
    p, y = p[order], y[order]
    cuts = [round(bin * len(p) / BINS) for bin in range(1, BINS)]
    # A cut between equal values moves behind them.
    moved = {int(np.searchsorted(p, p[cut - 1], side="right")) for cut in cuts if cut > 0}
    total = 0.0
    edges = sorted({0, len(p), *moved})
    for start, stop in itertools.pairwise(edges):
        total += abs(float(p[start:stop].sum() - y[start:stop].sum()))
    return total / len(p)


def risk_coverage(
    confidence: Sequence[float] | Floats, right: Sequence[Any] | Floats
) -> RiskCoverage:
    """Compute the risk at every coverage; answers of equal confidence are given together.

    Args:
        confidence: (N,), larger means more confident.
        right: (N,), 0 or 1.
    """
    c, y = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if len(c) == 0:
        raise EmptyDataError("there are no answers to compare")
    order = np.argsort(-c, kind="stable")
    c, wrong = c[order], np.cumsum(1.0 - y[order])
    last = np.flatnonzero(np.append(c[1:] != c[:-1], True))  # of each group of equals
    given = last + 1.0
    return RiskCoverage(given / len(c), wrong[last] / given, c[last])


def risk_limit(
    confidence: Sequence[float] | Floats, right: Sequence[Any] | Floats, target: float
) -> RiskLimit:
    """Choose the lowest threshold at which at most `target` of the answers given are wrong.

    The observed share would be exceeded on new answers half of the time. So the one-sided upper
    bound of Clopper and Pearson at 90 % must not exceed the target, as in Geifman and El-Yaniv 2017
    (arXiv 1705.08500, lemma 3.1). The bound holds for one threshold and is not corrected for trying
    many; `benchmarks/confidence.py` measures the risk on other questions.

    Args:
        confidence: (N,), larger means more confident.
        right: (N,), 0 or 1.
        target: Above 0 to 1.
    """
    from scipy.special import betaincinv

    curve = risk_coverage(confidence, right)
    n = curve.coverage * len(np.asarray(right))  # given, (M,)
    wrong = np.rint(curve.risk * n)
    bound = np.where(
        wrong < n, betaincinv(wrong + 1.0, np.maximum(n - wrong, 0.5), BOUND_CONFIDENCE), 1.0
    )
    fits = np.flatnonzero(bound <= target)
    if len(fits) == 0:
        return RiskLimit(target, None, 0.0, 0.0)
    best = fits[-1]
    return RiskLimit(
        target,
        float(curve.threshold[best]),
        float(curve.coverage[best]),
        float(curve.risk[best]),
    )


def _cross_validated(signal: Floats, right: Floats, seed: int) -> Floats:
    """Predict each answer with a curve that was fitted without its fold."""
    fold = np.random.default_rng(seed).permutation(len(right)) % FOLDS
    probability = np.empty(len(right))
    for number in range(FOLDS):
        inside = fold == number
        knots = fit_isotonic(signal[~inside], right[~inside])
        curve = ConfidenceMap("least_margin", knots)
        probability[inside] = [curve.probability(float(value)) for value in signal[inside]]
    return probability
