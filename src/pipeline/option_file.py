"""Options of a command in a file: `stillroom run mine.yaml`.

The file is a YAML or JSON mapping of the command's options by their long names, with `-` or `_`:
`output-dir: outputs/mine`. What is typed on the command line replaces what is in the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..config import as_settings, named_place, read_written_json, read_written_yaml
from ..errors import ConfigError, nearest
from .options import CommandParser, Fault, listed

YAML_SUFFIXES: Final = (".yaml", ".yml")
_YAML_WORDS: Final = {"None": "null", "True": "yes", "False": "no"}
"""What YAML makes of the keys `null` and `yes` without quotes -> the option that is meant."""
_NOT_IN_FILES: Final = ("help", "config", "verbose", "json", "source")


def read_with_file(
    parser: CommandParser,
    argv: Sequence[str] | None,
    check: Callable[[argparse.Namespace], Sequence[str]],
) -> argparse.Namespace:
    """Read the options of a command line, and those of the file that its `config` names.

    Args:
        parser: Parser with an option `config`.
        argv: As in `CommandParser.read`.
        check: As in `CommandParser.read`.

    Raises:
        Refused: There are faults, all of which were printed.
    """
    typed, _ = parser.parse_known_intermixed_args(argv)
    config, faults = typed.config, []
    if isinstance(config, str) and not isinstance(config, Fault):
        try:
            parser.set_defaults(**file_options(parser, config))
        except ConfigError as fault:
            faults = fault.faults
    return parser.read(argv, lambda args: [*faults, *(() if faults else check(args))])


def file_options(parser: CommandParser, path: str) -> dict[str, Any]:
    """Read a file of options.

    Args:
        parser: Parser of the command; it says which options there are, and which values they take.
        path: YAML file, or JSON file (`.json`).

    Returns:
        Name of an option in the parser's results -> its value. A file or folder that is not in the
        current folder, but beside the file, is returned with that folder.

    Raises:
        ConfigError: There is no such file, it is no mapping, or options or values are wrong; lists
            all faults.
    """
    read = read_written_json if path.lower().endswith(".json") else read_written_yaml
    written = {_YAML_WORDS.get(name, name): value for name, value in
               as_settings(read(path), path).items()}  # fmt: skip
    actions = {
        flag.lstrip("-").replace("-", "_"): action
        for action in parser._actions
        for flag in action.option_strings
        if flag.startswith("--") and action.dest not in _NOT_IN_FILES
    }
    values, faults = {}, []
    for name, value in written.items():
        action = actions.get(name.replace("-", "_"))
        if action is None:
            near = nearest(name.replace("-", "_"), actions)
            hint = f"the nearest is {near!r}" if near else f"there are {', '.join(sorted(actions))}"
            faults.append(f"{path}: there is no option {name!r}; {hint}")
        elif value is not None:
            read_value = _value(action, value)
            if isinstance(read_value, Fault):
                faults.append(f"{path}: {name} {read_value}")
            else:
                values[action.dest] = read_value
    if faults:
        raise ConfigError(faults)
    for name in ("data", "asked", "teacher", "student"):
        found = values.get(name)
        if isinstance(found, str) and (place := named_place(found, Path(path).parent)) is not None:
            values[name] = str(place)
    return values


def _value(action: argparse.Action, value: Any) -> Any:  # noqa: ANN401
    """Convert a value of the file as the command line would; a `Fault` where it does not fit."""
    if action.nargs == 0:
        return value if isinstance(value, bool) else Fault(f"is {value!r}; allowed are true, false")
    many = isinstance(action, argparse._AppendAction) or action.type is listed
    if isinstance(value, Mapping):
        if not isinstance(action, argparse._AppendAction):
            return Fault(f"is {dict(value)!r}; a single value is needed")
        value = [f"{name}={','.join(map(str, _as_list(one)))}" for name, one in value.items()]
    if action.type is listed and isinstance(value, list):
        return _first_fault([_text(one) for one in value], tuple)
    if not many:
        return _convert(action, value)
    if action.type is listed:
        return _convert(action, value)
    return _first_fault([_convert(action, one) for one in _as_list(value)], list)


def _convert(action: argparse.Action, value: Any) -> Any:  # noqa: ANN401
    text = _text(value)
    if isinstance(text, Fault) or not callable(action.type):
        return text
    try:
        return action.type(text)
    except argparse.ArgumentTypeError as fault:
        return Fault(f"is wrong: {fault}")


def _text(value: Any) -> str | Fault:  # noqa: ANN401
    """Write a scalar as it would be typed."""
    if isinstance(value, bool) or (value is not None and not isinstance(value, (str, int, float))):
        kind = "a truth value" if isinstance(value, bool) else f"a {type(value).__name__}"
        return Fault(f"is {value!r}, which YAML reads as {kind}; write it in quotes")
    return "" if value is None else str(value)


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else [value]


def _first_fault(values: list[Any], kind: Callable[[list[Any]], Any]) -> Any:  # noqa: ANN401
    return next((one for one in values if isinstance(one, Fault)), None) or kind(values)
