"""Files that a user writes by hand, such as JSON settings, with faults explained in a sentence.

The encoding follows the byte-order mark, which is removed; without a mark it is UTF-8.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigError

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # first, as it starts with the mark of UTF-16 LE
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MARK = "\ufeff"
_YAML = re.compile(r"\s*(---|#|[\w.-]+:(\s|$))")


def read_written_text(path: str | Path) -> str:
    """Read a text file without byte-order marks, with LF line ends.

    Raises:
        ConfigError: The file does not exist, or is not text.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as fault:
        raise ConfigError([f"there is no file {str(path)!r}"]) from fault
    except IsADirectoryError as fault:
        raise ConfigError([f"{path} is a folder; name a file"]) from fault
    except (OSError, ValueError) as fault:
        raise ConfigError([f"{str(path)!r} cannot be read: {_reason(fault)}"]) from fault
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise ConfigError([
            f"{path}, line {line}: byte 0x{data[fault.start]:02x} is no {encoding.upper()}; save "
            "the file as UTF-8"
        ]) from fault  # fmt: skip
    if "\0" in text:
        raise ConfigError([f"{path} holds zero bytes and is not text; save it as UTF-8 text"])
    return text.lstrip(_MARK).replace("\r\n", "\n").replace("\r", "\n")


def read_written_json(path: str | Path) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON file; a key that occurs twice in one object is a fault.

    Raises:
        ConfigError: The file does not exist or is not JSON; the message says where and why.
    """
    text = read_written_text(path)
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as fault:
        raise ConfigError([f"{path}{_what_is_wrong(Path(path), text, fault)}"]) from fault
    except RecursionError as fault:
        raise ConfigError([f"{path} is nested too deeply for a settings file"]) from fault
    except ValueError as fault:
        raise ConfigError([f"{path}: {fault}"]) from fault


def read_written_yaml(path: str | Path) -> Any:  # noqa: ANN401 - any YAML value
    """Read a YAML file.

    Raises:
        ConfigError: There is no such file, or it is no YAML; the message says where and why.
    """
    import yaml  # type: ignore[import-untyped]

    written = read_written_text(path)
    try:
        return yaml.safe_load(written)
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        mark = getattr(fault, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        reason = getattr(fault, "problem", None) or " ".join(str(fault).split())
        raise ConfigError([f"{path}{where}: is no YAML ({reason})"]) from fault


def as_settings(value: Any, path: str | Path) -> dict[str, Any]:  # noqa: ANN401
    """Check that a file holds an object, and give it as settings.

    Raises:
        ConfigError: The file holds something other than an object.
    """
    if not isinstance(value, Mapping):
        kind = {list: "a list", str: "a text", type(None): "null"}.get(type(value))
        held = kind or ("true or false" if isinstance(value, bool) else "a number")
        raise ConfigError([f"{path} holds {held}; an object of settings is needed: {{...}}"])
    return {str(name): one for name, one in value.items()}


def named_place(
    name: str | Path, beside: Path | None, is_it: Callable[[Path], bool] = Path.exists
) -> Path | None:
    """Find what settings name: from the current folder, then from the folder of the settings."""
    given = Path(name).expanduser()
    return next(filter(is_it, [given] if beside is None else [given, beside / given]), None)


def _reason(fault: Exception) -> str:
    return (fault.strerror if isinstance(fault, OSError) else None) or str(fault)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {double!r} stands twice in one object; delete one of the two")
    return made


def _what_is_wrong(path: Path, text: str, fault: json.JSONDecodeError) -> str:
    """Explain why a text is not JSON by what stands where the parser stopped."""
    if not text.strip():
        return " is empty; an object of settings is needed: {...}"
    if path.suffix.lower() in (".yaml", ".yml") or (
        text.lstrip()[:1] not in "{[" and _YAML.match(text)
    ):
        return ' looks like YAML; JSON is needed: write the same settings as {"key": value}'
    rest, before = text[fault.pos :], text[: fault.pos].rstrip()
    if rest.startswith(("//", "/*", "#")):
        reason = "JSON has no comments; delete this one"
    elif rest.startswith("'"):
        reason = "JSON needs double quotes around texts"
    elif before.endswith(",") and rest[:1] in ("}", "]"):
        reason = f"a comma stands before {rest[0]!r}; delete it"
    elif re.match(r"(True|False|None)\b", rest):
        reason = "JSON writes true, false and null"
    else:
        reason = f"not JSON ({fault.msg})"
    return f", line {fault.lineno}, column {fault.colno}: {reason}"
