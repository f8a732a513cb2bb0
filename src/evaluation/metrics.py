"""Quality measures of answers: pure functions of texts and sums.

All rates are fractions from 0 to 1.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

_EDGES = re.compile(r"^[^\w+\-]+|[^\w%°]+$")
"""Punctuation at the ends of a word; signs, percent and degree belong to the word."""
_LONGEST_NGRAM = 4


def normalize_text(text: str) -> str:
    """Normalize a text to NFC with single spaces and no space at the ends.

    Case and punctuation stay, because they carry meaning in tables: Co is cobalt, CO is a gas.

    >>> normalize_text("  cafe\u0301\\n noir ")
    'café noir'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def exact_match(answer: str, target: str) -> bool:
    """Say whether an answer equals the target after `normalize_text`.

    >>> exact_match(" Au\\n", "Au"), exact_match("au", "Au")
    (True, False)
    """
    return normalize_text(answer) == normalize_text(target)


def token_f1(answer: str, target: str) -> float:
    """Compute the word-level F1: the harmonic mean of precision and recall over words.

    As SQuAD's F1 (Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1), but articles stay and
    punctuation is removed only at the ends of words, so that -5 is not 5 and 3.14 is not 314. Case
    is ignored.

    >>> round(token_f1("the metal gold", "Gold, a metal."), 4)
    0.6667

    Returns:
        From 0 (no word in common) to 1 (the same words in any order); 1 if both are empty.
    """
    given, wanted = (
        [_EDGES.sub("", word) or word for word in _words(text)] for text in (answer, target)
    )
    return _f1(given, wanted, (Counter(given) & Counter(wanted)).total())


def bleu(answers: Sequence[str], references: Sequence[str]) -> float:
    """Compute the BLEU of a corpus: Papineni et al. 2002 (ACL P02-1040), section 2, one reference.

    Geometric mean of the clipped precisions of 1- to 4-grams over all answers together, times the
    brevity penalty. Words are separated by blanks, and case is ignored. The mean leaves out n-gram
    lengths for which every answer is too short, so that answers of one or two words can be scored.

    Returns:
        From 0 to 1; 0 if n-grams of one length have no match.

    Raises:
        ValueError: The lists are of different length or empty.

    >>> round(bleu(["the cat sat on the mat"], ["the cat sat on a mat"]), 4)
    0.5373
    """
    _require_pairs(answers, references)
    pairs = [(_words(a), _words(r)) for a, r in zip(answers, references, strict=True)]
    logs = []
    for order in range(1, _LONGEST_NGRAM + 1):
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
        From 0 to 1; 1 if both are empty.

    >>> rouge_l("police kill the gunman", "police killed the gunman")
    0.75
    """
    given, wanted = _words(answer), _words(reference)
    return _f1(given, wanted, _longest_common(given, wanted))


def mean_rouge_l(answers: Sequence[str], references: Sequence[str]) -> float:
    """Average `rouge_l` over answers.

    Raises:
        ValueError: The lists are of different length or empty.
    """
    _require_pairs(answers, references)
    pairs = zip(answers, references, strict=True)
    return sum(rouge_l(answer, reference) for answer, reference in pairs) / len(answers)


def agreement(answers: Sequence[str], others: Sequence[str]) -> float:
    """Compute the share of prompts to which two models give the same text, right or wrong.

    Raises:
        ValueError: The lists are of different length or empty.
    """
    _require_pairs(answers, others)
    same = sum(exact_match(a, b) for a, b in zip(answers, others, strict=True))
    return same / len(answers)


def perplexity(negative_log_likelihood: float, tokens: int) -> float:
    """Compute the perplexity from a sum of negative natural log-likelihoods.

    1 means certainty; a uniform guess gives the size of the vocabulary. Perplexities of models with
    different tokenizers cannot be compared.

    Args:
        negative_log_likelihood: Sum over the tokens of the targets; prompts do not count.
        tokens: Number of these tokens, at least 1.

    Returns:
        exp(mean); infinity if that is too large for a float.

    Raises:
        ValueError: There are no tokens.
    """
    if tokens < 1:
        raise ValueError("perplexity needs at least one token")
    mean = negative_log_likelihood / tokens
    return math.exp(mean) if mean < 700 else math.inf


def _require_pairs(answers: Sequence[str], references: Sequence[str]) -> None:
    if len(answers) != len(references) or not answers:
        raise ValueError(
            "the lists that are compared must be of equal length and not empty, not "
            f"{len(answers)} with {len(references)}"
        )


def _words(text: str) -> list[str]:
    return normalize_text(text).casefold().split()


def _f1(given: list[str], wanted: list[str], common: int) -> float:
    if not given or not wanted:
        return float(given == wanted)
    return 2.0 * common / (len(given) + len(wanted))


def _grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Compute the length of the longest common subsequence, row by row of the table."""
    row = [0] * (len(second) + 1)
    for word in first:
        before = 0
        for place, other in enumerate(second, start=1):
            above = row[place]
            row[place] = before + 1 if word == other else max(above, row[place - 1])
            before = above
    return row[-1]
