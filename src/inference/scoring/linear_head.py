"""A linear classifier on fixed vectors: logistic regression, on labels or on soft targets.

    head = fit_head(vectors, targets)
    head.probabilities(others)

It is the baseline that every tuned student has to beat, and the head that a tuned encoder starts
from: a random head would bend the encoder before it has learned anything (Kumar et al. 2022,
arXiv 2202.10054).

Sizes: N texts, D width of the vectors, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

STRENGTHS: Final = (1.0, 10.0, 100.0, 1000.0)
"""Of the data against the regularisation, for vectors of length 1; scikit-learn calls it C."""
FOLDS: Final = 3
MOST_STEPS: Final = 60


@dataclass(frozen=True)
class LinearHead:
    """Logits of C classes from a vector."""

    weight: Tensor
    """(C, D)."""
    bias: Tensor
    """(C,)."""
    strength: float
    """Of the data against the regularisation."""

    def logits(self, vectors: Tensor) -> Tensor:
        """Give logits (N, C) of vectors (N, D)."""
        return functional.linear(vectors, self.weight, self.bias)

    def probabilities(self, vectors: Tensor) -> Tensor:
        """Give probabilities (N, C) of vectors (N, D)."""
        return self.logits(vectors).softmax(dim=-1)


def fit_head(
    vectors: Tensor, targets: Tensor, *, strengths: Sequence[float] = STRENGTHS
) -> LinearHead:
    """Fit multinomial logistic regression.

    Args:
        vectors: (N, D) float32, of length 1.
        targets: (N, C) probabilities, of length N; labels are one-hot.
        strengths: Tried by cross-validation, unless it is one; the likeliest is taken.

    Returns:
        The head. A class without a target has low logits everywhere.
    """
    chosen = strengths[0]
    if len(strengths) > 1 and len(vectors) >= 2 * FOLDS:
        chosen = min(strengths, key=lambda strength: _left_out_loss(vectors, targets, strength))
    return _fit(vectors, targets, chosen)


def _left_out_loss(vectors: Tensor, targets: Tensor, strength: float) -> float:
    """Cross-entropy of each fold under a head that was fitted without it."""
    generator = torch.Generator().manual_seed(0)
    fold = torch.randperm(len(vectors), generator=generator) % FOLDS
    total = 0.0
    for number in range(FOLDS):
        inside = fold == number
        head = _fit(vectors[~inside], targets[~inside], strength)
        total += _cross_entropy(head.logits(vectors[inside]), targets[inside]).sum().item()
    return total


def _fit(vectors: Tensor, targets: Tensor, strength: float) -> LinearHead:
    """Minimise strength x the sum of cross-entropies + |weight|^2 / 2, by L-BFGS."""
    classes, width = targets.shape[1], vectors.shape[1]
    weight = torch.zeros(classes, width, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=MOST_STEPS, history_size=10, line_search_fn="strong_wolfe"
    )
    n = len(vectors)

    def loss() -> Tensor:
        optimizer.zero_grad()
        fit = _cross_entropy(functional.linear(vectors, weight, bias), targets).mean()
        value = fit + weight.square().sum() / (2.0 * strength * n)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return LinearHead(weight.detach(), bias.detach(), strength)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Per row (N,), of logits and probabilities (N, C)."""
    return -(targets * logits.log_softmax(dim=-1)).sum(dim=-1)
