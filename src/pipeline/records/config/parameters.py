"""Give steps other values than they were made with: the runtime parameters of a run."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from ....errors import ConfigError, did_you_mean
from ..step import Step, open_pipeline


def with_parameters(
    steps: Mapping[str, Step], parameters: Mapping[str, Mapping[str, Any]]
) -> dict[str, Step]:
    """Give the steps with some fields replaced; the steps themselves stay as they are.

    Args:
        steps: Name -> step.
        parameters: Name -> field -> value; mappings merge with the mapping or object that is there,
            so `{"teacher": {"llm": {"model": "m"}}}` changes the model alone.

    Raises:
        ConfigError: A step or field is unknown, or a value is refused; lists all faults.
    """
    faults = [
        f"parameters names {name!r}, which is no step; {did_you_mean(name, steps, what='step')}"
        for name in parameters
        if name not in steps
    ]
    changed = dict(steps)
    for name in parameters:
        if name in steps:
            try:
                changed[name] = _changed(steps[name], parameters[name], name)
            except ConfigError as fault:
                faults += fault.faults
    if faults:
        raise ConfigError(faults)
    return changed


def _changed(thing: Any, values: Mapping[str, Any], place: str) -> Any:  # noqa: ANN401
    """Make a step, or an object inside of one, anew with some fields replaced."""
    settings = _settings(thing)
    faults = [
        f"{place} has no field {key!r}; {did_you_mean(key, settings, what='field')}"
        for key in values
        if key not in settings
    ]
    new = dict(settings)
    for key, value in values.items():
        if key not in settings:
            continue
        try:
            new[key] = _merged(settings[key], value, f"{place}.{key}")
        except ConfigError as fault:
            faults += fault.faults
    if faults:
        raise ConfigError(faults)
    token = open_pipeline.set(None)
    try:
        return type(thing)(**new)
    except (TypeError, ValueError) as fault:
        raise ConfigError([f"{place}: {fault}"]) from fault
    finally:
        open_pipeline.reset(token)


def _merged(old: Any, new: Any, place: str) -> Any:  # noqa: ANN401
    if not isinstance(new, Mapping):
        return new
    if isinstance(old, Mapping):
        merged = dict(old)
        for key, value in new.items():
            merged[key] = _merged(merged.get(key), value, f"{place}.{key}")
        return merged
    if old is None or not (dataclasses.is_dataclass(old) or hasattr(old, "settings")):
        return copy.deepcopy(dict(new))
    return _changed(old, new, place)


def _settings(thing: Any) -> dict[str, Any]:  # noqa: ANN401
    if hasattr(thing, "settings"):
        return dict(thing.settings())
    return {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing) if f.init}
