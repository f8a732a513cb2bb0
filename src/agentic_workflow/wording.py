"""Words as the record lookup sees them: folded tokens with their places, stems, and numbers."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_TOKEN = re.compile(r"[^\W_]+")
_NUMBER = re.compile(
    r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)"
)

CONTRACTED = re.compile(r"['\u2019\u02bc](?:s|t|d|m|ll|re|ve)\b(?!['\u2019])", re.IGNORECASE)
"""What hangs on a word, or on the place of a name that was taken out: gold's, doesn't."""

_STOP_WORDS = """
    a about all also am an and answer any are as at be been brief but by can could did do
    does for from get give had has have he hello her hey hi his how i if in into is it its
    know let like many me more much my name no not now of ok okay on one or our out please
    question quick she should show so some tell than thank thanks that the their them then
    there these they this those to up us want was we were what whats when where which who
    whom whose why will with wonder would you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that carry no fact. They neither find a column nor, unless quoted or alone, a record."""


class Token(NamedTuple):
    """A word and its place in the text."""

    text: str
    """Folded: case and accents removed."""
    start: int
    end: int


def fold(text: str) -> str:
    """Remove case and accents.

    >>> fold("Côte d’Ivoire")
    'cote d’ivoire'
    """
    if text.isascii():
        return text.lower()
    split = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in split if not unicodedata.combining(c))


def tokens(text: str) -> list[Token]:
    """Split a text into folded words with their places; `_` separates words."""
    return [Token(fold(m.group()), m.start(), m.end()) for m in _TOKEN.finditer(text)]


def words(text: str) -> tuple[str, ...]:
    """Split a text into folded words.

    >>> words("What is the atomic_number of Gold?")
    ('what', 'is', 'the', 'atomic', 'number', 'of', 'gold')
    """
    return tuple(token.text for token in tokens(text))


def stem(word: str) -> str:
    """Cut common English endings, so that `discovered` and `discovery` meet.

    >>> stem("discovered"), stem("discovery"), stem("viruses"), stem("years"), stem("as")
    ('discover', 'discover', 'virus', 'year', 'as')
    """
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "uses", "xes", "zes", "ches", "shes")) and len(word) > 4:
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def stems(text: str) -> list[str]:
    """Stem the words of a text that carry meaning."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


def numbers(text: str) -> list[float]:
    """Read the numbers of a text; `1,000` is one thousand.

    >>> numbers("row 79: 196.97 and 1,000")
    [79.0, 196.97, 1000.0]
    """
    found = [m.group().replace(",", "").replace("\u2212", "-") for m in _NUMBER.finditer(text)]
    return [float(number) for number in found]


def as_number(text: str) -> float | None:
    """Read a text that is one number and nothing else; None otherwise."""
    match = _NUMBER.fullmatch(text.strip())
    return None if match is None else numbers(text)[0]


def contains_words(text: tuple[str, ...], part: tuple[str, ...]) -> bool:
    """Tell whether words stand in a text one after the other."""
    size = len(part)
    return size > 0 and any(text[i : i + size] == part for i in range(len(text) - size + 1))


def clean(answer: str) -> str:
    """Strip what surrounds an answer but does not belong to it: blanks, quotes, a full stop.

    >>> clean(' "Au". ')
    'Au'
    """
    return " ".join(answer.split()).strip(" \t\"'`“”‘’.,;:!?")
