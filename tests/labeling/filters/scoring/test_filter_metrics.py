"""Metrics and the gate: golden numbers, and scikit-learn as the outside oracle."""

import math
from dataclasses import replace

import numpy as np
import pytest
from stillroom.errors import DataError, EmptyDataError
from stillroom.labeling.filters.filter_config import FilterConfig, Tier
from stillroom.labeling.filters.scoring.metrics import (
    average_metrics,
    compute_metrics,
    gate_report,
    ndcg_at,
    recall_at,
)

TRUE, PREDICTED = [9.0, 7, 5, 3, 1], [8.0, 3, 6, 5, 0]
CONFIG = FilterConfig("made", "1.0", tiers=(Tier("high", 7), Tier("medium", 4), Tier("low", 0)))


def by_id(values):
    return {f"r{n}": one for n, one in enumerate(values)}


def test_the_golden_gate():
    found = gate_report(by_id(PREDICTED), by_id(TRUE), CONFIG)
    assert [found[key] for key in ("tp", "fn", "fp", "tn", "n", "positives")] == [2, 1, 1, 1, 5, 3]
    assert found["recall"] == found["precision"] == found["f1"] == pytest.approx(2 / 3)
    assert found["mae"] == pytest.approx(1.8)
    assert found["spearman"] == pytest.approx(0.7)
    assert average_metrics(PREDICTED, TRUE)["fn_rate_medium"] == pytest.approx(1 / 3)
    assert recall_at(PREDICTED, TRUE, 2) == 0.5
    assert ndcg_at(PREDICTED, TRUE, 3) == pytest.approx(0.857892, abs=1e-6)


def test_confusion_and_ndcg_equal_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(3)
    true = random.uniform(0, 10, 200)
    predicted = true + random.normal(0, 2, 200)  # without ties, which are counted otherwise
    found = gate_report(by_id(predicted), by_id(true), CONFIG, resamples=200)
    named = [["high", "medium", "low"][int(x < 7) + int(x < 4)] for x in true]
    guessed = [["high", "medium", "low"][int(x < 7) + int(x < 4)] for x in predicted]
    theirs = metrics.confusion_matrix(named, guessed, labels=found["tiers"])
    assert found["tier_confusion"] == theirs.tolist()
    assert found["tier_accuracy"] == pytest.approx(metrics.accuracy_score(named, guessed))
    positive, passed = true >= 4, predicted >= 4
    assert found["f1"] == pytest.approx(metrics.f1_score(positive, passed))
    low, high = found["recall_ci95"]
    assert low < found["recall"] < high
    assert ndcg_at(predicted, true, 20) == pytest.approx(
        metrics.ndcg_score([true], [predicted], k=20)
    )


def test_dimensions_bands_and_weights():
    predictions, labels = [[1, 9], [5, 5]], [[2, 9], [5, 9]]
    found = compute_metrics(predictions, labels, ["a", "b"], {"a": 0.25, "b": 0.75})
    assert (found["a_mae"], found["b_mae"], found["mae"]) == (0.5, 2.0, 1.25)
    assert found["b_rmse"] == pytest.approx(math.sqrt(8))
    assert found["n_band_6_8"] == 1
    assert found["mae_band_6_8"] == pytest.approx(0.25)
    assert found["mae_band_8_10"] == pytest.approx(3.0)
    assert "mae_band_0_2" not in found
    assert found["n_band_0_2"] == 0
    assert compute_metrics([[1]], [[1]], ["a"]).get("recall_medium") is None


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


@pytest.mark.parametrize(
    ("predictions", "labels", "words"),
    [
        ([[1, 2]], [[1]], "shape"),
        ([], [], "no scores"),
        ([[1]], [[math.nan]], "not_finite"),
        ([[1], [2]], [[1]], "2 predictions and 1 labels"),
    ],
)
def test_what_cannot_be_compared_is_refused(predictions, labels, words):
    with pytest.raises(DataError, match=words):
        compute_metrics(predictions, labels, ["a"])
