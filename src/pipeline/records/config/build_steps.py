"""From a written pipeline to its steps: classes by name, settings checked, all faults at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ....errors import ConfigError, StillroomError, did_you_mean
from ..step import Step, open_pipeline
from .components import find_class, kind_of
from .config_layers import deep_merge
from .environment_values import with_environment
from .setting_types import hints_of, read_settings, read_value

TOP_KEYS: Final = ("stillroom", "fastdistill", "distilabel")
"""Keys above the version of the program that wrote a pipeline."""
_PIPELINE_KEYS: Final = frozenset({
    "connections", "description", "name", "requirements", "routing_batch_functions", "steps",
    "type_info", "cache_dir", "enable_metadata",
})  # fmt: skip


@dataclass(frozen=True)
class WrittenPipeline:
    """What a file says of a pipeline."""

    name: str | None
    description: str | None
    requirements: tuple[str, ...]
    steps: tuple[Step, ...]
    connections: tuple[tuple[str, str], ...]
    """Name of a step -> name of one that reads its records."""


def build_pipeline(
    told: Mapping[str, Any],
    parameters: Mapping[str, Any] | None = None,
    gateway: Mapping[str, Any] | None = None,
) -> WrittenPipeline:
    """Make the steps of a written pipeline.

    Args:
        told: `{name, description, steps: [{name, step: {..., type_info}}], connections: [{from,
            to: []}]}`, or an object that has this below `pipeline`.
        parameters: Settings that go before the written ones, by the names of the steps.
        gateway: Settings of a provider for the models that have none.

    Raises:
        ConfigError: Lists all faults.
    """
    faults: list[str] = []
    inner = told.get("pipeline", told)
    if not isinstance(inner, Mapping) or not isinstance(inner.get("steps"), list):
        raise ConfigError(["pipeline.steps is missing; a list of steps is needed"])
    faults += [
        f"pipeline has the key {key!r}; {did_you_mean(key, _PIPELINE_KEYS)}"
        for key in inner
        if inner is not told and key not in _PIPELINE_KEYS
    ]
    if inner.get("routing_batch_functions"):
        faults.append("routing_batch_functions is not offered; connect the steps one by one")
    entries = _entries(inner["steps"], faults)
    for name in parameters or {}:
        if name not in entries:
            near = did_you_mean(name, entries, what="step")
            faults.append(f"parameters names {name!r}, which is no step; {near}")
    steps = [
        built
        for name, entry in entries.items()
        if (built := _step(name, _laid_over(entry, (parameters or {}).get(name)), gateway, faults))
    ]
    connections = _connections(inner.get("connections") or (), entries, faults)
    if faults:
        raise ConfigError(faults)
    needed = told.get("requirements") or inner.get("requirements") or ()
    return WrittenPipeline(
        inner.get("name"), inner.get("description"), tuple(needed), tuple(steps), connections
    )


def build_thing(
    told: Any,  # noqa: ANN401 - any JSON value
    place: str,
    faults: list[str],
    gateway: Mapping[str, Any] | None = None,
) -> Any:  # noqa: ANN401 - a step, a model, a setting
    """Make what a mapping with `type_info` describes, and what is inside of it.

    Args:
        told: A setting; other values than mappings and lists are given back.
        place: Where it is, for the faults.
        faults: Gets what is wrong; None is given back then.
        gateway: As for `build_pipeline`.
    """
    if isinstance(told, list):
        return [build_thing(one, f"{place}[{n}]", faults, gateway) for n, one in enumerate(told)]
    if not isinstance(told, Mapping):
        return told
    inner = {
        key: build_thing(value, f"{place}: {key}", faults, gateway)
        for key, value in told.items()
        if key not in ("type_info", "runtime_parameters_info")
    }
    if "type_info" not in told:
        return inner
    info = told["type_info"]
    if not isinstance(info, Mapping) or "name" not in info:
        faults.append(f"{place}: type_info is {info!r}; allowed is {{module, name}}")
        return None
    try:
        cls = find_class(info["name"], info.get("module"))
    except ConfigError as fault:
        faults += [f"{place}: {one}" for one in fault.faults]
        return None
    if gateway and kind_of(cls) == "llm" and inner.get("gateway") is None:
        inner["gateway"] = dict(gateway)
    settings, wrong = read_settings(cls, inner, place)
    faults += wrong
    return None if wrong else _made(cls, settings, place, faults)


def typed_parameters(
    steps: Mapping[str, Step], parameters: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Read parameters from the command line by the types of the settings of finished steps."""
    return {
        name: _typed(steps.get(name), values) if isinstance(values, Mapping) else values
        for name, values in parameters.items()
    }


def _typed(thing: object, values: Mapping[str, Any]) -> dict[str, Any]:
    hints = hints_of(type(thing))
    typed = {}
    for key, value in values.items():
        inside = getattr(thing, key, None)
        if isinstance(value, Mapping) and not isinstance(inside, Mapping):
            typed[key] = _typed(inside, value)
        else:
            typed[key] = read_value(value, hints.get(key, Any))
    return typed


def _entries(written: Sequence[Any], faults: list[str]) -> dict[str, Mapping[str, Any]]:
    entries: dict[str, Mapping[str, Any]] = {}
    for place, entry in enumerate(written):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("step"), Mapping):
            faults.append(f"pipeline.steps[{place}] is no step; allowed is {{name, step: {{...}}}}")
            continue
        name = entry.get("name") or entry["step"].get("name")
        if not isinstance(name, str):
            faults.append(f"pipeline.steps[{place}] has the name {name!r}; a text is needed")
        elif name in entries:
            faults.append(f"two steps have the name {name!r}; rename one")
        else:
            entries[name] = entry["step"]
    return entries


def _laid_over(entry: Mapping[str, Any], parameters: Any) -> Mapping[str, Any]:  # noqa: ANN401
    return deep_merge(entry, parameters) if isinstance(parameters, Mapping) else entry


def _step(
    name: str, told: Mapping[str, Any], gateway: Mapping[str, Any] | None, faults: list[str]
) -> Step | None:
    place = f"step {name!r}"
    if "type_info" not in told:
        faults.append(f"{place} has no type_info: {{module, name}} of its class")
        return None
    before = len(faults)
    filled = with_environment({**told, "name": name}, place, faults)
    built = build_thing(filled, place, faults, gateway)
    if built is not None and not isinstance(built, Step):
        faults.append(f"{place}: {type(built).__name__} is no step")
    return built if isinstance(built, Step) and len(faults) == before else None


def _made(cls: type[Any], settings: Mapping[str, Any], place: str, faults: list[str]) -> Any:  # noqa: ANN401
    """Make an object outside of the pipeline that is open, which would take it in."""
    token = open_pipeline.set(None)
    try:
        return cls(**settings)
    except ConfigError as fault:
        faults += [f"{place}: {one}" for one in fault.faults]
    except (StillroomError, TypeError, ValueError) as fault:
        faults.append(f"{place}: {fault}")
    finally:
        open_pipeline.reset(token)
    return None


def _connections(
    written: Sequence[Any], known: Mapping[str, Any], faults: list[str]
) -> tuple[tuple[str, str], ...]:
    edges = []
    for place, one in enumerate(written):
        if not isinstance(one, Mapping) or "from" not in one:
            faults.append(f"pipeline.connections[{place}] is {one!r}; allowed is {{from, to: []}}")
            continue
        after = one.get("to") or []
        for name in [one["from"], *([after] if isinstance(after, str) else after)]:
            if name not in known:
                near = did_you_mean(name, known, what="step")
                faults.append(f"connections names {name!r}, which is no step; {near}")
        edges += [(one["from"], to) for to in ([after] if isinstance(after, str) else after)]
    return tuple(edges)
