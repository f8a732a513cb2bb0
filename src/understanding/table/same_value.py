"""Compare two texts as values: 89 €, 89,00 € and 89.00 EUR are the same value."""

from __future__ import annotations

import math
import re
from typing import Final

from .values import Decimal, days, fold, items, quantities, words, yes_or_no

_SAID_FIRST: Final = re.compile(r"^\W*(\w+)\s*(?:[,.;:!–-]|$)")
_MARKS: Final[tuple[Decimal, Decimal]] = (".", ",")
_EQUAL: Final = 1e-9


def same_value(one: str, other: str) -> bool:
    """Tell whether two texts are the same value.

    Numbers are compared with their units, with either decimal mark; dates by day; lists by all of
    their items in any order. A text that begins with yes or no and a punctuation mark equals that
    word. All other texts must have the same words.

    >>> same_value("89,00 €", "EUR 89"), same_value("89,00 €", "89,00 € per kg")
    (True, False)
    >>> same_value("nuts, milk", "Milk and nuts"), same_value("No, it is not.", "no")
    (True, True)
    """
    if fold(one).strip(" .") == fold(other).strip(" ."):
        return bool(words(one))
    if not words(one) or not words(other):
        return False
    flags = [_flag(text) for text in (one, other)]
    if None not in flags and any(yes_or_no(text) is not None for text in (one, other)):
        return flags[0] == flags[1]
    if _same_number(one, other) or _same_day(one, other):
        return True
    parts = [items(text) for text in (one, other)]
    if len(parts[0]) == len(parts[1]) > 1:
        left = list(parts[1])
        for item in parts[0]:
            found = next((n for n, rest in enumerate(left) if _same_item(item, rest)), None)
            if found is None:
                return False
            del left[found]
        return True
    return not any(_numbers(text) for text in (one, other)) and words(one) == words(other)


def _same_item(one: str, other: str) -> bool:
    same = fold(one).strip(" .") == fold(other).strip(" .")
    return same or _same_number(one, other) or _same_day(one, other)


def _flag(text: str) -> bool | None:
    """Read yes or no, alone or at the beginning of a sentence; None for any other text."""
    alone = yes_or_no(text.strip(" ."))
    if alone is not None:
        return alone
    first = _SAID_FIRST.match(text)
    return yes_or_no(first.group(1)) if first and len(first.group(1)) > 1 else None


def _numbers(text: str) -> bool:
    return bool(quantities(text))


def _same_number(one: str, other: str) -> bool:
    return any(
        _alike(mine, its)
        for mine in {_measured(one, mark) for mark in _MARKS}
        for its in {_measured(other, mark) for mark in _MARKS}
        if mine and its
    )


Measured = tuple[tuple[tuple[float, str], ...], str]


def _measured(text: str, decimal: Decimal) -> Measured | None:
    """Split a text into its quantities and the words around them; None without a quantity."""
    found = quantities(text, decimal)
    if not found:
        return None
    rest, end = [], 0
    for one in found:
        rest.append(text[end : one.start])
        end = one.end
    rest.append(text[end:])
    left = " # ".join(" ".join(words(part)) for part in rest)
    return tuple((one.number, one.unit) for one in found), left


def _alike(one: Measured, other: Measured) -> bool:
    if one[1] != other[1] or len(one[0]) != len(other[0]):
        return False
    for (mine, my_unit), (its, its_unit) in zip(one[0], other[0], strict=True):
        # A number without a unit equals one with a unit only for the units in `_AS_WRITTEN`.
        if my_unit and its_unit and my_unit != its_unit:
            return False
        if bool(my_unit) != bool(its_unit) and (my_unit or its_unit) not in _AS_WRITTEN:
            return False
        if not math.isclose(mine, its, rel_tol=_EQUAL, abs_tol=_EQUAL):
            return False
    return True


_AS_WRITTEN: Final = frozenset(
    {"eur", "usd", "gbp", "jpy", "chf", "%", "day", "year", "month", "w", "v", "kcal"}
)


def _same_day(one: str, other: str) -> bool:
    found = [days(text) for text in (one, other)]
    if len(found[0]) != 1 or len(found[1]) != 1:
        return False
    (mine, start, end), (its, begin, stop) = found[0][0], found[1][0]
    whole = [
        end - start >= len(fold(one).strip(" .")) - 1,
        stop - begin >= len(fold(other).strip(" .")) - 1,
    ]
    return all(whole) and mine == its
