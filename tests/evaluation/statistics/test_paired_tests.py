"""Tests and intervals against SciPy and statsmodels."""

import warnings

import numpy as np
import pytest
from scipy import stats
from stillroom.errors import DataError, EmptyDataError
from stillroom.evaluation.statistics.paired_tests import (
    bootstrap_mean,
    cluster_sums,
    expanded_tail,
    holm,
    mcnemar_exact,
    mean_error,
    paired_rate_interval,
)


@pytest.mark.parametrize(
    ("gained", "lost"), [(0, 0), (5, 0), (12, 3), (7, 7), (30, 51), (400, 340)]
)
def test_mcnemar_is_that_of_statsmodels_and_scipy(gained, lost):
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    wanted = tables.mcnemar([[20, gained], [lost, 9]], exact=True).pvalue
    assert mcnemar_exact(gained, lost) == pytest.approx(wanted, abs=1e-12)
    if gained + lost:
        assert wanted == pytest.approx(stats.binomtest(gained, gained + lost).pvalue, abs=1e-9)


def test_holm_is_that_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(0)
    for size in (1, 2, 9):
        given = {f"c{n}": float(p) for n, p in enumerate(rng.random(size) ** 3)}
        wanted = multitest.multipletests(list(given.values()), method="holm")[1]
        assert list(holm(given).values()) == pytest.approx(wanted.tolist())


@pytest.mark.parametrize("clustered", [False, True])
def test_the_bootstrap_is_that_of_scipy(clustered):
    rng = np.random.default_rng(3)
    values = rng.normal(0.1, 1, 90)
    clusters = rng.integers(0, 40, 90) if clustered else None
    sums, sizes = cluster_sums(values, clusters)
    # The same widened percentiles, asked from SciPy.
    level = 1 - 2 * expanded_tail(0.025, len(sums))
    found = bootstrap_mean(values, clusters, resamples=2000, seed=7)
    wanted = stats.bootstrap(
        (sums, sizes), lambda s, n, axis=-1: s.sum(axis=axis) / n.sum(axis=axis), paired=True,
        vectorized=True, n_resamples=2000, confidence_level=level, method="percentile",
        rng=np.random.default_rng(7),
    )  # fmt: skip
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval), abs=1e-12)
    assert found.standard_error == pytest.approx(wanted.standard_error, rel=1e-3)
    assert found.mean == pytest.approx(values.mean())


def test_the_bootstrap_does_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    whole = bootstrap_mean(values, resamples=300)
    module = bootstrap_mean.__module__
    monkeypatch.setattr(f"{module}._MOST_DRAWS", 50 * 7)
    assert bootstrap_mean(values, resamples=300) == whole


def test_many_records_of_one_source_count_once():
    rng = np.random.default_rng(1)
    values = rng.normal(size=60)
    single = bootstrap_mean(values)
    copied = bootstrap_mean(np.repeat(values, 10), np.repeat(np.arange(60), 10))
    assert (copied.low, copied.high, copied.p_value) == pytest.approx(
        (single.low, single.high, single.p_value)
    )
    naive = bootstrap_mean(np.repeat(values, 10))
    assert naive.high - naive.low < 0.5 * (copied.high - copied.low)


def test_p_and_interval_say_the_same():
    rng = np.random.default_rng(5)
    for _ in range(40):
        found = bootstrap_mean(rng.normal(0.3, 1, 40), resamples=1999)
        if abs(found.p_value - 0.05) > 0.01:
            assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize("count", [12, 40])
def test_the_interval_of_a_mean_covers_it(count):
    """The widened percentiles cover as often as promised also where there are few sources."""
    rng = np.random.default_rng(count)
    hits = 0
    for number in range(600):
        found = bootstrap_mean(rng.normal(0, 1, count), resamples=500, seed=number)
        hits += found.low <= 0 <= found.high
    assert stats.binomtest(hits, 600).proportion_ci(0.99).high > 0.95


def test_the_error_of_a_mean_is_that_of_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(2)
    clusters = rng.integers(0, 30, 200)
    values = rng.normal(size=200) + rng.normal(size=30)[clusters]
    fit = api.OLS(values, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )
    sums, sizes = cluster_sums(values, clusters)
    wanted = fit.bse[0] * np.sqrt(len(sums) / (len(sums) - 1))
    assert mean_error(sums, sizes) == pytest.approx(wanted)
    assert mean_error(*cluster_sums(values)) == pytest.approx(stats.sem(values))


def test_the_interval_of_paired_rates_is_newcombes():
    """Without correlation it is his interval for independent rates, which statsmodels has."""
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    found = paired_rate_interval(20, 30, 10, 15)  # 20 * 15 == 30 * 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = proportion.confint_proportions_2indep(
            50, 75, 30, 75, method="newcomb", compare="diff"
        )
    assert found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(("rate", "flips"), [(0.9, 0.1), (0.5, 0.4), (0.98, 0.02)])
def test_the_interval_of_paired_rates_covers_the_difference(rate, flips):
    rng = np.random.default_rng(4)
    hits, rounds, count = 0, 1500, 120
    # The candidate gains three of five flips, the baseline two.
    gain, loss = 0.6 * flips, 0.4 * flips
    shares = (
        [rate - gain, gain, loss, 1 - rate - loss] if rate < 0.98 else [0.97, 0.012, 0.008, 0.01]
    )
    truth = shares[1] - shares[2]
    for table in rng.multinomial(count, shares, rounds):
        low, high = paired_rate_interval(*map(int, table))
        hits += low <= truth <= high
    assert stats.binomtest(hits, rounds).proportion_ci(0.99).high > 0.95


def test_equal_answers_still_leave_doubt():
    low, high = paired_rate_interval(20, 0, 0, 0)
    assert low < -0.1
    assert high > 0.1
    few, many = (paired_rate_interval(n // 2, 0, 0, n // 2) for n in (20, 2000))
    assert few[1] - few[0] > 5 * (many[1] - many[0]) > 0


def test_values_that_cannot_be_compared_are_refused():
    with pytest.raises(EmptyDataError):
        bootstrap_mean([])
    with pytest.raises(DataError, match="not_finite"):
        bootstrap_mean([1.0, float("inf")])
    with pytest.raises(DataError, match="2 values and 1 source"):
        bootstrap_mean([1.0, 2.0], [0])
    with pytest.raises(EmptyDataError):
        paired_rate_interval(0, 0, 0, 0)
    assert bootstrap_mean([1.0, 2.0], [0, 0]).p_value == 1.0
