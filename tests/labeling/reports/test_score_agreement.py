"""Agreement of the scores of teacher and student over a stage: contracts.md 4.5."""

import math
import random

import pytest
from scipy import stats
from stillroom.errors import ConfigError
from stillroom.labeling.reports import score_agreement as module
from stillroom.labeling.reports.external_sort import ExternalSort
from stillroom.labeling.reports.score_agreement import ScoreAgreement, score_agreement


def test_the_golden_vector_of_the_contract():
    found = score_agreement([1, 0.5, 0, 0.5, None], [0.9, 0.5, 0.2, 0, 1], pass_threshold=0.5)
    assert found == {
        "total": 5, "matched": 4, "missing": 1, "teacher_mean": 0.5, "student_mean": 0.4,
        "mae": pytest.approx(0.2), "rmse": pytest.approx(0.273861, abs=1e-6),
        "agreement_at_0.0": 0.25, "agreement_at_0.05": 0.25, "agreement_at_0.1": 0.5,
        "agreement_at_0.2": 0.75, "pearson": pytest.approx(0.729800, abs=1e-6),
        "spearman": pytest.approx(0.632456, abs=1e-6), "pass_threshold": 0.5,
        "pass_agreement": 0.75,
    }  # fmt: skip


def test_correlations_are_those_of_scipy():
    source = random.Random(7)
    for _ in range(20):
        first = [source.choice((0, 0.5, 1, source.random())) for _ in range(30)]
        second = [x + source.choice((0, 0.1, -0.3)) for x in first]
        found = score_agreement(first, second)
        assert found["pearson"] == pytest.approx(stats.pearsonr(first, second).statistic)
        assert found["spearman"] == pytest.approx(stats.spearmanr(first, second).statistic)


@pytest.mark.parametrize(
    ("teacher", "student", "matched", "pearson"),
    [([], [], 0, "absent"), ([True, math.nan, "1"], [1, 1, 1], 0, "absent"), ([0], [0], 1, None),
     ([1, 1], [0, 1], 2, None), ([0, 1], [1, 0], 2, -1.0), ([math.inf, 1, 2], [1, 1, 2], 2, 1.0)],
)  # fmt: skip
def test_what_cannot_be_compared_is_missing(teacher, student, matched, pearson):
    found = score_agreement(teacher, student)
    assert (found["total"], found["matched"]) == (len(teacher), matched)
    assert found["missing"] == len(teacher) - matched
    assert found.get("pearson", "absent") == (
        pytest.approx(pearson) if isinstance(pearson, float) else pearson
    )


def test_scores_of_different_length_are_refused():
    with pytest.raises(ValueError, match="None where there is none"):
        score_agreement([1], [1, 2])


def test_pairs_that_do_not_fit_into_memory_give_the_same_numbers(monkeypatch):
    source = random.Random(3)
    pairs = [(source.randrange(5) / 4, source.random()) for _ in range(300)]
    wanted = score_agreement(*zip(*pairs, strict=True))
    monkeypatch.setattr(module, "ExternalSort", lambda width: ExternalSort(width, run_keys=7))
    found = ScoreAgreement()
    for teacher, student in reversed(pairs):
        found.add(teacher, student)
    assert found.report() == wanted


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e200])
def test_correlations_do_not_depend_on_the_scale(scale):
    found = score_agreement([0.1 * scale, 0.3 * scale, 0.2 * scale], [1.0, 2.0, 4.0])
    expected = stats.pearsonr([0.1, 0.3, 0.2], [1.0, 2.0, 4.0]).statistic
    assert found["pearson"] == pytest.approx(expected)


def test_what_no_float_can_hold_is_null_and_never_nan():
    found = score_agreement([1.7e308, -1.7e308], [-1.7e308, 1.7e308])
    assert (found["mae"], found["rmse"], found["pearson"]) == (None, None, -1.0)


def test_a_largest_difference_below_zero_is_refused():
    with pytest.raises(ConfigError, match=r"agreement_epsilons has -0\.1"):
        ScoreAgreement([0.1, -0.1])
