"""Agreement of teacher and student, and the gate over a quality report: contracts.md 4.3, 4.5."""

import math
import random

import pytest
from scipy import stats
from stillroom.errors import ConfigError
from stillroom.labeling.gates.quality_gate import (
    TEACHER_GATE,
    QualityGate,
    evaluate_quality_gate,
    gate_message,
)
from stillroom.labeling.gates.score_agreement import (
    AnswerAgreementGate,
    ScoreAgreementGate,
    score_agreement,
)


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


@pytest.mark.parametrize(
    ("teacher", "student", "reason"),
    [(0, 0, "ok"), (0.8, 0.7, "ok"), (0.8, 0.69, "disagree"), (0, None, "missing student_score"),
     (None, 0, "missing teacher_score"), (math.nan, 0, "teacher_score not_finite"),
     (0, False, "student_score not_a_number"), ("0", 0, "teacher_score not_a_number")],
)  # fmt: skip
def test_scores_agree_within_epsilon(teacher, student, reason):
    record = {"teacher_score": teacher, "student_score": student}
    verdict = ScoreAgreementGate(0.1).judge(record)
    assert (verdict.reason, verdict.passed) == (reason, reason == "ok")


@pytest.mark.parametrize(
    ("teacher", "student", "reason"),
    [("So it is 4.", "#### 4.0", "ok"), ("4", "5", "disagree"), (0, "0", "ok"),
     ("4", None, "missing student_generation"), (None, "4", "missing generation"),
     ("", "", "generation empty_output"), ("4", " ", "student_generation empty_output"),
     (math.nan, "nan", "generation not_finite")],
)  # fmt: skip
def test_answers_agree_by_value(teacher, student, reason):
    record = {"generation": teacher, "student_generation": student}
    verdict = AnswerAgreementGate().judge(record)
    assert (verdict.reason, verdict.passed) == (reason, reason == "ok")


@pytest.mark.parametrize("epsilon", [-0.1, math.nan, math.inf])
def test_epsilon_out_of_range_is_refused(epsilon):
    with pytest.raises(ConfigError):
        ScoreAgreementGate(epsilon)


@pytest.mark.parametrize(
    ("report", "failures"),
    [
        ({"total": 2, "exec_pass_rate": 0.119, "gold_match_rate": 0.062,
          "judge_score": {"mean": 0.0905}},
         ["total 2 < min_total 50", "exec_pass_rate 0.1190 < min_exec_pass_rate 0.5000",
          "gold_match_rate 0.0620 < min_gold_match_rate 0.1000",
          "judge_score.mean 0.0905 < min_judge_score_mean 0.4000"]),
        ({}, ["missing total", "missing exec_pass_rate", "missing gold_match_rate",
              "missing judge_score.mean"]),
        ({"total": 50, "exec_pass_rate": math.nan, "gold_match_rate": "1",
          "judge_score": {"mean": math.inf}},
         ["exec_pass_rate nan is not a finite number", "gold_match_rate 1 is not a finite number",
          "judge_score.mean inf is not a finite number"]),
        ({"total": 50, "exec_pass_rate": 0.5, "gold_match_rate": 0.1, "judge_score": {"mean": 0.4}},
         []),
        ({"total": 50, "exec_pass_rate": None, "gold_match_rate": 0, "judge_score": None},
         ["missing exec_pass_rate", "gold_match_rate 0.0000 < min_gold_match_rate 0.1000",
          "missing judge_score.mean"]),
    ],
)  # fmt: skip
def test_the_quality_gate_says_what_fails(report, failures):
    assert evaluate_quality_gate(report, TEACHER_GATE) == failures


def test_a_minimum_of_zero_is_checked_and_none_is_not():
    assert evaluate_quality_gate({}, QualityGate()) == []
    zero = QualityGate(min_exec_pass_rate=0)
    assert evaluate_quality_gate({"exec_pass_rate": 0.0}, zero) == []
    assert evaluate_quality_gate({}, zero) == ["missing exec_pass_rate"]
    below = evaluate_quality_gate({"exec_pass_rate": -0.1}, zero)
    assert below == ["exec_pass_rate -0.1000 < min_exec_pass_rate 0.0000"]
    assert evaluate_quality_gate({"exec_pass_rate": 1}, QualityGate(min_exec_pass_rate=math.nan))


def test_the_message_of_a_pipeline():
    message = gate_message(["total 2 < min_total 50", "missing exec_pass_rate"])
    expected = "Teacher eval gate failed: total 2 < min_total 50; missing exec_pass_rate"
    assert message == expected
