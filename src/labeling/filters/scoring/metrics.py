"""Metrics of a student against held-out oracle labels, and the report of the deployment gate.

Sizes: N articles, D dimensions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ....errors import DataError, EmptyDataError
from ...reports.score_agreement import score_agreement
from ..filter_config import OPERATING_POINT, FilterConfig
from .score_order import ROUNDING, tier_of

RECALL_AT: Final = (10, 20, 50)
NDCG_AT: Final = (10, 20)
_BANDS: Final = (0, 2, 4, 6, 8, 10)
Floats = NDArray[np.float64]


def compute_metrics(
    predictions: Sequence[Sequence[float]] | Floats,
    labels: Sequence[Sequence[float]] | Floats,
    dimension_names: Sequence[str],
    dimension_weights: Mapping[str, float] | Sequence[float] | None = None,
    *,
    operating_point: float = OPERATING_POINT,
) -> dict[str, float | int]:
    """Compare scores of a student with those of the oracle.

    Args:
        predictions: Scores of the student, (N, D), 0 to 10.
        labels: Scores of the oracle, (N, D).
        dimension_names: D names.
        dimension_weights: Weights of the average, by name or in order; None takes equal ones.
        operating_point: Weighted average from which a label is positive.

    Returns:
        `mae`, `rmse` and both per dimension (`<name>_mae`); and on weighted averages
        `recall_at_10/20/50` (share of the k truly highest among the k predicted highest, k at most
        N), `ndcg_at_10/20`, `mae_band_0_2` to `mae_band_8_10` with `n_band_*` (bands of the
        label; a band without articles has no error), `n_positives`, and with positives
        `recall_medium` and `fn_rate_medium`.

    Raises:
        DataError: Sizes differ, or a score is not finite.
        EmptyDataError: There are no articles.
    """
    own, true = (_matrix(one, len(dimension_names)) for one in (predictions, labels))
    if len(own) != len(true):
        raise DataError(f"there are {len(own)} predictions and {len(true)} labels")
    errors = own - true  # (N, D)
    found: dict[str, float | int] = {"mae": _mae(errors), "rmse": _rmse(errors)}
    for place, name in enumerate(dimension_names):
        found[f"{name}_mae"] = _mae(errors[:, place])
        found[f"{name}_rmse"] = _rmse(errors[:, place])
    weights = _weights(dimension_names, dimension_weights)
    return found | average_metrics(own @ weights, true @ weights, operating_point=operating_point)


def average_metrics(
    predicted: Sequence[float] | Floats,
    true: Sequence[float] | Floats,
    *,
    operating_point: float = OPERATING_POINT,
) -> dict[str, float | int]:
    """Compute the metrics of weighted averages, (N,) each; see `compute_metrics`."""
    p, t = (np.asarray(one, dtype=np.float64) for one in (predicted, true))
    found: dict[str, float | int] = {}
    for k in RECALL_AT:
        found[f"recall_at_{k}"] = recall_at(p, t, k)
    for k in NDCG_AT:
        found[f"ndcg_at_{k}"] = ndcg_at(p, t, k)
    for low, high in itertools.pairwise(_BANDS):
        inside = (t >= low) & ((t < high) | (high == _BANDS[-1]))
        found[f"n_band_{low}_{high}"] = int(inside.sum())
        if inside.any():
            found[f"mae_band_{low}_{high}"] = _mae((p - t)[inside])
    positive = t >= operating_point - ROUNDING
    found["n_positives"] = int(positive.sum())
    if positive.any():
        recall = float((p[positive] >= operating_point - ROUNDING).mean())
        found |= {"recall_medium": recall, "fn_rate_medium": 1.0 - recall}
    return found


def recall_at(predicted: Sequence[float] | Floats, true: Sequence[float] | Floats, k: int) -> float:
    """Share of the k truly highest among the k predicted highest; ties go to the earlier one.

    >>> recall_at([8, 3, 6, 5, 0], [9, 7, 5, 3, 1], 2)
    0.5
    """
    k = min(k, len(true))
    return len(set(_top(true, k)) & set(_top(predicted, k))) / k


def ndcg_at(predicted: Sequence[float] | Floats, true: Sequence[float] | Floats, k: int) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002); gain is the true score.

    >>> round(ndcg_at([8, 3, 6, 5, 0], [9, 7, 5, 3, 1], 3), 6)
    0.857892
    """
    gains = np.asarray(true, dtype=np.float64)
    k = min(k, len(gains))
    discounts = np.log2(np.arange(2, k + 2))
    best = float((gains[_top(true, k)] / discounts).sum())
    return float((gains[_top(predicted, k)] / discounts).sum()) / best if best > 0 else 1.0


def gate_report(
    predicted: Mapping[str, float],
    true: Mapping[str, float],
    config: FilterConfig,
    *,
    resamples: int = 1000,
    seed: int = 42,
) -> dict[str, Any]:
    """Judge a model on held-out oracle labels, as the deployment gate does.

    Args:
        predicted: Article id -> weighted average of the model.
        true: Article id -> weighted average of the oracle's labels.
        config: Its `pass_threshold` is the operating point; its tiers are compared.
        resamples: Of the bootstrap intervals, by article.
        seed: Of the bootstrap.

    Returns:
        `n`, `positives`, `recall`, `precision`, `specificity`, `f1`, `spearman`, `mae`, `tp`, `fn`,
        `fp`, `tn`; `recall_ci95`, `precision_ci95`, `mae_ci95`; `tier_accuracy`, `tiers` and
        `tier_confusion` (rows are the oracle's tiers); `only_predicted` and `only_labelled`, the
        ids that are on one side alone. What would divide by zero is None.

    Raises:
        EmptyDataError: No id is on both sides.
        DataError: A score is not finite.
    """
    ids = sorted(predicted.keys() & true.keys())
    if not ids:
        raise EmptyDataError("no article is both predicted and labelled")
    p, t = (np.array([one[i] for i in ids], dtype=np.float64) for one in (predicted, true))
    if not (np.isfinite(p).all() and np.isfinite(t).all()):
        raise DataError("a weighted average is not finite (not_finite)")
    passed, positive = (one >= config.pass_threshold - ROUNDING for one in (p, t))
    counts = _counts(passed, positive)
    names = [tier.name for tier in config.tiers]
    own, theirs = ([tier_of(float(one), config).name for one in ones] for ones in (p, t))
    names += [] if {*own, *theirs} <= set(names) else ["low"]
    confusion = [
        [
            sum(a == row and b == column for a, b in zip(theirs, own, strict=True))
            for column in names
        ]
        for row in names
    ]
    draws = np.random.default_rng(seed).integers(0, len(ids), (resamples, len(ids)))
    again = [_rates(_counts(passed[draw], positive[draw])) for draw in draws]
    return {
        "n": len(ids),
        "positives": int(positive.sum()),
        **_rates(counts),
        "spearman": score_agreement(t.tolist(), p.tolist())["spearman"],
        "mae": _mae(p - t),
        **counts,
        "recall_ci95": _interval([one["recall"] for one in again]),
        "precision_ci95": _interval([one["precision"] for one in again]),
        "mae_ci95": _interval([_mae((p - t)[draw]) for draw in draws]),
        "tier_accuracy": sum(a == b for a, b in zip(own, theirs, strict=True)) / len(ids),
        "tiers": names,
        "tier_confusion": confusion,
        "only_predicted": sorted(predicted.keys() - true.keys()),
        "only_labelled": sorted(true.keys() - predicted.keys()),
    }


def _counts(passed: NDArray[np.bool_], positive: NDArray[np.bool_]) -> dict[str, int]:
    return {
        "tp": int((passed & positive).sum()),
        "fn": int((~passed & positive).sum()),
        "fp": int((passed & ~positive).sum()),
        "tn": int((~passed & ~positive).sum()),
    }


def _rates(counts: Mapping[str, int]) -> dict[str, float | None]:
    tp, fn, fp, tn = (counts[name] for name in ("tp", "fn", "fp", "tn"))
    return {
        "recall": _share(tp, tp + fn),
        "precision": _share(tp, tp + fp),
        "specificity": _share(tn, tn + fp),
        "f1": _share(2 * tp, 2 * tp + fp + fn),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _interval(values: Sequence[float | None]) -> list[float] | None:
    known = [one for one in values if one is not None]
    return [float(one) for one in np.percentile(known, (2.5, 97.5))] if known else None


def _top(values: Sequence[float] | Floats, k: int) -> list[int]:
    order = np.argsort(-np.asarray(values, dtype=np.float64), kind="stable")
    return [int(one) for one in order[:k]]


def _matrix(values: Sequence[Sequence[float]] | Floats, width: int) -> Floats:
    made = np.asarray(values, dtype=np.float64)
    if made.size == 0:
        raise EmptyDataError("there are no scores to compare")
    if made.ndim != 2 or made.shape[1] != width:
        raise DataError(f"scores have the shape {made.shape}; (articles, {width}) is needed")
    if not np.isfinite(made).all():
        raise DataError("a score is not finite (not_finite)")
    return made


def _weights(names: Sequence[str], weights: Mapping[str, float] | Sequence[float] | None) -> Floats:
    if weights is None:
        return np.full(len(names), 1 / len(names))
    own = [weights[name] for name in names] if isinstance(weights, Mapping) else list(weights)
    if len(own) != len(names):
        raise DataError(f"there are {len(own)} weights for {len(names)} dimensions")
    return np.asarray(own, dtype=np.float64)


def _mae(errors: Floats) -> float:
    return float(np.abs(errors).mean())


def _rmse(errors: Floats) -> float:
    return math.sqrt(float((errors**2).mean()))
