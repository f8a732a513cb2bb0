"""Drift of scores and of an oracle: noticed where it is there, and rarely where it is not."""

import numpy as np
import pytest
from stillroom.errors import DataError, EmptyDataError
from stillroom.evaluation.score_drift import oracle_drift, score_drift

NAMES = ("a", "b", "c", "d")


def anchors(rng, count=80, shift=0.0, scale=1.0):
    before, after = {}, {}
    for name in NAMES:
        true = rng.uniform(0, 10, count)
        before[name], after[name] = (true + rng.normal(0, 0.5, count) for _ in range(2))
    after["b"] = 5 + scale * (after["b"] - 5) + shift
    return before, after


def alarms(rounds, **changes):
    rng = np.random.default_rng(1)
    return [
        {name for name, one in oracle_drift(*anchors(rng, **changes)).items() if one.drifted}
        for _ in range(rounds)
    ]


def test_a_steady_oracle_rarely_raises_an_alarm():
    assert sum(map(bool, alarms(100))) <= 10


@pytest.mark.parametrize("changes", [{"shift": 0.4}, {"shift": -0.4}, {"scale": 0.85}])
def test_a_drifted_oracle_is_noticed_and_named(changes):
    found = alarms(25, **changes)
    assert sum("b" in one for one in found) >= 23


def test_the_shift_has_an_interval_and_says_what_it_could_find():
    rng = np.random.default_rng(2)
    found = oracle_drift(*anchors(rng, shift=0.5))
    assert found["b"].low < found["b"].shift < found["b"].high
    assert found["b"].minimum_detectable < 0.4
    assert "b: drifted; mean +0." in found["b"].in_words()
    assert "a: no drift found" in found["a"].in_words()
    assert oracle_drift(*anchors(rng, scale=0.5))["b"].spread == pytest.approx(0.5, abs=0.1)


def test_other_articles_are_compared_as_distributions():
    rng = np.random.default_rng(4)
    before = {name: rng.normal(5, 1, 500) for name in NAMES}
    same = {name: rng.normal(5, 1, 400) for name in NAMES}
    assert not any(one.drifted for one in score_drift(before, same).values())
    found = score_drift(before, {**same, "c": rng.normal(5.5, 1, 400)})
    assert [name for name, one in found.items() if one.drifted] == ["c"]
    wide = score_drift(before, {**same, "c": rng.normal(5, 2, 400)})  # the same mean
    assert wide["c"].drifted
    assert "distance" in wide["c"].in_words()


def test_a_certain_change_that_does_not_matter_is_no_alarm():
    rng = np.random.default_rng(5)
    before, after = ({"a": rng.normal(mean, 1, 200_000)} for mean in (5.0, 5.05))
    found = score_drift(before, after)["a"]
    assert found.p_value < 0.001
    assert not found.drifted
    assert score_drift(before, after, least=0.01)["a"].drifted


def test_what_cannot_be_compared_is_refused():
    many = {"a": np.arange(20.0)}
    with pytest.raises(EmptyDataError, match="a has 19"):
        score_drift(many, {"a": np.arange(19.0)})
    with pytest.raises(DataError, match="dimensions differ"):
        oracle_drift(many, {"b": np.arange(20.0)})
    with pytest.raises(DataError, match="20 anchors before and 21"):
        oracle_drift(many, {"a": np.arange(21.0)})
    with pytest.raises(DataError, match="not_finite"):
        oracle_drift(many, {"a": np.full(20, np.nan)})
