"""Check that the cells cited by a text support its numbers.

A number is supported if a cited cell holds it, or if it follows in one step:

    rounding   "about 197" from 196.97; only where the text says that it rounds
    scale      "1.4 million" from 1402112, rounded to the written digits
    unit       "5.7 minutes" from 343719 where the column says milliseconds; likewise rounded
    percent    "5 %" from 0.05
    count      "two" or "2" for a cell that lists two items, or for two cited records

Sums and differences of cells are not supported numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..text_matching import words

_NUMBER = re.compile(
    r"(?<!\w)(?P<sign>[-+\u2212])?"
    r"(?P<digits>(?:\d{1,3}(?:[,\u00a0\u202f\u2019]\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
    r"(?P<power>[eE][-+]?\d{1,3}(?!\w))?"
)
_AFTER = re.compile(
    r"\s?(?P<percent>%|percent\b|per\s+cent\b)"
    r"|\s?(?P<scale>thousand|million|billion|trillion|bn)\b(?:\s(?P<unit_of_scale>[^\W\d_]+))?"
    r"|\s?(?P<unit>[^\W\d_]+)",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"(?:\b(?:about|approximately|approx|around|roughly|nearly|almost|circa|ca)\.?|[~\u2248])\s*$",
    re.IGNORECASE,
)
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "bn": 1e9, "trillion": 1e12}
_WORDS = {
    word: float(value)
    for word, value in re.findall(
        r"([a-z]+)=(\d+)",
        # "one" is left out, since it is a pronoun more often than a number.
        "zero=0 two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9 ten=10 eleven=11 "
        "twelve=12 dozen=12 thirteen=13 fourteen=14 fifteen=15 sixteen=16 seventeen=17 "
        "eighteen=18 nineteen=19 twenty=20 thirty=30 forty=40 fifty=50 hundred=100",
    )
}
_UNITS: dict[str, tuple[str, float]] = {
    name: (dimension, factor)
    for dimension, listed in {
        "time": "ms millisecond milliseconds=0.001 s sec second seconds=1 min minute minutes=60 "
        "h hr hour hours=3600 day days=86400",
        "length": "mm millimetre millimetres millimeter millimeters=0.001 cm centimetre "
        "centimetres centimeter centimeters=0.01 m metre metres meter meters=1 "
        "km kilometre kilometres kilometer kilometers=1000",
        "mass": "mg milligram milligrams=0.001 g gram grams=1 kg kilogram kilograms=1000 "
        "t tonne tonnes=1000000",
        "data": "byte bytes=1 kb kilobyte kilobytes=1000 mb megabyte megabytes=1000000 "
        "gb gigabyte gigabytes=1000000000",
    }.items()
    for names, factor in ((part.split(), float(value)) for part, value in
                          re.findall(r"([a-z ]+)=([\d.]+)", listed))
    for name in names
}  # fmt: skip


class CitedCell(NamedTuple):
    """A cell that an answer cites."""

    row: int
    column: str
    label: str
    """Name of the column as used in questions; it may contain a unit."""
    text: str


class _Mention(NamedTuple):
    text: str
    value: float
    step: float
    """Value of one unit in the last written digit."""
    unit: str
    percent: bool
    rounded: bool
    """Whether the text says that the number is not exact."""


def unsupported_numbers(text: str, cells: Sequence[CitedCell]) -> list[str]:
    """List the numbers of a text that the cited cells do not support.

    Args:
        text: An answer.
        cells: The cited cells; without any, no number is supported.

    Returns:
        The numbers as written, in order.

    >>> cell = CitedCell(3, "length", "length in milliseconds", "343719")
    >>> unsupported_numbers("It takes 5.7 minutes, that is 343,719 ms, not 344 s.", [cell])
    []
    >>> unsupported_numbers("343720, or about 340000, or seven", [cell])
    ['343720', 'seven']
    """
    return [m.text for m in _mentions(text) if not _supported(m, cells)] + [
        word for word, value in _number_words(text) if not _word_supported(word, value, cells)
    ]


def count_numbers(text: str) -> int:
    """Count the numbers of a text, as `unsupported_numbers` sees them."""
    return sum(1 for _ in _mentions(text)) + sum(1 for _ in _number_words(text))


def _mentions(text: str) -> Iterator[_Mention]:
    for found in _NUMBER.finditer(text):
        before, after = text[: found.start()], _AFTER.match(text, found.end())
        sign = found["sign"] or ""
        # In "5-10" and "2009-01-01" the hyphen is not a minus sign.
        negative = sign in ("-", "\u2212") and not before[-1:].isalnum()
        digits = re.sub(r"[,\u00a0\u202f\u2019]", "", found["digits"])
        power = int((found["power"] or "e0")[1:])
        group = after.groupdict() if after else {}
        scale = _SCALES.get((group.get("scale") or "").lower(), 1.0)
        value = float(f"{digits}e{power}") * scale * (-1 if negative else 1)
        places = len(digits.partition(".")[2])
        about = _ABOUT.search(before) is not None
        # "about 200" is rounded to hundreds.
        zeros = len(digits) - len(digits.rstrip("0")) if about and not places else 0
        yield _Mention(
            found.group().lstrip("+"),
            value,
            10.0 ** (power + zeros - places) * scale,
            (group.get("unit") or group.get("unit_of_scale") or "").lower(),
            bool(group.get("percent")),
            about or scale > 1,
        )


def _supported(mention: _Mention, cells: Sequence[CitedCell]) -> bool:
    measured = mention.rounded or mention.percent or mention.unit in _UNITS
    if not measured and mention.value in _counts(cells):
        return True
    return any(_follows(mention, held, cell) for cell in cells for held in _mentions(cell.text))


def _follows(mention: _Mention, held: _Mention, cell: CitedCell) -> bool:
    """Tell whether a number equals a cell's number or follows from it in one step."""
    if _near(mention.value, held.value, mention.step if mention.rounded else 0.0):
        return True
    if mention.percent != held.percent:
        share = held.value / 100 if held.percent else held.value * 100
        if _near(mention.value, share, mention.step if mention.rounded else 0.0):
            return True
    wanted = _UNITS.get(mention.unit)
    own = _UNITS.get(held.unit) or next(
        (_UNITS[word] for word in words(cell.label.replace("_", " ")) if word in _UNITS), None
    )
    if wanted is None or own is None or wanted[0] != own[0] or wanted[1] == own[1]:
        return False
    return _near(mention.value, held.value * own[1] / wanted[1], mention.step)


def _near(said: float, held: float, step: float) -> bool:
    if abs(said - held) <= step / 2 * (1 + 1e-9):
        return True
    if said.is_integer() and held.is_integer():  # rounding errors of conversions are no whole steps
        return said == held
    return math.isclose(said, held, rel_tol=1e-9, abs_tol=1e-12)


def _counts(cells: Sequence[CitedCell]) -> set[float]:
    """Count the cited records and the items that each cell lists; 0 and 1 do not count."""
    counts = {float(len({cell.row for cell in cells}))}
    for cell in cells:
        items = [item for item in re.split(r"[;|\n]|,(?!\d{3}\b)", cell.text) if item.strip()]
        counts.add(float(len(items)))
    return counts - {0.0, 1.0}


def _number_words(text: str) -> Iterator[tuple[str, float]]:
    return ((word, _WORDS[word]) for word in words(text) if word in _WORDS)


def _word_supported(word: str, value: float, cells: Sequence[CitedCell]) -> bool:
    if value in _counts(cells):
        return True
    return any(
        word in words(cell.text) or any(held.value == value for held in _mentions(cell.text))
        for cell in cells
    )
