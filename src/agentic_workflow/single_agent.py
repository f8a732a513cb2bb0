"""One agent that answers: process_input -> generate_response -> finalize."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ..errors import ConfigError
from ..tables import FactTable
from .distilled_agent import DistilledModelAgent, ModelPath
from .graphs import SINGLE_AGENT_LIMIT, Graph, compile_graph, wire_single_agent
from .model_calls.deadlines import RunContext
from .nodes import agent_nodes as nodes
from .nodes.human_approval import proposals_in
from .policy import AnswerPolicy
from .state import AgentState, response_of
from .state_updates import Update
from .workflow import Workflow


class AgenticWorkflow(Workflow):
    """One agent: process_input -> generate_response -> finalize.

    The student's answer is not checked; `MultiAgentWorkflow` checks it against the table.

    Args:
        distilled_model_path: The student's folder, or a chat model in its place.
        chat_model: A chat model to use instead of loading the folder.
        table: The student's table; by default the one in the folder.
        checkpointer: Where threads are remembered: a URL as `open_checkpointer` takes it, or a
            LangGraph checkpointer.
        device: Torch device.
        max_tokens: Cap on new tokens per answer.
        temperature: 0 is greedy; above 0 samples.
        policy: Its `deadline_s` and `context_tokens`; the other fields need several agents.

    Raises:
        ConfigError: The policy has settings that only several agents use.
    """

    recursion_limit: int = SINGLE_AGENT_LIMIT
    node_names: ClassVar[tuple[str, ...]] = ("process_input", "generate_response", "finalize")
    answer_nodes: frozenset[str] = frozenset({"generate_response"})
    answer_methods: ClassVar[tuple[str, ...]] = (
        "_create_graph",
        "_generate_response_node",
        "_finalize_node",
    )

    def __init__(
        self,
        distilled_model_path: ModelPath,
        *,
        chat_model: BaseChatModel | None = None,
        table: FactTable | None = None,
        checkpointer: BaseCheckpointSaver[Any] | str | None = None,
        device: str = "cpu",
        max_tokens: int = 100,
        temperature: float = 0.0,
        policy: AnswerPolicy | None = None,
    ) -> None:
        """Load the student; the graph is compiled on first use."""
        _check_policy(policy)
        super().__init__(checkpointer, policy)
        self.agent = DistilledModelAgent(
            distilled_model_path,
            device,
            max_tokens,
            temperature,
            chat_model=chat_model,
            table=table,
        )

    def run(
        self,
        query: str,
        context: str | None = None,
        chat_history: Sequence[Any] | None = None,
        *,
        thread_id: str | None = None,
        config: RunnableConfig | None = None,
        limits: RunContext | None = None,
    ) -> dict[str, Any]:
        """Answer one question.

        Args:
            query: The question.
            context: Text the answer is to be found in.
            chat_history: Earlier messages; read, never changed.
            thread_id: Thread to remember this turn in, with a checkpointer.
            config: Further LangChain run config.
            limits: Limits of this run; they replace those of the policy.

        Returns:
            `query`, `response`, `messages` and `all_results`; `approvals` where the turn waits for
            a person's decision.

        Raises:
            ValueError: The query is empty.
            GenerationError: The graph reached its step limit.
        """
        return self.invoke(
            query,
            config,
            context=context,
            chat_history=chat_history,
            thread_id=thread_id,
            limits=limits,
        )

    def _create_graph(self) -> Graph:
        builder = wire_single_agent(
            self._process_input_node, self._generate_response_node, self._finalize_node
        )
        return compile_graph(
            builder, self.checkpointer, self._extensions, self.recursion_limit, "qa"
        )

    def _process_input_node(self, state: AgentState) -> Update:
        return nodes.process_input(state)

    def _generate_response_node(self, state: AgentState) -> Update:
        return nodes.generate_response(state, replace(self.agent.tools, policy=self.policy))

    def _finalize_node(self, state: AgentState) -> Update:
        return nodes.finalize(state)

    def _result(self, query: str, state: dict[str, Any]) -> dict[str, Any]:
        waiting = proposals_in(state)
        return {
            "query": query,
            "response": response_of(state),  # type: ignore[arg-type]
            "messages": state["messages"],
            "all_results": list(state.get("results") or []),
            **({"approvals": waiting} if waiting else {}),
        }


def _check_policy(policy: AnswerPolicy | None) -> None:
    """Refuse settings that one agent would ignore."""
    given, own = policy or AnswerPolicy(), ("deadline_s", "context_tokens")
    changed = [f.name for f in fields(given) if getattr(given, f.name) != f.default]
    unused = [name for name in changed if name not in own]
    if unused:
        raise ConfigError(
            [f"one agent does nothing with {unused} of the policy; use MultiAgentWorkflow"]
        )
