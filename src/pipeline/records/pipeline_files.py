"""A pipeline as JSON or YAML, in the form of FastDistill and distilabel, and back.

Classes are named by `type_info`; those of FastDistill and distilabel stand for ours of the same
name. A class of the user's own program is found where that program has been imported; nothing is
imported because a file names it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ... import __version__
from ...errors import ConfigError, DataNotFoundError, did_you_mean
from .fingerprints import SECRET
from .row_codec import plain_json
from .step import Step, open_pipeline

if TYPE_CHECKING:
    from .plan import Plan

TOP_KEYS: Final = ("fastdistill", "distilabel", "stillroom")
PEERS: Final = ("fastdistill", "distilabel", "stillroom")
"""Packages whose classes stand for ours of the same name."""
_HOME: Final = __name__.rpartition(".")[0]


def dump_pipeline(pipeline: Any, plan: Plan | None) -> dict[str, Any]:  # noqa: ANN401 - a Pipeline
    """Give a pipeline as JSON, without secrets.

    Args:
        pipeline: A `Pipeline`.
        plan: Its stages, written as well if given.
    """
    connections: dict[str, list[str]] = {name: [] for name in pipeline.steps}
    for before, after in pipeline.edges:
        connections[before].append(after)
    told = {
        "name": pipeline.name,
        "description": pipeline.description,
        "steps": [
            {"name": name, "step": thing_told(step)} for name, step in pipeline.steps.items()
        ],
        "connections": [{"from": name, "to": to} for name, to in connections.items()],
    }
    dumped: dict[str, Any] = {"fastdistill": {"version": __version__}, "pipeline": told}
    if pipeline.requirements:
        dumped["requirements"] = pipeline.requirements
    if plan is not None:
        dumped["stages"] = [
            {"name": stage.name, "kind": stage.kind, "steps": [step.name for step in stage.steps]}
            for stage in plan.stages
        ]
    return dumped


def thing_told(thing: Any) -> Any:  # noqa: ANN401 - a step, an LLM, a setting
    """Give a step or another object as JSON, with its class as `type_info`."""
    if isinstance(thing, Mapping):
        return {str(k): thing_told(v) for k, v in thing.items() if not SECRET.search(str(k))}
    if isinstance(thing, list | tuple | set | frozenset):
        return [thing_told(v) for v in thing]
    settings = _settings(thing)
    if settings is not None:
        info = {"module": type(thing).__module__, "name": type(thing).__name__}
        return {**thing_told(settings), "type_info": info}
    try:
        return plain_json(thing)
    except (TypeError, ValueError):
        return {"$repr": getattr(thing, "__qualname__", type(thing).__qualname__)}


def steps_from_dict(told: Mapping[str, Any]) -> tuple[list[Step], list[tuple[str, str]]]:
    """Make the steps and edges of a pipeline that `dump_pipeline` or a peer has written.

    Raises:
        ConfigError: A step is unknown or a field is wrong; lists all faults.
    """
    faults: list[str] = []
    steps: list[Step] = []
    if told.get("routing_batch_functions"):
        faults.append("routing_batch_functions are not offered; connect the steps one by one")
    for entry in told.get("steps", ()):
        try:
            step = thing_made({**entry["step"], "name": entry["name"]}, entry["name"])
            if not isinstance(step, Step):
                raise ConfigError([f"{entry['name']}: {type(step).__name__} is no step"])
            steps.append(step)
        except ConfigError as fault:
            faults += fault.faults
    names = [str(entry["name"]) for entry in told.get("steps", ())]
    edges = []
    for connection in told.get("connections", ()):
        for after in connection["to"]:
            for name in (connection["from"], after):
                if name not in names:
                    known = did_you_mean(name, names, what="step")
                    faults.append(f"connections name {name!r}, which is no step; {known}")
            edges.append((connection["from"], after))
    if faults:
        raise ConfigError(faults)
    return steps, edges


def thing_made(told: Any, place: str) -> Any:  # noqa: ANN401 - a step, an LLM, a setting
    """Make what `thing_told` gave."""
    if isinstance(told, list):
        return [thing_made(v, f"{place}[{i}]") for i, v in enumerate(told)]
    if not isinstance(told, Mapping):
        return told
    values = {k: thing_made(v, f"{place}.{k}") for k, v in told.items() if k != "type_info"}
    if "type_info" not in told:
        return values
    kind = find_class(told["type_info"]["module"], told["type_info"]["name"], place)
    known = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else None
    if known is not None:
        unknown = [key for key in values if key not in known]
        if unknown:
            raise ConfigError([
                f"{place}: {kind.__name__} has no field {key!r}; "
                f"{did_you_mean(key, known, what='field')}" for key in unknown
            ])  # fmt: skip
    token = open_pipeline.set(None)
    try:
        return kind(**values)
    except (TypeError, ValueError) as fault:
        raise ConfigError([f"{place}: {fault}"]) from fault
    finally:
        open_pipeline.reset(token)


def find_class(module: str, name: str, place: str) -> Any:  # noqa: ANN401 - any class
    """Find the class that a `type_info` names.

    Raises:
        ConfigError: There is none.
    """
    package = import_module(_HOME)
    if module.partition(".")[0] in (*PEERS, _HOME.partition(".")[0]):
        offered = [known for known in package.__all__ if known[0].isupper()]
        if name in offered:
            return getattr(package, name)
        raise ConfigError([
            f"{place}: {name!r} is not offered; {did_you_mean(name, offered, what='class')}"
        ])  # fmt: skip
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise ConfigError([
            f"{place}: class {module}.{name} is unknown; import it before the pipeline is read"
        ])  # fmt: skip
    return found


def read_pipeline_file(path: str | Path) -> dict[str, Any]:
    """Read a YAML or JSON file of a pipeline.

    Raises:
        DataNotFoundError: There is none.
        ConfigError: It holds no pipeline.
    """
    path = Path(path)
    if not path.is_file():
        raise DataNotFoundError(f"{path} does not exist; give the YAML or JSON file of a pipeline")
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() == ".json":
        found = json.loads(text)
    else:
        import yaml  # type: ignore[import-untyped]

        found = yaml.safe_load(text)
    if not isinstance(found, dict) or "steps" not in found.get("pipeline", found):
        raise ConfigError([f"{path} holds no pipeline: the key `pipeline.steps` is missing"])
    return found


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


__all__: Sequence[str] = ["dump_pipeline", "read_pipeline_file", "steps_from_dict", "thing_made"]
