"""Several agents: router -> qa_agent | summarizer | validator, and every answer is validated."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ..tables import FactTable
from . import nodes
from .distilled_agent import DistilledModelAgent, ModelPath
from .graphs import MULTI_AGENT_LIMIT, Graph, compile_graph, wire_multi_agent
from .routing import route_task
from .state import AgentState, response_of
from .turns import Update
from .validation import validate_answer
from .workflow import Workflow


class MultiAgentWorkflow(Workflow):
    """Several agents: router -> qa_agent | summarizer | validator; answers pass the validator.

    Args:
        distilled_model_path: The student's folder, or a chat model in its place.
        chat_model: A chat model to use instead of loading the folder.
        table: The student's table; by default the one in the folder.
        checkpointer: LangGraph checkpointer that remembers threads.
        device: Torch device.
        max_tokens: Cap on new tokens per answer.
        temperature: 0 is greedy; above 0 samples.
    """

    recursion_limit: ClassVar[int] = MULTI_AGENT_LIMIT
    node_names: ClassVar[tuple[str, ...]] = ("router", "qa_agent", "summarizer", "validator")
    answer_nodes: ClassVar[frozenset[str]] = frozenset({"qa_agent", "summarizer"})
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
        checkpointer: BaseCheckpointSaver[Any] | None = None,
        device: str = "cpu",
        max_tokens: int = 128,
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
        *,
        thread_id: str | None = None,
        config: RunnableConfig | None = None,
    ) -> dict[str, Any]:
        """Answer, summarise or validate, as the query asks.

        Args:
            query: The user's words.
            context: Text the answer is to be found in.
            thread_id: Thread to remember this turn in, with a checkpointer.
            config: Further LangChain run config.

        Returns:
            `query`, `response`, `task_type` and `messages`; the verdict is in the last message's
            `response_metadata`, and all of it in `explain`.

        Raises:
            ValueError: The query is empty.
            GenerationError: The graph reached its step limit.
        """
        return _result(query, self._invoke(query, context, None, thread_id, config))

    async def ainvoke(
        self,
        query: str,
        context: str | None = None,
        *,
        thread_id: str | None = None,
        config: RunnableConfig | None = None,
    ) -> dict[str, Any]:
        """Answer, summarise or validate; see `run`."""
        return _result(query, await self._ainvoke(query, context, None, thread_id, config))

    def _create_graph(self) -> Graph:
        own_routes = type(self)._route_decision is not MultiAgentWorkflow._route_decision
        builder = wire_multi_agent(
            self._router_node,
            self._qa_agent_node,
            self._summarizer_node,
            self._validator_node,
            self._route_decision,
            tuple(self._extensions.nodes) if own_routes else (),
        )
        return compile_graph(
            builder, self.checkpointer, self._extensions, self.recursion_limit, "multi_agent"
        )

    def _router_node(self, state: AgentState) -> Update:
        return nodes.route_request(state, self.agent.tools)

    def _route_decision(self, state: AgentState) -> Literal["qa", "summarize", "validate"]:
        return route_task(state)

    def _qa_agent_node(self, state: AgentState) -> Update:
        return nodes.answer_question(state, self.agent.tools)

    def _summarizer_node(self, state: AgentState) -> Update:
        return nodes.summarize_text(state, self.agent.tools)

    def _validator_node(self, state: AgentState) -> Update:
        return validate_answer(state, self.agent.tools)


def _result(query: str, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "query": query,
        "response": response_of(state),  # type: ignore[arg-type]
        "task_type": state.get("task_type") or state.get("current_task") or "qa",
        "messages": state["messages"],
    }
