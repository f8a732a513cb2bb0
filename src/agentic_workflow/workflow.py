"""What both workflows share: runs, batches, streams, and nodes added by the user.

A workflow is a LangChain Runnable over a compiled LangGraph graph, which is open to the user as
`workflow.graph`, with its state, history and stream modes.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import replace
from threading import Event as Flag
from typing import Any, ClassVar, NamedTuple, Self

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.graph import Graph as Drawing
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphRecursionError
from langgraph.types import Command

from ..errors import GenerationError
from .answer_events import STREAM_MODES, AnswerGate, Event, EventReader
from .answer_types import Abstention, Answer, typed_answer
from .custom_nodes import Extensions
from .graphs import Graph, compile_graph
from .model_calls.ask import STOP_KEY
from .model_calls.deadlines import RunContext
from .policy import AnswerPolicy
from .state import AgentState
from .threads.open_store import as_checkpointer
from .workflow_input import WorkflowInput, first_state, joined, read_input


class _Run(NamedTuple):
    """What the graph is given for one run."""

    query: str
    state: AgentState
    config: RunnableConfig
    limits: RunContext


class Workflow(Runnable[WorkflowInput, Any]):
    """Run a graph over a student; the subclasses in `agent` define the graph.

    A Runnable: `invoke`, `batch`, `stream`, their async forms, `|`, `with_retry` and the like. Its
    input is a query, messages, or a dict of `query`, `context` and `chat_history`. Every method
    also takes `context`, `chat_history`, `thread_id` and `limits` by name, as `run` does.
    """

    recursion_limit: int
    """Most super-steps of one run."""
    node_names: ClassVar[tuple[str, ...]]
    """The nodes every instance has."""
    answer_nodes: frozenset[str]
    """Nodes whose tokens are the answer."""
    answer_methods: ClassVar[tuple[str, ...]]
    """Methods that make or change the answer; a subclass that overrides one delays the stream."""

    def __init__(
        self,
        checkpointer: BaseCheckpointSaver[Any] | str | None = None,
        policy: AnswerPolicy | None = None,
    ) -> None:
        """The graph is compiled when it is first needed."""
        self.policy = policy or AnswerPolicy()
        self.checkpointer = as_checkpointer(checkpointer)
        self._extensions = Extensions()
        self._graph: Graph | None = None

    @property
    def graph(self) -> Graph:
        """The compiled LangGraph graph; compiled on first use and again after every addition."""
        if self._graph is None:
            self._graph = self._finished(self._create_graph())
        return self._graph

    def remember(self, checkpointer: BaseCheckpointSaver[Any] | str) -> None:
        """Remember threads from now on.

        Args:
            checkpointer: A URL as `open_checkpointer` takes it, or a LangGraph checkpointer.
        """
        self.checkpointer = as_checkpointer(checkpointer)
        self._graph = None

    def without_memory(self) -> Self:
        """Give a copy that remembers no threads; model, table, policy and nodes are shared."""
        twin = copy(self)
        twin.checkpointer = None
        twin._graph = None
        return twin

    def get_graph(
        self, config: RunnableConfig | None = None, *, xray: int | bool = False
    ) -> Drawing:
        """Give a drawing of the graph: `workflow.get_graph().draw_mermaid()`."""
        return self.graph.get_graph(config, xray=xray)

    def add_node(self, node: str | Callable[..., Any], action: Any = None, **options: Any) -> None:  # noqa: ANN401
        """Add a node, before or after the first run.

        A node without any edge runs at the end, in the order of adding; see `custom_nodes`.

        Args:
            node: Its name, or a function whose name is taken.
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
        """Run one node after another; this replaces the built-in edges out of `source`."""
        self._extensions.edges.append((source, target))
        self._graph = None

    def add_conditional_edges(
        self,
        source: str,
        path: Callable[..., Any],
        path_map: dict[Hashable, str] | None = None,
    ) -> None:
        """Let a function choose the next node; this replaces the built-in edges out of `source`.

        Args:
            source: The node.
            path: Function from the state to a key of `path_map`.
            path_map: Key -> node; None where the function returns node names.
        """
        self._extensions.branches.append((source, path, path_map))
        self._graph = None

    def invoke(
        self,
        input: WorkflowInput,
        config: RunnableConfig | None = None,
        **options: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """Answer one request.

        Args:
            input: A query, messages, or a dict; see the class.
            config: LangChain's run config.
            options: `context`, `chat_history`, `thread_id`, `limits`: as in `run`.

        Returns:
            The dict that `run` returns.

        Raises:
            ValueError: The query is empty.
            GenerationError: The graph reached its step limit.
        """
        run = self._prepared(input, config, **options)
        try:
            state = self.graph.invoke(run.state, run.config, context=run.limits)
        except GraphRecursionError as fault:
            raise _at_limit(self._step_limit(config)) from fault
        return self._result(run.query, state)

    async def ainvoke(
        self,
        input: WorkflowInput,
        config: RunnableConfig | None = None,
        **options: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """Answer one request; see `invoke`."""
        run = self._prepared(input, config, **options)
        try:
            state = await self.graph.ainvoke(run.state, run.config, context=run.limits)
        except GraphRecursionError as fault:
            raise _at_limit(self._step_limit(config)) from fault
        return self._result(run.query, state)

    def stream(
        self,
        input: WorkflowInput,
        config: RunnableConfig | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Iterator[str]:
        """Stream the answer; the pieces, joined, are the response of `run`.

        Pieces are sent as the student writes them. Where the validator may still reject the answer
        they are sent after it has passed; `stream_events` sends them at once.
        """
        gate = self.answer_gate(options.get("limits"))
        for event in self.stream_events(input, config, **options):
            yield from gate.feed(event)
            _raise_at_limit(event, self._step_limit(config))

    async def astream(
        self,
        input: WorkflowInput,
        config: RunnableConfig | None = None,
        **options: Any,  # noqa: ANN401
    ) -> AsyncIterator[str]:
        """Stream the answer; see `stream`."""
        gate = self.answer_gate(options.get("limits"))
        async with aclosing(self.astream_events(input, config, **options)) as events:  # type: ignore[type-var]
            async for event in events:
                for piece in gate.feed(event):
                    yield piece
                _raise_at_limit(event, self._step_limit(config))

    def answer_gate(self, limits: RunContext | None = None) -> AnswerGate:
        """Make the gate that turns the events of one run into the pieces of its answer."""
        return AnswerGate(self._answer_is_live(limits))

    def transform(
        self,
        input: Iterator[WorkflowInput],
        config: RunnableConfig | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Iterator[Any]:
        """Answer within a streamed chain: the next step is given the whole result of `invoke`."""
        yield self.invoke(joined(list(input)), config, **options)

    async def atransform(
        self,
        input: AsyncIterator[WorkflowInput],
        config: RunnableConfig | None = None,
        **options: Any,  # noqa: ANN401
    ) -> AsyncIterator[Any]:
        """Answer within a streamed chain; see `transform`."""
        yield await self.ainvoke(joined([part async for part in input]), config, **options)

    def stream_events(  # type: ignore[override]
        self,
        input: WorkflowInput,
        config: RunnableConfig | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Iterator[Event]:
        """Stream steps, tokens, restarts and the final event; see `answer_events`.

        LangChain's own events come from `graph.astream_events`. Closing the iterator stops the
        student after its current token.
        """
        stop = Flag()
        run = self._prepared(input, config, stop=stop, **options)
        reader = EventReader(self.answer_nodes)
        exit_name = None
        # The stream needs a name: without one, a closed `for` drops it before `finally` has set
        # `stop`, and dropping it waits for the student to finish.
        items = self.graph.stream(
            run.state, run.config, context=run.limits, stream_mode=list(STREAM_MODES)
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

    async def astream_events(  # type: ignore[override]
        self,
        input: WorkflowInput,
        config: RunnableConfig | None = None,
        *,
        tokens: bool = True,
        **options: Any,  # noqa: ANN401
    ) -> AsyncIterator[Event]:
        """Stream events; see `stream_events`. Without `tokens` there are none of these, which costs
        less."""
        stop = Flag()
        run = self._prepared(input, config, stop=stop, **options)
        started = self._aevents(run.state, run.config, run.limits, stop, tokens)
        async with aclosing(started) as events:  # type: ignore[type-var]
            async for event in events:
                yield event

    async def aresume_events(
        self,
        answers: Mapping[str, Any],
        config: RunnableConfig,
        *,
        limits: RunContext | None = None,
    ) -> AsyncIterator[Event]:
        """Go on with a turn that waits for a person, and stream its events to the end.

        Args:
            answers: Id of a proposal -> its answer; see `human_approval.answer_to`.
            config: LangChain's run config with the thread's id.
            limits: As in `run`.
        """
        stop = Flag()
        given: Command[Any] = Command(resume=dict(answers))
        merged = self._run_config(config, None, stop)
        started = self._aevents(given, merged, self._began(limits), stop)
        async with aclosing(started) as events:  # type: ignore[type-var]
            async for event in events:
                yield event

    async def _aevents(
        self,
        given: AgentState | Command[Any],
        config: RunnableConfig,
        limits: RunContext,
        stop: Flag,
        tokens: bool = True,
    ) -> AsyncIterator[Event]:
        """Stream the events of one run; closing the iterator stops the student."""
        reader = EventReader(self.answer_nodes)
        exit_name = None
        modes = [mode for mode in STREAM_MODES if tokens or mode != "messages"]
        items = self.graph.astream(given, config, context=limits, stream_mode=modes)
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

    def explain(self, query: WorkflowInput, context: str | None = None, **options: Any) -> Event:  # noqa: ANN401
        """Answer, and give the final event: with verdict, reason, sources, steps and exit.

        Args:
            query: A query, messages, or a dict; see the class.
            context: Text the answer is to be found in.
            options: As in `run`.
        """
        *_, last = self.stream_events(query, context=context, **options)
        return last

    def answer(
        self,
        query: WorkflowInput,
        context: str | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Answer | Abstention:
        """Answer with an `Answer`, or an `Abstention` where there is none."""
        return typed_answer(self.explain(query, context, **options))

    def run(self, query: str, context: str | None = None) -> dict[str, Any]:
        """Answer one query."""
        raise NotImplementedError

    def run_batch(
        self, queries: Sequence[str], contexts: Sequence[str | None] | None = None
    ) -> list[dict[str, Any]]:
        """Run queries one after the other; `batch` runs them at the same time.

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
        """Compile the result of `_create_graph` with the user's nodes, unless that is done."""
        builder = getattr(made, "builder", made)
        if builder is not made and self._extensions.attached_to(builder):
            limited: Graph = made.with_config({"recursion_limit": self.recursion_limit})
            return limited
        keeper = self.checkpointer or getattr(made, "checkpointer", None)
        return compile_graph(builder, keeper, self._extensions, self.recursion_limit)

    def _create_graph(self) -> Any:  # noqa: ANN401 - a subclass may return a builder
        raise NotImplementedError

    def _result(self, query: str, state: dict[str, Any]) -> dict[str, Any]:
        """Make the result of `run` from the last state."""
        raise NotImplementedError

    def _answer_is_live(self, limits: RunContext | None = None) -> bool:
        """Tell whether the student's tokens can be shown at once: no user code can change them."""
        changed = [name for name in self.answer_methods if name in _overridden(type(self))]
        return not self._extensions and not changed

    def _step_limit(self, config: RunnableConfig | None) -> int:
        """Give the most super-steps of a run."""
        return (config or {}).get("recursion_limit", self.recursion_limit)

    def _prepared(
        self,
        given: WorkflowInput,
        config: RunnableConfig | None,
        *,
        context: str | None = None,
        chat_history: Sequence[Any] | None = None,
        thread_id: str | None = None,
        limits: RunContext | None = None,
        stop: Flag | None = None,
    ) -> _Run:
        """Prepare one run; its deadline counts from here."""
        request = read_input(given, context, chat_history)
        merged = self._run_config(config, thread_id, stop)
        return _Run(request.query, first_state(request), merged, self._began(limits))

    def _began(self, limits: RunContext | None) -> RunContext:
        """Copy the limits of a run, whose deadline counts from here."""
        return replace(limits or RunContext(deadline_s=self.policy.deadline_s))

    def _run_config(
        self, config: RunnableConfig | None, thread_id: str | None, stop: Flag | None
    ) -> RunnableConfig:
        """Add step limit, thread and stop to a run's config."""
        merged = RunnableConfig(**(config or {}))
        merged["recursion_limit"] = self._step_limit(config)
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
    """Give the names that a user's subclasses define over ours."""
    own = __name__.rpartition(".")[0]
    classes = kind.__mro__[: kind.__mro__.index(Workflow)]
    return {name for c in classes if not c.__module__.startswith(own) for name in vars(c)}


def _at_limit(limit: int) -> GenerationError:
    return GenerationError(
        f"step_limit: the graph took {limit} step{'s' * (limit != 1)} without an end; look for a "
        "loop among the nodes that were added, or pass config={'recursion_limit': ...}"
    )


def _raise_at_limit(event: Event, limit: int) -> None:
    if event["type"] == "final" and event["exit"] == "step_limit":
        raise _at_limit(limit)
