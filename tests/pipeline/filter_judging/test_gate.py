"""The deployment gate: golden numbers, scikit-learn as the outside oracle, and what it refuses."""

import math
from dataclasses import replace

import numpy as np
import pytest
from stillroom.errors import ConfigError, DataError, EmptyDataError
from stillroom.labeling.filters.filter_config import FilterConfig, Tier
from stillroom.pipeline.filter_judging.gate import gate_report, judge_gate

TRUE, PREDICTED = [9.0, 7, 5, 3, 1], [8.0, 3, 6, 5, 0]
CONFIG = FilterConfig("made", "1.0", tiers=(Tier("high", 7), Tier("medium", 4), Tier("low", 0)))


def by_id(values):
    return {f"r{n}": float(one) for n, one in enumerate(values)}


def drawn(count=300, noise=1.0, seed=3):
    random = np.random.default_rng(seed)
    true = np.random.default_rng(0).uniform(0, 10, count)
    return by_id(true), by_id(true + random.normal(0, noise, count))


def test_the_golden_gate():
    found = gate_report(by_id(PREDICTED), by_id(TRUE), CONFIG)
    assert [found[key] for key in ("tp", "fn", "fp", "tn", "n", "positives")] == [2, 1, 1, 1, 5, 3]
    assert found["recall"] == found["precision"] == found["f1"] == pytest.approx(2 / 3)
    assert found["mae"] == pytest.approx(1.8)
    assert found["spearman"] == pytest.approx(0.7)


def test_confusion_equals_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    true, predicted = drawn(200, 2)
    found = gate_report(predicted, true, CONFIG)
    named, guessed = (
        [["high", "medium", "low"][int(x < 7) + int(x < 4)] for x in side.values()]
        for side in (true, predicted)
    )
    theirs = metrics.confusion_matrix(named, guessed, labels=found["tiers"])
    assert found["tier_confusion"] == theirs.tolist()
    assert found["tier_accuracy"] == pytest.approx(metrics.accuracy_score(named, guessed))
    positive, passed = ([one >= 4 for one in side.values()] for side in (true, predicted))
    assert found["f1"] == pytest.approx(metrics.f1_score(positive, passed))
    assert found["recall"] == pytest.approx(metrics.recall_score(positive, passed))
    for name in ("recall", "precision", "mae", "tier_accuracy"):
        low, high = found[f"{name}_ci95"]
        assert low < found[name] < high


def test_ids_of_one_side_are_listed_and_zero_by_zero_is_none():
    found = gate_report({"a": 1.0, "b": 1.0}, {"b": 1.0, "c": 9.0}, CONFIG)
    assert (found["only_predicted"], found["only_labelled"]) == (["a"], ["c"])
    assert found["recall"] is found["precision"] is found["spearman"] is None
    assert found["recall_ci95"] is None
    assert found["specificity"] == 1.0
    with pytest.raises(EmptyDataError):
        gate_report({"a": 1.0}, {"b": 1.0}, CONFIG)
    with pytest.raises(DataError, match="not_finite"):
        gate_report({"a": math.nan}, {"a": 1.0}, CONFIG)


def test_an_average_below_all_tiers_has_its_own_row():
    found = gate_report({"a": 5.0}, {"a": 9.0}, replace(CONFIG, tiers=(Tier("high", 7),)))
    assert (found["tiers"], found["tier_confusion"]) == (["high", "low"], [[0, 1], [0, 0]])


def test_a_student_that_differs_from_a_bad_predecessor_passes():
    """The old one is off on half of the articles; agreement with it would be a fault."""
    true, new = drawn()
    old = {key: 10 - one if n % 2 else one for n, (key, one) in enumerate(true.items())}
    found = judge_gate({"old": old, "new": new}, true, CONFIG)
    assert found.passed
    assert found.against_predecessor.verdict == "better"
    back = judge_gate({"new": new, "old": old}, true, CONFIG)
    assert not back.passed
    assert back.against_predecessor.verdict == "worse"


def test_a_copy_of_the_predecessor_is_not_worse():
    true, same = drawn()
    found = judge_gate({"old": same, "new": dict(same)}, true, CONFIG)
    assert (found.passed, found.against_predecessor.verdict) == (True, "not_worse")


@pytest.mark.parametrize(
    ("make", "config", "options", "words"),
    [
        (lambda true: dict.fromkeys(true, 5.0), CONFIG, {}, "missed: it is undecided"),
        (lambda true: {k: v for k, v in true.items() if k != "r0"}, CONFIG, {},
         "missed: 1 of 300 labelled articles have no score"),
        (lambda true: {k: v + 0.5 for k, v in true.items()},
         replace(CONFIG, training={"expected_mae": 0.4}), {}, "missed: MAE is 0.500"),
        (lambda true: {k: v - 1 for k, v in true.items()}, CONFIG, {"min_recall": 0.95},
         "missed: recall is 0.8"),
    ],
)  # fmt: skip
def test_what_is_missed_is_said(make, config, options, words):
    true, _ = drawn()
    if words.startswith("missed: it is undecided"):
        middle = sum(true.values()) / len(true)
        found = judge_gate({"new": dict.fromkeys(true, middle)}, true, config)
    else:
        found = judge_gate({"new": make(true)}, true, config, **options)
    assert not found.passed
    assert [one for one in found.reasons if one.startswith(words)]
    assert found.to_dict()["passed"] is False


def test_wrong_options_are_refused():
    with pytest.raises(ConfigError, match=r"model is needed(?s:.)*min_recall is 2"):
        judge_gate({}, {"a": 1.0}, CONFIG, min_recall=2)
