"""The JSON text of scores as a generative student writes it, and which tokens may come where.

`{"joy": 7.3, "reach": 2.0}`: all characters are fixed but those of the numbers, and a number is one
of the range in steps of 0.1. So decoding is bounded to the dimensions and the range.

Sizes: D dimensions, K numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ...errors import ConfigError
from .protocol import StudentFacts

STEP: Final = 0.1
MOST_NUMBERS: Final = 2000


def number_text(score: float, facts: StudentFacts) -> str:
    """Write a score, rounded to the step and cut to the range.

    >>> number_text(7.26, StudentFacts(("joy",), "")), number_text(11, StudentFacts(("joy",), ""))
    ('7.3', '10.0')
    """
    return f"{float(np.clip(round(score / STEP) * STEP, facts.lowest, facts.highest)):.1f}"


def fixed_pieces(dimensions: Sequence[str]) -> list[str]:
    """Give the text before each number and after the last one, D + 1 pieces.

    >>> fixed_pieces(["joy", "reach"])
    ['{"joy": ', ', "reach": ', '}']
    """
    names = [json.dumps(name, ensure_ascii=False) for name in dimensions]
    return [f"{'{' if n == 0 else ', '}{name}: " for n, name in enumerate(names)] + ["}"]


@dataclass
class NumberTree:
    """The numbers of the range as a tree of their tokens."""

    mean: float = 0.0
    """Of the numbers below this place, in units of the scale."""
    children: dict[int, NumberTree] = field(default_factory=dict)
    """Token -> where it leads; empty at the end of a number."""


class ScoreText:
    """Token ids of the text of scores.

    Args:
        tokenizer: A tokenizer of transformers.
        facts: Dimensions and range.

    Raises:
        ConfigError: The range has more than `MOST_NUMBERS` steps, or the tokens of one number begin
            those of another.
    """

    def __init__(self, tokenizer: Any, facts: StudentFacts) -> None:  # noqa: ANN401
        """Tokenize the pieces and the numbers."""
        count = round((facts.highest - facts.lowest) / STEP) + 1
        if count > MOST_NUMBERS:
            raise ConfigError([f"the range {facts.lowest:g} to {facts.highest:g} has {count} "
                               f"numbers; allowed are {MOST_NUMBERS}"])  # fmt: skip
        self.facts = facts
        self.pieces = [_ids(tokenizer, one) for one in fixed_pieces(facts.dimensions)]
        values = [facts.lowest + STEP * n for n in range(count)]
        written = dict.fromkeys(number_text(one, facts) for one in values)
        self._ids = {text: _ids(tokenizer, text) for text in written}
        self.tree = NumberTree()
        for text, ids in self._ids.items():
            place = self.tree
            for token in ids:
                place = place.children.setdefault(token, NumberTree())
            place.mean = float(text)
        _set_means(self.tree)
        if sum(1 for _ in _leaves(self.tree)) != len(self._ids):
            raise ConfigError(["the tokenizer writes one number as the beginning of another, so "
                               "their ends cannot be told apart; use another model"])  # fmt: skip
        self.tokens = sorted({token for ids in self._ids.values() for token in ids})

    def ids(self, scores: Sequence[float]) -> list[int]:
        """Give the tokens of the text of scores, (D,)."""
        made: list[int] = []
        for piece, score in zip(self.pieces, scores, strict=False):
            made += [*piece, *self._ids[number_text(score, self.facts)]]
        return made + self.pieces[-1]


def _ids(tokenizer: Any, text: str) -> list[int]:  # noqa: ANN401
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def _leaves(tree: NumberTree) -> list[NumberTree]:
    if not tree.children:
        return [tree]
    return [leaf for one in tree.children.values() for leaf in _leaves(one)]


def _set_means(tree: NumberTree) -> None:
    for one in tree.children.values():
        _set_means(one)
    if tree.children:
        tree.mean = float(np.mean([leaf.mean for leaf in _leaves(tree)]))
