"""The order from raw scores to a verdict: the same for oracle, student, probe and gate.

calibrate -> clamp to 0..10 -> weighted average -> gatekeepers -> content caps -> percentile -> tier
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ....errors import DataError, did_you_mean
from ..filter_config import FilterConfig, Tier
from .calibration import Calibration, clamp
from .normalization import Normalization, apply_normalization

NOT_FINITE: Final = "not_finite"
NO_TIER: Final = Tier("low", 0.0, "No tier matched")
ROUNDING: Final = 1e-9
"""Sums of weights like 0.15 are off by some 1e-15; closer than this counts as equal."""


class NotFiniteError(DataError):
    """A score is NaN or infinite, or no number at all."""


@dataclass(frozen=True)
class Verdict:
    """What follows from the scores of one article."""

    scores: dict[str, float]
    """Dimension -> score, calibrated, 0 to 10."""
    weighted_average: float
    """0 to 10, after gatekeepers and caps; not rounded."""
    raw_weighted_average: float
    """Before them."""
    passed: bool
    """Whether the weighted average reaches the filter's `pass_threshold`."""
    tier: str
    tier_description: str
    gatekeeper_applied: bool
    cap_applied: str | None = None
    """Content type whose cap was applied."""
    normalized: float | None = None
    """Percentile, 0 to 10."""


def judge_scores(
    raw: Mapping[str, Any],
    config: FilterConfig,
    *,
    calibration: Calibration | None = None,
    normalization: Normalization | None = None,
    content_type: str | None = None,
) -> Verdict:
    """Combine the raw scores of one article.

    Args:
        raw: Dimension -> raw score of an oracle, a student or a probe; others are left out.
        config: Weights, gatekeepers, caps and tiers.
        calibration: Curves of the student or probe; None for an oracle.
        normalization: Adds the percentile.
        content_type: What the oracle says, for content caps.

    Raises:
        DataError: A dimension is missing.
        NotFiniteError: A score is NaN, infinite or no number.
    """
    curves = {} if calibration is None else calibration.curves
    scores = {}
    for name in config.dimension_names:
        value = _raw_score(raw, name, config)
        scores[name] = clamp(curves[name](value) if name in curves else value)
    average = math.fsum(scores[name] * weight for name, weight in config.weights.items())
    capped = _gatekept(scores, average, config)
    limited, cap_applied = _content_capped(capped, content_type, config)
    normalized = None if normalization is None else apply_normalization(limited, normalization)
    ranked = normalized if config.tier_from_normalized and normalized is not None else limited
    tier = tier_of(ranked, config)
    return Verdict(
        scores,
        limited,
        average,
        limited >= config.pass_threshold - ROUNDING,
        tier.name,
        tier.description,
        gatekeeper_applied=capped < average,
        cap_applied=cap_applied,
        normalized=normalized,
    )


def tier_of(average: float, config: FilterConfig) -> Tier:
    """Find the first tier, in descending order, whose threshold is reached."""
    for tier in config.tiers:
        if average >= tier.threshold - ROUNDING:
            return tier
    return NO_TIER


def is_score(value: Any) -> bool:  # noqa: ANN401 - any value
    """Tell whether a value is a finite number; truth values and texts are not."""
    if isinstance(value, (bool, str, bytes)):
        return False
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _raw_score(raw: Mapping[str, Any], name: str, config: FilterConfig) -> float:
    if name not in raw:
        raise DataError(f"there is no score of {name!r} of {config.name}; "
                        f"{did_you_mean(name, list(raw), what='score')}")  # fmt: skip
    if not is_score(raw[name]):
        raise NotFiniteError(f"the score of {name!r} is {raw[name]!r} ({NOT_FINITE})")
    return float(raw[name])


def _gatekept(scores: Mapping[str, float], average: float, config: FilterConfig) -> float:
    """Apply the lowest cap of the gatekeepers whose dimension scores below their threshold."""
    caps = [
        one.cap for one in config.gatekeepers if scores[one.dimension] < one.threshold - ROUNDING
    ]
    lowest = min(caps, default=average)
    return lowest if average > lowest + ROUNDING else average


def _content_capped(
    average: float, content_type: str | None, config: FilterConfig
) -> tuple[float, str | None]:
    if content_type is None:
        return average, None
    for one in config.caps:
        if one.content_type == content_type and average > one.cap + ROUNDING:
            return one.cap, content_type
    return average, None
