"""Streams: what is joined is the response; nothing internal and nothing rejected gets in."""

import asyncio
import threading

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.inference.chat.scripted_model import ScriptedModel

KINDS = [AgenticWorkflow, MultiAgentWorkflow]


def make(kind, *replies, **options):
    return kind(None, chat_model=ScriptedModel(list(replies)), **options)


async def collect(items):
    return [item async for item in items]


CASES = [
    (AgenticWorkflow, False, "symbol of gold?", [" Au it is \n"]),
    (MultiAgentWorkflow, False, "symbol of gold?", ["Au  it is"]),
    (MultiAgentWorkflow, True, "symbol of gold?", ["The symbol is Au."]),
    (MultiAgentWorkflow, True, "symbol of gold?", ["It is Ag", "It is Au"]),
    (MultiAgentWorkflow, True, "symbol of gold?", ["It is Ag", "It is Al", "It is Hg"]),
    (MultiAgentWorkflow, True, "capital of France?", []),
    (MultiAgentWorkflow, True, "Summarize the following: gold", ["Gold has the symbol Au."]),
    (MultiAgentWorkflow, True, "check that gold is a noble gas", []),
    (MultiAgentWorkflow, False, "check that it rains", ["yes it does"]),
]


@pytest.mark.parametrize(("kind", "with_table", "query", "replies"), CASES)
def test_the_pieces_joined_are_the_response(kind, with_table, query, replies, table):
    options = {"table": table if with_table else None}
    response = make(kind, *replies, **options).run(query)["response"]
    pieces = list(make(kind, *replies, **options).stream(query))
    assert "".join(pieces) == response
    again = asyncio.run(collect(make(kind, *replies, **options).astream(query)))
    assert again == pieces
    assert asyncio.run(make(kind, *replies, **options).ainvoke(query))["response"] == response


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_come_before_the_answer_is_finished(kind):
    may_go_on, finished = threading.Event(), threading.Event()

    class Slow(ScriptedModel):
        def _stream(self, *args, **kwargs):
            for chunk in super()._stream(*args, **kwargs):
                yield chunk
                may_go_on.wait(30)  # the first token must be out before the second is made
            finished.set()

    stream = kind(None, chat_model=Slow(["one two three"])).stream("Q")
    assert next(stream) == "one"
    assert not finished.is_set()
    may_go_on.set()
    assert list(stream) == [" two", " three"]


def test_events_show_steps_tokens_and_a_restart(table):
    workflow = make(MultiAgentWorkflow, "It is Ag", "Au", table=table)
    events = list(workflow.stream_events("symbol of gold?"))
    assert [e["type"] for e in events] == [
        "step",
        *["token"] * 3,
        *["step"] * 2,
        "restart",
        "token",
        *["step"] * 2,
        "final",
    ]
    assert [e["attempt"] for e in events if e["type"] == "token"] == [1, 1, 1, 2]
    assert events[0]["sources"][0]["row"] == 79
    assert events[-1]["response"] == "Au"


def test_no_internal_token_reaches_any_stream(table):
    workflow = make(MultiAgentWorkflow, "yes and a secret thought", table=table)
    events = list(workflow.stream_events("check that the moon is cheese"))
    assert not [e for e in events if e["type"] == "token"]
    workflow = make(MultiAgentWorkflow, "yes and a secret thought", table=table)
    asked = {"messages": [HumanMessage("check that the moon is cheese")]}
    shown = [m.text for m, _ in workflow.graph.stream(asked, stream_mode="messages")]
    assert "secret" not in "".join(shown)


def test_langgraphs_own_message_stream_holds_the_answer_once():
    graph = make(AgenticWorkflow, "one two three").graph
    asked = {"messages": [HumanMessage("Q")]}
    shown = [m for m, _ in graph.stream(asked, stream_mode="messages")]
    assert "".join(m.text for m in shown if m.type != "human") == "one two three"


def test_closing_the_stream_stops_the_student():
    read = []

    class Endless(ScriptedModel):
        def _stream(self, *args, **kwargs):
            for chunk in super()._stream(*args, **kwargs):
                read.append(chunk.text)
                yield chunk

    stream = AgenticWorkflow(None, chat_model=Endless(["word " * 50_000])).stream_events("Q")
    assert any(event["type"] == "token" for event in stream)
    stream.close()
    assert len(read) < 50_000


def test_a_stopped_async_stream_stops_the_student():
    read = []

    class Endless(ScriptedModel):
        def _stream(self, *args, **kwargs):
            for chunk in super()._stream(*args, **kwargs):
                read.append(chunk.text)
                yield chunk

    async def first_token():
        events = AgenticWorkflow(None, chat_model=Endless(["word " * 50_000])).astream_events("Q")
        async for event in events:
            if event["type"] == "token":
                break
        await events.aclose()

    asyncio.run(first_token())
    assert len(read) < 50_000


class Shouting(AgenticWorkflow):
    def _finalize_node(self, state):
        return {"results": [*state["results"], state["results"][-1].upper()]}


def test_a_changed_answer_is_streamed_as_it_ends():
    assert list(make(Shouting, "au it is").stream("Q")) == ["AU IT IS"]
    workflow = make(AgenticWorkflow, "au it is")
    workflow.add_node("shout", Shouting._finalize_node.__get__(workflow))
    assert list(workflow.stream("Q")) == ["AU IT IS"]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_of_the_model_are_raised_from_streams(kind):
    workflow = make(kind, RuntimeError("no weights"), RuntimeError("no weights"))
    with pytest.raises(RuntimeError, match="no weights"):
        list(workflow.stream("Q"))
    with pytest.raises(RuntimeError, match="no weights"):
        asyncio.run(collect(workflow.astream("Q")))


def test_streams_take_threads_and_history():
    saver = InMemorySaver()
    workflow = make(AgenticWorkflow, "a", "b", checkpointer=saver)
    list(workflow.stream("one", chat_history=[HumanMessage("zero")], thread_id="x"))
    list(workflow.stream("two", thread_id="x"))
    values = workflow.graph.get_state({"configurable": {"thread_id": "x"}}).values
    assert [m.content for m in values["messages"]] == ["zero", "one", "a", "two", "b"]


def test_an_empty_query_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match="at least one word"):
        next(make(AgenticWorkflow).stream(" "))
