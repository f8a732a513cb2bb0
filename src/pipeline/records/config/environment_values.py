"""`${NAME}` in settings: the value of an environment variable, written into no file.

`${NAME:-text}` stands for `text` where the variable is not set. A dump holds `${NAME}` again, so
neither a key nor a folder of this machine leaves it by accident.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

SECRET: Final = re.compile(r"(^|_)(api_?keys?|token|passwords?|secrets?|authorization)$", re.I)
"""Names of settings whose values are never written."""
_VARIABLE: Final = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)(?::-([^{}]*))?\}")
_KEY_VARIABLE: Final = re.compile(r"\$\{\w+\}")
_USER_INFO: Final = re.compile(r"^(\w+://)[^/@\s]+@")
"""User and password in an address."""
_TEXTS: Final = frozenset({"data", "prompt_template", "rubric", "system_prompt", "template"})
"""Settings with texts for a model, in which `${...}` stands for itself."""


class FromEnvironment(str):
    """A text with the values of variables in it."""

    written: str
    """The text as the file holds it."""

    @classmethod
    def of(cls, written: str, value: str) -> FromEnvironment:
        """Make a text of its value, which remembers how it was written."""
        made = cls(value)
        made.written = written
        return made


def with_environment(value: Any, place: str, faults: list[str], name: str = "") -> Any:  # noqa: ANN401
    """Put in the values of variables, wherever in a setting they stand.

    Args:
        value: A setting.
        place: Where it is, for the faults.
        faults: Gets a line for each variable that is not set.
        name: Name of the setting. Keys are left as they are, and read when they are used.
    """
    if SECRET.search(name) or name in _TEXTS:
        return value
    if isinstance(value, Mapping):
        return {k: with_environment(v, f"{place}.{k}", faults, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [with_environment(one, place, faults, name) for one in value]
    if not isinstance(value, str) or not _VARIABLE.search(value):
        return value
    found = {one[1]: os.environ.get(one[1]) or one[2] for one in _VARIABLE.finditer(value)}
    missing = [name for name, text in found.items() if text is None]
    if missing:
        faults += [f"{place} is {str(value)!r}; the variable {one} is not set" for one in missing]
        return value
    filled = _VARIABLE.sub(lambda one: found[one[1]] or "", value)
    return FromEnvironment.of(str(value), filled)


def as_written(name: str, value: Any) -> Any:  # noqa: ANN401
    """Give a setting as it may be written: variables by their names, keys left out.

    >>> as_written("api_key", "sk-1"), as_written("api_key", "${KEY}"), as_written("max_tokens", 8)
    (None, '${KEY}', 8)
    """
    if isinstance(value, FromEnvironment):
        return value.written
    if SECRET.search(name):
        shown = str(value)
        return shown if _KEY_VARIABLE.fullmatch(shown) else None
    if isinstance(value, str):
        return _USER_INFO.sub(r"\1", value)
    return value
