"""Agents that call tools: over a table, within a number of calls, and with calls that go wrong."""

import sys
import threading
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.agentic_workflow.model_calls.deadlines import RunContext
from stillroom.agentic_workflow.nodes.tool_node import tool_agent
from stillroom.agentic_workflow.record_search.table_tool import table_tools
from stillroom.errors import ConfigError
from stillroom.inference.chat.chat_model import ChatStudent
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.inference.checkpoints.load_student import Checkpoint

sys.path.insert(0, str(Path(__file__).parents[2] / "inference"))
from tiny_model import make_model, make_trained


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def call(name="add", **arguments):
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "1"}])


def make(*replies, tools=(add,), **options):
    model = ScriptedModel(list(replies))
    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel([]))
    workflow.add_agent("sums", "adds numbers", tool_agent(model, tools, **options), words=["sum"])
    return workflow, model


def test_a_call_is_made_and_its_result_is_read():
    workflow, model = make(call(a=2, b=3), "It is 5.")
    event = workflow.explain("sum of 2 and 3")
    assert (event["response"], event["task_type"], event["exit"]) == (
        "It is 5.",
        "sums",
        "answered",
    )
    assert [s["what"] for s in event["steps"]] == ["sums", "asked", "called add", "unverified"]
    assert "(a=2, b=3) success: 5" in event["steps"][2]["detail"]
    model.assert_exhausted()


def test_an_answer_without_a_call_is_the_answer():
    workflow, _ = make("nothing to add")
    assert workflow.run("sum")["response"] == "nothing to add"


def test_only_question_and_answer_stay_in_the_conversation():
    workflow, _ = make(call(a=2, b=3), "It is 5.")
    assert [m.type for m in workflow.run("sum")["messages"]] == ["human", "ai"]


@pytest.mark.parametrize("most_calls", [1, 4])
def test_the_loop_ends_after_so_many_calls(most_calls):
    made = []

    @tool
    def look(where: str) -> str:
        """Look."""
        made.append(where)
        return "nothing"

    workflow, _ = make(*[call("look", where="here")] * 9, tools=[look], most_calls=most_calls)
    event = workflow.explain("sum")
    assert len(made) == most_calls
    assert (event["exit"], event["verdict"]) == ("tool_limit", "abstained")
    assert str(most_calls) in event["response"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (call("subtract", a=1), "there is no tool 'subtract'"),
        (call(a="two", b=3), "ValidationError"),
        (
            AIMessage(
                "",
                invalid_tool_calls=[{"name": "add", "args": "{", "id": "1", "error": "cut"}],
            ),
            "ValidationError",
        ),
    ],
)
def test_the_model_reads_what_was_wrong_with_a_call(wrong, told):
    workflow, model = make(wrong, "sorry")
    state = workflow.graph.invoke({"messages": [("human", "sum")]})
    assert state["results"] == ["sorry"]
    assert told in state["steps"][2]["detail"]
    model.assert_exhausted()


def test_a_tool_that_raises_is_told_and_one_that_answers_ends_the_turn():
    @tool
    def broken(a: int) -> int:
        """Break."""
        raise OSError("disk")

    @tool(return_direct=True)
    def final(a: int) -> str:
        """Answer."""
        return f"exactly {a}"

    workflow, model = make(call("broken", a=1), call("final", a=2), tools=[broken, final])
    event = workflow.explain("sum")
    assert event["response"] == "exactly 2"
    assert "error: OSError: disk" in event["steps"][2]["detail"]
    model.assert_exhausted()


def test_no_token_of_a_call_reaches_the_stream():
    workflow, _ = make(AIMessage("thinking", tool_calls=call(a=1, b=2).tool_calls), "It is 3.")
    events = list(workflow.stream_events("sum"))
    assert not [e for e in events if e["type"] == "token" and "thinking" in e["text"]]


def test_a_tool_may_wait_for_a_person():
    @tool(return_direct=True)
    def write(text: str) -> str:
        """Write."""
        return f"written {text}" if interrupt("write?") else "not written"

    model = ScriptedModel(lambda prompt: call("write", text="x"))
    workflow = MultiAgentWorkflow(None, chat_model=model, checkpointer=InMemorySaver())
    workflow.add_agent("writer", "writes", tool_agent(model, [write]), words=["write"])
    thread = {"configurable": {"thread_id": "desk"}}
    state = workflow.graph.invoke({"messages": [("human", "write x")]}, thread)
    assert state["__interrupt__"][0].value == "write?"
    assert workflow.graph.invoke(Command(resume=True), thread)["results"] == ["written x"]


def test_no_tool_is_called_when_the_time_is_up():
    made, release, done = [], threading.Event(), threading.Event()

    @tool
    def slow(a: int) -> str:
        """Wait."""
        made.append(a)
        release.wait(30)
        return "late"

    two = [{"name": "slow", "args": {"a": n}, "id": str(n)} for n in (1, 2)]

    model = ScriptedModel([AIMessage("", tool_calls=two)])
    node = tool_agent(model, [slow])

    def watched(state):
        update = node(state)
        done.set()
        return update

    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel([]))
    workflow.add_agent("sums", "adds", watched, words=["sum"])
    event = workflow.explain("sum", limits=RunContext(deadline_s=0.2))
    assert event["exit"] == "deadline"
    release.set()
    assert done.wait(10)
    assert made == [1]


@pytest.mark.parametrize(
    ("tools", "options", "words"),
    [
        ([], {}, "no tools"),
        ([add, add], {}, "one name"),
        ([add], {"most_calls": 0}, "most_calls"),
        ([add], {"first_call": "subtract"}, "first_call"),
    ],
)
def test_an_unusable_agent_is_refused(tools, options, words):
    with pytest.raises(ConfigError, match=words):
        tool_agent(ScriptedModel([]), tools, **options)


def test_a_student_is_held_to_the_tools_parameters_whatever_its_weights(table):
    tokenizer = make_trained().tokenizer
    model = make_model(tokenizer, max_position_embeddings=2048)
    student = ChatStudent(model=Checkpoint(model, tokenizer, None, "random", {}), max_tokens=120)
    tools = table_tools(table)
    workflow = MultiAgentWorkflow(student, table=table)
    workflow.add_agent(
        "compare",
        "compares two records",
        tool_agent(student, tools, first_call="compare_records", most_calls=2),
        words=["compare"],
    )
    event = workflow.explain("compare gold and silver")
    called = [step["detail"] for step in event["steps"] if step["what"].startswith("called")]
    keys = {row.key for row in table.rows}
    assert called
    assert all("success" in detail or "has no" in detail for detail in called)
    assert any(key in called[0] for key in keys)
    student.serving_engine.close()


def test_a_long_result_is_cut_to_what_a_student_can_read():
    @tool
    def talk(a: int) -> str:
        """Talk."""
        return "word " * 3000

    student = ChatStudent(model=make_trained(), max_tokens=16)
    read = []

    class Watched(ScriptedModel):
        @property
        def checkpoint(self):
            return student.checkpoint

        def get_token_ids(self, text):
            return student.get_token_ids(text)

        def _generate(self, messages, *args, **options):
            read.append(messages[-1].text)
            return super()._generate(messages, *args, **options)

    workflow = MultiAgentWorkflow(None, chat_model=ScriptedModel([]))
    node = tool_agent(Watched([call("talk", a=1), "enough"]), [talk])
    workflow.add_agent("sums", "talks", node, words=["sum"])
    assert workflow.run("sum")["response"] == "enough"
    assert len(student.get_token_ids(read[-1])) <= 240 // 4
    assert read[-1].startswith("word word")
    student.serving_engine.close()
