"""The graphs, flat: which node follows which.

    single agent   process_input -> generate_response -> finalize
    multi agent    understand -> router -> qa_agent | summarizer | validator
                   qa_agent, summarizer -> validator -> END, or back for another attempt
    with a policy  router -> any added agent -> validator, or clarify -> END
                   qa_agent -> confidence -> validator -> escalate -> END

`langgraph.json` names the module-level graphs `qa`, `summarizer`, `validator` and `multi_agent`.
They are compiled without a checkpointer (LangGraph Studio and `langgraph dev` bring their own), and
open the student in the folder STILLROOM_CHECKPOINT when their first node runs. Importing this
module therefore loads no model and touches no file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph

from ..errors import ConfigError
from ..inference.scoring.confidence import ConfidenceMap
from ..tables import FactTable
from .custom_nodes import Builder, Extensions, Node
from .distilled_agent import open_student, open_table
from .grounding.grounded_answer import Grounding
from .model_calls.deadlines import AgentNode, RunContext, with_deadline
from .nodes import agent_nodes as nodes
from .nodes.confidence_node import check_confidence, risk_target
from .nodes.retries import ToolsSource, with_attempts
from .nodes.teacher_node import ask_teacher
from .nodes.toolbox import Tools, grounded
from .nodes.validator_node import validate_answer
from .policy import AnswerPolicy, TeacherBudget
from .reading.table_reader import TableReader
from .routing import CLARIFY, AgentRoute, route_task, task_router, verdict_router
from .state import AgentState, TaskType, query_of, with_step
from .state_updates import Update, first_step, fresh_turn, out_of_time, router_out_of_time
from .threads.delta_channels import delta_channels_wanted, with_delta_channels
from .threads.locking_graph import LeasedGraph, leased

Graph = LeasedGraph

SINGLE_AGENT_LIMIT = 25
"""Most super-steps of a run with one agent; LangGraph's own default is 10007."""
MULTI_AGENT_LIMIT = 50
"""Most super-steps of a run with several agents."""
CHECKPOINT_VARIABLE = "STILLROOM_CHECKPOINT"
"""Environment variable that names the student's folder for the module-level graphs."""


@dataclass(frozen=True)
class Parts:
    """The optional parts of a graph of several agents."""

    tools: ToolsSource
    """Gives the models, the table and the policy when a node runs."""
    agents: Mapping[str, AgentNode] = field(default_factory=dict)
    """Added agents, by the name of their route."""
    checks_confidence: bool = False
    """An answer's confidence is compared with the risk target."""
    escalates: bool = False
    """There is a teacher."""
    clarifies: bool = False
    """The router may ask the user what is meant."""
    understands: bool = False
    """There is a table, in which the node `understand` finds what is meant."""


def wire_single_agent(process_input: Node, generate_response: Node, finalize: Node) -> Builder:
    """Lay out the graph of one agent; not compiled yet."""
    builder: Builder = StateGraph(AgentState, context_schema=RunContext)
    builder.add_node("process_input", process_input)
    builder.add_node(
        "generate_response", with_deadline(generate_response, out_of_time("generate_response"))
    )
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
    *,
    parts: Parts,
) -> Builder:
    """Lay out the graph of several agents; not compiled yet.

    Args:
        router: Sets `current_task`.
        qa_agent: Answers questions.
        summarizer: Writes summaries.
        validator: Judges answers. `verdict` "retry" rejects one: `nodes.retries` decides whether it
            is made again.
        route_decision: Reads the task off the state.
        further_routes: Names of added nodes that `route_decision` may also return.
        parts: Further agents and nodes.
    """
    tools = parts.tools
    routes: dict[Hashable, str] = {
        "qa": "qa_agent",
        "summarize": "summarizer",
        "validate": "validator",
        **{name: name for name in (*parts.agents, *further_routes)},
        **({CLARIFY: CLARIFY} if parts.clarifies else {}),
    }
    back = {way: node for way, node in routes.items() if way != CLARIFY}
    builder: Builder = StateGraph(AgentState, context_schema=RunContext)
    builder.add_node("router", with_deadline(router, router_out_of_time))
    builder.add_node("qa_agent", with_deadline(qa_agent, out_of_time("qa_agent")))
    builder.add_node("summarizer", with_deadline(summarizer, out_of_time("summarizer")))
    for name, node in parts.agents.items():
        builder.add_node(name, with_deadline(node, out_of_time(name)))
        builder.add_edge(name, "validator")
    builder.add_node("validator", with_attempts(validator, tools))
    if parts.understands:
        understand = with_deadline(lambda state: nodes.understand(state, tools()), lambda _: {})
        builder.add_node("understand", understand)
        builder.add_edge(START, "understand")
        builder.add_edge("understand", "router")
    else:
        builder.add_edge(START, "router")
    builder.add_conditional_edges("router", route_decision, routes)
    builder.add_edge("qa_agent", "confidence" if parts.checks_confidence else "validator")
    builder.add_edge("summarizer", "validator")
    if parts.checks_confidence:
        builder.add_node("confidence", lambda state: check_confidence(state, tools()))
        builder.add_edge("confidence", "validator")
    if parts.clarifies:
        builder.add_node(CLARIFY, lambda state: nodes.ask_for_clarification(state, tools()))
        builder.add_edge(CLARIFY, END)
    if parts.escalates:
        builder.add_node("escalate", _escalation(tools))
        builder.add_edge("escalate", END)
    builder.add_conditional_edges(
        "validator",
        verdict_router(tuple(parts.agents), escalates=parts.escalates),
        {**back, "done": END, **({"escalate": "escalate"} if parts.escalates else {})},
    )
    return builder


def wire_one_task(
    task: TaskType, agent: Node | None, validator: Node, tools: ToolsSource
) -> Builder:
    """Lay out the graph of a single task: the agent, if there is one, and the validator."""

    def read_request(state: AgentState) -> Update:
        step = first_step("read_request", task, "the only task of this graph")
        return {**fresh_turn(query_of(state)), "current_task": task, "steps": step}

    builder: Builder = StateGraph(AgentState, context_schema=RunContext)
    builder.add_node("read_request", read_request)
    builder.add_node("validator", with_attempts(validator, tools))
    builder.add_edge(START, "read_request")
    ways: dict[Hashable, str] = {"validate": "validator", "done": END}
    if agent is None:
        builder.add_edge("read_request", "validator")
    else:
        builder.add_node("summarizer", with_deadline(agent, out_of_time("summarizer")))
        builder.add_edge("read_request", "summarizer")
        builder.add_edge("summarizer", "validator")
        ways = {"summarize": "summarizer", "done": END}
    builder.add_conditional_edges("validator", verdict_router(), ways)
    return builder


def build_single_agent_graph(
    chat_model: BaseChatModel,
    *,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    extensions: Extensions | None = None,
) -> Graph:
    """Build the compiled graph of one agent.

    Args:
        chat_model: The student.
        checkpointer: Where threads are remembered; None for one-shot runs.
        extensions: Nodes and edges to add.

    Returns:
        A Runnable: invoke, stream, batch, their async forms, and a node for larger graphs.
    """
    tools = Tools(chat_model)
    return compile_graph(_single(lambda: tools), checkpointer, extensions)


def build_multi_agent_graph(
    chat_model: BaseChatModel,
    *,
    table: FactTable | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    extensions: Extensions | None = None,
    policy: AnswerPolicy | None = None,
    agents: Mapping[AgentRoute, AgentNode] | None = None,
    confidence: ConfidenceMap | None = None,
    grounding: Grounding | bool = True,
) -> Graph:
    """Build the compiled graph of router, agents and validator.

    Args:
        chat_model: The student.
        table: The student's table; without it answers cannot be checked against a record.
        checkpointer: Where threads are remembered; None for one-shot runs.
        extensions: Nodes and edges to add.
        policy: Attempts, risk, teacher and so on.
        agents: Further agents: their routes and nodes.
        confidence: The student's calibration; a risk target needs it.
        grounding: Answers must be supported by the table and cite it; see `open_grounding`. False:
            they need not.

    Returns:
        A Runnable: invoke, stream, batch, their async forms, and a node for larger graphs.

    Raises:
        ConfigError: The policy has a risk target that the map has no threshold for, or a deadline;
            or the grounding is over another table.
    """
    policy, agents = policy or AnswerPolicy(), agents or {}
    if policy.deadline_s is not None:
        raise ConfigError(
            [
                "deadline_s belongs to a run, not to a graph; "
                "give context={'deadline_s': ...} with each run"
            ]
        )
    tools = Tools(
        chat_model,
        TableReader(table) if table is not None else None,
        policy,
        tuple(agents),
        confidence,
        TeacherBudget(policy.teacher_budget),
    )
    tools = grounded(tools, grounding)
    nodes_by_name = {route.name: node for route, node in agents.items()}
    builder = _multi(lambda: tools, parts_of(tools, lambda: tools, nodes_by_name))
    return compile_graph(builder, checkpointer, extensions, step_limit(policy.attempts))


def parts_of(tools: Tools, source: ToolsSource, agents: Mapping[str, AgentNode]) -> Parts:
    """Choose the parts that a policy needs.

    Args:
        tools: Models, table and policy.
        source: Gives the same when a node runs.
        agents: Nodes of the added agents, by name.

    Raises:
        ConfigError: The policy has a risk target that the student is not calibrated for.
    """
    policy = tools.policy
    risk_target(tools)
    return Parts(
        source,
        agents,
        checks_confidence=tools.confidence is not None,
        escalates=policy.teacher is not None,
        clarifies=policy.route_confidence is not None,
        understands=tools.reader is not None,
    )


def step_limit(attempts: int) -> int:
    """Give the most super-steps of a run with so many attempts."""
    return max(MULTI_AGENT_LIMIT, 10 + 3 * attempts)


def compile_graph(
    builder: Builder,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    extensions: Extensions | None = None,
    recursion_limit: int = SINGLE_AGENT_LIMIT,
    name: str | None = None,
    *,
    delta: bool | None = None,
) -> Graph:
    """Compile a laid-out graph.

    Args:
        builder: The graph.
        checkpointer: Where threads are remembered; None for one-shot runs.
        extensions: Nodes and edges to add.
        recursion_limit: Most super-steps of a run.
        name: Shown in traces.
        delta: Threads store what a turn adds instead of the whole conversation; None follows the
            environment, see `threads.delta_channels`.
    """
    if extensions:
        extensions.attach(builder)
    if delta_channels_wanted() if delta is None else delta:
        builder.channels = with_delta_channels(builder.channels)
    compiled = leased(builder.compile(checkpointer=checkpointer, name=name))
    for shown in (compiled.output_channels, compiled.stream_channels):
        if isinstance(shown, list) and "requested" in shown:
            shown.remove("requested")  # of use to the nodes only
    return compiled.with_config({"recursion_limit": recursion_limit})


def _escalation(tools: ToolsSource) -> Node:
    """Make the node that asks the teacher; out of time, it leaves the turn as it was closed."""

    def escalate(state: AgentState) -> Update:
        return ask_teacher(state, tools())

    def late(state: AgentState) -> Update:
        step = with_step(state, "escalate", "too late", "the time of the run was up")
        return {"escalate": False, "steps": step}

    return with_deadline(escalate, late)


def _served() -> Tools:
    folder = os.environ.get(CHECKPOINT_VARIABLE, "").strip()
    if not folder:
        raise ConfigError(
            [f"{CHECKPOINT_VARIABLE} is not set; set it to a student's folder before the first run"]
        )
    return _open(folder)


@lru_cache(maxsize=2)
def _open(folder: str) -> Tools:
    table = open_table(folder)
    tools = Tools(
        open_student(folder),
        TableReader(table, folder=folder) if table is not None else None,
        confidence=ConfidenceMap.read(folder),
    )
    return grounded(tools, True)


def _single(tools: ToolsSource) -> Builder:
    return wire_single_agent(
        nodes.process_input,
        lambda state: nodes.generate_response(state, tools()),
        nodes.finalize,
    )


def _multi(tools: ToolsSource, parts: Parts | None = None) -> Builder:
    return wire_multi_agent(
        lambda state: nodes.route_request(state, tools()),
        lambda state: nodes.answer_question(state, tools()),
        lambda state: nodes.summarize_text(state, tools()),
        lambda state: validate_answer(state, tools()),
        task_router(parts.agents, clarifies=parts.clarifies) if parts else route_task,
        parts=parts or Parts(tools),
    )


def _one_task(task: TaskType) -> Builder:
    agent = None if task == "validate" else lambda state: nodes.summarize_text(state, _served())
    return wire_one_task(task, agent, lambda state: validate_answer(state, _served()), _served)


qa = compile_graph(_single(_served), name="qa")
summarizer = compile_graph(_one_task("summarize"), name="summarizer")
validator = compile_graph(_one_task("validate"), name="validator")
multi_agent = compile_graph(
    _multi(_served, Parts(_served, checks_confidence=True, understands=True)),
    recursion_limit=MULTI_AGENT_LIMIT,
    name="multi_agent",
)
