"""Attempts, deadlines and the teacher: what never passes, raises or hangs ends as declared."""

import asyncio
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.model_calls.deadlines import RunContext
from stillroom.agentic_workflow.nodes.retries import with_attempts
from stillroom.agentic_workflow.nodes.toolbox import Tools, grounded
from stillroom.agentic_workflow.nodes.validator_node import validate_answer
from stillroom.agentic_workflow.policy import AnswerPolicy, TeacherBudget
from stillroom.agentic_workflow.reading.table_reader import TableReader
from stillroom.errors import ConfigError, GenerationError
from stillroom.inference.chat.scripted_model import ScriptedModel

KINDS = ["never", "raises", "hangs"]
HANG_S = 0.05


@pytest.fixture
def release():
    """Give the event that lets hanging functions go when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def validator_of(kind, calls, release):
    def judge(self, state):
        calls.append(kind)
        if kind == "raises":
            raise ValueError("no luck")
        if kind == "hangs":
            release.wait(30)
        return {"verdict": "retry", "reason": "never good enough"}

    return type("Judged", (MultiAgentWorkflow,), {"_validator_node": judge})


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 5), st.booleans())
def test_there_are_exactly_one_and_n_attempts(kind, retries, in_async):
    calls, release = [], threading.Event()
    model = ScriptedModel(lambda prompt: "guess")
    policy = AnswerPolicy(attempts=1 + retries, validator_timeout_s=HANG_S)
    workflow = validator_of(kind, calls, release)(None, chat_model=model, policy=policy)
    result = asyncio.run(workflow.ainvoke("symbol?")) if in_async else workflow.run("symbol?")
    release.set()
    assert len(calls) == len(model.prompts) == 1 + retries
    verdict = "disagrees" if kind == "never" else "abstained"
    assert result["messages"][-1].response_metadata["verdict"] == verdict
    assert [m.type for m in result["messages"]] == ["human", "ai"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_exit_is_declared_and_every_step_is_told(kind, release):
    policy = AnswerPolicy(validator_timeout_s=HANG_S)
    workflow = validator_of(kind, [], release)(
        None, chat_model=ScriptedModel(["a", "b", "c"]), policy=policy
    )
    event = workflow.explain("symbol?")
    assert event["attempts"] == 3
    assert event["exit"] == ("disagrees" if kind == "never" else "validator_failed")
    if kind == "raises":
        assert "ValueError: no luck" in event["response"]
    failed = [s for s in event["steps"] if s["what"] == "failed"]
    assert len(failed) == (0 if kind == "never" else 3)
    assert [s["node"] for s in event["steps"]].count("qa_agent") == 3


@pytest.mark.parametrize("kind", ["raises", "hangs"])
def test_an_async_validator_is_bounded_too(kind):
    calls = []

    class Judged(MultiAgentWorkflow):
        async def _validator_node(self, state):
            calls.append(kind)
            if kind == "raises":
                raise ValueError("no luck")
            await asyncio.sleep(30)

    policy = AnswerPolicy(validator_timeout_s=HANG_S)
    workflow = Judged(None, chat_model=ScriptedModel(["a", "b", "c"]), policy=policy)
    result = asyncio.run(workflow.ainvoke("symbol?"))
    assert len(calls) == 3
    assert result["response"].startswith("I don't know")


def test_each_retry_changes_something(table):
    class Never(MultiAgentWorkflow):
        def _validator_node(self, state):
            return {"verdict": "retry", "reason": "not good enough"}

    model = ScriptedModel(lambda prompt: "Au")
    policy = AnswerPolicy(attempts=5)
    Never(None, chat_model=model, table=table, policy=policy).run("symbol of gold?")
    assert len(set(model.prompts[:4])) == 4
    assert "Question: What is the symbol of Gold?" in model.prompts[1]
    assert "not good enough" in model.prompts[4]


def test_the_own_validator_uses_all_attempts_and_no_two_are_alike(table):
    model = ScriptedModel(lambda prompt: "Hg")
    workflow = MultiAgentWorkflow(
        None, chat_model=model, table=table, policy=AnswerPolicy(attempts=4)
    )
    event = workflow.explain("symbol of gold?")
    assert (event["attempts"], event["exit"]) == (4, "disagrees")
    assert len(set(model.prompts)) == 4


@pytest.mark.parametrize("limit", [1, 2, 4])
@pytest.mark.parametrize("made", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("rejects", "answer"),
    [
        (validate_answer, "Hg"),
        (lambda state, tools: {"verdict": "retry", "reason": "no"}, "Hg"),
        (lambda state, tools: {"verdict": "retry", "if_last": {"verdict": "x"}}, "Hg"),
        (lambda state, tools: {"verdict": "agrees"}, "Au, since 1789"),  # no cell holds 1789
        (lambda state, tools: 1 / 0, "Hg"),
    ],
    ids=["own", "user", "user with an end", "grounding", "raises"],
)
def test_a_validator_only_rejects_and_one_place_counts(table, rejects, answer, made, limit):
    tools = grounded(
        Tools(ScriptedModel([]), TableReader(table), AnswerPolicy(attempts=limit)), True
    )
    state = {
        "messages": [HumanMessage("symbol of gold?")],
        "current_task": "qa",
        "results": [answer],
        "attempts": made,
    }
    update = with_attempts(lambda seen: rejects(seen, tools), lambda: tools)(state)
    assert update["attempts"] == made + 1
    assert (update["verdict"] == "retry") is (made + 1 < limit)
    assert "if_last" not in update


@pytest.mark.parametrize("attempts", [1, 3])
def test_the_own_validator_judges_alike_whatever_attempts_are_left(table, attempts):
    tools = Tools(ScriptedModel([]), TableReader(table), AnswerPolicy(attempts=attempts))
    state = {"messages": [HumanMessage("symbol of gold?")], "results": ["Hg"], "attempts": 0}
    update = validate_answer(state, tools)
    assert (update["verdict"], update["if_last"]["verdict"]) == ("retry", "disagrees")
    assert update["if_last"]["answer"] == "The student answered Hg; row 79 says symbol = Au."


def test_a_validator_of_ones_own_may_say_how_the_last_rejection_ends():
    class Judged(MultiAgentWorkflow):
        def _validator_node(self, state):
            closed = {"verdict": "abstained", "results": [*state["results"], "Ask a person."]}
            return {"verdict": "retry", "reason": "unsure", "if_last": closed}

    model = ScriptedModel(["a", "b"])
    event = Judged(None, chat_model=model, policy=AnswerPolicy(attempts=2)).explain("Q")
    model.assert_exhausted()
    assert (event["verdict"], event["response"]) == ("abstained", "Ask a person.")


def test_a_claims_validator_that_raises_is_tried_again_by_itself():
    calls = []

    class Broken(MultiAgentWorkflow):
        def _validator_node(self, state):
            calls.append(1)
            raise OSError("disk")

    model = ScriptedModel([])
    event = Broken(None, chat_model=model).explain("check that the moon is cheese")
    assert (len(calls), event["exit"], event["attempts"]) == (3, "validator_failed", 3)


def test_an_error_of_the_model_in_the_validator_is_raised():
    model = ScriptedModel([GenerationError("the engine broke")])
    with pytest.raises(GenerationError, match="engine broke"):
        MultiAgentWorkflow(None, chat_model=model).run("check that the moon is cheese")


class Slow(ScriptedModel):
    """Never comes to its end."""

    def _stream(self, *args, **kwargs):
        for chunk in super()._stream(*args, **kwargs):
            yield chunk
            time.sleep(30)


LIMIT_S = 0.5


def shortest(run, tries=8):
    """Time a run; other work on the machine only adds to it, so one that is in time is enough."""
    times = []
    while len(times) < tries and (not times or min(times) > 1.1 * LIMIT_S):
        began = time.monotonic()
        result = run(RunContext(deadline_s=LIMIT_S))
        times.append(time.monotonic() - began)
    return result, min(times)


@pytest.mark.parametrize("where", ["model", "validator", "router", "added agent"])
def test_a_run_ends_at_its_deadline(where, release):
    def wait(self_or_state, state=None):
        release.wait(30)

    methods = {"validator": "_validator_node", "router": "_router_node"}
    kind = MultiAgentWorkflow
    if where in methods:
        kind = type("Stuck", (MultiAgentWorkflow,), {methods[where]: wait})
    model = (Slow if where == "model" else ScriptedModel)(lambda prompt: "one two")
    workflow = kind(None, chat_model=model)
    workflow.add_agent("waits", "waits", wait, words=["waiting"])
    query = "waiting" if where == "added agent" else "symbol?"
    event, took = shortest(lambda limits: workflow.explain(query, limits=limits))
    assert LIMIT_S <= took <= 1.1 * LIMIT_S
    assert (event["exit"], event["verdict"]) == ("deadline", "abstained")
    assert event["response"] == "I don't know: the time for an answer was up."


def test_an_async_run_ends_at_its_deadline():
    class Stuck(MultiAgentWorkflow):
        async def _qa_agent_node(self, state):
            await asyncio.sleep(30)

    workflow = Stuck(None, chat_model=ScriptedModel([]))
    result, took = shortest(lambda limits: asyncio.run(workflow.ainvoke("symbol?", limits=limits)))
    assert LIMIT_S <= took <= 1.1 * LIMIT_S
    assert result["response"] == "I don't know: the time for an answer was up."


def test_one_agent_keeps_the_deadline_and_the_thread_stays_usable():
    saver = InMemorySaver()
    policy = AnswerPolicy(deadline_s=0.2)
    slow = AgenticWorkflow(None, chat_model=Slow(["one two"]), checkpointer=saver, policy=policy)
    assert slow.run("Q", thread_id="x")["response"].startswith("I don't know")
    quick = AgenticWorkflow(None, chat_model=ScriptedModel(["a"]), checkpointer=saver)
    assert [m.content for m in quick.run("P", thread_id="x")["messages"]][2:] == ["P", "a"]


def test_what_is_left_behind_changes_nothing(release):
    done = threading.Event()

    class Late(MultiAgentWorkflow):
        def _qa_agent_node(self, state):
            release.wait(30)
            state["messages"].append(AIMessage("too late"))
            done.set()
            return state

    workflow = Late(None, chat_model=ScriptedModel([]))
    result = workflow.run("Q", limits=RunContext(deadline_s=0.2))
    release.set()
    assert done.wait(10)
    assert "too late" not in [m.content for m in result["messages"]]


def test_the_time_of_a_run_begins_with_the_run():
    limits = RunContext(deadline_s=0.3)
    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel(["a", "b"]))
    time.sleep(0.35)
    assert workflow.run("Q", limits=limits)["response"] == "a"


def test_the_graph_takes_limits_as_plain_values(release):
    class Stuck(MultiAgentWorkflow):
        def _qa_agent_node(self, state):
            release.wait(30)

    graph = Stuck(None, chat_model=ScriptedModel([])).graph
    state = graph.invoke({"messages": [("human", "Q")]}, context={"deadline_s": 0.2})
    assert state["exit"] == "deadline"


def asks_teacher(table, query, replies, teacher, **policy):
    student, master = ScriptedModel(replies), ScriptedModel(teacher)
    settings = AnswerPolicy(teacher=master, **policy)
    workflow = MultiAgentWorkflow(None, chat_model=student, table=table, policy=settings)
    event = workflow.explain(query)
    student.assert_exhausted()
    master.assert_exhausted()
    return event, workflow


def test_the_teacher_answers_when_all_attempts_have_failed(table):
    event, workflow = asks_teacher(table, "symbol of gold?", ["Ag", "Al", "Hg"], ["Au"])
    assert (event["response"], event["verdict"], event["exit"]) == ("Au", "agrees", "answered")
    assert (event["answered_by"], event["teacher_calls"], workflow.teacher_calls) == (
        "teacher",
        1,
        1,
    )
    assert event["steps"][-1]["node"] == "escalate"


def test_a_teacher_that_is_wrong_as_well_changes_nothing(table):
    event, _ = asks_teacher(table, "symbol of gold?", ["Ag", "Al", "Hg"], ["Cu"])
    assert event["response"] == "The student answered Hg; row 79 says symbol = Au."
    assert (event["exit"], event["answered_by"]) == ("disagrees", "student")
    assert event["steps"][-1]["what"] == "rejected"


@pytest.mark.parametrize("limit", [{"teacher_calls": 0}, {"teacher_budget": 0}])
def test_without_budget_the_teacher_is_not_asked(table, limit):
    event, workflow = asks_teacher(table, "symbol of gold?", ["Ag", "Al", "Hg"], [], **limit)
    assert (event["exit"], event["steps"][-1]["what"]) == ("disagrees", "not asked")
    assert workflow.teacher_calls == 0


def test_the_budget_of_a_workflow_spans_its_runs(table):
    teacher = ScriptedModel(["Au"])
    policy = AnswerPolicy(teacher=teacher, teacher_budget=1)
    model = ScriptedModel(["Ag", "Al", "Hg"] * 2)
    workflow = MultiAgentWorkflow(None, chat_model=model, table=table, policy=policy)
    assert [workflow.run("symbol of gold?")["response"] for _ in range(2)] == [
        "Au",
        "The student answered Hg; row 79 says symbol = Au.",
    ]


def test_what_the_table_does_not_know_is_not_escalated(table):
    event, _ = asks_teacher(table, "What is the capital of France?", [], [])
    assert event["exit"] == "abstained"


def test_the_teacher_judges_what_no_record_decides():
    event, _ = asks_teacher(None, "Q", ["x"], ["yes"], teacher_judges=True)
    assert (event["response"], event["verdict"]) == ("x", "unverified")
    assert "teacher" in event["reason"]
    no = ["no", "no", "Y"]  # two judgements and the answer: one call more than the default
    event, _ = asks_teacher(
        None, "Q", ["a", "b"], no, teacher_judges=True, attempts=2, teacher_calls=3
    )
    assert (event["response"], event["answered_by"], event["attempts"]) == ("Y", "teacher", 2)


def test_no_token_of_teacher_router_or_validator_reaches_the_stream(table):
    student = ScriptedModel(["Ag", "Al", "Hg"])
    policy = AnswerPolicy(teacher=ScriptedModel(["Au secretly"]))
    graph = MultiAgentWorkflow(None, chat_model=student, table=table, policy=policy).graph
    asked = {"messages": [("human", "symbol of gold?")]}
    shown = [m for m, meta in graph.stream(asked, stream_mode="messages")]
    chunks = [m.text for m in shown if type(m).__name__ == "AIMessageChunk"]
    assert chunks == ["Ag", "Al", "Hg"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"deadline_s": 0.0},
        {"risk_target": 1.5},
        {"teacher_calls": -1},
        {"teacher_judges": True},
    ],
)
def test_a_policy_out_of_range_is_refused(wrong):
    with pytest.raises(ConfigError):
        AnswerPolicy(**wrong)


def test_a_budget_is_exact_among_threads():
    budget = TeacherBudget(100)
    taken = []
    threads = [
        threading.Thread(target=lambda: [taken.append(budget.take()) for _ in range(50)])
        for _ in range(8)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (sum(taken), budget.used) == (100, 100)
