"""What both workflows share: runs, batches, streams, and nodes added by the user.

The compiled graph is not hidden behind it: `workflow.graph` is LangGraph's own, with invoke,
stream, batch, their async forms, state and history.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import aclosing
from threading import Event as Flag
from typing import Any, ClassVar

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphRecursionError

from ..errors import GenerationError
from .asking import STOP_KEY
from .extensions import Extensions
from .graphs import Graph, compile_graph
from .state import AgentState
from .streaming import STREAM_MODES, AnswerGate, Event, EventReader


class Workflow:
    """Run a graph over a student; the two workflows in `agent` say which graph."""

    recursion_limit: ClassVar[int]
    """Most super-steps of one run."""
    node_names: ClassVar[tuple[str, ...]]
    """The nodes every instance has."""
    answer_nodes: ClassVar[frozenset[str]]
    """Nodes whose tokens are the answer."""
    answer_methods: ClassVar[tuple[str, ...]]
    """Methods that make the answer or come after it."""

    def __init__(self, checkpointer: BaseCheckpointSaver[Any] | None = None) -> None:
        """Start without additions; the graph is compiled when it is first needed."""
        self.checkpointer = checkpointer
        self._extensions = Extensions()
        self._graph: Graph | None = None

    @property
    def graph(self) -> Graph:
        """The compiled LangGraph graph; compiled on first use and again after every addition.

        >>> # workflow.graph.get_graph().draw_mermaid() draws it
        """
        if self._graph is None:
            self._graph = self._finished(self._create_graph())
        return self._graph

    def add_node(self, node: str | Callable[..., Any], action: Any = None, **options: Any) -> None:  # noqa: ANN401
        """Add a node, before or after the first run.

        Without any edge it runs at the end, in the order of adding; see `extensions`.

        Args:
            node: Its name; or the function itself, which then gives the name.
            action: Function from state to state (or to the fields it changes), or a Runnable.
            options: Keywords of LangGraph's `StateGraph.add_node`, such as `retry_policy`.

        Raises:
            ValueError: The name is taken.
        """
        name, function = (node, action) if isinstance(node, str) else (node.__name__, node)
        if function is None:
            raise ValueError(f"node {name!r} needs a function: add_node({name!r}, function)")
        if name in self.node_names or name in self._extensions.nodes:
            raise ValueError(
                f"there is a node {name!r} already; choose another name, or override "
                f"_{name}_node in a subclass"
            )
        self._extensions.nodes[name] = (function, options)
        self._graph = None

    def add_edge(self, source: str, target: str) -> None:
        """Let one node follow another; replaces the edges `source` had by itself."""
        self._extensions.edges.append((source, target))
        self._graph = None

    def add_conditional_edges(
        self,
        source: str,
        path: Callable[..., Any],
        path_map: dict[Hashable, str] | None = None,
    ) -> None:
        """Let a function choose what follows a node; replaces the edges `source` had by itself.

        Args:
            source: The node.
            path: Function from the state to a way.
            path_map: Way -> node; None where the function returns node names.
        """
        self._extensions.branches.append((source, path, path_map))
        self._graph = None

    def stream(
        self,
        query: str,
        context: str | None = None,
        *,
        chat_history: Sequence[Any] | None = None,
        thread_id: str | None = None,
        config: RunnableConfig | None = None,
    ) -> Iterator[str]:
        """Stream the answer; the pieces, joined, are the response of `run`.

        Pieces come as the student makes them, unless the validator may still reject the answer:
        then they come when it has passed. `stream_events` shows them at once.
        """
        gate = AnswerGate(self._answer_is_live())
        for event in self.stream_events(
            query, context, chat_history=chat_history, thread_id=thread_id, config=config
        ):
            yield from gate.feed(event)
            _raise_at_limit(event, self.recursion_limit)

    async def astream(
        self,
        query: str,
        context: str | None = None,
        *,
        chat_history: Sequence[Any] | None = None,
        thread_id: str | None = None,
        config: RunnableConfig | None = None,
    ) -> AsyncIterator[str]:
        """Stream the answer; see `stream`."""
        gate = AnswerGate(self._answer_is_live())
        events = self.astream_events(
            query, context, chat_history=chat_history, thread_id=thread_id, config=config
        )
        async with aclosing(events):  # type: ignore[type-var]
            async for event in events:
                for piece in gate.feed(event):
                    yield piece
                _raise_at_limit(event, self.recursion_limit)

    def stream_events(
        self,
        query: str,
        context: str | None = None,
        *,
        chat_history: Sequence[Any] | None = None,
        thread_id: str | None = None,
        config: RunnableConfig | None = None,
    ) -> Iterator[Event]:
        """Stream what happens: steps, tokens, restarts and the final event; see `streaming`.

        Closing the iterator stops the student after the token it is at.
        """
        state = self._first_state(query, context, chat_history)
        stop = Flag()
        reader = EventReader(self.answer_nodes)
        exit_name = None
        # Held by name: without it a closed `for` drops the graph's stream before `finally` runs,
        # and that waits for the student to finish.
        items = self.graph.stream(
            state, self._config(thread_id, config, stop), stream_mode=list(STREAM_MODES)
        )
        try:
            for mode, item in items:
                yield from reader.feed(mode, item)
        except GraphRecursionError:
            exit_name = "step_limit"
        finally:
            stop.set()
            close = getattr(items, "close", None)
            if close is not None:
                close()
        yield reader.final(exit_name)

    async def astream_events(
        self,
        query: str,
        context: str | None = None,
        *,
        chat_history: Sequence[Any] | None = None,
        thread_id: str | None = None,
        config: RunnableConfig | None = None,
    ) -> AsyncIterator[Event]:
        """Stream what happens; see `stream_events`."""
        state = self._first_state(query, context, chat_history)
        stop = Flag()
        reader = EventReader(self.answer_nodes)
        exit_name = None
        items = self.graph.astream(
            state, self._config(thread_id, config, stop), stream_mode=list(STREAM_MODES)
        )
        try:
            async for mode, item in items:
                for event in reader.feed(mode, item):
                    yield event
        except GraphRecursionError:
            exit_name = "step_limit"
        finally:
            stop.set()
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()
        yield reader.final(exit_name)

    def explain(
        self,
        query: str,
        context: str | None = None,
        *,
        thread_id: str | None = None,
        config: RunnableConfig | None = None,
    ) -> Event:
        """Answer and show why: the final event, with verdict, reason, sources, steps and exit."""
        *_, last = self.stream_events(query, context, thread_id=thread_id, config=config)
        return last

    def run(self, query: str, context: str | None = None) -> dict[str, Any]:
        """Answer one query."""
        raise NotImplementedError

    def run_batch(
        self, queries: Sequence[str], contexts: Sequence[str | None] | None = None
    ) -> list[dict[str, Any]]:
        """Run queries one after the other.

        Args:
            queries: The queries.
            contexts: One context per query (None for none), or None for none at all.

        Raises:
            ValueError: `contexts` has another length than `queries`; it names both.
        """
        queries = list(queries)
        given = [None] * len(queries) if contexts is None else list(contexts)
        if len(given) != len(queries):
            raise ValueError(
                f"{len(queries)} queries but {len(given)} contexts; give one context per query "
                "(None for none), or contexts=None"
            )
        return [self.run(query, context) for query, context in zip(queries, given, strict=True)]

    def _finished(self, made: Any) -> Graph:  # noqa: ANN401 - compiled by a subclass, or not
        """Compile what `_create_graph` gave, with what was added, unless that is done already."""
        builder = getattr(made, "builder", made)
        if builder is not made and self._extensions.attached_to(builder):
            limited: Graph = made.with_config({"recursion_limit": self.recursion_limit})
            return limited
        keeper = self.checkpointer or getattr(made, "checkpointer", None)
        return compile_graph(builder, keeper, self._extensions, self.recursion_limit)

    def _create_graph(self) -> Any:  # noqa: ANN401 - a subclass may return a builder
        raise NotImplementedError

    def _answer_is_live(self) -> bool:
        """Tell whether nothing that a user changed can change the student's answer."""
        changed = [name for name in self.answer_methods if name in _overridden(type(self))]
        return not self._extensions and not changed

    def _invoke(
        self,
        query: str,
        context: str | None,
        chat_history: Sequence[Any] | None,
        thread_id: str | None,
        config: RunnableConfig | None,
    ) -> dict[str, Any]:
        state = self._first_state(query, context, chat_history)
        try:
            return self.graph.invoke(state, self._config(thread_id, config))
        except GraphRecursionError as fault:
            raise _at_limit(self.recursion_limit) from fault

    async def _ainvoke(
        self,
        query: str,
        context: str | None,
        chat_history: Sequence[Any] | None,
        thread_id: str | None,
        config: RunnableConfig | None,
    ) -> dict[str, Any]:
        state = self._first_state(query, context, chat_history)
        try:
            return await self.graph.ainvoke(state, self._config(thread_id, config))
        except GraphRecursionError as fault:
            raise _at_limit(self.recursion_limit) from fault

    def _first_state(
        self, query: str, context: str | None, chat_history: Sequence[Any] | None
    ) -> AgentState:
        if not isinstance(query, str) or not query.strip():
            raise ValueError(f"the query must be a text with at least one word, not {query!r}")
        # Copies: LangGraph gives messages ids, and the caller's list and messages stay as they are.
        history: list[BaseMessage] = [
            message.model_copy() for message in convert_to_messages(list(chat_history or []))
        ]
        return AgentState(
            messages=[*history, HumanMessage(query)],
            context=context or "",
            current_task=None,
            results=[],
        )

    def _config(
        self, thread_id: str | None, config: RunnableConfig | None, stop: Flag | None = None
    ) -> RunnableConfig:
        """Add this run's thread, limit and stop flag to the caller's config."""
        merged = RunnableConfig(**(config or {}))
        merged.setdefault("recursion_limit", self.recursion_limit)
        configurable = dict(merged.get("configurable") or {})
        if thread_id is not None:
            configurable["thread_id"] = thread_id
        elif self.checkpointer is not None:
            configurable.setdefault("thread_id", str(uuid.uuid4()))
        if stop is not None:
            configurable[STOP_KEY] = stop
        merged["configurable"] = configurable
        return merged


def _overridden(kind: type) -> set[str]:
    """Give the names that classes outside this room define over ours."""
    own = __name__.rpartition(".")[0]
    return {n for c in kind.__mro__ if not c.__module__.startswith(own) for n in vars(c)}


def _at_limit(limit: int) -> GenerationError:
    return GenerationError(
        f"step_limit: the graph took {limit} steps without an end; look for a loop among the nodes "
        "that were added, or pass config={'recursion_limit': ...}"
    )


def _raise_at_limit(event: Event, limit: int) -> None:
    if event["type"] == "final" and event["exit"] == "step_limit":
        raise _at_limit(limit)
