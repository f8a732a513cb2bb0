"""Stated risks: answers less sure than they need are not given, or the teacher gives them."""

import pytest
from langchain_core.messages import AIMessage
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.answer_types import Abstention, Answer
from stillroom.agentic_workflow.graphs import build_multi_agent_graph
from stillroom.agentic_workflow.model_calls.deadlines import RunContext
from stillroom.agentic_workflow.policy import AnswerPolicy
from stillroom.errors import ConfigError, RemoteError
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.inference.scoring.confidence import ConfidenceMap, RiskLimit

MAP = ConfidenceMap(
    "least_margin",
    ((0.0, 0.1), (4.0, 0.9)),
    limits=(
        RiskLimit(0.05, 0.8, 0.7, 0.03),
        RiskLimit(0.3, 0.4, 0.9, 0.2),
        RiskLimit(0.01, None, 0.0, 0.0),
    ),
)


def said(text, margin):
    """Make an answer whose only token is so far ahead of the next one."""
    told = {"logprobs": [-0.1], "top_logprobs": [{"a": -0.1, "b": -0.1 - margin}]}
    return AIMessage(text, response_metadata=told)


def make(*replies, table=None, confidence=MAP, **policy):
    return MultiAgentWorkflow(
        None,
        chat_model=ScriptedModel(list(replies)),
        table=table,
        policy=AnswerPolicy(**policy),
        confidence=confidence,
    )


@pytest.mark.parametrize(
    ("margin", "given"), [(4.0, True), (3.6, True), (3.4, False), (0.0, False)]
)
def test_only_answers_above_the_threshold_are_given(margin, given):
    event = make(said("Au", margin), risk_target=0.05).explain("symbol of gold?")
    assert event["confidence"] == pytest.approx(0.1 + 0.2 * margin)
    assert event["exit"] == ("answered" if given else "low_confidence")
    assert (event["response"] == "Au") == given
    assert [step["node"] for step in event["steps"]] == [
        "router", "qa_agent", "confidence", "validator"
    ]  # fmt: skip
    if not given:
        assert event["verdict"] == "abstained"
        assert "Au" not in event["response"]
        assert "80.0% needed for at most 5.0% wrong" in event["reason"]


def test_without_a_stated_risk_the_probability_is_only_told():
    event = make(said("Au", 0.0)).explain("symbol of gold?")
    assert (event["response"], event["exit"]) == ("Au", "answered")
    assert event["confidence"] == pytest.approx(0.1)


def test_a_run_may_state_its_own_risk_and_nothing_withheld_is_streamed():
    limits = RunContext(risk_target=0.3)
    assert make(said("Au", 2.0), risk_target=0.05).run("Q?", limits=limits)["response"] == "Au"
    pieces = list(make(said("Au", 2.0)).stream("Q?", limits=RunContext(risk_target=0.05)))
    assert "Au" not in "".join(pieces)
    assert "".join(pieces).startswith("I don't know")


def test_a_risk_that_no_threshold_keeps_withholds_everything():
    assert make(said("Au", 9.0), risk_target=0.01).explain("Q?")["exit"] == "low_confidence"


def test_an_answer_of_unknown_confidence_is_not_given_under_a_stated_risk():
    assert make("Au", risk_target=0.05).explain("Q?")["exit"] == "low_confidence"
    assert make("Au").explain("Q?")["response"] == "Au"


def test_what_a_record_decides_needs_no_confidence(table):
    event = make(said("Au", 0.0), table=table, risk_target=0.05).explain("symbol of gold?")
    assert (event["response"], event["verdict"]) == ("Au", "agrees")


def test_an_unsure_answer_is_escalated_within_the_budget():
    teacher = ScriptedModel(["gold it is"])
    workflow = make(*[said("Au", 0.0)] * 2, risk_target=0.05, teacher=teacher, teacher_budget=1)
    first, second = workflow.explain("Q?"), workflow.explain("Q?")
    assert (first["response"], first["answered_by"], first["confidence"]) == (
        "gold it is", "teacher", None
    )  # fmt: skip
    assert (second["exit"], second["steps"][-1]["what"]) == ("low_confidence", "not asked")
    teacher.assert_exhausted()


def test_a_run_may_forbid_the_teacher():
    workflow = make(said("Au", 0.0), risk_target=0.05, teacher=ScriptedModel([]))
    event = workflow.explain("Q?", limits=RunContext(teacher_calls=0))
    assert (event["exit"], event["answered_by"]) == ("low_confidence", "student")


@pytest.mark.parametrize("fault", [RemoteError("no server"), OSError("line cut")])
def test_a_teacher_that_fails_leaves_the_turn_as_it_was(fault):
    workflow = make(said("Au", 0.0), risk_target=0.05, teacher=ScriptedModel([fault]))
    event = workflow.explain("Q?")
    assert (event["exit"], event["steps"][-1]["what"]) == ("low_confidence", "failed")
    assert type(fault).__name__ in event["steps"][-1]["detail"]


def test_answers_are_typed():
    answer = make(said("Au", 4.0), risk_target=0.05).answer("Q?")
    assert isinstance(answer, Answer)
    assert (answer.text, answer.answered_by, answer.confidence) == (
        "Au",
        "student",
        pytest.approx(0.9),
    )
    none = make(said("Au", 0.0), risk_target=0.05).answer("Q?")
    assert isinstance(none, Abstention)
    assert (none.exit, none.confidence) == ("low_confidence", pytest.approx(0.1))
    cut = make("Au").answer("Q?", config={"recursion_limit": 1})
    assert (type(cut), cut.exit, cut.said) == (Abstention, "step_limit", "")


@pytest.mark.parametrize(
    ("confidence", "target", "words"), [(None, 0.05, "not calibrated"), (MAP, 0.2, "chosen for")]
)
def test_a_risk_that_was_never_calibrated_is_refused(confidence, target, words):
    policy = AnswerPolicy(risk_target=target)
    with pytest.raises(ConfigError, match=words):
        build_multi_agent_graph(ScriptedModel([]), policy=policy, confidence=confidence)
    with pytest.raises(ConfigError, match=words):
        make("Au", confidence=confidence).run("Q?", limits=RunContext(risk_target=target))
    graph = build_multi_agent_graph(ScriptedModel(["Au"]), confidence=confidence)
    with pytest.raises(ConfigError, match=words):
        graph.invoke({"messages": [("human", "Q?")]}, context={"risk_target": target})


def test_a_graph_takes_its_deadline_with_each_run():
    with pytest.raises(ConfigError, match="with each run"):
        build_multi_agent_graph(ScriptedModel([]), policy=AnswerPolicy(deadline_s=1.0))
