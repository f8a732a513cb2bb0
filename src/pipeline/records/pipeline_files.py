"""A pipeline as JSON, in the form of FastDistill and distilabel; `config.build_steps` reads it.

Classes are named by `type_info`. Keys, and the values of environment variables, are not in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ... import __version__
from .config.environment_values import SECRET, as_written
from .row_codec import plain_json
from .step import Step

if TYPE_CHECKING:
    from .plan import Plan


MOST_ENTRIES: Final = 100
"""Entries of a list that `run.json` holds."""


def dump_pipeline(pipeline: Any, plan: Plan | None) -> dict[str, Any]:  # noqa: ANN401 - a Pipeline
    """Give a pipeline as JSON, without secrets.

    Args:
        pipeline: A `Pipeline`.
        plan: Its stages, written as well if given, for `run.json`; long lists, as the data of a
            source, are told by their length then.
    """
    connections: dict[str, list[str]] = {name: [] for name in pipeline.steps}
    for before, after in pipeline.edges:
        connections[before].append(after)
    told = {
        "name": pipeline.name,
        "description": pipeline.description,
        "steps": [
            {"name": name, "step": thing_told(step, None if plan is None else MOST_ENTRIES)}
            for name, step in pipeline.steps.items()
        ],
        "connections": [{"from": name, "to": to} for name, to in connections.items()],
    }
    dumped: dict[str, Any] = {"stillroom": {"version": __version__}, "pipeline": told}
    if pipeline.requirements:
        dumped["requirements"] = pipeline.requirements
    if plan is not None:
        dumped["stages"] = [
            {
                "name": stage.name,
                "kind": stage.kind,
                "steps": [step.name for step in stage.steps],
                "sources": list(stage.sources),
            }
            for stage in plan.stages
        ]
    return dumped


def thing_told(thing: Any, most: int | None = None) -> Any:  # noqa: ANN401 - a step, a setting
    """Give a step or another object as JSON, with its class as `type_info`.

    Args:
        thing: A step, a model, a setting.
        most: Entries of a list; of a longer one only the length is told. None tells all.
    """
    if isinstance(thing, Mapping):
        written = {str(k): as_written(str(k), v) for k, v in thing.items()}
        return {
            name: thing_told(value, most)
            for name, value in written.items()
            if value is not None or not SECRET.search(name)
        }
    if isinstance(thing, list | tuple | set | frozenset):
        if most is not None and len(thing) > most:
            return {"$entries": len(thing)}
        return [thing_told(v, most) for v in thing]
    settings = _settings(thing)
    if settings is not None:
        info = {"module": type(thing).__module__, "name": type(thing).__name__}
        return {**thing_told(settings, most), "type_info": info}
    if isinstance(thing, str):
        return as_written("", thing)
    try:
        return plain_json(thing)
    except (TypeError, ValueError):
        return {"$repr": getattr(thing, "__qualname__", type(thing).__qualname__)}


def _settings(thing: Any) -> Mapping[str, Any] | None:  # noqa: ANN401
    """Give the settings of a step or of another object that has some; None for plain values."""
    if isinstance(thing, Step):
        return {
            key: value
            for key, value in thing.settings().items()
            if key != "name" and value != _default(type(thing), key)
        }
    if isinstance(thing, type):
        return None
    if hasattr(thing, "settings") and callable(thing.settings):
        return dict(thing.settings())
    if dataclasses.is_dataclass(thing):
        return {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing) if f.init}
    return None


def _default(kind: type[Step], name: str) -> Any:  # noqa: ANN401 - any value
    """Give the default of a field; a step is written with the fields that differ from theirs."""
    for told in dataclasses.fields(kind):
        if told.name == name:
            if told.default_factory is not dataclasses.MISSING:
                return told.default_factory()
            return told.default
    return dataclasses.MISSING
