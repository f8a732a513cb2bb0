"""What comes after the record: checks of form and script, the student's own yes or no."""

import math
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.format_checks import fits, written_in
from stillroom.agentic_workflow.nodes.self_check import yes_probability
from stillroom.agentic_workflow.policy import AnswerPolicy
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.prompts import render

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))
from tiny_model import make_trained


class Reading(BaseModel):
    metal: str
    mass: float


@pytest.fixture(scope="module")
def student():
    model = ChatStudent(model=make_trained(), max_tokens=24)
    yield model
    model.serving_engine.close()


def ask(*replies, table=None, query="Q?", **policy):
    model = ScriptedModel(list(replies))
    workflow = MultiAgentWorkflow(
        None, chat_model=model, table=table, policy=AnswerPolicy(**policy)
    )
    event = workflow.explain(query)
    model.assert_exhausted()
    return event


@pytest.mark.parametrize(
    ("form", "answer", "reason"),
    [
        (Reading, '{"metal": "gold", "mass": 197}', None),
        (Reading, '{"metal": "gold"}', "it does not fit Reading: mass: Field required"),
        (Reading, "gold", "it does not fit Reading: Invalid JSON"),
        (list[int], "[1, 2]", None),
        (list[int], '[1, "x"]', "it does not fit list[int]: 1: Input should be a valid integer, "),
    ],
)
def test_forms(form, answer, reason):
    found = fits(form)({}, answer)
    assert found is None if reason is None else found.startswith(reason)


@pytest.mark.parametrize(
    ("scripts", "answer", "wrong"),
    [
        (("LATIN",), "Gold (Au), 197", None),
        (("LATIN",), "Größe: 1,4 Å", None),
        (("LATIN",), "золото", "CYRILLIC"),
        (("LATIN", "GREEK"), "α and µ", None),
        (("LATIN",), "金 is gold", "CJK"),
        (("CYRILLIC",), "79", None),
        ((), "gold", None),
        ((), "золото", "CYRILLIC"),
    ],
)
def test_scripts(scripts, answer, wrong):
    found = written_in(*scripts)({"messages": [], "query": "Which metal?"}, answer)
    assert (found is None) if wrong is None else (wrong in found)


def test_a_check_rejects_before_anything_else_and_the_answer_is_made_again():
    event = ask("золото", "gold", checks=(written_in("LATIN"),))
    assert (event["response"], event["attempts"]) == ("gold", 2)
    assert "CYRILLIC" in event["steps"][2]["detail"]


def test_what_no_attempt_gets_right_is_rejected_with_the_reason():
    event = ask("a", "b", "c", checks=(fits(Reading),))
    assert (event["exit"], event["verdict"], event["attempts"]) == ("rejected", "abstained", 3)
    assert "does not fit Reading" in event["response"]


def test_a_check_of_ones_own_sees_the_state_and_comes_before_the_record(table):
    def no_symbols(state, answer):
        return "symbols are secret" if "symbol" in state["query"] else None

    event = ask(*["Au"] * 3, table=table, query="symbol of gold?", checks=(no_symbols,))
    assert (event["exit"], event["reason"]) == ("rejected", "symbols are secret")


def test_the_teachers_answer_must_pass_as_well():
    teacher = ScriptedModel(["золото"])
    event = ask("злато", attempts=1, checks=(written_in("LATIN"),), teacher=teacher)
    assert (event["exit"], event["steps"][-1]["what"]) == ("rejected", "rejected")


def test_nothing_that_may_be_rejected_is_streamed():
    model = ScriptedModel(["золото", "gold"])
    policy = AnswerPolicy(checks=(written_in("LATIN"),))
    assert list(MultiAgentWorkflow(None, chat_model=model, policy=policy).stream("Q")) == ["gold"]


def test_the_probability_of_yes_is_that_of_both_verdicts_behind_the_students_words(student):
    for answer, expected in (("Au", "yes"), ("Ag", "no")):
        prompt = render("s2-validate", "What is the symbol of gold?", answer=answer)
        said = str(student.invoke(prompt).text).strip()
        assert said.split(",")[0] == expected
        yes, no = student.score_choices(prompt, ["yes", "no"])
        brute = math.exp(yes) / (math.exp(yes) + math.exp(no))
        assert yes_probability(student, prompt) == pytest.approx(brute, abs=1e-4)
    assert yes_probability(ScriptedModel(["yes"]), "x") is None


def test_an_answer_the_student_itself_doubts_is_made_again_and_in_the_end_not_given(student):
    sure = MultiAgentWorkflow(student, policy=AnswerPolicy(self_check=0.5))
    event = sure.explain("What is the symbol of gold?")
    assert (event["response"], event["verdict"]) == ("Au", "unverified")
    strict = MultiAgentWorkflow(student, policy=AnswerPolicy(self_check=1.0, attempts=2))
    event = strict.explain("What is the symbol of gold?")
    assert (event["exit"], event["attempts"]) == ("rejected", 2)
    assert "the student gives it a probability of" in event["reason"]
