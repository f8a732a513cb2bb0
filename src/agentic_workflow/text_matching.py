"""Text normalisation for matching: tokens with positions, stems, numbers, Unicode forms.

Texts are compared in NFC, without case and accents (`fold`). Scripts without blanks between words
(Chinese, Japanese, Thai and others) are compared by letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

_JOINERS = "\u00ad\u200c\u200d"
"""Soft hyphen and joiners: parts of a word without a meaning of their own."""
_MARKS = "".join(
    chr(code) for code in range(0x300, 0x1F000) if unicodedata.category(chr(code))[0] == "M"
)
"""Combining marks: accents written on their own, vowel signs of Indian and Thai letters."""
_TOKEN = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}{_JOINERS}])*")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"
    "\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+"
)
_RUN_ON = re.compile("[\u30a1-\u30fa\u30fc\uac00-\ud7a3]")
"""Katakana and Hangul: a name does not begin inside such a word."""
_VOICED = "\uff9e\uff9f"
"""Voicing marks of half-width kana, which are separate characters."""
_NUMBER = re.compile(
    r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)"
)

_STOP_WORDS = """
    a about all also am an and answer any are as at be been brief but by can could did do
    does for from get give had has have he hello her hey hi his how i if in into is it its
    know let like many me more much my name no not now of ok okay on one or our out please
    question quick she should show so some tell than thank thanks that the their them then
    there these they this those to up us want was we were what whats when where which who
    whom whose why will with wonder would you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words without content: they match no column and, unless quoted or alone, no record."""


class Token(NamedTuple):
    """A word and its place in the text."""

    text: str
    """Folded: case and accents removed."""
    start: int
    end: int


def nfc(text: str) -> str:
    """Normalise a text to NFC."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """Remove case and accents.

    >>> fold("Côte d’Ivoire")
    'cote d’ivoire'
    """
    if text.isascii():
        return text.lower()
    split = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(c for c in split if not unicodedata.combining(c) and c not in _JOINERS)
    return unicodedata.normalize("NFC", bare)


def unspaced(text: str) -> bool:
    """Tell whether a text has letters of a script without blanks between words."""
    return not text.isascii() and _UNSPACED.search(text) is not None


class Letters:
    """A text as letters without case and width, to search names in scripts without blanks."""

    def __init__(self, text: str) -> None:
        """Split any text."""
        parts, self._starts, self._ends = list[str](), list[int](), list[int]()
        for start, end in _clusters(text):
            part = unicodedata.normalize("NFKC", text[start:end]).casefold()
            parts.append(part)
            self._starts += [start] * len(part)
            self._ends += [end] * len(part)
        self.text = "".join(parts)
        """The letters; positions in it are not those in the text."""

    def find(self, name: str) -> Iterator[tuple[int, int]]:
        """Give the places of a name in the text: start and end of each.

        Args:
            name: `Letters(...).text` of the name.
        """
        at = self.text.find(name) if name else -1
        while at >= 0:
            end = at + len(name)
            if self._apart(at) and self._apart(end, ends=True):
                yield self._starts[at], self._ends[end - 1]
            at = self.text.find(name, at + 1)

    def _apart(self, at: int, *, ends: bool = False) -> bool:
        """Tell whether a name may begin or end between two letters."""
        if not 0 < at < len(self.text):
            return True
        before, after = self.text[at - 1], self.text[at]
        if self._starts[at - 1] == self._starts[at]:
            return False  # in the middle of a letter
        if _RUN_ON.match(before) and _RUN_ON.match(after):
            return ends and "\uac00" <= before <= "\ud7a3"  # particles stand behind a name
        one_word = (before + after).isalnum() and not (unspaced(before) or unspaced(after))
        return not one_word


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Give the places of letters with their combining marks."""
    start = 0
    for i in range(1, len(text) + 1):
        if i == len(text) or not (
            unicodedata.combining(text[i])
            or unicodedata.category(text[i])[0] == "M"
            or text[i] in _VOICED
        ):
            yield start, i
            start = i


def terms(text: str) -> list[str]:
    """Give the terms of a full-text query: stems, and letter pairs in scripts without blanks.

    >>> terms("the population of 北京市")
    ['population', '北京', '京市']
    """
    return [term for part in _parts(text) for term in (_pairs(part) or [part])]


def indexed_terms(text: str) -> list[str]:
    """Give the index terms of a record: `terms`, and single letters in scripts without blanks."""
    letters = [c for part in _parts(text) if len(part) > 1 and unspaced(part) for c in part]
    return terms(text) + letters


def _parts(text: str) -> Iterator[str]:
    """Split a text into stems and runs of scripts without blanks."""
    for word in words(text):
        if word in STOP_WORDS:
            continue
        if not unspaced(word):
            yield stem(word)
            continue
        start = 0
        for run in _UNSPACED.finditer(word):
            if word[start : run.start()]:
                yield stem(word[start : run.start()])
            yield run.group()
            start = run.end()
        if word[start:]:
            yield stem(word[start:])


def _pairs(part: str) -> list[str]:
    return [part[i : i + 2] for i in range(len(part) - 1)] if unspaced(part) else []


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
    """Cut common English endings, so that `discovered` matches `discovery`.

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
    """Stem the words of a text, without stop words."""
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
    """Tell whether a text contains words in sequence."""
    size = len(part)
    return size > 0 and any(text[i : i + size] == part for i in range(len(text) - size + 1))


def clean(answer: str) -> str:
    """Strip blanks, quotes and a full stop around an answer.

    >>> clean(' "Au". ')
    'Au'
    """
    return " ".join(answer.split()).strip(" \t\"'`“”‘’.,;:!?")
