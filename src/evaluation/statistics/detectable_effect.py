"""What a comparison of some size can find, and how many records would decide it.

Sizes: N records; `disagreement` is the share of records that one model alone has right.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np

POWER: Final = 0.8
"""Chance to find the minimum detectable effect."""
AIMED_POWER: Final = POWER + 0.03
"""What is aimed at: the disagreement is an estimate, and where it is too low the effect would be
found less often than in four of five cases."""
_STEPS: Final = 20


def mcnemar_power(
    effect: float, disagreement: float, records: int, significance: float = 0.05
) -> float:
    """Compute the chance that the exact McNemar test finds a difference, in the right direction.

    Args:
        effect: True difference of the two rates, above 0, at most `disagreement`.
        disagreement: True share of records that one model alone has right, 0 to 1.
        records: N.
        significance: Of the two-sided test.
    """
    from scipy.stats import binom

    spread = math.sqrt(records * disagreement * (1 - disagreement))
    low = max(0, math.floor(records * disagreement - 8 * spread - 1))
    high = min(records, math.ceil(records * disagreement + 8 * spread + 1))
    decided = np.arange(low, high + 1)  # number of records that one model alone has right
    most = binom.isf(significance / 2, decided, 0.5)  # not significant up to here
    favour = (disagreement + effect) / (2 * disagreement)
    chance = binom.pmf(decided, records, disagreement) * binom.sf(most, decided, min(1.0, favour))
    return float(chance.sum())


@lru_cache(maxsize=4096)
def detectable_rate_difference(
    disagreement: float, records: int, significance: float = 0.05
) -> float | None:
    """Compute the smallest difference of two rates that McNemar's test finds four times in five.

    Args:
        disagreement: Observed share of records that one model alone has right.
        records: N.
        significance: Of the two-sided test.

    Returns:
        A difference, 0 to 1; None where the records are too few for any.
    """

    def found(effect: float) -> bool:
        # A difference cannot be larger than the disagreement, so that grows with it.
        power = mcnemar_power(effect, max(effect, disagreement), records, significance)
        return power >= AIMED_POWER

    low, high = 0.0, 1.0
    if not found(high):
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def detectable_mean_difference(
    standard_error: float, freedom: float, significance: float = 0.05
) -> float | None:
    """Compute the smallest difference of two means that is found four times in five.

    Args:
        standard_error: Of the difference.
        freedom: Degrees of freedom of the error: the number of source records less one.
        significance: Of the two-sided test.

    Returns:
        A difference in the unit of the values; None without a degree of freedom.
    """
    from scipy.stats import t

    if freedom <= 0:
        return None
    return float(
        (t.ppf(1 - significance / 2, freedom) + t.ppf(AIMED_POWER, freedom)) * standard_error
    )


def records_to_decide(
    difference: float,
    standard_error: float,
    records: int,
    *,
    margin: float | None = None,
    significance: float = 0.05,
) -> int | None:
    """Estimate how many records would decide, if the observed difference is the true one.

    Args:
        difference: Candidate minus baseline.
        standard_error: Of the difference, at `records`.
        records: N.
        margin: Loss that would be accepted; None asks for a difference alone.
        significance: Of the two-sided test.

    Returns:
        The number that would show a difference, or that the loss is within the margin, whichever
        is smaller; None where no number would, or nothing varies.
    """
    normal = NormalDist()
    reach = normal.inv_cdf(1 - significance / 2) + normal.inv_cdf(POWER)
    gaps = [abs(difference)] + ([] if margin is None else [difference + margin])
    largest = max(gaps)
    if not math.isfinite(standard_error) or standard_error <= 0 or largest <= 0:
        return None
    needed = records * (reach * standard_error / largest) ** 2
    return math.ceil(needed) if needed < 1e12 else None
