"""Turns of one thread: none is lost, none forks, none is there by half."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from stillroom.agentic_workflow.agent import AgenticWorkflow, AgentState, MultiAgentWorkflow
from stillroom.agentic_workflow.threads.locking_graph import leased
from stillroom.errors import StoredStateError, ThreadBusyError
from stillroom.inference.chat.scripted_model import ScriptedModel

CONFIG = {"configurable": {"thread_id": "one"}}


def make(checkpointer, reply=lambda prompt: "Au", kind=AgenticWorkflow):
    return kind(None, chat_model=ScriptedModel(reply), checkpointer=checkpointer)


def said(workflow, thread_id="one"):
    """Give the texts of a thread, as its newest state has them."""
    values = workflow.graph.get_state({"configurable": {"thread_id": thread_id}}).values
    return [message.text for message in values.get("messages", [])]


def children(workflow):
    """Count how often each checkpoint is a parent; two of one parent are a fork."""
    history = list(workflow.graph.get_state_history(CONFIG))
    parents = [s.parent_config["configurable"]["checkpoint_id"] for s in history if s.parent_config]
    return [parents.count(parent) for parent in set(parents)]


def assert_whole(workflow, questions):
    texts = said(workflow)
    assert sorted(texts[::2]) == sorted(questions)
    assert texts[1::2] == ["Au"] * len(questions)
    assert set(children(workflow)) <= {1}


@pytest.fixture(params=["ours", "stock"])
def checkpointer(request, open_threads):
    return open_threads("memory") if request.param == "ours" else InMemorySaver()


@pytest.mark.parametrize("kind", [AgenticWorkflow, MultiAgentWorkflow])
def test_of_20_turns_at_once_40_messages_stay(kind, threads_url, open_threads):
    workflow = make(open_threads(threads_url), kind=kind)

    async def ask_all():
        await asyncio.gather(*(workflow.ainvoke(f"q{i}", thread_id="one") for i in range(20)))

    asyncio.run(ask_all())
    assert_whole(workflow, [f"q{i}" for i in range(20)])


def test_every_way_in_takes_its_turn(threads_url, open_threads):
    workflow = make(open_threads(threads_url))
    graph = workflow.graph

    def state(text):
        return {"messages": [HumanMessage(text)], "context": "", "results": []}

    async def aways():
        async def collect(items):
            return [item async for item in items]

        await asyncio.gather(
            workflow.ainvoke("a1", thread_id="one"),
            collect(workflow.astream("a2", thread_id="one")),
            collect(workflow.astream_events("a3", thread_id="one")),
            graph.ainvoke(state("a4"), CONFIG),
            collect(graph.astream(state("a5"), CONFIG)),
            collect(graph.astream_events(state("a6"), CONFIG, version="v2")),
            graph.abatch([state("a7"), state("a8")], CONFIG),
        )

    ways = [
        lambda: asyncio.run(aways()),
        lambda: workflow.run("s1", thread_id="one"),
        lambda: list(workflow.stream("s2", thread_id="one")),
        lambda: workflow.explain("s3", thread_id="one"),
        lambda: graph.invoke(state("s4"), CONFIG),
        lambda: list(graph.stream(state("s5"), CONFIG)),
        lambda: graph.batch([state("s6"), state("s7")], CONFIG),
        lambda: graph.with_config({"tags": ["x"]}).invoke(state("s8"), CONFIG),
        lambda: RunnableLambda(lambda text: graph.invoke(state(text))).invoke("s9", CONFIG),
    ]
    with ThreadPoolExecutor(len(ways)) as pool:
        for done in [pool.submit(way) for way in ways]:
            done.result()
    asked = [f"a{i}" for i in range(1, 9)] + [f"s{i}" for i in range(1, 10)]
    assert_whole(workflow, asked)


def test_a_stock_checkpointer_takes_turns_within_the_process():
    workflow = make(InMemorySaver())

    async def ask_all():
        await asyncio.gather(*(workflow.ainvoke(f"q{i}", thread_id="one") for i in range(20)))

    asyncio.run(ask_all())
    assert_whole(workflow, [f"q{i}" for i in range(20)])


def test_two_workflows_on_one_file_take_turns(tmp_path, open_threads):
    url = f"sqlite:///{tmp_path}/threads.db"
    first, second = make(open_threads(url)), make(open_threads(url))
    with ThreadPoolExecutor(10) as pool:
        list(
            pool.map(
                lambda i: (first, second)[i % 2].run(f"q{i}", thread_id="one"),
                range(10),
            )
        )
    assert_whole(first, [f"q{i}" for i in range(10)])


def test_different_threads_do_not_wait_for_each_other(threads_url, open_threads):
    both = threading.Barrier(2, timeout=20)  # broken unless both are in the model at once

    def reply(prompt):
        both.wait()
        return "Au"

    workflow = make(open_threads(threads_url), reply)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: workflow.run("q", thread_id=name), ["one", "two"]))
    assert said(workflow, "one") == said(workflow, "two") == ["q", "Au"]


def ask_async(workflow, *given, **options):
    asyncio.run(workflow.ainvoke(*given, **options))


@pytest.mark.parametrize("ask", [AgenticWorkflow.run, ask_async])
def test_who_waits_too_long_is_told_so_and_changes_nothing(ask, threads_url, open_threads):
    started, go_on = threading.Event(), threading.Event()

    def reply(prompt):
        started.set()
        assert go_on.wait(20)
        return "Au"

    slow = make(open_threads(threads_url, wait_s=0.05), reply)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(slow.run, "first", thread_id="one")
        assert started.wait(20)
        with pytest.raises(ThreadBusyError, match="'one' is busy") as caught:
            ask(slow, "second", thread_id="one")
        go_on.set()
        first.result()
    assert isinstance(caught.value, TimeoutError)
    assert said(slow) == ["first", "Au"]
    slow.run("third", thread_id="one")
    assert said(slow) == ["first", "Au", "third", "Au"]


def test_a_turn_that_fails_leaves_nothing(threads_url, open_threads):
    replies = iter(["Au", RuntimeError("no weights"), "Ag"])

    def reply(prompt):
        answer = next(replies)
        if isinstance(answer, Exception):
            raise answer
        return answer

    workflow = make(open_threads(threads_url), reply)
    workflow.run("first", thread_id="one")
    with pytest.raises(RuntimeError, match="no weights"):
        workflow.run("second", thread_id="one")
    assert said(workflow) == ["first", "Au"]
    workflow.run("third", thread_id="one")
    assert said(workflow) == ["first", "Au", "third", "Ag"]


def test_a_turn_that_is_cancelled_leaves_nothing_and_lets_the_next_one_in(
    threads_url, open_threads
):
    workflow = make(open_threads(threads_url, wait_s=10))
    reached = []

    async def waits(state):
        reached.append(True)
        await asyncio.sleep(60 if len(reached) == 1 else 0)

    workflow.add_node("waits", waits)

    async def cancel_one():
        first = asyncio.create_task(workflow.ainvoke("first", thread_id="one"))
        second = asyncio.create_task(workflow.ainvoke("second", thread_id="one"))
        third = asyncio.create_task(workflow.ainvoke("third", thread_id="one"))
        while not reached:
            await asyncio.sleep(0.01)
        second.cancel()  # waits in line
        first.cancel()  # runs
        await third
        assert (await asyncio.gather(first, second, return_exceptions=True))[0] is not None

    asyncio.run(cancel_one())
    assert said(workflow) == ["third", "Au"]


def test_a_stream_that_is_closed_leaves_nothing(checkpointer):
    workflow = make(checkpointer)
    events = workflow.stream_events("first", thread_id="one")
    next(events)
    events.close()
    workflow.run("second", thread_id="one")
    assert said(workflow)[-2:] == ["second", "Au"]
    if not isinstance(checkpointer, InMemorySaver):
        assert len(said(workflow)) == 2


def test_a_node_may_ask_in_another_thread_but_not_in_its_own(checkpointer):
    workflow = make(checkpointer)
    other = make(checkpointer)
    asked = []

    def asks(state):
        asked.append(state["query"])
        if len(asked) == 1:
            other.run("aside", thread_id="two")
            with pytest.raises(ThreadBusyError):
                other.run("aside", thread_id="one")
        return {}

    workflow.add_node("asks", asks)
    workflow.run("q", thread_id="one")
    assert said(workflow) == ["q", "Au"]
    assert said(other, "two") == ["aside", "Au"]


def test_a_leased_graph_is_a_node_of_a_larger_graph(open_threads):
    saver = open_threads("memory")
    inner = make(None).graph
    outer = StateGraph(AgentState)
    outer.add_node("inner", inner)
    outer.add_edge(START, "inner")
    graph = outer.compile(checkpointer=saver)
    for text in ("one", "two"):
        graph.invoke({"messages": [HumanMessage(text)], "context": "", "results": []}, CONFIG)
    texts = [message.text for message in graph.get_state(CONFIG).values["messages"]]
    assert texts == ["one", "Au", "two", "Au"]


def test_a_subgraph_sees_what_it_stored_a_moment_ago_in_the_same_turn(checkpointer):
    inner = StateGraph(AgentState)
    inner.add_node("count", lambda state: {"messages": [AIMessage(str(len(state["messages"])))]})
    inner.add_edge(START, "count")
    counter = inner.compile(checkpointer=True)

    def count(state):
        out = counter.invoke({"messages": [HumanMessage("go")], "context": "", "results": []})
        return {"results": [*state["results"], out["messages"][-1].text]}

    outer = StateGraph(AgentState)
    outer.add_node("count", count)
    outer.add_edge(START, "count")
    outer.add_conditional_edges("count", lambda s: END if len(s["results"]) % 2 == 0 else "count")
    graph = leased(outer.compile(checkpointer=checkpointer))
    for _ in range(2):
        seen = graph.invoke({"messages": [], "context": "", "results": []}, CONFIG)["results"]
    assert seen == ["1", "3", "5", "7"]


def test_an_interrupted_turn_is_stored_and_steps_are_stored_one_by_one_where_asked(open_threads):
    workflow = make(open_threads("memory"))
    workflow.add_node("asks", lambda state: {"context": interrupt("sure?")})
    workflow.run("first", thread_id="one")
    assert said(workflow) == ["first", "Au"]
    state = {"messages": [HumanMessage("x")], "context": "", "results": []}
    workflow.graph.invoke(state, {"configurable": {"thread_id": "two"}}, durability="sync")
    history = workflow.graph.get_state_history({"configurable": {"thread_id": "two"}})
    assert len(list(history)) > 3


def test_update_state_and_time_travel(threads_url, open_threads):
    workflow = make(open_threads(threads_url))
    for text in ("one", "two"):
        workflow.run(text, thread_id="one")
    before = list(workflow.graph.get_state_history(CONFIG))[1].config
    assert [m.text for m in workflow.graph.get_state(before).values["messages"]] == ["one", "Au"]
    forked = workflow.graph.update_state(before, {"messages": [AIMessage("fork")]}, "finalize")
    assert set(forked["configurable"]) == {"thread_id", "checkpoint_ns", "checkpoint_id"}
    assert said(workflow) == ["one", "Au", "fork"]
    workflow.run("three", thread_id="one")
    assert said(workflow) == ["one", "Au", "fork", "three", "Au"]


def test_a_state_that_could_not_be_read_back_is_not_stored(open_threads):
    workflow = make(open_threads("memory"))
    workflow.add_node("adds", lambda state: {"context": object()})
    with pytest.raises(StoredStateError, match=r"builtins\.object is not stored"):
        workflow.run("q", thread_id="one")
    assert said(workflow) == []


@pytest.mark.parametrize("thread_id", ["", "a\0b", "x" * 501, "a\ud800"])
def test_thread_ids_that_cannot_be_stored_are_refused(thread_id, checkpointer):
    with pytest.raises(ValueError, match="thread_id"):
        make(checkpointer).run("q", thread_id=thread_id)


def test_a_new_turn_does_not_answer_with_an_old_result(checkpointer):
    workflow = make(checkpointer)
    assert workflow.run("q", thread_id="one")["all_results"] == ["Au"]
    assert workflow.run("q", thread_id="one")["all_results"] == ["Au"]
