"""Curves against simulated answers whose probabilities are known, and against SciPy and hand."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest
from stillroom.errors import DataError, EmptyDataError
from stillroom.evaluation.calibration import (
    calibration_error,
    fit_confidence,
    fit_isotonic,
    risk_coverage,
    risk_limit,
)


def simulated(count, seed):
    rng = np.random.default_rng(seed)
    signal = 3.0 + 3.0 * rng.normal(size=count)
    probability = 1.0 / (1.0 + np.exp(-signal))
    return signal, probability, rng.random(count) < probability


def test_the_curve_finds_the_probabilities_behind_the_answers():
    signal, _, right = simulated(4000, seed=1)
    fitted = fit_confidence({"least_margin": signal}, right)
    new_signal, probability, new_right = simulated(20000, seed=2)
    found = np.array([fitted.probability(float(value)) for value in new_signal])
    assert np.abs(found - probability).mean() < 0.02
    assert calibration_error(found, new_right) < 0.02
    assert fitted.calibration_error < 0.03


@pytest.mark.parametrize("seed", range(5))
def test_limits_hold_on_new_answers(seed):
    signal, _, right = simulated(3000, seed)
    fitted = fit_confidence({"least_margin": signal}, right, risk_targets=(0.02, 0.05, 0.1))
    new_signal, _, new_right = simulated(3000, seed + 100)
    found = np.array([fitted.probability(float(value)) for value in new_signal])
    for limit in fitted.limits:
        given = found >= limit.threshold
        risk = 1.0 - new_right[given].mean()
        both = (2 * risk * (1 - risk) / given.sum()) ** 0.5  # the threshold was drawn too
        assert risk <= limit.target + 2.5 * both
        assert given.mean() == pytest.approx(limit.coverage, abs=0.05)


def test_the_signal_that_sorts_best_is_taken():
    signal, _, right = simulated(500, seed=3)
    noise = np.random.default_rng(0).normal(size=500)
    assert fit_confidence({"log_probability": noise, "least_margin": signal}, right).signal == (
        "least_margin"
    )


def test_the_curve_rises_and_never_promises_certainty():
    signal = np.arange(40.0)
    knots = fit_isotonic(signal, (signal >= 20).astype(float))
    assert [p for _, p in knots] == sorted(p for _, p in knots)
    assert [p for _, p in knots] == pytest.approx([0.5 / 21, 20.5 / 21])
    assert all(0.0 < p < 1.0 for _, p in knots)


def test_small_pieces_do_not_break_the_order():
    right = np.array([0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1], dtype=float)
    for seed in range(20):
        signal = np.random.default_rng(seed).normal(size=20).round(1)  # with equal values
        knots = fit_isotonic(signal, right)
        assert all(a[0] < b[0] and a[1] <= b[1] for a, b in itertools.pairwise(knots))


def test_error_and_risk_by_hand():
    assert calibration_error([0.9] * 10, [1] * 9 + [0]) == pytest.approx(0.0)
    assert calibration_error([1.0] * 4, [1, 1, 0, 0]) == pytest.approx(0.5)
    curve = risk_coverage([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([0.0, 1 / 3, 0.5])
    assert curve.threshold.tolist() == [0.9, 0.5, 0.1]
    assert curve.area == pytest.approx(0.5 / 3 + 0.25 * 0.5)
    assert risk_limit([0.9], [1], 0.1).threshold is None  # one right answer promises little
    assert risk_limit([0.9] * 22, [1] * 22, 0.1).threshold == 0.9  # 0.9 ** 22 < 0.1
    assert risk_limit([0.9] * 21, [1] * 21, 0.1).threshold is None
    assert risk_limit([0.9] * 9, [0] * 9, 0.99).threshold is None


def exact_bound(wrong, given):
    """Give the upper end of an 80 % interval: one in ten beyond it."""
    return binomtest(wrong, given).proportion_ci(0.8, method="exact").high


@pytest.mark.parametrize("target", [0.02, 0.05, 0.2])
def test_the_threshold_is_the_lowest_whose_exact_bound_keeps_the_target(target):
    _, sure, right = simulated(400, seed=4)
    sure = sure.round(2)  # with equal values
    limit = risk_limit(sure, right, target)
    bounds = {
        cut: exact_bound(int((~right[sure >= cut]).sum()), int((sure >= cut).sum()))
        for cut in set(sure)
    }
    assert limit.threshold == min(cut for cut, bound in bounds.items() if bound <= target)
    given = sure >= limit.threshold
    assert (limit.coverage, limit.risk) == (given.mean(), pytest.approx(1 - right[given].mean()))


def test_faults_are_named():
    with pytest.raises(EmptyDataError, match="at least 5"):
        fit_confidence({"least_margin": [1.0]}, [True])
    with pytest.raises(DataError, match="5 values"):
        fit_confidence({"least_margin": [1.0]}, [True] * 5)
