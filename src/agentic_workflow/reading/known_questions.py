"""Find the most similar known question in a table of questions, by weighted shared words."""

from __future__ import annotations

import math
from collections import defaultdict

from ...tables import FactTable
from ..text_matching import STOP_WORDS, stem, terms, words
from .plain_words import FRAMING

_NEAR = 0.5
"""Least weighted overlap, 0 to 1, of two questions that count as the same."""
_CLOSE = 0.05
"""A second question within this difference in score makes the match ambiguous."""
_RARE = 2
"""A word in at most this many known questions is taken for their subject."""


class KnownQuestions:
    """Finds known questions by their words."""

    def __init__(self, table: FactTable) -> None:
        """Index the keys of a table of kind `questions`."""
        templates = [t for column in table.columns for t in column.templates]
        parts = [template.partition("{key}") for template in templates]
        self._wrappings = [(words(before), words(after)) for before, _, after in parts]
        self._exact: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._holding: dict[str, list[int]] = defaultdict(list)
        self._words: list[frozenset[str]] = []
        self._keys = [row.key for row in table.rows]
        for i, row in enumerate(table.rows):
            self._exact[words(row.key)].append(i)
            known = _words(row.key)
            self._words.append(known)
            for word in known:
                self._holding[word].append(i)
        self._totals = [sum(map(self._weight, known)) for known in self._words]

    def find(self, question: str) -> tuple[list[int], list[int]]:
        """Find the known question that a question repeats.

        Returns:
            Positions of the rows with the most similar known question, none if it is too different,
            and positions of other known questions that are about as similar.
        """
        for wording in self._unwrapped(words(question)):
            if wording and wording in self._exact:
                return self._exact[wording], []
        asked = _words(question)
        shared: dict[int, float] = defaultdict(float)
        for word in asked:
            weight = self._weight(word)
            for i in self._holding.get(word, ()):
                shared[i] += weight
        total = sum(self._weight(word) for word in asked)
        scores = {
            i: weight / (total + self._totals[i] - weight)
            for i, weight in shared.items()
            if weight >= _NEAR * total
        }
        best = max(scores, key=lambda i: (scores[i], -i), default=None)
        if best is None or scores[best] < _NEAR or self._other_subject(question, best):
            return [], []
        same = [i for i in scores if self._words[i] == self._words[best]]
        near = [i for i in scores if scores[best] - scores[i] < _CLOSE and i not in same]
        return same, near

    def _other_subject(self, question: str, row: int) -> bool:
        """Tell whether the subject of a known question is replaced: Frankistan for France."""
        key = words(self._keys[row])
        known = {stem(word) for word in key}
        asked = [word for word in words(question) if word not in STOP_WORDS]
        new = [word for word in asked if stem(word) not in known | FRAMING and self._rare(word)]
        said = {stem(word) for word in asked}
        missing = [w for w in key if w not in STOP_WORDS and stem(w) not in said and self._rare(w)]
        return bool(new and missing)

    def _rare(self, word: str) -> bool:
        return len(self._holding.get(stem(word), ())) <= _RARE

    def _unwrapped(self, asked: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return a question, and the same without the words of each trained wording around it."""
        inner = [
            asked[len(before) : len(asked) - len(after)]
            for before, after in self._wrappings
            if asked[: len(before)] == before and asked[len(asked) - len(after) :] == after
        ]
        return [asked, *inner]

    def _weight(self, word: str) -> float:
        """Weigh a word by its rarity in the questions; unknown words have half the top weight."""
        holding = len(self._holding.get(word, ()))
        weight = math.log(1 + (1 + len(self._words)) / (1 + holding))
        return weight if holding else weight / 2


def _words(question: str) -> frozenset[str]:
    content = terms(question)
    return frozenset(content or [stem(word) for word in words(question)])
