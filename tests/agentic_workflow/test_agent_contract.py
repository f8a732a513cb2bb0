"""The frozen names of the agents: signatures, nodes, result keys, prompt bytes, router words."""

import hashlib
import inspect
import typing

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph.state import CompiledStateGraph
from stillroom.agentic_workflow.agent import (
    AgenticWorkflow,
    AgentState,
    DistilledModelAgent,
    MultiAgentWorkflow,
)
from stillroom.agentic_workflow.routing import task_of
from stillroom.inference.chat.scripted_model import ScriptedModel

NONE = inspect.Parameter.empty
SIGNATURES = [
    (
        DistilledModelAgent,
        [("model_path", NONE), ("device", "cpu"), ("max_length", 100), ("temperature", 0.7)],
    ),
    (DistilledModelAgent.generate, [("self", NONE), ("prompt", NONE)]),
    (
        DistilledModelAgent.answer_question,
        [("self", NONE), ("question", NONE), ("context", None)],
    ),
    (AgenticWorkflow, [("distilled_model_path", NONE)]),
    (
        AgenticWorkflow.run,
        [("self", NONE), ("query", NONE), ("context", None), ("chat_history", None)],
    ),
    (AgenticWorkflow.run_batch, [("self", NONE), ("queries", NONE), ("contexts", None)]),
    (MultiAgentWorkflow, [("distilled_model_path", NONE)]),
    (MultiAgentWorkflow.run, [("self", NONE), ("query", NONE), ("context", None)]),
]
OVERRIDABLE = {
    AgenticWorkflow: (
        "_create_graph",
        "_process_input_node",
        "_generate_response_node",
        "_finalize_node",
    ),
    MultiAgentWorkflow: (
        "_create_graph",
        "_router_node",
        "_route_decision",
        "_qa_agent_node",
        "_summarizer_node",
        "_validator_node",
    ),
}


def single(*replies, **options):
    return AgenticWorkflow(None, chat_model=ScriptedModel(list(replies)), **options)


def multi(*replies, table=None):
    return MultiAgentWorkflow(None, chat_model=ScriptedModel(list(replies)), table=table)


@pytest.mark.parametrize(("function", "expected"), SIGNATURES)
def test_signatures_are_those_of_the_peer_and_additions_are_keyword_only(function, expected):
    parameters = list(inspect.signature(function).parameters.values())
    assert [(p.name, p.default) for p in parameters[: len(expected)]] == expected
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[len(expected) :])


def test_state_has_the_four_known_fields_first_and_required():
    names = list(AgentState.__annotations__)
    assert names[:4] == ["messages", "context", "current_task", "results"]
    assert AgentState.__required_keys__ == set(names[:4])
    hints = typing.get_type_hints(AgentState)
    assert hints["context"] is str
    assert hints["results"] == list[str]


@pytest.mark.parametrize("kind", OVERRIDABLE)
def test_overridable_methods_exist(kind):
    assert all(callable(getattr(kind, name)) for name in OVERRIDABLE[kind])


@pytest.mark.parametrize(
    ("workflow", "nodes"),
    [
        (single(), ["process_input", "generate_response", "finalize"]),
        (multi(), ["router", "qa_agent", "summarizer", "validator"]),
    ],
)
def test_graphs_are_compiled_langgraph_graphs_with_these_nodes(workflow, nodes):
    assert isinstance(workflow.graph, CompiledStateGraph)
    drawn = workflow.graph.get_graph()
    assert [name for name in drawn.nodes if not name.startswith("__")] == nodes
    assert all(name in drawn.draw_mermaid() for name in nodes)


def test_single_agent_result():
    result = single(" Au ").run("What is the symbol of gold?")
    assert set(result) == {"query", "response", "messages", "all_results"}
    assert result["query"] == "What is the symbol of gold?"
    assert result["response"] == "Au"
    assert result["all_results"] == ["Au"]
    assert [(type(m), m.content) for m in result["messages"]] == [
        (HumanMessage, "What is the symbol of gold?"),
        (AIMessage, "Au"),
    ]


@pytest.mark.parametrize(
    ("query", "task"),
    [
        ("What is the symbol of gold?", "qa"),
        ("Summarize the following: gold", "summarize"),
        ("Validate this: gold is heavy", "validate"),
    ],
)
def test_multi_agent_result(query, task):
    result = multi("yes").run(query)
    assert set(result) == {"query", "response", "task_type", "messages"}
    assert result["task_type"] == task
    assert result["response"]
    assert result["messages"][-1].content == result["response"]


PROMPTS = [
    ("Context: C\n\nQuestion: Q\n\nAnswer:", "0e649213d04f939d"),
    ("Question: Q\n\nAnswer:", "a71304026d81ef7c"),
    ("Summarize the following: T", "b0329437390337d0"),
]


def _asked(workflow):
    return workflow.agent.chat_model.prompts


def test_prompt_bytes():
    with_context, without, summary = single("x"), single("x"), multi("x")
    with_context.run("Q", context="C")
    without.run("Q")
    summary.run("Summarize the following: T")
    asked = [prompt for w in (with_context, without, summary) for prompt in _asked(w)]
    assert asked == [prompt for prompt, _ in PROMPTS]
    digests = [hashlib.sha256(prompt.encode()).hexdigest()[:16] for prompt in asked]
    assert digests == [digest for _, digest in PROMPTS]


def test_agent_asks_with_the_same_prompts():
    model = ScriptedModel([" Au\n", "Ag"])
    agent = DistilledModelAgent(None, chat_model=model)
    assert agent.answer_question("Q", context="C") == "Au"
    assert agent.answer_question("Q") == "Ag"
    assert model.prompts == [PROMPTS[0][0], PROMPTS[1][0]]


@pytest.mark.parametrize(
    ("query", "task"),
    [
        ("summarize gold", "summarize"),
        ("Please give a SUMMARY of gold", "summarize"),
        ("Summarise gold", "summarize"),
        ("summarize and validate gold", "summarize"),
        ("Validate this: gold is Au", "validate"),
        ("check that gold is Au", "validate"),
        ("What is gold?", "qa"),
        ("Give me a checklist", "qa"),
        ("summary judgment explained", "qa"),
        ("What is a check list for?", "qa"),
        ("Who won by checkmate?", "qa"),
        ("invalidated, unchecked, summarization", "qa"),
        ("", "qa"),
    ],
)
def test_router_words_are_whole_words(query, task):
    assert task_of(query)[0] == task


@pytest.mark.parametrize("contexts", [["one"], [], ["a", "b", "c"]])
@pytest.mark.parametrize("make", [single, multi])
def test_run_batch_names_both_lengths(make, contexts):
    with pytest.raises(ValueError, match=rf"2 queries but {len(contexts)} contexts"):
        make("x", "y").run_batch(["a", "b"], contexts)


def test_run_batch_answers_every_query_with_its_own_context():
    workflow = single("x", "y")
    results = workflow.run_batch(["a", "b"], [None, "C"])
    assert [r["response"] for r in results] == ["x", "y"]
    assert _asked(workflow) == [
        "Question: a\n\nAnswer:",
        "Context: C\n\nQuestion: b\n\nAnswer:",
    ]


def test_chat_history_is_used_and_left_alone():
    history = [HumanMessage("My metal is gold."), AIMessage("Noted.")]
    workflow = single("x", "x")
    for _ in range(2):
        workflow.run("Its symbol?", context="C", chat_history=history)
    assert [m.content for m in history] == ["My metal is gold.", "Noted."]
    assert [m.id for m in history] == [None, None]
    expected = "Context: User: My metal is gold.\nAssistant: Noted.\n\nC\n\nQuestion: Its symbol?"
    assert _asked(workflow) == [f"{expected}\n\nAnswer:"] * 2


@pytest.mark.parametrize("make", [single, multi])
@pytest.mark.parametrize("query", ["", "  \n", None, 3])
def test_an_empty_query_is_refused(make, query):
    with pytest.raises(ValueError, match="at least one word"):
        make("x").run(query)


@pytest.mark.parametrize("make", [single, multi])
def test_an_error_of_the_model_is_raised_and_never_an_answer(make):
    workflow = make(RuntimeError("no weights"))
    with pytest.raises(RuntimeError, match="no weights"):
        workflow.run("What is gold?")


def test_without_folder_and_model_there_is_a_sentence():
    with pytest.raises(ValueError, match="checkpoint folder"):
        AgenticWorkflow(None)


def test_a_missing_folder_is_an_error_when_the_workflow_is_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        MultiAgentWorkflow(tmp_path / "nothing")


def test_a_chat_model_may_stand_in_the_place_of_the_folder():
    assert AgenticWorkflow(ScriptedModel(["Au"])).run("Q")["response"] == "Au"
