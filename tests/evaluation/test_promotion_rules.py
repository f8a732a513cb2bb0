"""The promotion gate: null candidates stay out, better ones pass, conditions tell their numbers."""

import json

import numpy as np
import pytest
from stillroom.errors import ConfigError, DataError, EmptyDataError
from stillroom.evaluation.promotion import Costs, PromotionRules, judge_promotion
from stillroom.evaluation.statistics.alignment import Outcome, PairedRuns, align_runs

RECORDS, SOURCES = 400, 100
IDS = tuple(f"q{n:03}" for n in range(RECORDS))
SOURCE = np.arange(RECORDS) // (RECORDS // SOURCES)
CATEGORIES = tuple("price" if n % 2 else "colour" for n in range(RECORDS))


def drawn(rng, gains=(0.0, 0.0), *, new=3, old=3, rate=0.8, spread=0.02):
    """Draw right and wrong answers of both recipes.

    Whether a question is hard, and how much a source and a category can be learned, is shared by
    all runs of a recipe; each run is better or worse by its seed.
    """
    hard = rng.normal(0, 0.15, RECORDS) + rng.normal(0, 0.1, SOURCES)[SOURCE]
    gain = np.where(np.array(CATEGORIES) == "price", *gains)

    def runs(count, more):
        recipe = rate + hard + rng.normal(0, 0.05, RECORDS) + more
        seeds = recipe + rng.normal(0, spread, (count, 1))
        return (rng.random((count, RECORDS)) < seeds).astype(float)

    return PairedRuns(IDS, runs(new, gain), runs(old, 0.0), SOURCE, CATEGORIES)


@pytest.mark.parametrize(("new", "old"), [(3, 3), (3, 1), (1, 1)])
def test_null_candidates_are_promoted_at_most_one_time_in_twenty(new, old):
    rules = PromotionRules(least_runs=new)
    # Without several runs the spread of seeds cannot be told from a gain.
    spread = 0.02 if new > 1 and old > 1 else 0.0
    rng = np.random.default_rng(7)
    found = [
        judge_promotion(drawn(rng, new=new, old=old, spread=spread), rules).promoted
        for _ in range(200)
    ]
    assert sum(found) <= 10


def test_a_candidate_that_is_worse_by_the_margin_is_rarely_called_not_worse():
    rules = PromotionRules(demand="not_worse", margin=0.05, category_bound=0.2)
    rng = np.random.default_rng(8)
    found = [judge_promotion(drawn(rng, (-0.05, -0.05)), rules).promoted for _ in range(100)]
    assert sum(found) <= 5


def test_a_better_candidate_is_promoted_and_each_condition_tells_its_number():
    rules = PromotionRules(most_bytes=20_000_000, least_tokens_per_second=100, most_ms=50)
    runs = drawn(np.random.default_rng(1), (0.15, 0.15))
    found = judge_promotion(runs, rules, Costs(12_000_000, 250.0, 8.25), candidate="new")
    assert found.promoted, found.reasons
    assert [one.name for one in found.conditions] == [
        "seeds", "quality", "category: colour", "category: price", "size", "speed", "time",
    ]  # fmt: skip
    quality = found.conditions[1]
    assert quality.found == pytest.approx(runs.candidate.mean() - runs.baseline.mean())
    assert found.reasons[-3:] == [
        "met: 12,000,000 bytes on disk; at most 20,000,000 bytes on disk allowed",
        "met: 250 tokens per second; at least 100 tokens per second allowed",
        "met: 8.25 ms a question; at most 50 ms a question allowed",
    ]
    assert found.in_words("new") == "new is promoted: all 7 conditions are met"
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["promoted"] is True


def test_a_better_one_is_held_back_by_a_category():
    runs = drawn(np.random.default_rng(2), (0.4, -0.1), rate=0.5, spread=0.0)
    found = judge_promotion(runs)
    assert found.overall.verdict == "better"
    assert found.in_words() == "the candidate is not promoted; missed: category: colour"
    assert found.categories["colour"].difference < -0.05


@pytest.mark.parametrize(
    ("rules", "costs", "reason"),
    [
        (PromotionRules(most_bytes=1000), Costs(1001), "missed: 1,001 bytes on disk; at most"),
        (PromotionRules(most_bytes=1000), Costs(), "missed: not known; at most 1,000 bytes"),
        (PromotionRules(most_ms=2), Costs(ms=2.5), "missed: 2.5 ms a question; at most 2 ms"),
        (PromotionRules(least_tokens_per_second=9), None, "missed: not known; at least 9 tokens"),
        (PromotionRules(least_runs=5), None, "missed: 3 runs of the candidate"),
    ],
)
def test_what_misses_a_budget_is_not_promoted(rules, costs, reason):
    found = judge_promotion(drawn(np.random.default_rng(1), (0.15, 0.15)), rules, costs)
    assert not found.promoted
    (missed,) = [one for one in found.reasons if one.startswith("missed")]
    assert missed.startswith(reason)


def test_small_categories_are_named_and_not_judged():
    runs = drawn(np.random.default_rng(1), (0.15, 0.15))
    names = tuple("rare" if n < 19 else one for n, one in enumerate(CATEGORIES))
    runs = PairedRuns(IDS, runs.candidate, runs.baseline, SOURCE, names)
    found = judge_promotion(runs)
    assert set(found.categories) == {"colour", "price"}
    assert found.not_judged == ("rare",)


def test_rules_out_of_range_are_all_named():
    with pytest.raises(ConfigError) as caught:
        PromotionRules(demand="best", margin=0, category_bound=-1, least_runs=2, most_bytes=0)
    assert len(caught.value.faults) == 5


def test_shuffled_runs_align_and_a_mismatch_is_refused_by_name():
    def outcomes(values, order=1):
        return [Outcome(f"q{n}", value, category="a") for n, value in enumerate(values)][::order]

    runs = align_runs([outcomes([1, 0, 1], -1), outcomes([0, 0, 1])], [outcomes([1, 1, 0])])
    assert runs.candidate.tolist() == [[1, 0, 1], [0, 0, 1]]
    assert runs.baseline.tolist() == [[1, 1, 0]]
    with pytest.raises(DataError, match="1 records are in the new alone: 'q2'"):
        align_runs([outcomes([1, 0, 1])], [outcomes([1, 0])], ("new", "old"))
    with pytest.raises(EmptyDataError, match="no runs of the old"):
        align_runs([outcomes([1])], [], ("new", "old"))
