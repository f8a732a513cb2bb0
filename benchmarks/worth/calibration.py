"""Measure how well a model's probabilities are calibrated.

Sizes: N answers, C classes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS: Final = 15
LEAST_PROBABILITY: Final = 1e-12
"""Floor inside of logarithms."""


def expected_calibration_error(confidence: Floats, correct: Floats, *, bins: int = BINS) -> float:
    """Compare confidence with the rate of right answers, in bins of equally many answers.

    Naeini et al. 2015 (AAAI), with equal-mass bins as Nixon et al. 2019 (arXiv 1904.01685): none of
    them is empty.

    Args:
        confidence: (N,) of the given answers, 0 to 1.
        correct: (N,) 1 where the answer is right, else 0.
        bins: At most; fewer where there are fewer answers.

    Returns:
        Mean distance, weighted by the bins' sizes, 0 to 1.
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [abs(confidence[part].mean() - correct[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(order))


def class_scores(log_likelihood: Floats, labels: NDArray[np.int64]) -> dict[str, float]:
    """Score the probabilities of a closed set of classes.

    Args:
        log_likelihood: (N, C); brought to sum 1 over the classes.
        labels: (N,) right classes.

    Returns:
        `accuracy`, `ece`, `brier` (sum over classes, 0 to 2), `nll` in nats, `confidence` (mean
        probability of the chosen class).
    """
    shifted = log_likelihood - log_likelihood.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    chosen = p.argmax(axis=1)
    correct = (chosen == labels).astype(np.float64)
    confidence = p[np.arange(len(p)), chosen]
    onehot = np.eye(p.shape[1])[labels]  # (N, C)
    return {
        "accuracy": float(correct.mean()),
        "ece": expected_calibration_error(confidence, correct),
        "brier": float(((p - onehot) ** 2).sum(axis=1).mean()),
        "nll": float(-log_p[np.arange(len(p)), labels].mean()),
        "confidence": float(confidence.mean()),
    }


def answer_scores(confidence: Floats, correct: Floats) -> dict[str, float]:
    """Score free answers with the probability that the model gave to its answer.

    Args:
        confidence: (N,) 0 to 1.
        correct: (N,) 1 where the answer is right, else 0.

    Returns:
        As `class_scores`, over the two outcomes right and wrong; `brier` is 0 to 1.
    """
    clipped = np.clip(confidence, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    log_loss = -(correct * np.log(clipped) + (1.0 - correct) * np.log1p(-clipped))
    return {
        "accuracy": float(correct.mean()),
        "ece": expected_calibration_error(confidence, correct),
        "brier": float(((confidence - correct) ** 2).mean()),
        "nll": float(log_loss.mean()),
        "confidence": float(confidence.mean()),
    }
