"""May a new model replace the one that runs? `judge_promotion`, for students of every kind.

runs = align_runs([new_seed0, new_seed1, new_seed2], [running])
found = judge_promotion(runs, PromotionRules(most_bytes=20_000_000), Costs(bytes=5_000_000))
found.promoted, found.reasons

It is promoted where every condition is met: better than the running model (or not worse by a
margin) over records and seeds, no category worse than a bound, size and speed within a budget. A
number that a rule asks for and that is not known misses its condition.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..errors import ConfigError
from .statistics.alignment import PairedRuns
from .statistics.comparison import SIGNIFICANCE, Comparison
from .statistics.seeds import LEAST_RUNS, compare_runs, compare_runs_by_category

LEAST_CATEGORY: Final = 20
"""Smaller categories are not judged by themselves."""
Demand = Literal["better", "not_worse"]


@dataclass(frozen=True)
class PromotionRules:
    """What is demanded of a new model.

    Raises:
        ConfigError: Values are out of range; lists all faults.
    """

    demand: Demand = "better"
    """`better`: a significant gain. `not_worse`: better, or shown to lose less than `margin`; for a
    model that is wanted for another reason, such as its size."""
    margin: float = 0.02
    """Loss that counts as not worse, above 0, in the unit of the values (0.02 are two points of
    right answers)."""
    category_bound: float = 0.05
    """Largest loss of a category as observed, 0 or more, in the same unit. Where `better` is
    demanded, a category must not lose significantly (Holm) either; where `not_worse` is, it may
    where the loss is shown to be within the bound."""
    least_runs: int = LEAST_RUNS
    """Least runs of the new model with different seeds: 1, or 3 and more. One lucky seed is no
    better recipe."""
    most_bytes: int | None = None
    """Largest size on disk."""
    least_tokens_per_second: float | None = None
    """Lowest speed of decoding, one prompt at a time."""
    most_ms: float | None = None
    """Longest time of a question in milliseconds."""
    lower_is_better: bool = False
    """Whether the values are errors."""
    significance: float = SIGNIFICANCE
    """Chance to call equal models different; half of it on the better side."""

    def __post_init__(self) -> None:
        """Check the values."""
        faults = []
        if self.demand not in ("better", "not_worse"):
            faults.append(f"demand is {self.demand!r}; allowed are better, not_worse")
        if not 0 <= self.category_bound < math.inf:
            faults.append(f"category_bound is {self.category_bound!r}; allowed is 0 or more")
        if self.least_runs != 1 and self.least_runs < LEAST_RUNS:
            faults.append(
                f"least_runs is {self.least_runs!r}; allowed are 1, {LEAST_RUNS} and more"
            )
        for name in ("margin", "most_bytes", "least_tokens_per_second", "most_ms"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                faults.append(f"{name} is {value!r}; allowed is a number above 0")
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True)
class Costs:
    """What a model costs, as it was measured; None where it was not."""

    bytes: int | None = None
    """Size on disk."""
    tokens_per_second: float | None = None
    """Speed of decoding, one prompt at a time."""
    ms: float | None = None
    """Time of a question in milliseconds."""


@dataclass(frozen=True)
class Condition:
    """One condition, and what was found."""

    name: str
    """`seeds`, `quality`, `category: <name>`, `size`, `speed`, `time`, or one of the caller's."""
    met: bool
    reason: str
    """What was found, in words."""
    found: float | None = None
    """The number that was judged; None where it is not known."""
    limit: float | None = None
    """The number that it was held against."""

    def in_words(self) -> str:
        """Say whether it is met, and why."""
        return f"{'met' if self.met else 'missed'}: {self.reason}"


@dataclass(frozen=True)
class Promotion:
    """Whether the new model replaces the running one."""

    promoted: bool
    conditions: tuple[Condition, ...]
    overall: Comparison
    categories: Mapping[str, Comparison]
    """Of those that were judged."""
    not_judged: tuple[str, ...] = ()
    """Categories with fewer than `LEAST_CATEGORY` records."""

    @property
    def reasons(self) -> list[str]:
        """Each condition in words."""
        return [one.in_words() for one in self.conditions]

    def in_words(self, candidate: str = "the candidate") -> str:
        """Say the verdict in one sentence."""
        if self.promoted:
            return f"{candidate} is promoted: all {len(self.conditions)} conditions are met"
        missed = [one.name for one in self.conditions if not one.met]
        return f"{candidate} is not promoted; missed: {', '.join(missed)}"

    def to_dict(self) -> dict[str, Any]:
        """Give the verdict as JSON values."""
        return {
            "schema_version": 1,
            "promoted": self.promoted,
            "conditions": [dict(vars(one)) for one in self.conditions],
            "overall": self.overall.to_dict(),
            "categories": {name: one.to_dict() for name, one in self.categories.items()},
            "not_judged": list(self.not_judged),
        }


def judge_promotion(
    runs: PairedRuns,
    rules: PromotionRules | None = None,
    costs: Costs | None = None,
    *,
    candidate: str = "the candidate",
    baseline: str = "the running model",
) -> Promotion:
    """Judge whether a new model replaces the running one.

    Args:
        runs: Values of both on the same frozen records, from `align_runs`; the candidate's first
            run is the one to deploy.
        rules: What is demanded; None for the defaults.
        costs: Of the candidate's first run; needed where the rules set a budget.
        candidate: Name of the new model, for the reasons.
        baseline: Name of the running one.

    Raises:
        ConfigError: There are two runs of the candidate, or several of the baseline and fewer than
            three of the candidate.
    """
    rules, costs = rules or PromotionRules(), costs or Costs()
    options: dict[str, Any] = {
        "lower_is_better": rules.lower_is_better, "significance": rules.significance
    }  # fmt: skip
    is_better = rules.demand == "better"
    overall = compare_runs(runs, margin=None if is_better else rules.margin, **options)
    large, small = _by_size(runs)
    categories: dict[str, Comparison] = {}
    if len(large) > 1:
        bound = None if is_better or not rules.category_bound else rules.category_bound
        categories = compare_runs_by_category(runs.part(*large), margin=bound, **options)
    wanted = ("better",) if is_better else ("better", "not_worse")
    count, words = len(runs.candidate), (candidate, baseline)
    conditions = [
        Condition("seeds", count >= rules.least_runs,
                  f"{count} {'run' if count == 1 else 'runs'} of the candidate, each with its own "
                  f"seed; at least {rules.least_runs} needed", count, rules.least_runs),
        Condition("quality", overall.verdict in wanted, overall.in_words(*words),
                  overall.difference, 0.0 if is_better else -rules.margin),
        *(Condition(f"category: {name}",
                    one.verdict != "worse" and one.difference >= -rules.category_bound,
                    f"{name or 'no category'}: {one.in_words(*words)}",
                    one.difference, -rules.category_bound)
          for name, one in categories.items()),
        *_within_budget(rules, costs),
    ]  # fmt: skip
    return Promotion(all(one.met for one in conditions), tuple(conditions), overall, categories,
                     tuple(small) if categories else ())  # fmt: skip


def _by_size(runs: PairedRuns) -> tuple[list[str], list[str]]:
    """List the categories that are large enough to be judged, and the others."""
    counts = sorted(Counter(runs.categories).items())
    return ([name for name, count in counts if count >= LEAST_CATEGORY],
            [name for name, count in counts if count < LEAST_CATEGORY])  # fmt: skip


def _within_budget(rules: PromotionRules, costs: Costs) -> list[Condition]:
    """Judge size, speed and time, where the rules ask for them."""
    found = []
    for name, value, limit, is_most, unit in (
        ("size", costs.bytes, rules.most_bytes, True, "bytes on disk"),
        ("speed", costs.tokens_per_second, rules.least_tokens_per_second, False,
         "tokens per second"),
        ("time", costs.ms, rules.most_ms, True, "ms a question"),
    ):  # fmt: skip
        if limit is None:
            continue
        allowed = f"{'at most' if is_most else 'at least'} {limit:,.10g} {unit}"
        if value is None:
            found.append(Condition(name, False, f"not known; {allowed} allowed", None, limit))
            continue
        met = value <= limit if is_most else value >= limit
        told = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        found.append(Condition(name, met, f"{told} {unit}; {allowed} allowed", value, limit))
    return found
