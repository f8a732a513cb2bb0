"""The workflows as LangChain Runnables: inputs, batches, chains, retries, drawings."""

import asyncio
import operator

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.model_calls.deadlines import RunContext
from stillroom.agentic_workflow.policy import AnswerPolicy
from stillroom.errors import ConfigError
from stillroom.inference.chat.scripted_model import ScriptedModel

KINDS = [AgenticWorkflow, MultiAgentWorkflow]


def echo(prompt):
    """Say the question's last word, so that answers tell which request they belong to."""
    return prompt.removesuffix("\n\nAnswer:").split()[-1].strip("?")


def make(kind, **options):
    return kind(None, chat_model=ScriptedModel(echo), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_ask_gives_what_run_gives(kind):
    workflow = make(kind)
    assert isinstance(workflow, Runnable)

    async def ask_async():
        alone = await workflow.ainvoke("symbol of gold?")
        together = await workflow.abatch(["symbol of gold?", "symbol of tin?"])
        pieces = [piece async for piece in workflow.astream("symbol of gold?")]
        return alone, together, "".join(pieces)

    def told(result):
        return {**result, "messages": [m.content for m in result["messages"]]}

    expected = told(workflow.run("symbol of gold?"))
    alone, together, streamed = asyncio.run(ask_async())
    batch = workflow.batch(["symbol of gold?", "symbol of tin?"])
    assert told(workflow.invoke("symbol of gold?")) == told(alone) == expected
    assert [r["response"] for r in batch] == [r["response"] for r in together] == ["gold", "tin"]
    assert told(batch[0]) == told(workflow.run_batch(["symbol of gold?"])[0]) == expected
    assert streamed == "".join(workflow.stream("symbol of gold?")) == "gold"


INPUTS = [
    "its symbol?",
    HumanMessage("its symbol?"),
    [("human", "its symbol?")],
    {"query": "its symbol?"},
    {"messages": [HumanMessage("its symbol?")]},
]


@pytest.mark.parametrize("given", INPUTS)
def test_a_request_may_come_in_any_form(given):
    workflow = make(AgenticWorkflow)
    assert workflow.invoke(given)["query"] == "its symbol?"
    assert workflow.explain(given)["response"] == "symbol"


HISTORY = [("human", "My metal is gold."), ("ai", "Noted.")]


@pytest.mark.parametrize(
    "given",
    [[*HISTORY, ("human", "Its symbol?")], {"query": "Its symbol?", "chat_history": HISTORY}],
)
def test_messages_before_the_last_one_are_the_history(given):
    workflow = make(AgenticWorkflow)
    workflow.invoke(given, context="C")
    workflow.run("Its symbol?", "C", [HumanMessage("My metal is gold."), AIMessage("Noted.")])
    first, second = workflow.agent.chat_model.prompts
    assert first == second
    assert "User: My metal is gold.\nAssistant: Noted." in first


@pytest.mark.parametrize(
    "given", ["", {"query": " "}, {"messages": []}, [("ai", "I spoke last")], {}, 3, None]
)
@pytest.mark.parametrize("way", ["invoke", "stream", "explain"])
def test_what_holds_no_query_is_refused(given, way):
    with pytest.raises(ValueError, match="at least one word"):
        list(getattr(make(AgenticWorkflow), way)(given))


def test_unknown_keys_and_options_are_refused():
    with pytest.raises(ValueError, match="qurey"):
        make(AgenticWorkflow).invoke({"qurey": "symbol?"})
    with pytest.raises(TypeError, match="contxt"):
        make(AgenticWorkflow).invoke("symbol?", contxt="C")


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_gives_the_same_whole_and_streamed(kind):
    chain = (
        (lambda name: f"symbol of {name}?")
        | make(kind)
        | RunnableLambda(operator.itemgetter("response"))
    )

    async def streamed():
        return [piece async for piece in chain.astream("gold")]

    assert chain.invoke("gold") == "gold"
    assert "".join(chain.stream("gold")) == "".join(asyncio.run(streamed())) == "gold"


def test_langchains_wrappers_work_around_a_workflow():
    model = ScriptedModel([RuntimeError("once"), "Au"])
    workflow = AgenticWorkflow(None, chat_model=model)
    assert (
        workflow.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke("symbol?")[
            "response"
        ]
        == "Au"
    )
    broken = AgenticWorkflow(None, chat_model=ScriptedModel([RuntimeError("always")]))
    assert broken.with_fallbacks([make(AgenticWorkflow)]).invoke("tin?")["response"] == "tin"


def test_a_bound_thread_is_that_of_the_run():
    saver = InMemorySaver()
    bound = make(AgenticWorkflow, checkpointer=saver).with_config(configurable={"thread_id": "x"})
    bound.invoke("gold?")
    assert [m.content for m in bound.invoke("tin?")["messages"]][:2] == ["gold?", "gold"]


def test_errors_of_a_batch_can_be_kept_apart():
    workflow = AgenticWorkflow(None, chat_model=ScriptedModel({"Question: a\n\nAnswer:": "x"}))
    good, bad = workflow.batch(["a", ""], return_exceptions=True)
    assert good["response"] == "x"
    assert isinstance(bad, ValueError)


@pytest.mark.parametrize("kind", KINDS)
def test_the_workflow_draws_itself(kind):
    drawn = make(kind).get_graph().draw_mermaid()
    assert all(name in drawn for name in kind.node_names)


def test_one_agent_refuses_what_it_would_pass_over():
    with pytest.raises(ConfigError, match="risk_target"):
        make(AgenticWorkflow, policy=AnswerPolicy(risk_target=0.05))
    with pytest.raises(ConfigError, match="risk_target"):
        make(AgenticWorkflow).run("symbol?", limits=RunContext(risk_target=0.05))
    assert (
        make(AgenticWorkflow, policy=AnswerPolicy(deadline_s=60)).run("tin?")["response"] == "tin"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_character_is_no_reason_to_fail(kind):
    workflow = make(kind)
    assert workflow.run("is it \ud800 tin?", context="a \udfff b")["response"] == "tin"
    assert "\ud800" not in workflow.agent.chat_model.prompts[0]
