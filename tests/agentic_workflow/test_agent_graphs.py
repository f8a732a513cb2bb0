"""Graphs: added nodes, overrides, limits, threads, and the graphs that langgraph.json names."""

import asyncio
import importlib
import json
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from stillroom.agentic_workflow import graphs
from stillroom.agentic_workflow.agent import AgenticWorkflow, AgentState, MultiAgentWorkflow
from stillroom.agentic_workflow.graphs import build_multi_agent_graph, build_single_agent_graph
from stillroom.agentic_workflow.state import merge_results
from stillroom.errors import ConfigError, GenerationError
from stillroom.inference.chat.scripted_model import ScriptedModel

ROOT = Path(__file__).parents[2]
KINDS = [AgenticWorkflow, MultiAgentWorkflow]


def make(kind, *replies, **options):
    return kind(None, chat_model=ScriptedModel(list(replies) or ["Au"]), **options)


def returns_state(state: AgentState) -> AgentState:
    return state


def says_more(state: AgentState) -> AgentState:
    state["results"].append("more")
    state["messages"].append(AIMessage("more"))
    return state


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after_first_run", [False, True])
def test_a_node_without_edges_runs_at_the_end_and_doubles_nothing(kind, after_first_run):
    workflow = make(kind, "Au", "Au")
    if after_first_run:
        workflow.run("symbol?")
    seen = []
    workflow.add_node("custom_agent", lambda state: (seen.append(dict(state)), state)[1])
    state = workflow.graph.invoke({"messages": [HumanMessage("symbol?")]})
    assert [s["answer"] for s in seen] == ["Au"]
    assert [m.content for m in state["messages"]] == ["symbol?", "Au"]
    assert state["results"] == ["Au"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_changes_the_state_in_place_adds_once(kind):
    workflow = make(kind)
    workflow.add_node("custom_agent", says_more)
    result = workflow.run("symbol?")
    assert [m.content for m in result["messages"]] == ["symbol?", "Au", "more"]
    assert result["response"] == "more"


def test_several_added_nodes_run_in_the_order_of_adding():
    order = []
    workflow = make(AgenticWorkflow)
    for name in ("one", "two", "three"):
        workflow.add_node(name, lambda state, name=name: order.append(name) or {})
    workflow.run("symbol?")
    assert order == ["one", "two", "three"]


def test_an_added_edge_replaces_the_nodes_own():
    workflow = make(AgenticWorkflow)
    workflow.add_node("check_spelling", lambda state: {"results": [*state["results"], "AU"]})
    workflow.add_edge("generate_response", "check_spelling")
    workflow.add_edge("check_spelling", "finalize")
    result = workflow.run("symbol?")
    assert result["response"] == "AU"
    assert result["messages"][-1].content == "AU"
    drawn = {(e.source, e.target) for e in workflow.graph.get_graph().edges}
    assert ("generate_response", "finalize") not in drawn


def test_added_conditional_edges_choose_the_way():
    workflow = make(MultiAgentWorkflow)
    workflow.add_node("poet", lambda state: {"results": ["a rhyme"]})
    workflow.add_conditional_edges(
        "router",
        lambda state: "poem" if "poem" in state["query"] else "qa",
        {"poem": "poet", "qa": "qa_agent"},
    )
    assert workflow.run("a poem, please")["response"] == "a rhyme"
    assert workflow.run("symbol?")["response"] == "Au"


def test_a_route_decision_of_ones_own_reaches_an_added_node():
    class Routed(MultiAgentWorkflow):
        def _route_decision(self, state):
            return "custom_agent"

    workflow = make(Routed)
    workflow.add_node("custom_agent", lambda state: {"results": ["mine"]})
    assert workflow.run("symbol?")["response"] == "mine"


@pytest.mark.parametrize("name", ["finalize", "mine"])
def test_a_taken_name_is_refused(name):
    workflow = make(AgenticWorkflow)
    workflow.add_node("mine", returns_state)
    with pytest.raises(ValueError, match="already"):
        workflow.add_node(name, returns_state)


def test_two_heads_without_order_are_refused():
    workflow = make(AgenticWorkflow)
    for name in ("a", "b", "c"):
        workflow.add_node(name, returns_state)
    workflow.add_edge("a", "c")
    workflow.add_edge("b", "c")
    with pytest.raises(ValueError, match="none in"):
        workflow.run("symbol?")


def test_the_function_itself_may_be_given_as_node():
    workflow = make(AgenticWorkflow)
    workflow.add_node(returns_state)
    assert "returns_state" in workflow.graph.get_graph().nodes


SINGLE = ["_process_input_node", "_generate_response_node", "_finalize_node"]
MULTI = ["_router_node", "_qa_agent_node", "_validator_node"]


@pytest.mark.parametrize(
    ("kind", "method"),
    [(AgenticWorkflow, m) for m in SINGLE] + [(MultiAgentWorkflow, m) for m in MULTI],
)
def test_an_override_takes_effect(kind, method):
    called = []

    def override(self, state):
        called.append(method)
        return getattr(kind, method)(self, state)

    changed = type("Changed", (kind,), {method: override})
    assert make(changed).run("symbol?")["response"] == "Au"
    assert called == [method]


def test_the_summarizer_override_takes_effect():
    class Short(MultiAgentWorkflow):
        def _summarizer_node(self, state):
            state["results"].append("short")
            return state

    result = make(Short).run("Summarize the following: gold")
    assert result["response"] == "short"
    assert result["messages"][-1].content == "short"


def test_a_graph_of_ones_own_takes_effect_compiled_or_not_and_takes_added_nodes():
    class Own(AgenticWorkflow):
        compiled = True

        def _create_graph(self):
            builder = StateGraph(AgentState)
            builder.add_node("only", lambda state: {"results": ["own"]})
            builder.add_edge(START, "only")
            builder.add_edge("only", END)
            return builder.compile() if self.compiled else builder

    class Uncompiled(Own):
        compiled = False

    for kind in (Own, Uncompiled):
        workflow = make(kind)
        assert workflow.run("symbol?")["response"] == "own"
        workflow.add_node("more", lambda state: {"results": [*state["results"], "more"]})
        assert workflow.run("symbol?")["all_results"] == ["own", "more"]


@pytest.mark.parametrize(("kind", "limit"), [(AgenticWorkflow, 25), (MultiAgentWorkflow, 50)])
def test_the_recursion_limit_is_explicit(kind, limit):
    assert make(kind).graph.config["recursion_limit"] == limit


@pytest.mark.parametrize("kind", KINDS)
def test_an_endless_loop_is_reported_as_step_limit(kind):
    workflow = make(kind, *["Au"] * 3)
    workflow.add_node("again", returns_state)
    last = workflow.node_names[-1]
    workflow.add_edge(last, "again")
    workflow.add_edge("again", "again")
    with pytest.raises(GenerationError, match="step_limit"):
        workflow.run("symbol?")
    with pytest.raises(GenerationError, match="step_limit"):
        list(workflow.stream("symbol?", config={"recursion_limit": 5}))
    event = workflow.explain("symbol?", config={"recursion_limit": 5})
    assert (event["exit"], event["response"]) == ("step_limit", "")


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "batch"])
@pytest.mark.parametrize(("limit", "told"), [(1, "took 1 step "), (3, "took 3 steps ")])
def test_the_step_limit_of_the_call_is_the_one_that_is_told(way, limit, told):
    workflow = make(MultiAgentWorkflow, *["Au"] * 3)
    config = {"recursion_limit": limit}

    async def pieces():
        return [piece async for piece in workflow.astream("symbol?", config)]

    calls = {
        "invoke": lambda: workflow.invoke("symbol?", config),
        "ainvoke": lambda: asyncio.run(workflow.ainvoke("symbol?", config)),
        "stream": lambda: list(workflow.stream("symbol?", config)),
        "astream": lambda: asyncio.run(pieces()),
        "batch": lambda: workflow.batch(["symbol?"], config),
    }
    with pytest.raises(GenerationError, match=told):
        calls[way]()


@pytest.mark.parametrize("kind", KINDS)
def test_threads_are_remembered_and_kept_apart(kind):
    saver = InMemorySaver()
    workflow = make(kind, "a", "b", "c", checkpointer=saver)
    workflow.run("one", thread_id="x")
    workflow.run("two", thread_id="y")
    result = workflow.run("three", thread_id="x")
    assert [m.content for m in result["messages"]] == ["one", "a", "three", "c"]
    assert result["response"] == "c"
    state = workflow.graph.get_state({"configurable": {"thread_id": "y"}}).values
    assert [m.content for m in state["messages"]] == ["two", "b"]


def test_a_new_turn_on_a_thread_starts_fresh(table):
    model = ScriptedModel(["Ag", "Al", "Hg", "He"])
    workflow = MultiAgentWorkflow(None, chat_model=model, table=table, checkpointer=InMemorySaver())
    first = workflow.explain("symbol of gold?", thread_id="x")
    second = workflow.explain("symbol of helium?", thread_id="x")
    assert (first["verdict"], first["attempts"]) == ("disagrees", 3)
    assert (second["verdict"], second["attempts"], second["response"]) == ("agrees", 1, "He")
    assert len(second["steps"]) == 3


def test_without_a_thread_id_every_run_has_its_own():
    workflow = make(AgenticWorkflow, "a", "b", checkpointer=InMemorySaver())
    workflow.run("one")
    assert len(workflow.run("two")["messages"]) == 2


@pytest.mark.parametrize("with_table", [False, True])
def test_graphs_are_runnables_and_nodes_of_larger_graphs(with_table, table):
    model = ScriptedModel(lambda prompt: "Au")
    graph = (
        build_multi_agent_graph(model, table=table)
        if with_table
        else build_single_agent_graph(model)
    )
    asked = {"messages": [HumanMessage("symbol of gold?")]}
    assert graph.invoke(asked)["results"] == ["Au"]
    assert [s["results"] for s in graph.batch([asked, asked])] == [["Au"], ["Au"]]
    outer = StateGraph(AgentState)
    outer.add_node("inner", graph)
    outer.add_edge(START, "inner")
    state = outer.compile().invoke(asked)
    assert [m.content for m in state["messages"]] == ["symbol of gold?", "Au"]


def test_one_node_can_be_run_alone(table):
    graph = build_multi_agent_graph(ScriptedModel(["Au"]), table=table)
    update = graph.nodes["qa_agent"].invoke({"messages": [HumanMessage("symbol of gold?")]})
    assert update["answer"] == "Au"


GRAPHS = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))["graphs"]


@pytest.fixture
def _served(monkeypatch, table):
    monkeypatch.setenv("STILLROOM_CHECKPOINT", "somewhere")
    monkeypatch.setattr(graphs, "open_student", lambda folder: ScriptedModel(lambda prompt: "Au"))
    monkeypatch.setattr(graphs, "open_table", lambda folder: table)
    graphs._open.cache_clear()
    yield
    graphs._open.cache_clear()


@pytest.mark.usefixtures("_served")
@pytest.mark.parametrize(("name", "place"), GRAPHS.items())
def test_graphs_of_langgraph_json_load_and_answer(name, place):
    module, _, variable = place.partition(":")
    graph = vars(importlib.import_module(module))[variable]
    assert isinstance(graph, CompiledStateGraph)
    assert graph.name == name
    assert graph.checkpointer is None
    assert graph.config["recursion_limit"] in (25, 50)
    asked = {"validator": "check that the symbol of gold is Au", "summarizer": "gold"}
    query = asked.get(name, "the symbol of gold")
    state = graph.invoke({"messages": [HumanMessage(query)]})
    assert "Au" in state["messages"][-1].content


def test_graphs_say_what_to_set_when_no_student_is_named(monkeypatch):
    monkeypatch.delenv("STILLROOM_CHECKPOINT", raising=False)
    with pytest.raises(ConfigError, match="STILLROOM_CHECKPOINT is not set"):
        graphs.multi_agent.invoke({"messages": [HumanMessage("hello")]})


@pytest.mark.parametrize(
    ("current", "update", "merged"),
    [
        ([], ["a"], ["a"]),
        (["a"], ["a"], ["a"]),
        (["a"], ["a", "b"], ["a", "b"]),
        (["a"], ["b"], ["a", "b"]),
        (["a", "b"], [], ["a", "b"]),
        (["a"], "b", ["a", "b"]),
        (None, None, []),
    ],
)
def test_results_merge_is_idempotent(current, update, merged):
    assert merge_results(current, update) == merged
    assert merge_results(merged, merged) == merged
