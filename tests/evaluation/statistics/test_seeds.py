"""Recipes over several seeds: equal ones are told apart rarely, though their runs differ."""

import math

import numpy as np
import pytest
from stillroom.errors import ConfigError, DataError
from stillroom.evaluation.statistics.alignment import Paired
from stillroom.evaluation.statistics.comparison import compare_paired
from stillroom.evaluation.statistics.seeds import compare_over_seeds


def runs(rng, count, records=300, quality=0.1, gain=0.0):
    """Errors of runs: each seed is a little better or worse on all records."""
    return rng.normal(1 - gain, 0.5, (count, records)) + rng.normal(0, quality, (count, 1))


@pytest.mark.parametrize(("new", "old"), [(3, 1), (3, 3), (5, 5)])
def test_equal_recipes_are_called_better_at_most_one_time_in_twenty(new, old):
    rng = np.random.default_rng(new * old)
    over, single = 0, 0
    for number in range(1000):
        ours, theirs = runs(rng, new), runs(rng, old)
        over += compare_over_seeds(ours, theirs, lower_is_better=True).verdict == "better"
        if number < 100:
            ids = tuple(map(str, range(300)))
            one = Paired(ids, ours[0], theirs[0], np.arange(300), ("",) * 300)
            found = compare_paired(one, lower_is_better=True, resamples=500)
            single += found.verdict == "better"
    assert over <= 50
    assert single > 20  # one seed each: the luck of a seed passes for a better recipe


def test_a_better_recipe_is_found_and_the_printed_difference_in_four_of_five():
    rng = np.random.default_rng(3)
    # The spread is estimated from ten runs, so the figure varies; its square does not mislead.
    printed = math.sqrt(np.mean([
        compare_over_seeds(runs(rng, 5), runs(rng, 5)).minimum_detectable ** 2 for _ in range(400)
    ]))  # fmt: skip
    better = sum(
        compare_over_seeds(
            runs(rng, 5, gain=printed), runs(rng, 5), lower_is_better=True
        ).verdict == "better"
        for _ in range(500)
    )  # fmt: skip
    assert better >= 0.78 * 500


def test_without_spread_between_seeds_it_is_the_paired_t_test():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.1, 1, (2, 80))
    # Runs that are equal in the mean: only records vary.
    found = compare_over_seeds(np.tile(one, (4, 1)), np.tile(other, (4, 1)))
    assert found.p_value == pytest.approx(stats.ttest_rel(one, other).pvalue)
    low, high = stats.ttest_rel(one, other).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high))


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ConfigError, match="2 runs; at least 3"):
        compare_over_seeds(np.zeros((2, 20)), np.zeros((3, 20)))
    with pytest.raises(DataError, match="20 records, the baseline 19"):
        compare_over_seeds(np.zeros((3, 20)), np.zeros((3, 19)))
    few = compare_over_seeds(np.ones((3, 5)), np.zeros((3, 5)))
    assert (few.verdict, few.minimum_detectable) == ("undecided", None)
    assert compare_over_seeds(np.zeros((3, 20)), np.zeros((3, 20))).verdict == "undecided"
