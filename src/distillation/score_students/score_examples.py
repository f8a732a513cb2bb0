"""What a score student learns from: texts, target scores, and how much each example counts.

Sizes: N texts, D dimensions, R raters of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import DataError, EmptyDataError
from ...inference.score_students.protocol import Floats


@dataclass(frozen=True)
class ScoreExamples:
    """Texts with their scores."""

    texts: Sequence[str]
    """`<title>\\n\\n<content>` each, as `InputView.student_text` writes it."""
    targets: Floats
    """(N, D), finite."""
    weights: Floats
    """(N,), 0 or more, not all 0; 1 counts once."""
    ratings: Sequence[Floats] = ()
    """Of each text the scores of its raters or oracles, (R, D); empty where only means are known.
    """

    def __post_init__(self) -> None:
        """Refuse parts that do not fit.

        Raises:
            EmptyDataError: There are no texts.
            DataError: A shape is wrong, a score is not finite, or a weight is negative.
        """
        n = len(self.texts)
        if not n:
            raise EmptyDataError("there are no scored texts")
        if self.targets.ndim != 2 or len(self.targets) != n:
            raise DataError(f"targets are {self.targets.shape}; ({n}, dimensions) is needed")
        bad = np.flatnonzero(~np.isfinite(self.targets).all(axis=1))
        if len(bad):
            raise DataError("a target score is not finite", row=int(bad[0]) + 1)
        fine = np.isfinite(self.weights) & (self.weights >= 0)
        if self.weights.shape != (n,) or not fine.all() or not self.weights.sum() > 0:
            raise DataError(f"weights are {self.weights.shape}; ({n},) numbers of 0 or more, not "
                            "all 0, are needed")  # fmt: skip
        if self.ratings and len(self.ratings) != n:
            raise DataError(f"there are {len(self.ratings)} groups of ratings for {n} texts")

    def __len__(self) -> int:
        """N."""
        return len(self.texts)

    def chosen(self, places: Sequence[int]) -> ScoreExamples:
        """Take some of the examples."""
        return ScoreExamples(
            [self.texts[place] for place in places],
            self.targets[list(places)],
            self.weights[list(places)],
            [self.ratings[place] for place in places] if self.ratings else (),
        )


def examples_of_ratings(
    texts: Sequence[str], ratings: Sequence[Floats], *, by_agreement: bool = True
) -> ScoreExamples:
    """Make examples of the scores of several raters or oracles.

    Args:
        texts: N texts.
        ratings: Of each text the scores of its raters, (R, D); R may differ and is 1 or more.
        by_agreement: Whether a text on which the raters agree counts more, by `agreement_weights`.

    Returns:
        Targets are the raters' means; the ratings are kept for losses on their distribution.
    """
    empty = next((n for n, own in enumerate(ratings, 1) if own.ndim != 2 or not len(own)), None)
    if empty is not None:
        raise DataError("the text has no ratings of shape (raters, dimensions)", row=empty)
    if not len(texts):
        raise EmptyDataError("there are no scored texts")
    means = np.stack([own.mean(axis=0) for own in ratings])
    weights = agreement_weights(ratings) if by_agreement else np.ones(len(texts))
    return ScoreExamples(texts, means, weights, ratings)


def agreement_weights(ratings: Sequence[Floats]) -> Floats:
    """Weigh texts by how well the mean of their ratings is known.

    The weight is 1 / (1 + v / mean v), where v is the variance of the mean of a text, averaged over
    its dimensions and drawn halfway to that of all texts, since a handful of ratings says little
    about their spread. Texts with one rating take the spread of all.

    Args:
        ratings: Of each text the scores of its raters, (R, D).

    Returns:
        (N,), of mean 1.
    """
    counts = np.array([len(own) for own in ratings], dtype=np.float64)
    spread = np.array([own.var(axis=0, ddof=1).mean() if len(own) > 1 else np.nan
                       for own in ratings])  # fmt: skip
    known = np.isfinite(spread)
    if not known.any():
        return np.ones(len(ratings))
    middle = float(spread[known].mean())
    variance = (0.5 * np.where(known, spread, middle) + 0.5 * middle) / counts
    typical = float(variance.mean())
    if typical == 0.0:
        return np.ones(len(ratings))
    weights = 1.0 / (1.0 + variance / typical)
    made: Floats = weights / weights.mean()
    return made
