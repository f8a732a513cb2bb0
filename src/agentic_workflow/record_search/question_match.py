"""Find the most similar known question in a table of questions, by weighted shared words."""

from __future__ import annotations

import math
from collections import defaultdict

from ...tables import FactTable
from ..text_matching import stem, terms, words

_NEAR = 0.5
"""Least weighted overlap, 0 to 1, of two questions that count as the same."""
_CLOSE = 0.05
"""A second question within this difference in score makes the match ambiguous."""


class QuestionIndex:
    """Find known questions."""

    def __init__(self, table: FactTable) -> None:
        """Index the keys of a table of kind `questions`."""
        templates = [t for column in table.columns for t in column.templates]
        parts = [template.partition("{key}") for template in templates]
        self._wrappings = [(words(before), words(after)) for before, _, after in parts]
        self._exact: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._holding: dict[str, list[int]] = defaultdict(list)
        self._words: list[frozenset[str]] = []
        for i, row in enumerate(table.rows):
            self._exact[words(row.key)].append(i)
            known = _words(row.key)
            self._words.append(known)
            for word in known:
                self._holding[word].append(i)
        self._totals = [sum(map(self._weight, known)) for known in self._words]

    def find(self, question: str) -> tuple[list[int], float, list[int]]:
        """Find the most similar known question.

        Returns:
            Positions of equally good rows (empty for none), the overlap (0 to 1), and positions of
            other questions that are about as similar.
        """
        for wording in self._unwrapped(words(question)):
            if wording and wording in self._exact:
                return self._exact[wording], 1.0, []
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
        if not scores:
            return [], 0.0, []
        best = max(scores, key=lambda i: (scores[i], -i))
        if scores[best] < _NEAR:
            return [], scores[best], []
        same = [i for i in scores if self._words[i] == self._words[best]]
        near = [i for i in scores if scores[best] - scores[i] < _CLOSE and i not in same]
        return same, scores[best], near

    def known_in(self, word: str) -> int:
        """Count the known questions that contain a word in any form."""
        return len(self._holding.get(stem(word), ()))

    def _unwrapped(self, asked: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Give a question as it is, and without the words of the trained wordings around it."""
        inner = [
            asked[len(before) : len(asked) - len(after)]
            for before, after in self._wrappings
            if asked[: len(before)] == before and asked[len(asked) - len(after) :] == after
        ]
        return [asked, *inner]

    def _weight(self, word: str) -> float:
        """Weigh a word by its rarity among the questions; one in none has half the top weight."""
        holding = len(self._holding.get(word, ()))
        weight = math.log(1 + (1 + len(self._words)) / (1 + holding))
        return weight if holding else weight / 2


def _words(question: str) -> frozenset[str]:
    content = terms(question)
    return frozenset(content or [stem(word) for word in words(question)])
