"""Reading what a gate needs from a record: missing, not finite and zero are three things.

A value that cannot be used is given as None with the reason:

| value | reason |
|---|---|
| no such field, or null | `missing <field>` |
| NaN or an infinity | `not_finite` |
| of another type | `not_text` or `not_a_number` |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


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
