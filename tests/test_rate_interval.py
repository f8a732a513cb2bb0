"""The interval of a rate, against SciPy and the contract's figures."""

import pytest
from scipy.stats import binomtest
from stillroom.rate_interval import rate_with_interval, wilson_interval


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (3, 10), (10, 10), (480, 500)])
def test_the_interval_is_that_of_scipy(hits, trials, confidence):
    wanted = binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    assert wilson_interval(hits, trials, confidence) == pytest.approx(
        (wanted.low, wanted.high), abs=1e-12
    )


def test_intervals_are_those_of_the_contract():
    assert rate_with_interval("p", 8, 10)["p_ci95"] == pytest.approx([0.490162, 0.943318], abs=1e-6)
    assert rate_with_interval("p", 0, 10)["p_ci95"] == pytest.approx([0, 0.277533], abs=1e-6)
    assert rate_with_interval("p", 0, 0) == {"p": None, "p_ci95": None}
