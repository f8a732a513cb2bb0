"""Texts that say nearly the same: found by the words that they share.

The likeness of two texts is the Jaccard index of their words and pairs of neighbouring words. Of a
text with n of these, all texts at least t alike share one of its first n - ceil(t n) + 1 under any
fixed order (S. Chaudhuri et al., A Primitive Operator for Similarity Joins, ICDE 2006), so only
those are indexed, and a hundred thousand texts take seconds.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections import defaultdict
from itertools import pairwise

from ...errors import ConfigError

# Scripts without spaces between words: each character counts as one.
_WORDS = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)


def words_of(text: str) -> list[str]:
    """Split a text into words: NFC, case-folded, without punctuation and white space.

    >>> words_of("Which metal, then?")
    ['which', 'metal', 'then']
    """
    return _WORDS.findall(unicodedata.normalize("NFC", text).casefold())


class SeenTexts:
    """Remembers texts and finds those that are nearly the same."""

    def __init__(self, likeness: float = 0.9) -> None:
        """Remember nothing.

        Args:
            likeness: From which on two texts are the same, above 0 to 1. At 1 only those of equal
                words are. In a sentence of ten words with one replaced it is about 0.7, of thirty
                words 0.9.

        Raises:
            ConfigError: It is out of range.
        """
        if not 0 < likeness <= 1:
            raise ConfigError([f"likeness is {likeness!r}; allowed is above 0 to 1"])
        self._likeness = likeness
        self._features: list[frozenset[str]] = []
        self._exact: dict[tuple[str, ...], int] = {}
        self._index: defaultdict[str, list[int]] = defaultdict(list)

    def __len__(self) -> int:
        """Count the texts."""
        return len(self._features)

    def add(self, text: str) -> int | None:
        """Remember a text, unless it is there.

        Returns:
            The number of the text that is the same or nearly so, counted from 0; None where there
            is none, and the text was added.
        """
        words = tuple(words_of(text)) or (text,)
        known = self._exact.get(words)
        if known is not None:
            return known
        features = frozenset(words) | frozenset(f"{a} {b}" for a, b in pairwise(words))
        first = self._first(features)
        near = self._near(features, first)
        if near is not None:
            return near
        number = self._exact[words] = len(self._features)
        self._features.append(features)
        for feature in first:
            self._index[feature].append(number)
        return None

    def _first(self, features: frozenset[str]) -> list[str]:
        """Give the features that any text alike must share one of."""
        ordered = sorted(features, key=lambda feature: (zlib.crc32(feature.encode()), feature))
        return ordered[: len(ordered) - math.ceil(self._likeness * len(ordered) - 1e-9) + 1]

    def _near(self, features: frozenset[str], first: list[str]) -> int | None:
        if self._likeness == 1:  # order counts too, and that was looked up
            return None
        candidates = {number for feature in first for number in self._index.get(feature, ())}
        for number in sorted(candidates):
            other = self._features[number]
            shared = len(features & other)
            if shared >= self._likeness * (len(features) + len(other) - shared) - 1e-9:
                return number
        return None
