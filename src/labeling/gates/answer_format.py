"""A gate for the outer form of an answer: JSON, a number, one line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ...errors import ConfigError
from .record_values import read_text
from .verdict import OK, Verdict

Format = Literal["json", "json_object", "number", "integer", "one_line"]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})


class _NotFiniteError(ValueError):
    """A number is NaN or infinite."""


@dataclass(frozen=True)
class FormatGate:
    """Passes answers of one form."""

    form: Format
    text_field: str = "generation"
    name: str = "format"

    def __post_init__(self) -> None:
        """Refuse an unknown form."""
        if self.form not in _CHECKS:
            raise ConfigError([f"form is {self.form!r}; allowed are {', '.join(_CHECKS)}"])

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Check a record.

        Returns:
            A verdict with `ok`, `not_json`, `not_json_object`, `not_number`, `not_integer`,
            `not_one_line`, `not_finite`, `empty_output`, `not_text` or `missing <field>`.
        """
        text, reason = read_text(record, self.text_field)
        if text is not None:
            reason = format_reason(text, self.form)
        return Verdict(self.name, reason == OK, reason)


def format_reason(text: str, form: Format) -> str:
    """Compare a text with a form; white space at its ends does not count.

    >>> format_reason('{"a": 1}', "json_object"), format_reason('{"a": NaN}', "json")
    ('ok', 'not_finite')
    >>> format_reason("1.5", "integer"), format_reason("nan", "number")
    ('not_integer', 'not_finite')
    """
    if not text.strip():
        return "empty_output"
    try:
        return OK if _CHECKS[form](text.strip()) else f"not_{form}"
    except _NotFiniteError:
        return "not_finite"
    except (ValueError, RecursionError):  # JSON that is broken, or nested too deep to be read
        return f"not_{form}"


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise _NotFiniteError(written)
    return number


def _read_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(text, parse_float=_finite, parse_constant=_finite)


def _is_json(text: str) -> bool:
    _read_json(text)
    return True


def _is_number(text: str) -> bool:
    if text.lower().lstrip("+-") in _NOT_FINITE:
        raise _NotFiniteError(text)
    return _NUMBER.fullmatch(text) is not None and math.isfinite(_finite(text))


_CHECKS: Final[dict[Format, Callable[[str], bool]]] = {
    "json": _is_json,
    "json_object": lambda text: isinstance(_read_json(text), dict),
    "number": _is_number,
    "integer": lambda text: _is_number(text) and re.fullmatch("[+-]?[0-9]+", text) is not None,
    "one_line": lambda text: len(text.splitlines()) == 1,
}
