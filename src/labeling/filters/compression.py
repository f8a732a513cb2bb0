"""Shorten articles to some hundred words at ends of sentences.

The head, the tail and the paragraphs that a filter marks are kept, in their order; what is left out
is replaced by a line. A text within the limit is not changed at all. Two characters of Chinese or
Japanese count as a word, and five of Thai, Lao, Khmer or Burmese, which have no blanks.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from .filter_config import DEFAULT_COMPRESSION, CompressionSettings

COMPRESSION_VERSION: Final = 1
"""Part of the hash of a view; a change of the rules below raises it."""
GAP: Final = "\n[...content compressed...]\n"
_GAP_COST: Final = 20  # two words
_WORD: Final = 10
"""Cost of a word; costs are whole numbers so that no sum is rounded."""
_MARKED_SHARE: Final = 0.25
_LONG_RUN: Final = 30
"""Characters from which a run without blanks, such as an address or Base64, counts as several
words."""

_EAST: Final = (
    "\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003fffd"
)
_SOUTH_EAST: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_UNITS: Final = re.compile(rf"([{_EAST}])|([{_SOUTH_EAST}])|([^\s{_EAST}{_SOUTH_EAST}]+)")
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|etc|inc|ltd|co|corp|jr|sr|no|fig|approx|dept|est|gov|sen|rep"
    r"|gen|e\.g|i\.e|z\.b|d\.h|bzw|ca|nr|usw|jan|feb|aug|sept|oct|nov|dec)|\b[^\W\d_](?:\.[^\W\d_])*)\.\Z",
    re.IGNORECASE,
)
_STOPS: Final = ".!?\u2026\u061f\u06d4\u0964\u0965\u104b\u17d4"
_WIDE_STOPS: Final = "\u3002\uff01\uff1f\uff61"
_CLOSERS: Final = r"\"')\]\u00bb\u201d\u2019\u300d\u300f\uff09"
_END: Final = re.compile(
    # A stop needs a blank and no small letter behind it; those of Chinese and Japanese need none.
    # What is possessive or looks behind keeps the time linear in the length of the text, and each
    # part begins with a set of characters, which makes the search fast.
    rf"(?P<stop>[{_STOPS}](?<![{_STOPS}]{{2}})[{_STOPS}]*+[{_CLOSERS}]*+)\s++(?![a-z\u00df-\u00ff\u0430-\u044f])"
    rf"|[{_WIDE_STOPS}](?<![{_WIDE_STOPS}]{{2}})[{_WIDE_STOPS}]*+[{_CLOSERS}]*+\s*+"
    r"|\n\s*+"
    rf"| (?<=[{_SOUTH_EAST}] ) *+(?=[{_SOUTH_EAST}])"
)
_PARAGRAPH: Final = re.compile(r"\n+")


@dataclass
class _Sentence:
    whole: str
    start: int
    stop: int
    """Place in the whole text, with the white space behind it."""

    @cached_property
    def cost(self) -> int:  # of most sentences in the middle it is never asked
        return _cost(self.whole[self.start : self.stop])


def compress_text(text: str, settings: CompressionSettings = DEFAULT_COMPRESSION) -> str:
    """Shorten a text to at most `max_words` words.

    Args:
        text: Any text.
        settings: Limit, share of the tail, and patterns of paragraphs to keep.

    Returns:
        The text itself where it is short enough, with LF line ends and without white space at its
        ends; else whole sentences of it, and `[...content compressed...]` where some are left out.
        A sentence that alone exceeds its share is cut behind a word.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    limit = settings.max_words * _WORD
    if _cost(text, limit) <= limit:
        return text
    sentences = [_Sentence(text, start, stop) for start, stop in _sentences(text)]
    tail = _tail(sentences, int((limit - _GAP_COST) * settings.tail_share))
    marked = _marked(text, sentences[:tail], settings, int(limit * _MARKED_SHARE))
    spent = sum(sentences[n].cost for n in [*marked, *range(tail, len(sentences))])
    # Each kept run of sentences may need a gap before it.
    left = limit - spent - _GAP_COST * (1 + len(_runs(sorted(marked))))
    kept, place = {*marked, *range(tail, len(sentences))}, 0
    while place < tail and (place in kept or sentences[place].cost <= left):
        left -= 0 if place in kept else sentences[place].cost
        kept.add(place)
        place += 1
    head = "" if place else _cut(text[: sentences[0].stop], left)
    runs = _runs(sorted(kept))
    pieces = [text[sentences[a].start : sentences[b].stop].strip() for a, b in runs]
    if not place:
        pieces.insert(0, head)
    if not runs or runs[-1][1] != len(sentences) - 1:
        pieces.append("")
    return GAP.join(pieces).strip()


def word_count(text: str) -> int:
    """Count words as the limit counts them, rounded up.

    >>> word_count("Solar power works."), word_count("太阳能发电")
    (3, 3)
    """
    return -(-_cost(text) // _WORD)


def _cost(text: str, enough: int | None = None) -> int:
    """Sum the costs of words; stops counting behind `enough`."""
    total = 0
    for found in _UNITS.finditer(text):
        if found[3] is not None:
            total += _WORD * -(-(found.end() - found.start()) // _LONG_RUN)
        else:
            total += 5 if found[1] is not None else 2
        if enough is not None and total > enough:
            break
    return total


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for found in _END.finditer(text):
        stop = found["stop"]
        if stop == "." and "\n" not in found[0]:
            before = text[max(start, found.end("stop") - 24) : found.end("stop")]
            if _ABBREVIATION.search(before):
                continue
        if found.end() > start:
            yield start, found.end()
            start = found.end()
    if start < len(text):
        yield start, len(text)


def _tail(sentences: list[_Sentence], budget: int) -> int:
    """Number of the first sentence of the tail."""
    first = len(sentences)
    while first > 1 and sentences[first - 1].cost <= budget:
        first -= 1
        budget -= sentences[first].cost
    return first


def _marked(
    text: str, sentences: list[_Sentence], settings: CompressionSettings, budget: int
) -> list[int]:
    """Numbers of the sentences of marked paragraphs, as far as the budget goes."""
    pattern = _keep_pattern(settings.keep_patterns)
    if pattern is None:
        return []
    borders = [0, *(found.end() for found in _PARAGRAPH.finditer(text)), len(text) + 1]
    wanted = [(a, b) for a, b in itertools.pairwise(borders) if pattern.search(text[a:b])]
    found: list[int] = []
    for number, one in enumerate(sentences):
        inside = any(a <= one.start < b for a, b in wanted)
        if inside and one.cost + _GAP_COST <= budget:
            budget -= one.cost + (_GAP_COST if number - 1 not in found[-1:] else 0)
            found.append(number)
    return found


@lru_cache(maxsize=64)
def _keep_pattern(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join(f"(?:{one})" for one in patterns), re.IGNORECASE)


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Join neighbouring numbers into (first, last)."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _cut(text: str, budget: int) -> str:
    """Give the first words of a sentence that is too long as a whole."""
    end = total = 0
    for found in _UNITS.finditer(text):
        if found[3] is not None:
            cost = _WORD * -(-(found.end() - found.start()) // _LONG_RUN)
        else:
            cost = 5 if found[1] is not None else 2
        if total + cost > budget:
            if found[3] is not None and not end:  # one endless run is cut behind a character
                end = found.start() + max(0, budget // _WORD) * _LONG_RUN
            break
        total, end = total + cost, found.end()
    return text[:end].strip()
