"""Is the candidate better, not worse, worse, or is it undecided? `compare_paired(paired)`.

found = compare_paired(align(candidate, baseline), margin=0.02)
found.verdict                                  # "undecided"
found.in_words("student", "teacher")           # and why, and what would decide

Right or wrong answers are tested with McNemar's exact test; scores, errors, and answers that share
source records, with the paired bootstrap of source records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from ...errors import ConfigError
from .alignment import Paired
from .detectable_effect import (
    detectable_mean_difference,
    detectable_rate_difference,
    records_to_decide,
)
from .paired_tests import (
    RESAMPLES,
    SEED,
    bootstrap_mean,
    cluster_sums,
    holm,
    mcnemar_exact,
    mean_error,
    paired_rate_interval,
)

Verdict = Literal["better", "not_worse", "worse", "undecided"]
LEAST_SOURCES: Final = 10
"""Below, the bootstrap of means decides nothing."""
SIGNIFICANCE: Final = 0.05


@dataclass(frozen=True)
class Comparison:
    """A candidate and a baseline on the same records.

    Differences are positive where the candidate is better, also for errors, of which fewer are
    better.
    """

    verdict: Verdict
    records: int
    sources: int
    candidate: float
    """Mean of the candidate's values: a rate for right or wrong answers."""
    baseline: float
    difference: float
    low: float
    high: float
    """Ends of the interval of the difference, at `1 - significance`."""
    p_value: float
    """Two-sided; adjusted where categories are compared."""
    test: str
    significance: float
    margin: float | None
    """Loss that counts as not worse."""
    minimum_detectable: float | None
    """Difference that would be found in at least four of five cases."""
    records_needed: int | None
    """Records that would decide an undecided comparison, if the difference is as observed."""
    is_rate: bool
    only_candidate: int | None = None
    """Records that the candidate alone has right."""
    only_baseline: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as JSON values; an infinite end becomes null."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }

    def in_words(self, candidate: str = "the candidate", baseline: str = "the baseline") -> str:
        """Say the verdict, why, and what more data would decide.

        Args:
            candidate: Name of the model that is judged.
            baseline: Name of the other.
        """
        told = {
            "better": f"{candidate} is better than {baseline}",
            "not_worse": f"{candidate} is not worse than {baseline} by {self._shown(self.margin)}",
            "worse": f"{candidate} is worse than {baseline}",
            "undecided": f"it is undecided whether {candidate} or {baseline} is better",
        }[self.verdict]
        interval = self.difference_in_words()
        parts = [
            f"{told}: difference {interval} ({self.test}, p = {self.p_value:.3g}, "
            f"n = {self.records:,})"
        ]
        if self.minimum_detectable is not None:
            effect = self._shown(self.minimum_detectable)
            parts.append(f"a difference of {effect} would be found in at least four of five such "
                         "comparisons")  # fmt: skip
        if self.verdict == "undecided":
            parts.append(self._advice())
        return "; ".join(parts)

    def difference_in_words(self) -> str:
        """Say the difference and its interval."""
        level = f"{100 * (1 - self.significance):.3g} %"
        return (
            f"{self._signed(self.difference)}, {level} interval "
            f"{self._signed(self.low)} to {self._signed(self.high)}"
        )

    def _advice(self) -> str:
        if "seeds" in self.test:
            return "more records of the same kind, or more seeds, are needed"
        if self.records_needed is None:
            return "more records of the same kind are needed"
        if self.records_needed <= self.records:
            return "some more records of the same kind would decide"
        return f"about {self.records_needed:,} records would decide, if it is as observed"

    def _signed(self, value: float) -> str:
        return self._shown(value, sign="+")

    def _shown(self, value: float | None, sign: str = "") -> str:
        if value is None:
            return "nothing"
        if not math.isfinite(value):
            return "unknown"
        return f"{100 * value:{sign}.1f} points" if self.is_rate else f"{value:{sign}.3g}"


def compare_paired(
    paired: Paired,
    *,
    margin: float | None = None,
    lower_is_better: bool = False,
    significance: float = SIGNIFICANCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compare two models.

    Args:
        paired: Their outcomes.
        margin: Largest loss that counts as not worse, above 0, in the unit of the values (0.02 are
            two points of right answers); None leaves that verdict out.
        lower_is_better: Whether the values are errors.
        significance: Chance to call equal models different, above 0 and below 1.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        `better` and `worse` are significant differences. `not_worse` means that the interval ends
        above minus the margin, so a smaller loss may be there, and may even be significant.

    Raises:
        ConfigError: `margin` or `significance` is out of range.
    """
    _check(margin, significance)
    return _compared(paired, margin, lower_is_better, significance, resamples, seed)


def compare_by_category(
    paired: Paired,
    *,
    margin: float | None = None,
    lower_is_better: bool = False,
    significance: float = SIGNIFICANCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Comparison]:
    """Compare two models in each category; p-values and intervals hold for all of them together.

    Args:
        paired: Their outcomes with categories.
        margin: As for `compare_paired`.
        lower_is_better: As for `compare_paired`.
        significance: Chance to call equal models different in any category.
        resamples: As for `compare_paired`.
        seed: As for `compare_paired`.

    Returns:
        Category -> comparison, with p-values adjusted by Holm, and intervals and detectable effects
        at `significance` divided by the number of categories.
    """
    _check(margin, significance)
    names = sorted(set(paired.categories))
    share = significance / len(names)
    found = {
        name: _compared(paired.part(name), margin, lower_is_better, share, resamples, seed)
        for name in names
    }
    return adjusted(found, significance)


def adjusted(found: Mapping[str, Comparison], significance: float) -> dict[str, Comparison]:
    """Adjust the p-values of several comparisons by Holm, and judge them anew.

    Args:
        found: Comparisons at `significance` divided by their number.
        significance: Chance to call equal models different in any of them.
    """
    p_values = holm({name: one.p_value for name, one in found.items()})
    return {
        name: judged({**vars(one), "p_value": p_values[name]}, p_values[name] < significance)
        for name, one in found.items()
    }


def _compared(
    paired: Paired,
    margin: float | None,
    lower_is_better: bool,
    significance: float,
    resamples: int,
    seed: int,
) -> Comparison:
    one, other = paired.candidate, paired.baseline
    gains = (other - one) if lower_is_better else (one - other)
    count, sources = len(paired), len(np.unique(paired.sources))
    is_rate = bool(np.isin(one, (0, 1)).all() and np.isin(other, (0, 1)).all())
    values: dict[str, Any] = {
        "records": count,
        "sources": sources,
        "candidate": float(one.mean()),
        "baseline": float(other.mean()),
        "difference": float(gains.mean()),
        "significance": significance,
        "margin": margin,
        "is_rate": is_rate,
    }
    if is_rate:
        values |= {"only_candidate": int(((one == 1) & (other == 0)).sum()),
                   "only_baseline": int(((one == 0) & (other == 1)).sum())}  # fmt: skip
    if is_rate and sources == count:
        tested = _rates(paired, values, lower_is_better)
        error = mean_error(*cluster_sums(gains))
    else:
        tested = _means(paired, gains, significance, resamples, seed)
        error = tested.pop("standard_error")
    values |= tested
    values["records_needed"] = records_to_decide(
        values["difference"], error, count, margin=margin, significance=significance
    )
    return judged(values, values["p_value"] < significance)


def _rates(paired: Paired, values: dict[str, Any], lower_is_better: bool) -> dict[str, Any]:
    """Test right or wrong answers of independent records."""
    gained, lost = values["only_candidate"], values["only_baseline"]
    if lower_is_better:
        gained, lost = lost, gained
    count, significance = len(paired), values["significance"]
    both = int(((paired.candidate == 1) & (paired.baseline == 1)).sum())
    neither = count - both - gained - lost
    low, high = paired_rate_interval(both, gained, lost, neither, 1 - significance)
    return {
        "low": low,
        "high": high,
        "p_value": mcnemar_exact(gained, lost),
        "test": "exact McNemar",
        "minimum_detectable": detectable_rate_difference(
            (gained + lost) / count, count, significance
        ),
    }


def _means(
    paired: Paired, gains: np.ndarray[Any, Any], significance: float, resamples: int, seed: int
) -> dict[str, Any]:
    """Test means, or answers of which several come from one source record."""
    found = bootstrap_mean(
        gains, paired.sources, confidence=1 - significance, resamples=resamples, seed=seed
    )
    few = found.clusters < LEAST_SOURCES
    return {
        "low": -math.inf if few else found.low,
        "high": math.inf if few else found.high,
        "p_value": 1.0 if few else found.p_value,
        "test": f"paired bootstrap of {found.clusters:,} source records",
        "minimum_detectable": None
        if few
        else detectable_mean_difference(found.standard_error, found.clusters - 1, significance),
        "standard_error": found.standard_error,
    }


def judged(values: dict[str, Any], is_significant: bool) -> Comparison:
    """Add the verdict to the fields of a comparison.

    Args:
        values: All fields but `verdict`.
        is_significant: Whether a test found a difference.
    """
    verdict: Verdict = "undecided"
    margin = values["margin"]
    if is_significant and values["difference"] > 0:
        verdict = "better"
    elif margin is not None and values["low"] > -margin:
        verdict = "not_worse"
    elif is_significant and values["difference"] < 0:
        verdict = "worse"
    needed = values["records_needed"] if verdict == "undecided" else None
    return Comparison(**{**values, "verdict": verdict, "records_needed": needed})


def _check(margin: float | None, significance: float) -> None:
    faults = []
    if margin is not None and not 0 < margin < math.inf:
        faults.append(f"margin is {margin!r}; allowed is a number above 0, or None")
    if not 0 < significance < 1:
        faults.append(f"significance is {significance!r}; allowed is above 0 and below 1")
    if faults:
        raise ConfigError(faults)
