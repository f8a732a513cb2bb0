"""Train the student of words: TF-IDF and ridge. Seconds, on a processor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from ...errors import EmptyDataError
from ...inference.score_students.protocol import StudentFacts
from ...inference.score_students.term_weights import BLOCKS, TermWeights
from ...inference.score_students.tfidf_student import TfidfStudent
from .ridge import fit_ridge
from .score_examples import ScoreExamples

MOST_TERMS: Final = 100_000
"""Of a block; of more terms, those in the most texts are kept."""
LEAST_TEXTS: Final = 2
"""A term in fewer texts is left out."""
STRENGTHS: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def train_tfidf(
    train: ScoreExamples, val: ScoreExamples, facts: StudentFacts, *, most_terms: int = MOST_TERMS
) -> TfidfStudent:
    """Fit terms and ridge on `train`; `val` chooses the strength of each dimension.

    Raises:
        EmptyDataError: No term is in two texts.
    """
    terms = fit_terms(train.texts, most_terms=most_terms)
    fit = fit_ridge(
        terms.matrix(train.texts), train.targets, train.weights,
        terms.matrix(val.texts), val.targets, strengths=STRENGTHS,
    )  # fmt: skip
    return TfidfStudent(facts, terms, fit.weight, fit.bias, fit.strengths)


def fit_terms(texts: Sequence[str], *, most_terms: int = MOST_TERMS) -> TermWeights:
    """Choose the terms of both blocks and count in how many texts each is.

    Raises:
        EmptyDataError: No term is in two texts.
    """
    kept, idf = {}, {}
    for block, list_terms in BLOCKS.items():
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(set(list_terms(text)))
        often = [(term, n) for term, n in counts.items() if n >= LEAST_TEXTS]
        often.sort(key=lambda pair: (-pair[1], pair[0]))
        chosen = sorted(often[:most_terms])
        kept[block] = [term for term, _ in chosen]
        in_texts = np.array([n for _, n in chosen], dtype=np.float64)
        idf[block] = np.log((1 + len(texts)) / (1 + in_texts)) + 1
    if not any(kept.values()):
        raise EmptyDataError(f"no word is in {LEAST_TEXTS} of {len(texts)} texts")
    return TermWeights(kept, idf)
