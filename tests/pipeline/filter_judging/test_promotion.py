"""Renewals: null ones stay where they are, better ones are promoted, and each reason is said."""

import numpy as np
import pytest
from stillroom.errors import ConfigError, DataError
from stillroom.labeling.filters.filter_config import Dimension, FilterConfig, Tier
from stillroom.pipeline.filter_judging.promotion import judge_promotion

CONFIG = FilterConfig(
    "made", "1.0", dimensions=(Dimension("a", 1.0),),
    tiers=(Tier("high", 7), Tier("medium", 4), Tier("low", 0)),
)  # fmt: skip
IDS = [f"a{n:03}" for n in range(150)]


def by_id(values):
    return dict(zip(IDS, map(float, values), strict=True))


def runs(rng, true, error, count=3):
    """Runs of a recipe: noise per article, and a quality that the seed draws."""
    return [by_id(true + rng.normal(0, error * np.exp(rng.normal(0, 0.06)), 150))
            for _ in range(count)]  # fmt: skip


def renewal(seed, error=1.0, running=1.0, **options):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 10, 150)
    return judge_promotion(
        runs(rng, true, error), runs(rng, true, running), by_id(true), CONFIG, **options
    )


def test_null_renewals_are_not_promoted():
    """The full simulation is `benchmarks/filters/renewals.py`."""
    assert sum(renewal(seed).promoted for seed in range(40)) <= 4


def test_a_better_renewal_is_promoted():
    found = renewal(1, error=0.6)
    assert found.promoted
    assert found.to_dict()["gate"]["passed"]
    assert all(one.startswith("met") for one in found.reasons)


def test_a_worse_one_is_not():
    found = renewal(1, error=2.0)
    assert not found.promoted
    assert found.errors.verdict == "worse"
    assert found.reasons[0].startswith("missed: the renewal is worse than the running student")


def test_a_loss_in_one_language_stops_it():
    rng = np.random.default_rng(3)
    true = rng.uniform(0, 10, 150)
    languages = {one: "de" if n < 30 else "en" for n, one in enumerate(IDS)}
    old, new = runs(rng, true, 1.0), runs(rng, true, 0.3)
    for run in new:
        for one in IDS[:30]:
            run[one] += 2.0
    found = judge_promotion(new, old, by_id(true), CONFIG, categories=languages)
    assert found.errors.verdict == "better"
    assert not found.promoted
    assert [one.split(":")[1] for one in found.reasons if one.startswith("missed")] == [" de"]
    plain = judge_promotion(new, old, by_id(true), CONFIG)
    assert plain.promoted


def test_what_cannot_be_judged_is_refused():
    true = by_id(range(150))
    with pytest.raises(ConfigError, match="2 renewed runs"):
        judge_promotion([true] * 2, [true], true, CONFIG)
    short = {key: one for key, one in true.items() if key != "a007"}
    with pytest.raises(DataError, match=r"run 2 of the renewed student lacks 1 of 150 .* a007"):
        judge_promotion([true, short, true], [true], true, CONFIG)
