"""Reading what a gate needs from a record: missing, not finite and zero are three things.

A value that cannot be used is given as None with the reason:

| value | reason |
|---|---|
| no such field, or null | `missing <field>` |
| NaN or an infinity | `not_finite` |
| of another type | `not_text`, `not_a_number` or `not_a_flag` |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final


def read_text(record: Mapping[str, Any], field: str) -> tuple[str | None, str]:
    """Read a text; a number is read as its shortest text.

    Returns:
        The text and an empty reason, or None and the reason.

    >>> read_text({"a": 0.0}, "a"), read_text({"a": float("nan")}, "a"), read_text({}, "a")
    (('0', ''), (None, 'not_finite'), (None, 'missing a'))
    """
    value = record.get(field)
    if value is None:
        return None, f"missing {field}"
    if isinstance(value, str):
        return value, ""
    number, reason = read_number(record, field)
    if number is None:
        return None, "not_finite" if reason == "not_finite" else "not_text"
    return (
        str(value) if isinstance(value, int) or not number.is_integer() else f"{number:.0f}"
    ), ""


def read_number(record: Mapping[str, Any], field: str) -> tuple[float | None, str]:
    """Read a finite number; truth values and texts are none.

    Returns:
        The number and an empty reason, or None and the reason.

    >>> read_number({"a": 0}, "a"), read_number({"a": True}, "a"), read_number({"a": None}, "a")
    ((0.0, ''), (None, 'not_a_number'), (None, 'missing a'))
    """
    value = record.get(field)
    if value is None:
        return None, f"missing {field}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, "not_a_number"
    try:
        number = float(value)
    except OverflowError:
        return None, "not_finite"
    return (number, "") if math.isfinite(number) else (None, "not_finite")


def read_flag(record: Mapping[str, Any], field: str) -> tuple[bool | None, str]:
    """Read a truth value; the texts and numbers that tables write for one are read as such.

    Returns:
        The value and an empty reason, or None and the reason: `missing <field>` also for a blank
        text, `not_a_flag` for any other value.

    >>> read_flag({"a": "False"}, "a"), read_flag({"a": 1}, "a"), read_flag({"a": "maybe"}, "a")
    ((False, ''), (True, ''), (None, 'not_a_flag'))
    """
    value = record.get(field)
    if isinstance(value, bool):
        return value, ""
    text = value.strip().lower() if isinstance(value, str) else value
    if text is None or text == "":
        return None, f"missing {field}"
    if isinstance(text, str | int | float) and text in _FLAGS:
        return _FLAGS[text], ""
    return None, "not_a_flag"


_FLAGS: Final[dict[str | float, bool]] = {
    "true": True, "false": False, "1": True, "0": False, 1: True, 0: False,
}  # fmt: skip
