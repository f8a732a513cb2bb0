"""Ridge regression of several targets, with weights per example and its strength by validation.

Minimises  sum_n w_n (y_n - x_n b - a)^2 + strength |b|^2  for each target; a is not penalised, and
the weights are scaled to mean 1. The strength of each target is the one with the least absolute
error on validation.

Source: Hoerl and Kennard 1970. Sizes: N examples, V features, D targets, S strengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ...errors import ConfigError
from ...inference.score_students.protocol import Floats

STRENGTHS: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
MOST_STEPS: Final = 200
TOLERANCE: Final = 1e-5
"""Residual of the conjugate gradients against the right side, at which they end."""


@dataclass(frozen=True)
class RidgeFit:
    """A linear map and how it was chosen."""

    weight: Floats
    """(V, D)."""
    bias: Floats
    """(D,)."""
    strengths: tuple[float, ...]
    """Of each target."""
    val_mae: Floats
    """(D,), on validation."""

    def predict(self, features: Any) -> Floats:  # noqa: ANN401 - dense or sparse
        """Give (N, D) of features (N, V)."""
        made: Floats = features @ self.weight + self.bias
        return made


def fit_ridge(
    features: Any,  # noqa: ANN401 - dense or sparse
    targets: Floats,
    weights: Floats,
    val_features: Any,  # noqa: ANN401
    val_targets: Floats,
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> RidgeFit:
    """Fit all strengths, and keep for each target the best on validation.

    Args:
        features: (N, V), a dense array or a sparse one of scipy.
        targets: (N, D).
        weights: (N,), 0 or more.
        val_features: Of validation, which decides between strengths alone.
        val_targets: Of validation.
        strengths: Candidates, above 0.

    Raises:
        ConfigError: There is no strength above 0.
    """
    if not strengths or min(strengths) <= 0:
        raise ConfigError([f"strengths are {list(strengths)!r}; allowed are numbers above 0"])
    share = weights / weights.mean()
    solve = _dense_solver if isinstance(features, np.ndarray) else _sparse_solver
    middle, centre, solved = solve(features, targets, share)
    best: RidgeFit | None = None
    for strength in sorted(strengths, reverse=True):
        slopes = solved(strength)
        bias = centre - middle @ slopes
        errors = np.abs(val_features @ slopes + bias - val_targets).mean(axis=0)
        tried = RidgeFit(slopes, bias, (strength,) * targets.shape[1], errors)
        best = tried if best is None else _better(best, tried)
    assert best is not None
    return best


def _better(one: RidgeFit, other: RidgeFit) -> RidgeFit:
    """Take each target from the fit whose error is smaller; the stronger penalty where equal."""
    takes = other.val_mae < one.val_mae
    return RidgeFit(
        np.where(takes, other.weight, one.weight),
        np.where(takes, other.bias, one.bias),
        tuple(np.where(takes, other.strengths, one.strengths).tolist()),
        np.where(takes, other.val_mae, one.val_mae),
    )


_Solver = tuple[Floats, Floats, Callable[[float], Floats]]
"""Means of features (V,) and targets (D,), and strength -> slopes (V, D)."""


def _dense_solver(features: Floats, targets: Floats, share: Floats) -> _Solver:
    """One decomposition of X'WX serves all strengths."""
    n = len(share)
    middle, centre = share @ features / n, share @ targets / n
    x = (features - middle).astype(np.float64)
    values, vectors = np.linalg.eigh((x.T * share) @ x)
    turned = vectors.T @ ((x.T * share) @ (targets - centre))
    positive = np.maximum(values, 0.0)[:, None]
    return middle, centre, lambda strength: vectors @ (turned / (positive + strength))


def _sparse_solver(features: Any, targets: Floats, share: Floats) -> _Solver:  # noqa: ANN401
    """Conjugate gradients on X'WX + strength, with the mean taken off without filling X.

    Each strength starts from the solution of the one before, which is the next stronger.
    """
    n = len(share)
    middle, centre = features.T @ share / n, share @ targets / n
    right = features.T @ (share[:, None] * (targets - centre))
    right -= np.outer(middle, share @ (targets - centre))
    state = np.zeros_like(right)

    def product(slopes: Floats, strength: float) -> Floats:
        rows = share[:, None] * (features @ slopes - middle @ slopes)
        made: Floats = features.T @ rows - np.outer(middle, rows.sum(axis=0)) + strength * slopes
        return made

    def solved(strength: float) -> Floats:
        nonlocal state
        state = _conjugate_gradients(lambda slopes: product(slopes, strength), right, state)
        return state

    return middle, centre, solved


def _conjugate_gradients(product: Callable[[Floats], Floats], right: Floats, x: Floats) -> Floats:
    """Solve for all targets side by side (Hestenes and Stiefel 1952)."""
    rest = right - product(x)
    step = rest.copy()
    square = (rest * rest).sum(axis=0)
    goal = TOLERANCE**2 * (right * right).sum(axis=0)
    for _ in range(MOST_STEPS):
        if (square <= goal).all():
            break
        pushed = product(step)
        along = np.maximum((step * pushed).sum(axis=0), np.finfo(np.float64).tiny)
        x = x + step * (square / along)
        rest = rest - pushed * (square / along)
        fresh = (rest * rest).sum(axis=0)
        step = rest + step * (fresh / np.maximum(square, np.finfo(np.float64).tiny))
        square = fresh
    return x
