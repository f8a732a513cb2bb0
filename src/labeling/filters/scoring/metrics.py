"""Metrics of a student against held-out oracle labels.

Sizes: N articles, D dimensions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ....errors import DataError, EmptyDataError
from ..filter_config import OPERATING_POINT
from .score_order import ROUNDING

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
