"""One agent that answers: process_input -> generate_response -> finalize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ..tables import FactTable
from . import nodes
from .distilled_agent import DistilledModelAgent, ModelPath
from .graphs import SINGLE_AGENT_LIMIT, Graph, compile_graph, wire_single_agent
from .state import AgentState, response_of
from .turns import Update
from .workflow import Workflow


class AgenticWorkflow(Workflow):
    """One agent: process_input -> generate_response -> finalize.

    The answer is the student's own, unchecked; `MultiAgentWorkflow` holds it against the table.

    Args:
        distilled_model_path: The student's folder, or a chat model in its place.
        chat_model: A chat model to use instead of loading the folder.
        table: The student's table; by default the one in the folder.
        checkpointer: LangGraph checkpointer that remembers threads.
        device: Torch device.
        max_tokens: Cap on new tokens per answer.
        temperature: 0 is greedy; above 0 samples.
    """

    recursion_limit: ClassVar[int] = SINGLE_AGENT_LIMIT
    node_names: ClassVar[tuple[str, ...]] = ("process_input", "generate_response", "finalize")
    answer_nodes: ClassVar[frozenset[str]] = frozenset({"generate_response"})
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
        checkpointer: BaseCheckpointSaver[Any] | None = None,
        device: str = "cpu",
        max_tokens: int = 100,
        temperature: float = 0.0,
    ) -> None:
        """Load the student; the graph is compiled on first use."""
        super().__init__(checkpointer)
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
    ) -> dict[str, Any]:
        """Answer one question.

        Args:
            query: The question.
            context: Text the answer is to be found in.
            chat_history: Earlier messages; read, never changed.
            thread_id: Thread to remember this turn in, with a checkpointer.
            config: Further LangChain run config.

        Returns:
            `query`, `response`, `messages` and `all_results`.

        Raises:
            ValueError: The query is empty.
            GenerationError: The graph reached its step limit.
        """
        return _result(query, self._invoke(query, context, chat_history, thread_id, config))

    async def ainvoke(
        self,
        query: str,
        context: str | None = None,
        chat_history: Sequence[Any] | None = None,
        *,
        thread_id: str | None = None,
        config: RunnableConfig | None = None,
    ) -> dict[str, Any]:
        """Answer one question; see `run`."""
        state = await self._ainvoke(query, context, chat_history, thread_id, config)
        return _result(query, state)

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
        return nodes.generate_response(state, self.agent.tools)

    def _finalize_node(self, state: AgentState) -> Update:
        return nodes.finalize(state)


def _result(query: str, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "query": query,
        "response": response_of(state),  # type: ignore[arg-type]
        "messages": state["messages"],
        "all_results": list(state.get("results") or []),
    }
