"""Several agents: router -> qa_agent | summarizer | validator; the validator checks every answer.

workflow = MultiAgentWorkflow("outputs/elements/student")
workflow.add_agent("compare", "compares two records", compare_node)   # a fourth agent
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ..inference.scoring.confidence import ConfidenceMap
from ..tables import FactTable
from .distilled_agent import DistilledModelAgent, ModelPath
from .graphs import (
    MULTI_AGENT_LIMIT,
    Graph,
    compile_graph,
    parts_of,
    step_limit,
    wire_multi_agent,
)
from .grounding.grounded_answer import Grounding
from .model_calls.deadlines import AgentNode, RunContext
from .nodes import agent_nodes as nodes
from .nodes.human_approval import proposals_in
from .nodes.toolbox import Tools, grounded
from .nodes.validator_node import validate_answer
from .policy import AnswerPolicy, TeacherBudget
from .routing import BUILT_IN, CLARIFY, AgentRoute, task_router
from .state import AgentState, response_of
from .state_updates import Update
from .workflow import Workflow


class MultiAgentWorkflow(Workflow):
    """Several agents: router -> qa_agent | summarizer | validator; answers pass the validator.

    Args:
        distilled_model_path: The student's folder, or a chat model in its place.
        chat_model: A chat model to use instead of loading the folder.
        table: The student's table; by default the one in the folder.
        checkpointer: Where threads are remembered: a URL as `open_checkpointer` takes it, or a
            LangGraph checkpointer.
        device: Torch device.
        max_tokens: Cap on new tokens per answer.
        temperature: 0 is greedy; above 0 samples.
        policy: Attempts, deadline, risk target, teacher; by default three attempts only.
        confidence: The student's calibration; by default the one in the folder.
        grounding: True: answers must be supported by the table and cite its cells; `open_grounding`
            makes a grounding with full text and vectors. False: no citations, and every question
            that names a record and a column is put to the student.

    Raises:
        ConfigError: The policy has a risk target that the student is not calibrated for; or the
            grounding is over another table than the student's.
    """

    recursion_limit: int = MULTI_AGENT_LIMIT
    node_names: ClassVar[tuple[str, ...]] = ("router", "qa_agent", "summarizer", "validator")
    answer_nodes: frozenset[str] = frozenset({"qa_agent", "summarizer"})
    answer_methods: ClassVar[tuple[str, ...]] = (
        "_create_graph",
        "_qa_agent_node",
        "_summarizer_node",
        "_validator_node",
    )

    def __init__(
        self,
        distilled_model_path: ModelPath,
        *,
        chat_model: BaseChatModel | None = None,
        table: FactTable | None = None,
        checkpointer: BaseCheckpointSaver[Any] | str | None = None,
        device: str = "cpu",
        max_tokens: int = 128,
        temperature: float = 0.0,
        policy: AnswerPolicy | None = None,
        confidence: ConfidenceMap | None = None,
        grounding: Grounding | bool = True,
    ) -> None:
        """Load the student; the graph is compiled on first use."""
        super().__init__(checkpointer, policy)
        self.agent = DistilledModelAgent(
            distilled_model_path,
            device,
            max_tokens,
            temperature,
            chat_model=chat_model,
            table=table,
        )
        folder = self.agent.model_path
        if confidence is None and folder is not None:
            confidence = ConfidenceMap.read(folder)
        self.confidence = confidence
        self.recursion_limit = step_limit(self.policy.attempts)
        self._routes: dict[AgentRoute, AgentNode] = {}
        self._budget = TeacherBudget(self.policy.teacher_budget)
        self._grounded = grounded(self.agent.tools, grounding)
        parts_of(self._tools, lambda: self._tools, {})  # raises now, not at the first run

    @property
    def teacher_calls(self) -> int:
        """Calls of the teacher by this workflow so far."""
        return self._budget.used

    def add_agent(
        self,
        name: str,
        description: str,
        node: AgentNode,
        *,
        words: Sequence[str] = (),
    ) -> None:
        """Add an agent, before or after the first run; its answers pass the validator.

        A request goes to it if the request contains one of its words, or if the student scores its
        name highest. A question that names a record and a column of the table is never sent to it.

        Args:
            name: Its label for the router, the name of its node and the `task_type` of its answers.
            description: What it does, in a few words, for the student.
            node: Function from the state to the fields it changes, or a graph; it appends its
                answer to `results`. See also `tool_agent`.
            words: Whole words that choose it without calling the student.

        Raises:
            ValueError: The name is taken.
            ConfigError: Name or description cannot be used.
        """
        route = AgentRoute(name, description, tuple(words))
        known = {r.name for r in (*BUILT_IN, *self._routes)}
        reserved = {*self.node_names, CLARIFY, "understand", "confidence", "escalate", "done"}
        if name in known | reserved | set(self._extensions.nodes):
            raise ValueError(
                f"there is an agent or a node {name!r} already; choose another name than "
                f"{sorted(known | reserved)}"
            )
        self._routes[route] = node
        self.answer_nodes = self.answer_nodes | {name}
        self._graph = None

    def run(
        self,
        query: str,
        context: str | None = None,
        *,
        thread_id: str | None = None,
        config: RunnableConfig | None = None,
        limits: RunContext | None = None,
    ) -> dict[str, Any]:
        """Answer, summarise or validate, as the query asks.

        Args:
            query: The user's words.
            context: Text the answer is to be found in.
            thread_id: Thread to remember this turn in, with a checkpointer.
            config: Further LangChain run config.
            limits: Limits of this run; they replace those of the policy.

        Returns:
            `query`, `response`, `task_type` and `messages`. The verdict is in the last message's
            `response_metadata`; `explain` gives all details. `approvals` where the turn waits for a
            person's decision.

        Raises:
            ValueError: The query is empty.
            GenerationError: The graph reached its step limit.
        """
        return self.invoke(query, config, context=context, thread_id=thread_id, limits=limits)

    @property
    def _tools(self) -> Tools:
        return replace(
            self._grounded,
            policy=self.policy,
            routes=tuple(self._routes),
            confidence=self.confidence,
            budget=self._budget,
        )

    def _answer_is_live(self, limits: RunContext | None = None) -> bool:
        policy = self.policy
        stated = policy.risk_target or (limits is not None and limits.risk_target)
        judges = stated or policy.self_check or policy.teacher_judges or policy.checks
        return super()._answer_is_live(limits) and not judges

    def _create_graph(self) -> Graph:
        own_routes = type(self)._route_decision is not MultiAgentWorkflow._route_decision
        agents = {route.name: node for route, node in self._routes.items()}
        builder = wire_multi_agent(
            self._router_node,
            self._qa_agent_node,
            self._summarizer_node,
            self._validator_node,
            self._route_decision,
            tuple(self._extensions.nodes) if own_routes else (),
            parts=parts_of(self._tools, lambda: self._tools, agents),
        )
        return compile_graph(
            builder, self.checkpointer, self._extensions, self.recursion_limit, "multi_agent"
        )

    def _router_node(self, state: AgentState) -> Update:
        return nodes.route_request(state, self._tools)

    def _route_decision(self, state: AgentState) -> str:
        names = [route.name for route in self._routes]
        clarifies = self.policy.route_confidence is not None
        return task_router(names, clarifies=clarifies)(state)

    def _qa_agent_node(self, state: AgentState) -> Update:
        return nodes.answer_question(state, self._tools)

    def _summarizer_node(self, state: AgentState) -> Update:
        return nodes.summarize_text(state, self._tools)

    def _validator_node(self, state: AgentState) -> Update:
        return validate_answer(state, self._tools)

    def _result(self, query: str, state: dict[str, Any]) -> dict[str, Any]:
        waiting = proposals_in(state)
        return {
            "query": query,
            "response": response_of(state),  # type: ignore[arg-type]
            "task_type": state.get("task_type") or state.get("current_task") or "qa",
            "messages": state["messages"],
            **({"approvals": waiting} if waiting else {}),
        }
