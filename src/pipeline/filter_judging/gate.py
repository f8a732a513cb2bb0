"""The deployment gate: may a student be used? Judged on held-out oracle labels alone.

found = judge_gate({"old": old, "new": new}, labels, config)
found.passed, found.reasons

How far the new student agrees with the old one is never asked: a better student must differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ...errors import ConfigError, DataError, EmptyDataError
from ...evaluation.statistics.comparison import Comparison, compare_paired
from ...evaluation.statistics.paired_tests import SEED, bootstrap_mean
from ...labeling.filters.filter_config import FilterConfig
from ...labeling.filters.scoring.score_order import ROUNDING, tier_of
from ...labeling.reports.score_agreement import score_agreement
from ...rate_interval import rate_with_interval
from .evaluation import paired_values, pass_rates, tier_confusion

MARGIN: Final = 0.1
"""Points of the weighted average by which a student may be worse than its predecessor."""
Averages = Mapping[str, float]


@dataclass(frozen=True)
class GateVerdict:
    """Whether the candidate may be deployed."""

    passed: bool
    candidate: str
    reasons: list[str]
    """Each condition, with what was found."""
    models: dict[str, dict[str, Any]]
    """Name -> report of that model."""
    against_baseline: Comparison
    against_predecessor: Comparison | None = None
    threshold: float = 0.0
    """Weighted average from which an article passes."""

    def to_dict(self) -> dict[str, Any]:
        """Give the report as JSON values."""
        previous = self.against_predecessor
        return {
            "schema_version": 1,
            "passed": self.passed,
            "candidate": self.candidate,
            "threshold": self.threshold,
            "reasons": list(self.reasons),
            "models": self.models,
            "against_baseline": self.against_baseline.to_dict(),
            "against_predecessor": None if previous is None else previous.to_dict(),
        }


def gate_report(
    predicted: Averages, true: Averages, config: FilterConfig, *, seed: int = SEED
) -> dict[str, Any]:
    """Measure a model on held-out oracle labels.

    Args:
        predicted: Article id -> weighted average of the model.
        true: Article id -> weighted average of the oracle's labels.
        config: Its `pass_threshold` is the operating point; its tiers are compared.
        seed: Of the bootstrap of the mean error.

    Returns:
        `n`, `positives`, `recall`, `precision`, `specificity` with `<name>_ci95`, `f1`, `spearman`,
        `mae`, `mae_ci95`, `tp`, `fn`, `fp`, `tn`; `tier_accuracy` with its interval, `tiers` and
        `tier_confusion` (rows are the oracle's tiers); `only_predicted` and `only_labelled`, the
        ids that are on one side alone. What would divide by zero is None.

    Raises:
        EmptyDataError: No id is on both sides.
        DataError: A weighted average is not finite.
    """
    ids = sorted(predicted.keys() & true.keys())
    if not ids:
        raise EmptyDataError("no article is both predicted and labelled")
    p, t = (np.array([one[i] for i in ids], dtype=np.float64) for one in (predicted, true))
    if not (np.isfinite(p).all() and np.isfinite(t).all()):
        raise DataError("a weighted average is not finite (not_finite)")
    passed, positive = (one >= config.pass_threshold - ROUNDING for one in (p, t))
    own, theirs = ([tier_of(float(one), config).name for one in ones] for ones in (p, t))
    tiers = tier_confusion(theirs, own, config)
    error = bootstrap_mean(np.abs(p - t), seed=seed)
    return {
        "n": len(ids),
        **pass_rates(passed, positive),
        "spearman": score_agreement(t.tolist(), p.tolist())["spearman"],
        "mae": error.mean,
        "mae_ci95": [error.low, error.high] if math.isfinite(error.low) else None,
        **rate_with_interval("tier_accuracy", sum(map(str.__eq__, own, theirs)), len(ids)),
        "tiers": tiers["names"],
        "tier_confusion": tiers["confusion"],
        "only_predicted": sorted(predicted.keys() - true.keys()),
        "only_labelled": sorted(true.keys() - predicted.keys()),
    }


def judge_gate(
    models: Mapping[str, Averages],
    true: Averages,
    config: FilterConfig,
    *,
    margin: float = MARGIN,
    min_recall: float | None = None,
    seed: int = SEED,
) -> GateVerdict:
    """Judge the last of some models.

    Args:
        models: Name -> weighted averages by article id; the last is the candidate, the one before
            it, where there is one, its predecessor.
        true: Weighted averages of held-out oracle labels.
        config: `training.expected_mae` is a condition where it is given.
        margin: Points by which the candidate may be worse than its predecessor, above 0.
        min_recall: Least share of the good articles that must pass, 0 to 1; None sets no condition.
        seed: Of the bootstrap.

    Returns:
        Passed where the candidate scores every labelled article, its error is below that of the
        mean of the labels beyond chance, no condition is missed, and it is better or not worse
        than its predecessor.

    Raises:
        ConfigError: There is no model, or an option is out of range.
        EmptyDataError: A model has no article of the labels.
    """
    faults = [] if models else ["model is needed: name=file"]
    if min_recall is not None and not 0 <= min_recall <= 1:
        faults.append(f"min_recall is {min_recall!r}; allowed is 0 to 1")
    if faults:
        raise ConfigError(faults)
    reports = {name: gate_report(own, true, config, seed=seed) for name, own in models.items()}
    *earlier, candidate = models
    report = reports[candidate]
    middle = float(np.mean(list(true.values())))
    constant = dict.fromkeys(true, middle)
    baseline = _errors_compared(models[candidate], constant, true, None, seed)
    checks = [
        (not report["only_labelled"],
         f"{len(report['only_labelled']):,} of {len(true):,} labelled articles have no score"),
        (baseline.verdict == "better", baseline.in_words(candidate, "the mean of the labels")),
    ]  # fmt: skip
    checks += _conditions(report, config, min_recall)
    previous = None
    if earlier:
        previous = _errors_compared(models[candidate], models[earlier[-1]], true, margin, seed)
        checks.append((previous.verdict in ("better", "not_worse"),
                       previous.in_words(candidate, earlier[-1])))  # fmt: skip
    reasons = [f"{'met' if fine else 'missed'}: {told}" for fine, told in checks]
    return GateVerdict(
        all(fine for fine, _ in checks), candidate, reasons, reports, baseline, previous,
        config.pass_threshold,
    )  # fmt: skip


def _conditions(
    report: Mapping[str, Any], config: FilterConfig, min_recall: float | None
) -> list[tuple[bool, str]]:
    checks = []
    expected = config.training.get("expected_mae")
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        told = f"MAE is {report['mae']:.3f}, config.yaml expects {expected:g}"
        checks.append((report["mae"] <= expected, told))
    if min_recall is not None:
        recall = report["recall"]
        told = "unknown, as no label passes" if recall is None else f"{recall:.3f}"
        checks.append((recall is not None and recall >= min_recall,
                       f"recall is {told}, at least {min_recall:g} is needed"))  # fmt: skip
    return checks


def _errors_compared(
    own: Averages, other: Averages, true: Averages, margin: float | None, seed: int
) -> Comparison:
    """Compare absolute errors on the labelled articles that both models score."""
    ids = sorted(own.keys() & other.keys() & true.keys())
    if not ids:
        raise EmptyDataError("no labelled article is scored by both models")
    one, two = (np.array([abs(side[i] - true[i]) for i in ids]) for side in (own, other))
    return compare_paired(paired_values(ids, one, two), margin=margin, lower_is_better=True,
                          seed=seed)  # fmt: skip
