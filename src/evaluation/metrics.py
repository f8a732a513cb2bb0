"""How good an answer is: pure functions of texts and sums.

All rates are fractions from 0 to 1.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

_EDGES = re.compile(r"^[^\w+\-]+|[^\w%°]+$")


def normalize_text(text: str) -> str:
    """Bring texts that look the same to the same bytes: NFC, single spaces, no space at the ends.

    Case and punctuation stay, because in tables they carry meaning: Co is cobalt, CO is a gas.

    >>> normalize_text("  cafe\u0301\\n noir ")
    'café noir'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def exact_match(answer: str, target: str) -> bool:
    """Say whether an answer is the target, up to `normalize_text`.

    >>> exact_match(" Au\\n", "Au"), exact_match("au", "Au")
    (True, False)
    """
    return normalize_text(answer) == normalize_text(target)


def token_f1(answer: str, target: str) -> float:
    """Measure the overlap of words: harmonic mean of precision and recall over multisets of words.

    As SQuAD's F1 (Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1), but articles stay and
    punctuation is cut only at the ends of words, so that -5 is not 5 and 3.14 is not 314. Case is
    ignored.

    >>> round(token_f1("the metal gold", "Gold, a metal."), 4)
    0.6667

    Returns:
        From 0 (no word in common) to 1 (the same words in any order); 1 if both are empty.
    """
    given, wanted = _words(answer), _words(target)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def agreement(answers: Sequence[str], others: Sequence[str]) -> float:
    """Count how often two models give the same text, right or wrong.

    Raises:
        ValueError: The lists are of different length or empty.
    """
    if len(answers) != len(others) or not answers:
        raise ValueError(
            f"agreement compares two lists of equal length, not {len(answers)} with {len(others)}"
        )
    same = sum(exact_match(a, b) for a, b in zip(answers, others, strict=True))
    return same / len(answers)


def perplexity(negative_log_likelihood: float, tokens: int) -> float:
    """Turn a sum of negative natural log-likelihoods into perplexity.

    1 is certainty; the size of the vocabulary is a blind guess. Perplexities of models with
    different tokenizers cannot be compared.

    Args:
        negative_log_likelihood: Sum over the tokens of the targets; prompts do not count.
        tokens: How many tokens the sum is over, at least 1.

    Returns:
        exp(mean); infinity where that is too large for a float.

    Raises:
        ValueError: There are no tokens.
    """
    if tokens < 1:
        raise ValueError("perplexity needs at least one token")
    mean = negative_log_likelihood / tokens
    return math.exp(mean) if mean < 700 else math.inf


def wilson_interval(successes: float, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Give the range in which a rate lies, seen `successes` times in `trials` (Wilson 1927).

    >>> [round(end, 3) for end in wilson_interval(50, 50)]
    [0.929, 1.0]

    Args:
        successes: From 0 to `trials`.
        trials: At least 1.
        z: Standard normal quantile; 1.96 gives 95 percent.
    """
    rate = successes / trials
    centre = rate + z * z / (2 * trials)
    spread = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _words(text: str) -> list[str]:
    words = normalize_text(text).casefold().split()
    return [_EDGES.sub("", word) or word for word in words]
