"""From a graph of steps to stages: the parts of a run whose rows lie on disk between them.

A chain of steps is one stage. A new stage begins where the graph branches or joins, before and
after a costly step, after a source and after an ordered step, after a step that an observer reads,
and where the load groups say so. A stage is named after its last step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...errors import ConfigError, did_you_mean
from .fingerprints import stage_fingerprint
from .step import GeneratorStep, GlobalStep, ObserverStep, OrderedStep, Step

StageKind = Literal["source", "sharded", "ordered", "whole"]
LoadGroups = Sequence[Sequence[str]] | Literal["sequential_step_execution"] | None


@dataclass(frozen=True)
class Stage:
    """A chain of steps."""

    name: str
    steps: tuple[Step, ...]
    sources: tuple[str, ...]
    """The stages that it reads; with several, their rows are joined by their ids."""
    kind: StageKind
    """`source`: makes rows. `sharded`: shard i from shard i. `ordered`: the same, one shard after
    the other. `whole`: all shards at once."""
    fingerprint: str
    """Hash of its settings and code."""

    @property
    def is_costly(self) -> bool:
        """Whether it is slow or paid; it is a single step then."""
        return self.steps[0].is_costly


@dataclass(frozen=True)
class Plan:
    """The stages of a pipeline, each after those that it reads."""

    stages: tuple[Stage, ...]
    observers: Mapping[str, tuple[ObserverStep, ...]]
    """Stage -> the observers that read its rows, in order."""
    leaves: tuple[str, ...]
    """Stages whose rows are the result."""

    def __getitem__(self, name: str) -> Stage:
        """Give a stage by its name."""
        return next(stage for stage in self.stages if stage.name == name)


def make_plan(
    steps: Mapping[str, Step], edges: Sequence[tuple[str, str]], load_groups: LoadGroups = None
) -> Plan:
    """Cut a graph of steps into stages.

    Args:
        steps: Name -> step, in the order in which they were made.
        edges: (before, after) names.
        load_groups: Lists of names; steps of different lists are in different stages.

    Raises:
        ConfigError: The graph cannot be run; lists all faults.
    """
    graph = _Graph(steps, edges)
    groups = _group_numbers(steps, load_groups)
    faults = graph.faults()
    if faults:
        raise ConfigError(faults)
    chains: list[list[str]] = []
    chain_of: dict[str, list[str]] = {}
    for name in graph.order:
        if isinstance(steps[name], ObserverStep):
            continue
        before = graph.before[name]
        same_group = len(before) == 1 and groups.get(before[0]) == groups.get(name)
        if len(before) == 1 and same_group and graph.may_follow(before[0], name):
            chain_of[name] = chain_of[before[0]]
        else:
            chain_of[name] = []
            chains.append(chain_of[name])
        chain_of[name].append(name)
    chains.sort(key=lambda chain: graph.order.index(chain[-1]))
    return _plan(graph, chains)


class _Graph:
    """Who comes before whom, with observers taken out of the way of the rows."""

    def __init__(self, steps: Mapping[str, Step], edges: Sequence[tuple[str, str]]) -> None:
        self.steps = steps
        self.direct: dict[str, list[str]] = {name: [] for name in steps}
        for before, after in dict.fromkeys(edges):
            self.direct[after].append(before)
        self.order = self._order()
        self.before = {
            name: list(dict.fromkeys(self._seen_through(b) for b in self.direct[name]))
            for name in self.order
        }
        self.after: dict[str, list[str]] = {name: [] for name in steps}
        for name in self.order:
            for before in self.before[name]:
                self.after[before].append(name)

    def faults(self) -> list[str]:
        """List why the graph cannot be run."""
        if not self.steps:
            return ["the pipeline has no steps; make them inside `with Pipeline():`"]
        circle = sorted(set(self.steps) - set(self.order))
        if circle:
            return [f"the steps {circle} are in a circle"]
        faults = []
        for name, step in self.steps.items():
            count = len(self.direct[name])
            if isinstance(step, GeneratorStep) and count:
                faults.append(f"step {name!r} makes records; nothing can come before it")
            elif not isinstance(step, GeneratorStep) and not count:
                faults.append(
                    f"step {name!r} has no step before it; connect one with `>>`, or give the "
                    "records as run(dataset=...)"
                )
            elif count > 1 and isinstance(step, OrderedStep | ObserverStep):
                faults.append(f"step {name!r} takes the records of one step, not of {count}")
        return faults

    def may_follow(self, before: str, name: str) -> bool:
        """Say whether a step can be in the stage of the one before it."""
        first, second = self.steps[before], self.steps[name]
        cut = isinstance(first, GeneratorStep | OrderedStep | GlobalStep)
        cut = cut or isinstance(second, GlobalStep) or first.is_costly or second.is_costly
        return not cut and len(self.after[before]) == 1

    def _order(self) -> list[str]:
        """Sort the steps so that each comes after those before it; the rest is in a circle."""
        order: list[str] = []
        left = dict(self.direct)
        while True:
            ready = [name for name, before in left.items() if set(before) <= set(order)]
            if not ready:
                return order
            order += ready
            left = {name: before for name, before in left.items() if name not in set(ready)}

    def _seen_through(self, name: str) -> str:
        while isinstance(self.steps[name], ObserverStep) and self.direct[name]:
            name = self.direct[name][0]
        return name


def _plan(graph: _Graph, chains: Sequence[Sequence[str]]) -> Plan:
    stages: list[Stage] = []
    lineage: dict[str, str] = {}
    for chain in chains:
        name = chain[-1]
        steps = tuple(graph.steps[n] for n in chain)
        sources = tuple(graph.before[chain[0]])
        lines = {lineage[source] for source in sources}
        kind: StageKind = "sharded"
        if not sources:
            kind = "source"
        elif len(lines) > 1 or isinstance(steps[0], GlobalStep):
            kind = "whole"
        elif isinstance(steps[-1], OrderedStep):
            kind = "ordered"
        lineage[name] = name if kind in ("source", "whole") else next(iter(lines))
        # A source that costs nothing is read again by each run, so its settings decide nothing.
        hashed = steps if kind != "source" or steps[0].is_costly else ()
        stages.append(Stage(name, steps, sources, kind, stage_fingerprint(hashed)))
    observers: dict[str, tuple[ObserverStep, ...]] = {}
    for name in graph.order:
        step = graph.steps[name]
        if isinstance(step, ObserverStep):
            seen = graph.before[name][0]
            observers[seen] = (*observers.get(seen, ()), step)
    leaves = tuple(
        stage.name
        for stage in stages
        if all(isinstance(graph.steps[after], ObserverStep) for after in graph.after[stage.name])
    )
    return Plan(tuple(stages), observers, leaves)


def _group_numbers(steps: Mapping[str, Step], load_groups: LoadGroups) -> dict[str, int]:
    """Give each step the number of its load group."""
    if load_groups is None:
        return {}
    if isinstance(load_groups, str):
        if load_groups != "sequential_step_execution":
            raise ConfigError([
                f"load_groups is {load_groups!r}; allowed is a list of lists of step names, or "
                "'sequential_step_execution'"
            ])  # fmt: skip
        return {name: number for number, name in enumerate(steps)}
    numbers: dict[str, int] = {}
    faults = []
    for number, group in enumerate(load_groups):
        for name in group:
            if name not in steps:
                known = did_you_mean(name, steps, what="step")
                faults.append(f"load_groups names {name!r}, which is no step; {known}")
            elif name in numbers:
                faults.append(f"load_groups names {name!r} twice")
            numbers[name] = number
    if faults:
        raise ConfigError(faults)
    return numbers
