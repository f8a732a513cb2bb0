"""From a student's folder and questions to a map, a picture and thresholds."""

import dataclasses
import shutil

import pytest
from stillroom.errors import DataError, EmptyDataError
from stillroom.evaluation.calibrate_student import (
    RISK_PICTURE,
    ask_student,
    calibrate_student,
    calibration_split,
)
from stillroom.evaluation.plots import plot_risk_coverage
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.scoring.confidence import CONFIDENCE_FILE, ConfidenceMap, RiskLimit
from stillroom.prompts import render
from stillroom.records import Example

KNOWN = {"What is the symbol of gold?": "Au", "What is the symbol of silver?": "Ag"}
UNKNOWN = ["mass of tin", "colour of lead", "who found iron", "its price", "a metal", "none", "x"]


@pytest.fixture
def questions():
    """Questions that the tiny student knows, and some that it cannot know."""
    asked = [*KNOWN.items(), *((text, "never this") for text in UNKNOWN)]
    return [
        Example(f"e{n}", render("s2-qa", text), target, fact=f"f{n}")
        for n, (text, target) in enumerate(asked)
    ]


@pytest.fixture
def copied(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "student")
    return tmp_path / "student"


def test_a_student_is_calibrated_and_the_map_stored_beside_it(copied, questions):
    fitted = calibrate_student(copied, questions, risk_targets=(0.5,), max_tokens=16)
    assert ConfidenceMap.read(copied) == fitted
    assert fitted.fitted_on == len(questions)
    assert (copied / RISK_PICTURE).read_bytes().startswith(b"\x89PNG")
    student = ChatStudent(model=str(copied), top_logprobs=2, max_tokens=16)
    sure = fitted.probability(student.invoke(questions[0].prompt))
    unsure = [fitted.probability(student.invoke(q.prompt)) for q in questions[2:]]
    assert sure > max(unsure)
    student.serving_engine.close()


def test_what_was_asked_is_told_in_order(trained, questions):
    student = ChatStudent(model=trained, top_logprobs=2, max_tokens=16)
    asked = ask_student(student, questions)
    assert asked.right == [True, True] + [False] * len(UNKNOWN)
    assert asked.answers[:2] == ["Au", "Ag"]
    assert all(len(values) == len(questions) for values in asked.signals.values())
    assert min(asked.signals["least_margin"][:2]) > 1.0
    student.serving_engine.close()


@pytest.mark.parametrize("task", ["validate", "summarize"])
def test_only_questions_count(copied, questions, task):
    others = [dataclasses.replace(q, task=task) for q in questions]
    with pytest.raises(EmptyDataError, match="task 'qa'"):
        calibrate_student(copied, others)
    assert not (copied / CONFIDENCE_FILE).exists()


def test_a_question_without_target_is_named(trained, questions):
    student = ChatStudent(model=trained, top_logprobs=2)
    with pytest.raises(DataError, match="'e3' has no target"):
        ask_student(student, [*questions[:3], dataclasses.replace(questions[3], target=" ")])
    student.serving_engine.close()


def test_the_split_keeps_facts_whole_and_is_the_same_every_time():
    examples = [Example(f"{n}", "p", "t", fact=f"fact {n // 3}") for n in range(3000)]
    first, second = calibration_split(examples)
    assert len(first) + len(second) == 3000
    assert 0.4 < len(first) / 3000 < 0.6
    assert not {e.fact for e in first} & {e.fact for e in second}
    assert calibration_split(examples[::-1])[0] == first[::-1]


def test_the_picture_is_whole_or_not_there(tmp_path):
    limits = [RiskLimit(0.1, 0.5, 0.5, 0.0), RiskLimit(0.01, None, 0.0, 0.0)]
    path = plot_risk_coverage({"a": ([0.9, 0.1], [True, False])}, tmp_path / "r.png", limits=limits)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(EmptyDataError):
        plot_risk_coverage({"a": ([], [])}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
