"""May a renewed student replace the one that runs? Through the gate, and over several seeds.

found = judge_promotion(new_runs, old_runs, labels, config)
found.promoted, found.reasons

Both sides are scored on the frozen test articles. A renewal is promoted where it is better beyond
the chance of articles and of seeds; being not worse is no reason to change what runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ...errors import ConfigError, DataError
from ...evaluation.promotion import Condition, PromotionRules
from ...evaluation.promotion import judge_promotion as judge_promotion_of_runs
from ...evaluation.statistics.alignment import PairedRuns
from ...evaluation.statistics.comparison import SIGNIFICANCE, Comparison
from ...evaluation.statistics.paired_tests import SEED
from ...evaluation.statistics.seeds import LEAST_RUNS, compare_over_seeds
from ...labeling.filters.filter_config import FilterConfig
from ...labeling.filters.scoring.score_order import ROUNDING
from .gate import MARGIN, Averages, GateVerdict, judge_gate

CATEGORY_BOUND: Final = 0.3
"""Points by which the error of a category may grow as observed."""
Runs = Sequence[Averages]
_SHOWN: Final = 3


@dataclass(frozen=True)
class Promotion:
    """Whether a renewed student replaces the running one."""

    promoted: bool
    reasons: list[str]
    """Each condition, with what was found."""
    errors: Comparison
    """Of absolute errors of the weighted average, over articles and seeds."""
    verdicts: Comparison
    """Of right verdicts, pass or block."""
    categories: dict[str, Comparison]
    gate: GateVerdict
    """Of the first run of each side, which are the ones that are deployed."""

    def to_dict(self) -> dict[str, Any]:
        """Give the report as JSON values."""
        return {
            "schema_version": 1,
            "promoted": self.promoted,
            "reasons": list(self.reasons),
            "errors": self.errors.to_dict(),
            "verdicts": self.verdicts.to_dict(),
            "categories": {name: one.to_dict() for name, one in self.categories.items()},
            "gate": self.gate.to_dict(),
        }


def judge_promotion(
    renewed: Runs,
    running: Runs,
    true: Averages,
    config: FilterConfig,
    *,
    categories: Mapping[str, str] | None = None,
    category_bound: float = CATEGORY_BOUND,
    margin: float = MARGIN,
    min_recall: float | None = None,
    significance: float = SIGNIFICANCE,
    seed: int = SEED,
) -> Promotion:
    """Judge a renewal.

    Args:
        renewed: Weighted averages by article id of at least three runs, each with its own seed;
            the first is the one to deploy.
        running: The same of the running student; further seeds of its recipe narrow the doubt.
        true: Weighted averages of the frozen test labels.
        config: Of the filter.
        categories: Article id -> part of the data, such as its language.
        category_bound: Points by which the error of a category may grow, above 0.
        margin: As for the gate.
        min_recall: As for the gate.
        significance: Chance to call equal recipes different; half of it on the better side.
        seed: Of the bootstrap.

    Returns:
        Promoted where the errors are smaller over articles and seeds, the verdicts are not worse,
        no category loses more than the bound or significantly, and the first run passes the gate.

    Raises:
        ConfigError: There are fewer than three renewed runs, or no running one.
        DataError: A run lacks an article of the test labels; names some.
    """
    if len(renewed) < LEAST_RUNS or not running:
        raise ConfigError([f"there are {len(renewed)} renewed runs and {len(running)} running; at "
                           f"least {LEAST_RUNS} and 1 are needed"])  # fmt: skip
    ids = sorted(true)
    sides = {"renewed": renewed, "running": running}
    for name, runs in sides.items():
        for number, run in enumerate(runs, start=1):
            missing = [one for one in ids if one not in run]
            if missing:
                raise DataError(f"run {number} of the {name} student lacks {len(missing):,} of "
                                f"{len(ids):,} test articles: "
                                f"{', '.join(missing[:_SHOWN])}")  # fmt: skip
    t = np.array([true[one] for one in ids])
    own, other = (np.array([[run[one] for one in ids] for run in runs]) for runs in sides.values())
    names = ("the renewal", "the running student")
    parts = tuple("" if categories is None else categories.get(one, "") for one in ids)
    errors = judge_promotion_of_runs(
        PairedRuns(tuple(ids), np.abs(own - t), np.abs(other - t), np.arange(len(ids)), parts),
        PromotionRules(category_bound=category_bound, lower_is_better=True,
                       significance=significance),
        candidate=names[0], baseline=names[1],
    )  # fmt: skip
    line = config.pass_threshold - ROUNDING
    right = [((side >= line) == (t >= line)).astype(float) for side in (own, other)]
    verdicts = compare_over_seeds(*right, significance=significance)
    gate = judge_gate({"running": running[0], "renewed": renewed[0]}, true, config,
                      margin=margin, min_recall=min_recall, seed=seed)  # fmt: skip
    quality, *by_category = [one for one in errors.conditions if one.name != "seeds"]
    conditions = (
        quality,
        Condition("verdicts", verdicts.verdict != "worse",
                  f"pass or block: {verdicts.in_words(*names)}", verdicts.difference),
        *by_category,
        Condition("gate", gate.passed, "the gate: " + "; ".join(gate.reasons)),
    )  # fmt: skip
    return Promotion(
        all(one.met for one in conditions), [one.in_words() for one in conditions],
        errors.overall, verdicts, dict(errors.categories), gate,
    )  # fmt: skip
