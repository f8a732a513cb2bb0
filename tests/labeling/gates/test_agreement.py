"""Agreement of teacher and student, and the gate over a quality report: contracts.md 4.3."""

import math

import pytest
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
)


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
