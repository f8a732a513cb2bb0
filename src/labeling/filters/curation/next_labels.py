"""Which articles to label next: `choose_next`.

Most of the labels go where the student may be wrong, some where several students disagree, and a
random share goes anywhere. Only that share tells without bias how good the student is on new
articles, or how many of them pass; the others were chosen because they are unlike the rest.

Sizes: S students, N articles.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ....errors import ConfigError, DataError, EmptyDataError

RANDOM_SHARE: Final = 0.2
DISAGREEMENT_SHARE: Final = 0.3
"""Of the labels, where there are several students."""
Reason = Literal["random", "uncertain", "disagreement"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NextLabel:
    """An article to label, and why."""

    id: str
    reason: Reason
    chance_wrong: float
    """Estimated chance that the student's verdict, pass or block, is wrong, 0 to 0.5."""
    disagreement: float
    """Standard deviation between the students, in points."""
    random_probability: float
    """Chance of each article to be drawn at random; 0 where nothing was."""

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as JSON values."""
        return asdict(self)


def choose_next(
    ids: Sequence[str],
    averages: Sequence[Sequence[float]] | Floats,
    count: int,
    *,
    pass_threshold: float,
    noise: float = 1.0,
    random_share: float = RANDOM_SHARE,
    seed: int = 42,
) -> list[NextLabel]:
    """Choose unlabelled articles for the oracle.

    Args:
        ids: Of N articles, without those that have labels.
        averages: Weighted averages of S students, (S, N), finite.
        count: Labels to buy, 1 or more; all articles where there are no more.
        pass_threshold: Weighted average from which an article passes.
        noise: Standard deviation of a student's error, in points, above 0; the RMSE of its
            evaluation.
        random_share: Share of the labels that are drawn at random, 0 to 1.
        seed: Of the draw; it does not depend on the order of the articles.

    Returns:
        The articles: the random ones first, then by reason, the most informative first. An article
        is chosen once.

    Raises:
        ConfigError: An option is out of range.
        DataError: Sizes differ, an id occurs twice, or an average is not finite.
        EmptyDataError: There are no articles.
    """
    scores = np.atleast_2d(np.asarray(averages, dtype=np.float64))
    _check(ids, scores, count, noise, random_share)
    count = min(count, len(ids))
    spread = scores.std(axis=0, ddof=1) if len(scores) > 1 else np.zeros(len(ids))
    distance = np.abs(scores.mean(axis=0) - pass_threshold)
    normal = NormalDist()
    wrong = [normal.cdf(-float(d) / math.hypot(noise, float(s)))
             for d, s in zip(distance, spread, strict=True)]  # fmt: skip
    drawn = round(random_share * count)
    shuffled = sorted(
        range(len(ids)), key=lambda n: hashlib.sha256(f"{seed}:{ids[n]}".encode()).digest()
    )
    chosen: dict[int, Reason] = dict.fromkeys(shuffled[:drawn], "random")
    argued = round(DISAGREEMENT_SHARE * count) if len(scores) > 1 else 0
    # Ties follow the shuffled order, so that they do not depend on the order of the file.
    by_spread = sorted(shuffled, key=lambda n: -spread[n])
    by_chance = sorted(shuffled, key=lambda n: -wrong[n])
    _take(chosen, by_chance, count - argued, "uncertain")
    _take(chosen, by_spread, count, "disagreement")
    return [
        NextLabel(ids[n], reason, wrong[n], float(spread[n]), drawn / len(ids))
        for n, reason in chosen.items()
    ]


def _take(chosen: dict[int, Reason], order: Sequence[int], until: int, reason: Reason) -> None:
    """Add articles in an order until there are enough."""
    for place in order:
        if len(chosen) >= until:
            return
        chosen.setdefault(place, reason)


def _check(
    ids: Sequence[str], scores: Floats, count: int, noise: float, random_share: float
) -> None:
    faults = []
    if count < 1:
        faults.append(f"count is {count!r}; allowed is 1 or more")
    if not (noise > 0 and math.isfinite(noise)):
        faults.append(f"noise is {noise!r}; allowed is above 0")
    if not 0 <= random_share <= 1:
        faults.append(f"random_share is {random_share!r}; allowed is 0 to 1")
    if faults:
        raise ConfigError(faults)
    if not len(ids):
        raise EmptyDataError("there are no articles without a label")
    if scores.shape[1] != len(ids):
        raise DataError(f"there are {scores.shape[1]} averages for {len(ids)} articles")
    if len(set(ids)) < len(ids):
        raise DataError("an id occurs twice among the articles")
    if not np.isfinite(scores).all():
        raise DataError("a weighted average is not finite (not_finite)")
