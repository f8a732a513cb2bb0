"""`HybridScorer`: a cheap probe first, and the model for what may pass.

Both stages go through the same order of operations, so a gatekeeper that would cap an article
counts in stage 1 too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....errors import ConfigError, DataError
from ..filter_package import FilterPackage
from .score_order import ROUNDING
from .scorer import FilterBaseScorer, ScorerResult


@dataclass
class StageTimes:
    """Texts and seconds of both stages, summed over all calls."""

    texts: int = 0
    skipped: int = 0
    """Texts that stage 2 did not see."""
    stage1_s: float = 0.0
    stage2_s: float = 0.0

    def to_dict(self) -> dict[str, float | int | None]:
        """Give the share that was skipped, and mean milliseconds per text of each stage."""
        second = self.texts - self.skipped
        return {
            "n": self.texts,
            "skip_share": self.skipped / self.texts if self.texts else None,
            "stage1_ms": 1000 * self.stage1_s / self.texts if self.texts else None,
            "stage2_ms": 1000 * self.stage2_s / second if second else None,
        }


class HybridScorer(FilterBaseScorer):
    """Scores by a probe, and by the model where the probe's estimate reaches the threshold."""

    def __init__(
        self,
        package: FilterPackage,
        probe: FilterBaseScorer,
        model: FilterBaseScorer,
        *,
        threshold: float | None = None,
        use_prefilter: bool = True,
    ) -> None:
        """Set both stages.

        Args:
            package: The filter.
            probe: Stage 1, with a calibration of its own.
            model: Stage 2.
            threshold: Weighted average of stage 1 from which stage 2 scores; None takes
                `hybrid_inference.stage1.threshold` of the config. None there too turns stage 1 off.
            use_prefilter: Whether the prefilter runs before both.

        Raises:
            ConfigError: A stage is of another filter.
        """
        super().__init__(package, use_prefilter=use_prefilter)
        for name, one in (("probe", probe), ("model", model)):
            if one.package.config != package.config:
                other = f"{one.package.config.name} {one.package.config.version}"
                raise ConfigError([f"{name} is of {other}, not of this filter"])
        stage1 = package.config.settings.get("hybrid_inference", {}).get("stage1", {})
        self.threshold: float | None = threshold
        if threshold is None:
            self.threshold = stage1.get("threshold")
        self.probe = probe
        self.model = model
        self.times = StageTimes()

    def score_texts(self, texts: Sequence[str]) -> Iterator[ScorerResult]:
        """Score texts by one stage or both; see `ScorerResult.stage_used`."""
        estimates: list[ScorerResult | None] = [None] * len(texts)
        second = list(range(len(texts)))
        if self.threshold is not None:
            started = time.perf_counter()
            estimates = list(self.probe.score_texts(texts))
            self.times.stage1_s += time.perf_counter() - started
            # A probe that fails at a text says nothing about it, so the model decides.
            second = [n for n, one in enumerate(estimates) if self._may_pass(one)]
        started = time.perf_counter()
        scored = list(self.model.score_texts([texts[n] for n in second])) if second else []
        self.times.stage2_s += time.perf_counter() - started
        self.times.texts += len(texts)
        self.times.skipped += len(texts) - len(second)
        by_place = dict(zip(second, scored, strict=True))
        for place, first in enumerate(estimates):
            estimate = None if first is None or first.verdict is None else first.verdict
            average = None if estimate is None else estimate.weighted_average
            made = by_place.get(place)
            if made is not None:
                yield replace(made, stage_used="stage2", stage1_estimate=average, has_stages=True)
            elif first is not None:
                yield replace(first, stage_used="stage1_low", stage1_estimate=average,
                              has_stages=True)  # fmt: skip

    def _screen(self, article: Mapping[str, Any], *, skip: bool) -> ScorerResult:
        return replace(super()._screen(article, skip=skip), has_stages=True)

    def _may_pass(self, first: ScorerResult | None) -> bool:
        if first is None or first.verdict is None or self.threshold is None:
            return True
        return first.verdict.weighted_average >= self.threshold - ROUNDING


def cascade_curve(
    stage1: Sequence[float],
    stage2: Sequence[float],
    labels: Sequence[float] | None = None,
    *,
    thresholds: Sequence[float],
    operating_point: float,
    stage1_ms: float,
    stage2_ms: float,
) -> list[dict[str, float | int | None]]:
    """Compute speed against false negatives for several thresholds of stage 1.

    Args:
        stage1: Weighted averages of the probe, (N,).
        stage2: Those of the model for the same articles, (N,).
        labels: Those of the oracle, where known, (N,).
        thresholds: Of stage 1.
        operating_point: Weighted average from which an article passes.
        stage1_ms: Milliseconds of stage 1 per article.
        stage2_ms: Milliseconds of stage 2 per article.

    Returns:
        Per threshold: `threshold`, `skip_share`, `fn_rate_stage2` (share of the articles that the
        model would pass and the probe dropped), `fn_rate_labels` (the same of articles that the
        oracle passes), `mean_ms`, and `speedup` over stage 2 alone. A rate of no articles is None.

    Raises:
        DataError: The lists are of different length, or empty.
    """
    n = len(stage1)
    if not n or len(stage2) != n or (labels is not None and len(labels) != n):
        raise DataError("stage1, stage2 and labels need one weighted average per article each")
    made: list[dict[str, float | int | None]] = []
    for threshold in thresholds:
        dropped = [one < threshold - ROUNDING for one in stage1]
        skip_share = sum(dropped) / n
        mean_ms = stage1_ms + (1 - skip_share) * stage2_ms
        made.append({
            "threshold": threshold,
            "skip_share": skip_share,
            "fn_rate_stage2": _missed(dropped, stage2, operating_point),
            "fn_rate_labels": None if labels is None else _missed(dropped, labels, operating_point),
            "mean_ms": mean_ms,
            "speedup": stage2_ms / mean_ms if mean_ms > 0 else None,
        })  # fmt: skip
    return made


def _missed(dropped: Sequence[bool], true: Sequence[float], point: float) -> float | None:
    positive = [one >= point - ROUNDING for one in true]
    missed = sum(a and b for a, b in zip(dropped, positive, strict=True))
    return missed / sum(positive) if any(positive) else None
