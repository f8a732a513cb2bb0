"""Near-duplicate texts, found by the Jaccard index of their words and word pairs.

Under any fixed order of a text's n features, every text with a similarity of at least t shares one
of its first n - ceil(t n) + 1 (S. Chaudhuri et al., A Primitive Operator for Similarity Joins, ICDE
2006). Only those are indexed, so a hundred thousand texts take seconds.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections import defaultdict
from itertools import pairwise

from ...errors import ConfigError

# In scripts without spaces between words, each character counts as a word.
_WORDS = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)


def words_of(text: str) -> list[str]:
    """Split a text into words, NFC-normalised and case-folded, without punctuation.

    >>> words_of("Which metal, then?")
    ['which', 'metal', 'then']
    """
    return _WORDS.findall(unicodedata.normalize("NFC", text).casefold())


class SeenTexts:
    """Collects texts and finds near-duplicates among them."""

    def __init__(self, likeness: float = 0.9) -> None:
        """Start empty.

        Args:
            likeness: Least similarity of duplicates, above 0 to 1. At 1, only equal word sequences
                are duplicates. Replacing one word of ten gives about 0.7, one of thirty 0.9.

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
        """Add a text unless it is a duplicate.

        Returns:
            The number of the text that it duplicates, from 0; None if it was added.
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
        """Return the features of which every near-duplicate shares at least one."""
        ordered = sorted(features, key=lambda feature: (zlib.crc32(feature.encode()), feature))
        return ordered[: len(ordered) - math.ceil(self._likeness * len(ordered) - 1e-9) + 1]

    def _near(self, features: frozenset[str], first: list[str]) -> int | None:
        if self._likeness == 1:  # only equal sequences count, and those were looked up
            return None
        candidates = {number for feature in first for number in self._index.get(feature, ())}
        for number in sorted(candidates):
            other = self._features[number]
            shared = len(features & other)
            if shared >= self._likeness * (len(features) + len(other) - shared) - 1e-9:
                return number
        return None
