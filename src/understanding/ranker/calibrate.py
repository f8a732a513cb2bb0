"""Choose the temperature and the threshold of a ranker on questions it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from .model import Ranker
from .train_ranker import Example, _read

TEMPERATURES: Final = (0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5)


def scores_of(ranker: Ranker, examples: Sequence[Example]) -> list[torch.Tensor]:
    """Score the plans of each question.

    Returns:
        For each example, one score for each plan, then that of "the table cannot answer".
    """
    found = []
    with torch.inference_mode():
        for one in examples:
            read = _read(ranker.reader, [one])[0]
            seen = one.seen
            found.append(ranker(seen.hashed, read, seen.structure, seen.columns, seen.numbers))
    return found


def temperature_of(scores: Sequence[torch.Tensor], examples: Sequence[Example]) -> float:
    """Choose the temperature from `TEMPERATURES` at which the right plans are most likely."""

    def loss(temperature: float) -> float:
        total = 0.0
        for score, one in zip(scores, examples, strict=True):
            chances = torch.softmax(score / temperature, 0)
            total -= float(torch.log(chances[one.right].sum() + 1e-9))
        return total

    return min(TEMPERATURES, key=loss)


def threshold_of(
    answers: Sequence[tuple[float, bool]], *, risk: float = 0.05, floor: float = 0.5
) -> float:
    """Choose the lowest probability at which at most a share `risk` of the answers is wrong.

    Args:
        answers: For each question the probability of its likeliest reading, and whether that gives
            the right answer; none does for a question that the table cannot answer.
        risk: Largest share of wrong answers among those given, 0 to 1.
        floor: Lowest threshold that is returned.
    """
    wrong, least = 0, 0.99
    for number, (chance, right) in enumerate(sorted(answers, reverse=True), 1):
        wrong += not right
        if wrong <= risk * number:
            least = chance
    return max(floor, least)
