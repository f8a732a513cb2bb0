"""How much of a reference text an answer has: BLEU and ROUGE-L.

Words are what stands between blanks, in lower case.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from .metrics import normalize_text

_ORDERS = 4


def bleu(answers: Sequence[str], references: Sequence[str]) -> float:
    """Compute the BLEU of a corpus: Papineni et al. 2002 (ACL P02-1040), section 2, one reference.

    Geometric mean of the clipped precisions of 1- to 4-grams over all answers together, times the
    brevity penalty. Orders that no answer is long enough for are left out of the mean, so that
    answers of a word or two can be scored.

    Returns:
        From 0 to 1; 0 where one of the orders has no match.

    Raises:
        ValueError: The lists are of different length or empty.

    >>> round(bleu(["the cat sat on the mat"], ["the cat sat on a mat"]), 4)
    0.5373
    """
    _require_pairs(answers, references)
    pairs = [(_words(a), _words(r)) for a, r in zip(answers, references, strict=True)]
    logs = []
    for order in range(1, _ORDERS + 1):
        total = sum(max(0, len(answer) - order + 1) for answer, _ in pairs)
        if total == 0:
            continue
        matches = sum((_grams(a, order) & _grams(r, order)).total() for a, r in pairs)
        if matches == 0:
            return 0.0
        logs.append(math.log(matches / total))
    length, wanted = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    if not logs:
        return 0.0
    penalty = min(0.0, 1.0 - wanted / length)
    return math.exp(penalty + sum(logs) / len(logs))


def rouge_l(answer: str, reference: str) -> float:
    """Compute ROUGE-L: the F1 of the longest common subsequence of words (Lin 2004, W04-1013,
    section 3.1, with beta 1).

    Returns:
        From 0 to 1; 1 where both are empty.

    >>> rouge_l("police kill the gunman", "police killed the gunman")
    0.75
    """
    given, wanted = _words(answer), _words(reference)
    if not given or not wanted:
        return float(given == wanted)
    common = _longest_common(given, wanted)
    return 2.0 * common / (len(given) + len(wanted))


def mean_rouge_l(answers: Sequence[str], references: Sequence[str]) -> float:
    """Average `rouge_l` over answers.

    Raises:
        ValueError: The lists are of different length or empty.
    """
    _require_pairs(answers, references)
    pairs = zip(answers, references, strict=True)
    return sum(rouge_l(answer, reference) for answer, reference in pairs) / len(answers)


def _require_pairs(answers: Sequence[str], references: Sequence[str]) -> None:
    if len(answers) != len(references) or not answers:
        raise ValueError(f"{len(answers)} answers are compared with {len(references)} references")


def _words(text: str) -> list[str]:
    return normalize_text(text).casefold().split()


def _grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Count the words of the longest common subsequence, one row of the table at a time."""
    row = [0] * (len(second) + 1)
    for word in first:
        before = 0
        for place, other in enumerate(second, start=1):
            above = row[place]
            row[place] = before + 1 if word == other else max(above, row[place - 1])
            before = above
    return row[-1]
