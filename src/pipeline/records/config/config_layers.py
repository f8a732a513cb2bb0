"""From files and `--param` values to one configuration: base, env, run, parameter file, parameters.

Mappings are merged key by key; everything else replaces what was there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ....config import as_settings, read_written_json, read_written_yaml
from ....errors import ConfigError

PARAMETERS: Final = "parameters"
"""Section of a configuration with settings of steps by the names of the steps."""
PARAM_MESSAGE: Final = (
    "Runtime parameters must be in the format `key.subkey=value` or `key.subkey.subsubkey=value`"
)
_PARAM: Final = re.compile(r"([^.=]+(?:\.[^.=]+)+)=(.*)", re.DOTALL)
_WORDS: Final = {"true": True, "false": False, "null": None, "none": None}


class Written(str):
    """A value from the command line: its text, where the setting is a text, else what it means."""

    __slots__ = ()

    @property
    def value(self) -> Any:  # noqa: ANN401 - any JSON value
        """What the text means: JSON, `True`, `False`, `None`, or the text itself."""
        if self.lower() in _WORDS:
            return _WORDS[self.lower()]
        try:
            return json.loads(self)
        except ValueError:
            return str(self)


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another.

    >>> deep_merge({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}})
    {'a': {'b': 1, 'c': [2]}}
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = deep_merge(below, value)
        else:
            merged[key] = value
    return merged


def read_config_file(path: str | Path) -> dict[str, Any]:
    """Read a local YAML or JSON file that holds an object.

    Raises:
        ConfigError: It is a URL, not there, or no object of YAML or JSON.
    """
    refuse_url(path)
    suffix = Path(path).suffix.lower()
    value = read_written_json(path) if suffix == ".json" else read_written_yaml(path)
    return as_settings({} if value is None else value, path)


def refuse_url(path: str | Path) -> None:
    """Refuse what lies on another machine.

    Raises:
        ConfigError: It is a URL.
    """
    if "://" in str(path):
        raise ConfigError([
            f"{str(path)!r} is a URL; only local files are read: fetch it, look at it, and name "
            "the file"
        ])  # fmt: skip


def read_layers(
    files: Iterable[str | Path | None],
    parameter_file: str | Path | None = None,
    parameters: Sequence[str] = (),
) -> dict[str, Any]:
    """Read and merge the layers of a configuration.

    Args:
        files: Base, env and run; None is left out.
        parameter_file: Settings of steps by name, with or without `parameters:` above them.
        parameters: Values of the form `step.key=value`, later ones before earlier ones.

    Raises:
        ConfigError: Files or values cannot be read; lists all faults.
    """
    merged: dict[str, Any] = {}
    faults: list[str] = []
    for path in files:
        if path is not None:
            merged = deep_merge(merged, _or_fault(path, faults))
    if parameter_file is not None:
        told = _or_fault(parameter_file, faults)
        inner = told.get(PARAMETERS) if set(told) == {PARAMETERS} else told
        merged = deep_merge(merged, {PARAMETERS: inner or {}})
    try:
        merged = deep_merge(merged, {PARAMETERS: read_parameters(parameters)})
    except ConfigError as fault:
        faults += fault.faults
    if faults:
        raise ConfigError(faults)
    return merged


def read_parameters(parameters: Sequence[str]) -> dict[str, Any]:
    """Read values of the form `step.key=value` or `step.key.subkey=value`.

    Raises:
        ConfigError: A value has another form.

    >>> read_parameters(["rules.min_chars=3", "teacher.llm.model=x"])
    {'rules': {'min_chars': '3'}, 'teacher': {'llm': {'model': 'x'}}}
    """
    made: dict[str, Any] = {}
    for given in parameters:
        found = _PARAM.fullmatch(given)
        if found is None:
            raise ConfigError([PARAM_MESSAGE])
        value: Any = Written(found[2])
        for key in reversed(found[1].split(".")):
            value = {key: value}
        made = deep_merge(made, value)
    return made


def _or_fault(path: str | Path, faults: list[str]) -> dict[str, Any]:
    try:
        return read_config_file(path)
    except ConfigError as fault:
        faults += fault.faults
        return {}
