"""Shorten articles to some hundred words at ends of sentences.

The head, the tail and the paragraphs that a filter marks are kept, in their order; what is left out
is replaced by a line. A text within the limit is not changed at all. Of a text of more than 60,000
characters (75 per word of the limit, where it is above 800 words) the middle is not looked at, so
that the time does not grow with the length of the text. Two characters of Chinese or
Japanese count as a word, and five of Thai, Lao, Khmer or Burmese, which have no blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .filter_config import DEFAULT_COMPRESSION, CompressionSettings
from .patterns import SearchTime, join_patterns

COMPRESSION_VERSION: Final = 2
"""Part of the hash of a view; a change of the rules below raises it."""
GAP: Final = "\n[...content compressed...]\n"
_GAP_COST: Final = 20  # two words
_WORD: Final = 10
"""Cost of a word; costs are whole numbers so that no sum is rounded."""
_MARKED_SHARE: Final = 0.25
HEAD_CHARACTERS: Final = 50
TAIL_CHARACTERS: Final = 25
_FIRST_TAIL: Final = 8
"""Characters per word of the tail that are looked at first."""
_LONG_RUN: Final = 30
"""Characters from which a run without blanks, such as an address or Base64, counts as several
words."""

_EAST: Final = (
    "\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003fffd"
)
_SOUTH_EAST: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_UNITS: Final = re.compile(
    rf"([{_EAST}])|([{_SOUTH_EAST}])|([^\s{_EAST}{_SOUTH_EAST}]{{1,{_LONG_RUN}}})"
)
_RUN: Final = 3
_COSTS: Final = {1: 5, 2: 2, _RUN: _WORD}
"""Group of `_UNITS` -> cost."""
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
_WHITE: Final = re.compile(r"\s*+")
Spans = list[tuple[int, int]]
"""Places (start, stop) in the text, in their order."""


def compress_text(text: str, settings: CompressionSettings = DEFAULT_COMPRESSION) -> str:
    """Shorten a text to at most `max_words` words.

    Args:
        text: Any text.
        settings: Limit, share of the tail, and patterns of paragraphs to keep.

    Returns:
        The text itself where it is short enough, with LF line ends and without white space at its
        ends; else whole sentences of it, and `[...content compressed...]` where some are left out.
        A sentence that alone exceeds its share is cut behind a word.

    Raises:
        PatternTimeError: The patterns take too long on it.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    limit = settings.max_words * _WORD
    head_stop, tail_start = _seen(text, settings)
    if tail_start == 0 and _cost(text, limit) <= limit:
        return text
    tail = _tail(text, tail_start, int((limit - _GAP_COST) * settings.tail_share))
    seen = [(0, min(head_stop, tail)), (tail_start, tail)] if tail_start else [(0, tail)]
    marked = _marked(text, seen, settings, int(limit * _MARKED_SHARE))
    spent = sum(_cost(text[a:b]) for a, b in [*marked, (tail, len(text))])
    # Each kept run of sentences may need a gap before it.
    left = limit - spent - _GAP_COST * (1 + len(_joined(marked)))
    head = _head(text, min(head_stop, tail), {start for start, _ in marked}, left)
    runs = _joined(sorted([*head, *marked, (tail, len(text))]))
    pieces = [text[a:b].strip() for a, b in runs if a < b]
    if not head:
        pieces.insert(0, _cut(text[: min(head_stop, tail)], left))
    if tail == len(text):
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
        total += _COSTS[found.lastindex or 0]
        if enough is not None and total > enough:
            break
    return total


def _seen(text: str, settings: CompressionSettings) -> tuple[int, int]:
    """Give the end of the part at the head that is looked at, and the start of that at the tail."""
    words = max(settings.max_words, DEFAULT_COMPRESSION.max_words)
    head, tail = words * HEAD_CHARACTERS, words * TAIL_CHARACTERS
    return (head, len(text) - tail) if len(text) > head + tail else (len(text), 0)


def _sentences(text: str, start: int, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the places of sentences, each with the white space behind it."""
    for found in _END.finditer(text, start, limit):
        stop = found["stop"]
        if stop == "." and "\n" not in found[0]:
            before = text[max(start, found.end("stop") - 24) : found.end("stop")]
            if _ABBREVIATION.search(before):
                continue
        if found.end() > start:
            yield start, found.end()
            start = found.end()
    if start < limit:
        yield start, limit


def _tail(text: str, floor: int, budget: int) -> int:
    """Give the start of the tail: the last whole sentences that the budget allows for."""
    size = max(200, budget // _WORD * _FIRST_TAIL)
    while True:
        begin = max(floor, len(text) - size)
        first, left = len(text), budget
        # Of the first sentence only a part may be there; that of the text belongs to the head.
        for start, stop in reversed(list(_sentences(text, begin, len(text)))[1:]):
            left -= _cost(text[start:stop], left)
            if left < 0:
                return first
            first = start
        if begin == floor:
            return first
        size *= 2


def _marked(text: str, seen: Spans, settings: CompressionSettings, budget: int) -> Spans:
    """Give the sentences of marked paragraphs in parts of the text, as far as the budget goes."""
    pattern = join_patterns(settings.keep_patterns, lines=True)
    found: Spans = []
    if pattern is None:
        return found
    time = SearchTime()
    for place, limit in seen:
        begin = place
        while begin < limit and budget > _GAP_COST:
            match = time.search(pattern, text, begin, limit)
            if match is None:
                break
            line = text.rfind("\n", begin, match.start()) + 1 or begin
            end = text.find("\n", match.start(), limit)
            begin = limit if end < 0 else min(limit, _WHITE.match(text, end).end())  # type: ignore[union-attr]
            for start, stop in _sentences(text, line, begin):
                cost = _cost(text[start:stop], budget)
                if cost + _GAP_COST <= budget:
                    follows = bool(found) and found[-1][1] == start
                    budget -= cost + (0 if follows else _GAP_COST)
                    found.append((start, stop))
    return found


def _head(text: str, limit: int, marked: set[int], budget: int) -> Spans:
    """Give the first sentences that the budget allows for; marked ones are paid for already."""
    found: Spans = []
    for start, stop in _sentences(text, 0, limit):
        cost = 0 if start in marked else _cost(text[start:stop], budget)
        if cost > budget:
            break
        budget -= cost
        found.append((start, stop))
    return found


def _joined(spans: Spans) -> Spans:
    """Join spans that touch or overlap."""
    runs: Spans = []
    for start, stop in spans:
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(stop, runs[-1][1]))
        else:
            runs.append((start, stop))
    return runs


def _cut(text: str, budget: int) -> str:
    """Give the first words of a sentence that is too long as a whole."""
    end = word_end = total = 0
    for found in _UNITS.finditer(text):
        total += _COSTS[found.lastindex or 0]
        if total > budget:
            break
        end = found.end()
        if found.lastindex != _RUN or not text[end : end + 1].strip():
            word_end = end
    return text[: word_end or end].strip()  # one endless run is cut behind a character
