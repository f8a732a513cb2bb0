"""The graphs, flat: which node follows which.

    single agent   process_input -> generate_response -> finalize
    multi agent    router -> qa_agent | summarizer | validator
                   qa_agent, summarizer -> validator -> END, or back with one thing changed

The module-level graphs `qa`, `summarizer`, `validator` and `multi_agent` are what `langgraph.json`
names. They are compiled without a checkpointer (LangGraph Studio and `langgraph dev` bring their
own) and bound to a student only when their first node runs: the folder in STILLROOM_CHECKPOINT.
Importing this module therefore loads no model and touches no file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from functools import lru_cache
from inspect import iscoroutinefunction
from typing import Any

from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from ..errors import ConfigError
from ..tables import FactTable
from . import nodes
from .extensions import Builder, Extensions, Node
from .record_lookup import RecordLookup
from .routing import route_task, route_verdict
from .state import AgentState, TaskType, query_of
from .student import open_student, open_table
from .turns import Update, first_step, fresh_turn
from .validation import bound_retries, validate_answer

Graph = CompiledStateGraph[AgentState, Any, Any, Any]

SINGLE_AGENT_LIMIT = 25
"""Most super-steps of a run with one agent; LangGraph's own default is 10007."""
MULTI_AGENT_LIMIT = 50
"""Most super-steps of a run with several agents."""
CHECKPOINT_VARIABLE = "STILLROOM_CHECKPOINT"
"""Environment variable that names the student's folder for the module-level graphs."""


def wire_single_agent(process_input: Node, generate_response: Node, finalize: Node) -> Builder:
    """Lay out the graph of one agent; not compiled yet."""
    builder: Builder = StateGraph(AgentState)
    builder.add_node("process_input", process_input)
    builder.add_node("generate_response", generate_response)
    builder.add_node("finalize", finalize)
    builder.add_edge(START, "process_input")
    builder.add_edge("process_input", "generate_response")
    builder.add_edge("generate_response", "finalize")
    builder.add_edge("finalize", END)
    return builder


def wire_multi_agent(
    router: Node,
    qa_agent: Node,
    summarizer: Node,
    validator: Node,
    route_decision: Callable[[AgentState], str] = route_task,
    further_routes: tuple[str, ...] = (),
) -> Builder:
    """Lay out the graph of several agents; not compiled yet.

    Args:
        router: Sets `current_task`.
        qa_agent: Answers questions.
        summarizer: Writes summaries.
        validator: Judges answers; `verdict` "retry" sends one back, at most twice.
        route_decision: Reads the task off the state.
        further_routes: Names of added nodes that `route_decision` may also return.
    """
    routes: dict[Hashable, str] = {
        "qa": "qa_agent",
        "summarize": "summarizer",
        "validate": "validator",
    }
    routes |= {name: name for name in further_routes}
    builder: Builder = StateGraph(AgentState)
    builder.add_node("router", router)
    builder.add_node("qa_agent", qa_agent)
    builder.add_node("summarizer", summarizer)
    builder.add_node("validator", _bounded(validator))
    builder.add_edge(START, "router")
    builder.add_conditional_edges("router", route_decision, routes)
    builder.add_edge("qa_agent", "validator")
    builder.add_edge("summarizer", "validator")
    builder.add_conditional_edges(
        "validator",
        route_verdict,
        {"qa": "qa_agent", "summarize": "summarizer", "done": END},
    )
    return builder


def wire_one_task(task: TaskType, agent: Node | None, validator: Node) -> Builder:
    """Lay out the graph of a single task: the agent, if there is one, and the validator."""

    def read_request(state: AgentState) -> Update:
        step = first_step("read_request", task, "the only task of this graph")
        return {**fresh_turn(query_of(state)), "current_task": task, "steps": step}

    builder: Builder = StateGraph(AgentState)
    builder.add_node("read_request", read_request)
    builder.add_node("validator", _bounded(validator))
    builder.add_edge(START, "read_request")
    if agent is None:
        builder.add_edge("read_request", "validator")
        builder.add_edge("validator", END)
        return builder
    builder.add_node("summarizer", agent)
    builder.add_edge("read_request", "summarizer")
    builder.add_edge("summarizer", "validator")
    builder.add_conditional_edges(
        "validator", route_verdict, {"summarize": "summarizer", "done": END}
    )
    return builder


def build_single_agent_graph(
    chat_model: BaseChatModel,
    *,
    table: FactTable | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    extensions: Extensions | None = None,
) -> Graph:
    """Build the compiled graph of one agent.

    Args:
        chat_model: The student.
        table: Not used by one agent; taken so that both builders are called alike.
        checkpointer: Where threads are remembered; None for one-shot runs.
        extensions: Nodes and edges to add.

    Returns:
        A Runnable: invoke, stream, batch, their async forms, and a node for larger graphs.
    """
    return compile_graph(_single(_fixed(chat_model, table)), checkpointer, extensions)


def build_multi_agent_graph(
    chat_model: BaseChatModel,
    *,
    table: FactTable | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    extensions: Extensions | None = None,
) -> Graph:
    """Build the compiled graph of router, agents and validator.

    Args:
        chat_model: The student.
        table: The student's table; without it answers cannot be held against a record.
        checkpointer: Where threads are remembered; None for one-shot runs.
        extensions: Nodes and edges to add.

    Returns:
        A Runnable: invoke, stream, batch, their async forms, and a node for larger graphs.
    """
    builder = _multi(_fixed(chat_model, table))
    return compile_graph(builder, checkpointer, extensions, MULTI_AGENT_LIMIT)


def compile_graph(
    builder: Builder,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    extensions: Extensions | None = None,
    recursion_limit: int = SINGLE_AGENT_LIMIT,
    name: str | None = None,
) -> Graph:
    """Compile a laid-out graph with its additions and an explicit limit of super-steps."""
    if extensions:
        extensions.attach(builder)
    compiled = builder.compile(checkpointer=checkpointer, name=name)
    return compiled.with_config({"recursion_limit": recursion_limit})


def _bounded(validator: Node) -> Node:
    """Count the attempts around any validator, so that one that never passes ends as well."""
    if iscoroutinefunction(validator):

        async def judge_async(state: AgentState) -> Any:  # noqa: ANN401 - a user's node
            return bound_retries(state, await validator(state))

        return judge_async

    def judge(state: AgentState) -> Any:  # noqa: ANN401 - a user's node
        return bound_retries(state, validator(state))

    return judge


ToolsSource = Callable[[], nodes.Tools]


def _fixed(chat_model: BaseChatModel, table: FactTable | None) -> ToolsSource:
    tools = nodes.Tools(chat_model, RecordLookup(table) if table is not None else None)
    return lambda: tools


def _served() -> nodes.Tools:
    folder = os.environ.get(CHECKPOINT_VARIABLE, "").strip()
    if not folder:
        raise ConfigError(
            [f"{CHECKPOINT_VARIABLE} is not set; set it to a student's folder before the first run"]
        )
    return _open(folder)


@lru_cache(maxsize=2)
def _open(folder: str) -> nodes.Tools:
    table = open_table(folder)
    return nodes.Tools(open_student(folder), RecordLookup(table) if table is not None else None)


def _single(tools: ToolsSource) -> Builder:
    return wire_single_agent(
        nodes.process_input,
        lambda state: nodes.generate_response(state, tools()),
        nodes.finalize,
    )


def _multi(tools: ToolsSource) -> Builder:
    return wire_multi_agent(
        lambda state: nodes.route_request(state, tools()),
        lambda state: nodes.answer_question(state, tools()),
        lambda state: nodes.summarize_text(state, tools()),
        lambda state: validate_answer(state, tools()),
    )


def _one_task(task: TaskType) -> Builder:
    agent = None if task == "validate" else lambda state: nodes.summarize_text(state, _served())
    return wire_one_task(task, agent, lambda state: validate_answer(state, _served()))


qa = compile_graph(_single(_served), name="qa")
summarizer = compile_graph(_one_task("summarize"), name="summarizer")
validator = compile_graph(_one_task("validate"), name="validator")
multi_agent = compile_graph(_multi(_served), recursion_limit=MULTI_AGENT_LIMIT, name="multi_agent")
