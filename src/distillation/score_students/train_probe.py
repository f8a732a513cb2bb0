"""Train the first stage of a cascade, and choose the threshold below which nothing is read again.

probe = train_probe(train, val, facts, weights={"joy": 0.6, "reach": 0.4}, encoder="minilm")
probe.threshold

With the objective `regression` the probe learns the scores. With `recall` it learns to tell whether
the weighted average reaches the operating point, and a missed article costs more than one that
stage 2 reads for nothing.

Sizes: N texts, E width of the encoder, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...errors import ConfigError, require_settings
from ...inference.score_students.base_model import TextCut, TextReader, name_base
from ...inference.score_students.probe_student import DROPOUT, HIDDEN_SIZES, MLPProbe, ProbeStudent
from ...inference.score_students.protocol import Floats, StudentFacts
from .score_examples import ScoreExamples

Objective = Literal["regression", "recall"]
ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class ProbeSettings:
    """How a probe is trained."""

    objective: Objective = "regression"
    target_fn: float = 0.02
    """Share of the articles that pass which stage 1 may drop, on validation; 0 to below 1."""
    wa_scale: float = 2.0
    """With `recall`: factor of the distance from the operating point, before the sigmoid."""
    aux_l1_weight: float = 0.1
    """With `recall`: weight of the absolute error of the scores beside."""
    epochs: int = 60
    learning_rate: float = 1e-3
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse wrong settings, all at once.

        Raises:
            ConfigError: A value is out of range.
        """
        require_settings(
            self,
            [
                ("objective", self.objective in ("regression", "recall"), "regression or recall"),
                ("target_fn", 0 <= self.target_fn < 1, "0 to below 1"),
                ("wa_scale", self.wa_scale > 0, "above 0"),
                ("aux_l1_weight", self.aux_l1_weight >= 0, "0 or more"),
                ("epochs", self.epochs >= 1, "1 or more"),
                ("learning_rate", self.learning_rate > 0, "above 0"),
                ("batch_size", self.batch_size >= 1, "1 or more"),
            ],
        )


def train_probe(
    train: ScoreExamples,
    val: ScoreExamples,
    facts: StudentFacts,
    *,
    weights: Mapping[str, float],
    operating_point: float,
    encoder: str = "minilm",
    settings: ProbeSettings | None = None,
    averages: Callable[[Floats], Floats] | None = None,
    device: str | None = None,
) -> ProbeStudent:
    """Train on `train`; `val` chooses the epoch and the threshold.

    Args:
        train: Scored texts.
        val: Others.
        facts: Of the filter.
        weights: Dimension -> share in the weighted average.
        operating_point: Weighted average from which an article passes.
        encoder: Name or folder of the encoder, which is not tuned.
        settings: Objective, target and so on.
        averages: Scores (N, D) -> weighted averages (N,) by the filter's full order of operations,
            for the threshold; None takes the plain sum.
        device: Torch device of the encoder.

    Raises:
        ConfigError: A weight is missing.
        ModelNotFoundError: The encoder is not on this machine.
    """
    settings = settings or ProbeSettings()
    missing = [name for name in facts.dimensions if name not in weights]
    if missing:
        raise ConfigError([f"weights lacks {', '.join(missing)}"])
    vectors = TextReader(name_base(encoder), TextCut(), device=device)
    shares = torch.tensor([weights[name] for name in facts.dimensions], dtype=torch.float32)
    loss = _loss(settings, shares, operating_point)
    probe, val_loss = _fit(_Set(vectors, train), _Set(vectors, val), loss, settings)
    average = averages or (lambda scores: scores @ shares.double().numpy())
    made = ProbeStudent(facts, vectors, probe)
    estimates = average(made.predict(val.texts))
    passes = average(val.targets) >= operating_point - ROUNDING
    threshold = choose_threshold(estimates, passes, settings.target_fn)
    dropped = estimates < threshold
    told = {
        "objective": settings.objective,
        "target_fn": settings.target_fn,
        "operating_point": operating_point,
        "train_examples": len(train),
        "val_examples": len(val),
        "val_loss": val_loss,
        "val_mae": float(np.abs(made.predict(val.texts) - val.targets).mean()),
        "val_positives": int(passes.sum()),
        "val_missed": int((dropped & passes).sum()),
        "val_skip_share": float(dropped.mean()),
    }
    return ProbeStudent(facts, vectors, probe, threshold, told)


def choose_threshold(estimates: Floats, passes: np.ndarray, target_fn: float) -> float:
    """Give the highest threshold that drops at most this share of the articles that pass.

    Args:
        estimates: Weighted averages of the probe, (N,).
        passes: Whether each article passes by its label, (N,).
        target_fn: Allowed share, 0 to below 1.

    Returns:
        A weighted average; 0 where none passes, as nothing is known of those that do.

    >>> choose_threshold(np.array([1.0, 4.0, 5.0, 6.0]), np.array([0, 1, 1, 1]) > 0, 0.34)
    5.0
    """
    own = np.sort(estimates[passes])
    if not len(own):
        return 0.0
    return float(own[int(np.floor(target_fn * len(own) + ROUNDING))])


class _Set:
    """Vectors (N, E), targets (N, D) and weights (N,) of examples."""

    def __init__(self, encoder: TextReader, examples: ScoreExamples) -> None:
        self.vectors = torch.from_numpy(encoder.vectors(examples.texts))
        self.targets = torch.from_numpy(examples.targets.astype(np.float32))
        self.weights = torch.from_numpy(examples.weights.astype(np.float32))


_Loss = Callable[[Tensor, Tensor], Tensor]
"""Predictions and targets (N, D) -> loss of each text (N,)."""


def _loss(settings: ProbeSettings, shares: Tensor, point: float) -> _Loss:
    def regression(predicted: Tensor, targets: Tensor) -> Tensor:
        return (predicted - targets).square().mean(dim=1)

    def recall(predicted: Tensor, targets: Tensor) -> Tensor:
        passes = (targets @ shares >= point - 1e-6).float()
        logits = settings.wa_scale * (predicted @ shares - point)
        # A missed article weighs as much against a needless reading as target_fn allows.
        missed = torch.tensor(1.0 / max(settings.target_fn, 0.005)).sqrt()
        each = functional.binary_cross_entropy_with_logits(
            logits, passes, pos_weight=missed, reduction="none"
        )
        return each + settings.aux_l1_weight * (predicted - targets).abs().mean(dim=1)

    return regression if settings.objective == "regression" else recall


def _fit(train: _Set, val: _Set, loss: _Loss, settings: ProbeSettings) -> tuple[MLPProbe, float]:
    """Train for all epochs; give the probe of the one with the least loss on validation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        width, dimensions = train.vectors.shape[1], train.targets.shape[1]
        probe = MLPProbe(width, dimensions, HIDDEN_SIZES, DROPOUT)
        probe.set_scaler(train.vectors)
        with torch.no_grad():
            last = probe.layers[-1]
            last.bias.copy_(train.targets.mean(dim=0))  # type: ignore[operator]
        optimizer = torch.optim.AdamW(probe.parameters(), settings.learning_rate, weight_decay=0.01)
        best, kept = float("inf"), probe.state_dict()
        for _ in range(settings.epochs):
            probe.train()
            for batch in torch.split(torch.randperm(len(train.vectors)), settings.batch_size):
                optimizer.zero_grad()
                each = loss(probe(train.vectors[batch]), train.targets[batch])
                (train.weights[batch] * each).mean().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            probe.eval()
            with torch.no_grad():
                now = float((val.weights * loss(probe(val.vectors), val.targets)).mean())
            if now < best:
                best = now
                kept = {name: one.clone() for name, one in probe.state_dict().items()}
    probe.load_state_dict(kept)
    return probe.eval(), best
