"""Nodes and edges that a user adds to a workflow, and how they are wired into its graph.

An edge added from a built-in node replaces that node's own outgoing edges, so a node can be put
between two others. A node without any edge runs at the end, after `finalize` or after the validator
has passed the answer, in the order of adding.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from langgraph.graph import END, StateGraph

from .state import AgentState

Builder = StateGraph[AgentState, Any, Any, Any]
Node = Callable[..., Any]


@dataclass
class Extensions:
    """The nodes and edges that were added to a workflow."""

    nodes: dict[str, tuple[Any, dict[str, Any]]] = field(default_factory=dict)
    """Name -> function or Runnable, and keywords for `StateGraph.add_node`."""
    edges: list[tuple[str, str]] = field(default_factory=list)
    branches: list[tuple[str, Node, dict[Hashable, str] | None]] = field(default_factory=list)
    """Source, function that gives a key, and key -> node."""

    def __bool__(self) -> bool:
        """Tell whether anything was added."""
        return bool(self.nodes or self.edges or self.branches)

    def attached_to(self, builder: Builder) -> bool:
        """Tell whether a graph has all of them."""
        return (
            set(self.nodes) <= set(builder.nodes)
            and set(self.edges) <= builder.edges
            and all(builder.branches.get(source) for source, *_ in self.branches)
        )

    def attach(self, builder: Builder) -> None:
        """Add everything to a graph that is not compiled yet; nodes it already has stay.

        Raises:
            ValueError: Two nodes have edges out but none in, so their order is unknown.
        """
        for name, (action, options) in self.nodes.items():
            if name not in builder.nodes:
                builder.add_node(name, action, **options)
        sources = self._sources()
        for source in sources - set(self.nodes):
            builder.edges = {edge for edge in builder.edges if edge[0] != source}
            builder.branches.pop(source, None)
        loose, heads = self._without_way_in(builder)
        if len(heads) > 1:
            raise ValueError(
                f"nodes {heads!r} have edges out but none in; add_edge(<node before>, <name>) "
                "says when each of them runs"
            )
        last = [*loose, *heads]
        if last:
            _redirect_end(builder, last[0])
        for name, following in pairwise(last):
            builder.add_edge(name, following)
        for source, target in self.edges:
            builder.add_edge(source, target)
        for source, path, path_map in self.branches:
            builder.add_conditional_edges(source, path, path_map)
        for name in self.nodes:
            if name not in sources and name not in last[:-1]:
                builder.add_edge(name, END)

    def _sources(self) -> set[str]:
        return {edge[0] for edge in self.edges} | {branch[0] for branch in self.branches}

    def _without_way_in(self, builder: Builder) -> tuple[list[str], list[str]]:
        """Find the nodes that no edge leads to: those without any edge, and those with one out."""
        ends = [spec.ends for branches in builder.branches.values() for spec in branches.values()]
        led_to = {target for _, target in (*builder.edges, *self.edges)}
        led_to |= {target for end in ends if end for target in end.values()}
        led_to |= {t for _, _, path_map in self.branches if path_map for t in path_map.values()}
        if any(path_map is None for *_, path_map in self.branches):
            return [], []  # an open branch may lead to any of them
        sources = self._sources()
        free = [name for name in self.nodes if name not in led_to]
        return [n for n in free if n not in sources], [n for n in free if n in sources]


def _redirect_end(builder: Builder, first: str) -> None:
    """Redirect all edges to the end to a node."""
    builder.edges = {(s, first if target == END else target) for s, target in builder.edges}
    for branches in builder.branches.values():
        for name, spec in branches.items():
            ends = {way: first if t == END else t for way, t in (spec.ends or {}).items()}
            branches[name] = spec._replace(ends=ends or None)
