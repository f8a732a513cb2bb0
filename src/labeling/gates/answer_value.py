r"""A gate that compares an answer with the gold answer by value; nothing is ever run.

Arithmetic is compared as exact numbers, `0.5`, `1/2`, `50%` and `3 * (2 + 1) - 8.5` alike. Python
answers are compared as the literals that they are: numbers, texts, truth values, None, and lists,
tuples, sets and dicts of them. Anything else is compared as words, without regard to case.

| text | value |
|---|---|
| `So 2 + 2 is 4.` | the number 4: the final answer of a chain of thought |
| `{'a': [1, 2.0]}` | a dict |
| `9**9**9`, `__import__("os")` | words: too large, or no literal |
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from ...errors import ConfigError
from ...inference.system_pair.final_answers import final_answer, same_answer
from .record_values import read_text
from .verdict import OK, Verdict

Value = tuple[str, Any]
"""The kind of a value, and the value; values of different kinds are never equal."""

_MOST_CHARACTERS: Final = 4_000
"""Most characters of a text that is read as a literal or a computation."""
_MOST_BITS: Final = 4_096
"""Most bits of a number on the way of a computation."""
_FENCE: Final = "```"
_GROUPED = re.compile(r"[-+\u2212]?\$?[0-9]{1,3}(?:,[0-9]{3})*(?:\.[0-9]+)?|[-+\u2212]?\$[0-9.]+")


class _NoValueError(Exception):
    """A text is no literal and no computation, or one that is too large."""


@dataclass(frozen=True)
class ValueGate:
    """Passes answers whose value is that of the gold answer."""

    text_field: str = "generation"
    gold_field: str = "answer"
    tolerance: float = 0.0
    """Largest difference of two numbers, as a share of the gold one, 0 up to 1; 0 asks for equal
    ones."""
    name: str = "value"

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        if not 0.0 <= self.tolerance < 1.0:
            raise ConfigError([f"tolerance is {self.tolerance}; allowed is 0 up to 1"])

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Check a record.

        Returns:
            A verdict with `ok`, `wrong_value`, `empty_output`, `not_finite`, `not_text`,
            `missing <field>`, or `gold_error: <reason>` if the gold answer has no value.
        """
        text, reason = read_text(record, self.text_field)
        if text is None:
            return Verdict(self.name, False, reason)
        gold, reason = read_text(record, self.gold_field)
        if gold is None:
            missing = reason.startswith("missing")
            return Verdict(self.name, False, reason if missing else f"gold_error: {reason}")
        reason = value_reason(text, gold, self.tolerance)
        return Verdict(self.name, reason == OK, reason)


def value_reason(text: str, gold: str, tolerance: float = 0.0) -> str:
    r"""Compare an answer with the gold answer.

    Args:
        text: An answer, with or without its reasoning.
        gold: The gold answer, with or without its reasoning.
        tolerance: As in `ValueGate`.

    >>> value_reason("Half of it.\n#### 0.50", "1/2"), value_reason("[1, 2]", "[1.0, 2]")
    ('ok', 'ok')
    >>> value_reason("(1, 2)", "[1, 2]"), value_reason("nan", "nan"), value_reason("0", "")
    ('wrong_value', 'gold_error: not_finite', 'gold_error: empty_output')
    """
    for given, prefix in ((gold, "gold_error: "), (text, "")):
        answer = _bare(given)
        if not answer:
            return f"{prefix}empty_output"
        if answer.casefold().lstrip("+-") in ("nan", "inf", "infinity"):
            return f"{prefix}not_finite"
    found, wanted = read_value(text), read_value(gold)
    if found is None or wanted is None:
        # Without a literal on both sides they are words, or numbers in another notation.
        same = same_answer(_bare(text), _bare(gold))
    else:
        same = _equal(found, wanted, Fraction(tolerance))
    return OK if same else "wrong_value"


def read_value(text: str) -> Value | None:
    """Read the literal, or the result of the computation, that an answer holds.

    >>> read_value("2 * (3 + 4)")
    ('number', Fraction(14, 1))
    >>> read_value("open('x')"), read_value("9**9**9")
    (None, None)
    """
    for written in (_bare(text), _unfenced(text)):
        percent = written.endswith("%")
        plain = _plain_number(written.removesuffix("%").strip())
        if not plain or len(plain) > _MOST_CHARACTERS:
            continue
        try:
            value = _value(ast.parse(plain, mode="eval").body)
        except (_NoValueError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if percent:
            return ("number", value[1] / 100) if value[0] == "number" else None
        return value
    return None


def _unfenced(text: str) -> str:
    """Return a text without the code fence around it."""
    text = text.strip()
    if text.startswith(_FENCE) and text.endswith(_FENCE) and "\n" in text:
        text = text.partition("\n")[2].removesuffix(_FENCE).strip()
    return text


def _bare(text: str) -> str:
    """Return a literal as it is, and the final answer of any other text."""
    whole = _unfenced(text)
    if whole[:1] in "[({'\"" or _is_computation(whole):
        return whole
    return final_answer(whole)


def _plain_number(text: str) -> str:
    """Write a sum of money, or a number with thousands separators, as Python does."""
    if _is_computation(text) or _GROUPED.fullmatch(text):
        return text.replace("\u2212", "-").replace("$", "").replace(",", "")
    return text


def _is_computation(text: str) -> bool:
    return bool(text) and set(text) <= set("0123456789.+-*/%() _eE\u2212")


def _value(node: ast.expr) -> Value:
    """Read the value of a parsed text; calls, names and all else have none."""
    if isinstance(node, ast.Constant):
        return _constant(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = _number(node.operand)
        return "number", -number if isinstance(node.op, ast.USub) else number
    if isinstance(node, ast.BinOp):
        return "number", _computed(node)
    if isinstance(node, ast.List | ast.Tuple):
        return type(node).__name__.lower(), [_value(part) for part in node.elts]
    if isinstance(node, ast.Set):
        return "set", [_value(part) for part in node.elts]
    if isinstance(node, ast.Dict):
        keys = [_value(key) for key in node.keys if key is not None]
        if len(keys) == len(node.keys):
            return "dict", list(zip(keys, map(_value, node.values), strict=True))
    raise _NoValueError


def _constant(value: object) -> Value:
    if isinstance(value, bool | str | bytes) or value is None:
        return type(value).__name__, value
    if isinstance(value, float) and math.isfinite(value):
        return "number", Fraction(repr(value))  # 0.1 is a tenth, as it is written
    if isinstance(value, int) and value.bit_length() <= _MOST_BITS:
        return "number", Fraction(value)
    raise _NoValueError


def _number(node: ast.expr) -> Fraction:
    kind, value = _value(node)
    if kind != "number":
        raise _NoValueError
    return Fraction(value)


_OPERATIONS: Final[dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: Fraction(a // b),
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: _power(a, b),
}


def _computed(node: ast.BinOp) -> Fraction:
    operation = _OPERATIONS.get(type(node.op))
    if operation is None:
        raise _NoValueError
    try:
        result = operation(_number(node.left), _number(node.right))
    except ZeroDivisionError:
        raise _NoValueError from None
    if _bits(result) > _MOST_BITS:
        raise _NoValueError
    return result


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    """Compute a whole power if its result has few digits."""
    if exponent.denominator != 1 or abs(exponent) * _bits(base) > _MOST_BITS:
        raise _NoValueError
    return Fraction(base**exponent.numerator)


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _equal(found: Value, wanted: Value, tolerance: Fraction) -> bool:
    """Compare two values; sets and dicts without regard to order."""
    kind, first = found
    if kind != wanted[0]:
        return False
    second = wanted[1]
    if kind == "number":
        return bool(abs(first - second) <= tolerance * abs(second))
    if kind in ("list", "tuple"):
        pairs = zip(first, second, strict=False)
        return len(first) == len(second) and all(_equal(a, b, tolerance) for a, b in pairs)
    if kind in ("set", "dict"):
        return _equal_members(kind, first, second, tolerance)
    return bool(first == second)


def _equal_members(kind: str, first: list[Any], second: list[Any], tolerance: Fraction) -> bool:
    def same(a: Any, b: Any) -> bool:  # noqa: ANN401 - a value, or a key with its value
        if kind == "set":
            return _equal(a, b, tolerance)
        return _equal(a[0], b[0], Fraction(0)) and _equal(a[1], b[1], tolerance)

    # As in Python, an equal member counts once, and the last value of a key holds.
    def holds(these: list[Any], those: list[Any]) -> bool:
        return all(any(same(one, other) for other in those) for one in these)

    if kind == "dict":
        first, second = _last_of_each_key(first), _last_of_each_key(second)
    return holds(first, second) and holds(second, first)


def _last_of_each_key(items: list[tuple[Value, Value]]) -> list[tuple[Value, Value]]:
    return [
        item
        for place, item in enumerate(items)
        if not any(_equal(item[0], later[0], Fraction(0)) for later in items[place + 1 :])
    ]
