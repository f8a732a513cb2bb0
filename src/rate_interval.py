"""The Wilson score interval of a rate: the share of successes among trials (Wilson 1927)."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any


def wilson_interval(successes: float, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the interval of a rate.

    >>> [round(end, 3) for end in wilson_interval(50, 50)]
    [0.929, 1.0]

    Args:
        successes: From 0 to `trials`.
        trials: At least 1.
        confidence: Of the two-sided interval, above 0 and below 1.

    Returns:
        Both ends, 0 to 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, square = successes / trials, z * z
    centre = rate + square / (2 * trials)
    spread = z * math.sqrt(rate * (1 - rate) / trials + square / (4 * trials * trials))
    scale = 1 + square / trials
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return low, high


def rate_with_interval(name: str, successes: int, trials: int) -> dict[str, Any]:
    """Return a rate and its 95 % interval under `<name>` and `<name>_ci95`; None without trials.

    >>> found = rate_with_interval("p", 8, 10)
    >>> found["p"], [round(end, 6) for end in found["p_ci95"]]
    (0.8, [0.490162, 0.943318])
    """
    if trials == 0:
        return {name: None, f"{name}_ci95": None}
    return {name: successes / trials, f"{name}_ci95": list(wilson_interval(successes, trials))}
