"""Words that people put beside the name of a record, learned from the practice questions.

In "which club does Aiko Sato run for" the word after the name is one of them; in "the symbol of
gold chloride" it is not, and the two words may be the name of something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from ..table.values import stem, words
from .domains import LANGUAGES, all_domains, read_phrases

_HOLES: Final = re.compile(r"\{(\w)\}")
_NAMES: Final = ("k", "j")
"""Holes of the practice questions in which a record's name is put."""


@dataclass(frozen=True)
class BesideNames:
    """Stems of the words that stand directly beside a name."""

    before: frozenset[str]
    after: frozenset[str]
    between: frozenset[str]
    """Single words that join two names in questions about any table, such as `and`."""


@cache
def beside_names() -> BesideNames:
    """Collect the words beside the names in the practice questions of all languages."""
    phrases = [t for one in LANGUAGES for texts in read_phrases(one).values() for t in texts]
    asked = [
        text
        for domain in all_domains()
        for column in domain.columns
        for texts in column.said.values()
        for text in texts
    ]
    before, after = set[str](), set[str]()
    for text in (*phrases, *asked):
        # Texts and holes take turns: "is ", "k", " newer than ", "j", "".
        parts = _HOLES.split(text)
        for place, hole in enumerate(parts[1::2]):
            if hole in _NAMES:
                before |= {stem(word) for word in words(parts[2 * place])[-1:]}
                after |= {stem(word) for word in words(parts[2 * place + 2])[:1]}
    joined = re.findall(r"\{k\} (\w+) \{j\}", " | ".join(phrases))
    return BesideNames(frozenset(before), frozenset(after), frozenset(map(stem, joined)))
