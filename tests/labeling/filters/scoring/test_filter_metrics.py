"""Metrics of a student: golden numbers, and scikit-learn as the outside oracle."""

import math

import numpy as np
import pytest
from stillroom.errors import DataError
from stillroom.labeling.filters.scoring.metrics import (
    average_metrics,
    compute_metrics,
    ndcg_at,
    recall_at,
)

TRUE, PREDICTED = [9.0, 7, 5, 3, 1], [8.0, 3, 6, 5, 0]


def test_the_golden_ranks():
    assert average_metrics(PREDICTED, TRUE)["fn_rate_medium"] == pytest.approx(1 / 3)
    assert recall_at(PREDICTED, TRUE, 2) == 0.5
    assert ndcg_at(PREDICTED, TRUE, 3) == pytest.approx(0.857892, abs=1e-6)


def test_ndcg_equals_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(3)
    true = random.uniform(0, 10, 200)
    predicted = true + random.normal(0, 2, 200)  # without ties, which are counted otherwise
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
