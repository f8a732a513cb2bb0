r"""Extracting the final answer of a chain of thought, and comparing answers.

| marker | answer |
|---|---|
| `\boxed{...}` | the last one, braces balanced |
| `#### ...` | the last one, to the end of its line |
| `the answer is ...` | the last one, to the end of its sentence |
| none | the last number, else the last line |
"""

from __future__ import annotations

import re
from fractions import Fraction

_HASHES = re.compile(r"####[ \t]*([^\n]*)")
_SAID = re.compile(r"the (?:final )?answer is:?[ \t]*([^\n]+)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])[-+\u2212]?\$?\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?%?")

_EXPONENT = re.compile(r"[eE][-+]?0*([\d_]+)")


def final_answer(text: str) -> str:
    r"""Extract the final answer of a text, without white space and punctuation around it.

    >>> final_answer("2 and 3 are 5.\n#### 5\nThat is all."), final_answer("So it is -5.")
    ('5', '-5')
    >>> final_answer(r"Hence \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    """
    boxed = _last_box(text)
    if boxed is not None:
        return _bare(boxed)
    for mark in (_HASHES, _SAID):
        found = mark.findall(text)
        if found:
            return _bare(_sentence(found[-1]) if mark is _SAID else found[-1])
    numbers = _NUMBER.findall(text)
    if numbers:
        return _bare(numbers[-1])
    lines = [line for line in text.splitlines() if line.strip()]
    return _bare(lines[-1]) if lines else ""


def same_answer(first: str, second: str) -> bool:
    """Return whether two answers are equal: as numbers, or as words without regard to case.

    >>> same_answer("$1,200", "1200.0"), same_answer("-5", "5"), same_answer("Yes", "yes.")
    (True, False, True)
    """
    numbers = _number(first), _number(second)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return bool(first.strip()) and _folded(first) == _folded(second)


def _last_box(text: str) -> str | None:
    start = text.rfind(r"\boxed{")
    if start < 0:
        return None
    begin = start + len(r"\boxed{")
    depth = 1
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin:place]
    return None


def _sentence(text: str) -> str:
    """Cut at the first full stop that is not inside a number."""
    return re.split(r"\.(?!\d)", text, maxsplit=1)[0]


def _bare(text: str) -> str:
    text = text.strip()
    return text.strip(" \t*`$").rstrip(".!?") if len(text) > 1 else text


def _folded(text: str) -> str:
    return " ".join(_bare(text).casefold().split())


def _number(text: str) -> Fraction | None:
    plain = _bare(text).replace(",", "").replace("$", "").replace("\u2212", "-").replace(" ", "")
    percent = plain.endswith("%")
    exponent = _EXPONENT.search(plain)
    if exponent is not None and len(exponent[1]) > 3:  # the number itself would have as many digits
        return None
    try:
        value = Fraction(plain.removesuffix("%"))
    except (ValueError, ZeroDivisionError):
        return None
    return value / 100 if percent else value
