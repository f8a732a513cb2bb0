"""Tune a pretrained model together with the linear map that turns its vectors into scores.

The map starts from ridge on the vectors of the untouched model: a random one would bend the model
before it has learned anything (Kumar et al. 2022, arXiv 2202.10054).

Sizes: B texts of a batch, H width, D dimensions, R ratings of a text.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...inference.checkpoints.label_encoder import mean_pooled
from ...inference.checkpoints.load_student import choose_training_dtype
from ...inference.checkpoints.quantization import quantize
from ...inference.score_students.base_model import (
    BaseName,
    TextCut,
    TextReader,
    TokenRows,
    load_base,
    padded,
)
from ...inference.score_students.head_student import HeadStudent, LinearScores
from ...inference.score_students.protocol import Floats, StudentFacts
from ..runtime_patches import recomputed_layers
from .low_rank import changes_of, put_low_rank, take_whole
from .score_examples import ScoreExamples
from .train_frozen import Progress, fit_head, kept_vectors, no_progress
from .tuning import Loss, TuningSettings, tune


def train_tuned(
    train: ScoreExamples,
    val: ScoreExamples,
    facts: StudentFacts,
    base: BaseName,
    cut: TextCut,
    settings: TuningSettings,
    *,
    cache: str | Path | None = None,
    state: Path | None = None,
    device: str | None = None,
    progress: Progress = no_progress,
) -> HeadStudent:
    """Tune an encoder whole, or a decoder or encoder by low-rank changes (`settings.rank`).

    Args:
        train: Examples to learn from; each counts by its weight.
        val: Chooses the strength of the first map, and the epoch.
        facts: Dimensions and view.
        base: The pretrained model.
        cut: How long texts are cut.
        settings: Epochs, rates, loss.
        cache: Folder of the vectors that the first map is fitted on.
        state: Folder of the state, from which a training that was broken off goes on.
        device: Torch device; None chooses.
        progress: Shows how far it is.
    """
    whole, val = train, some_of(val, settings.most_val, settings.seed)
    train = some_of(train, settings.most_examples, settings.seed)
    # An encoder's first map is fitted on all examples: ridge needs no second look at them. A
    # decoder takes too long to read them.
    fitted = train if settings.rank else whole
    untouched = TextReader(base, cut, device=device)
    first, _ = fit_head(
        kept_vectors(untouched, fitted.texts, cache, progress=progress), fitted,
        kept_vectors(untouched, val.texts, cache, progress=progress), val,
    )  # fmt: skip
    del untouched
    scorer = _Scorer(base, cut, first, train, settings, device)
    rows, val_rows = scorer.rows(train.texts), scorer.rows(val.texts)
    targets = _targets(train, on_ratings=settings.on_ratings)
    weights = train.weights / train.weights.mean()

    def loss_of(places: Sequence[int], _epoch: int) -> Tensor:
        given = scorer([rows[place] for place in places])  # (B, D)
        losses = torch.stack(
            [
                score_loss(own, targets[place].to(own), scorer.spread, settings.loss)
                for own, place in zip(given, places, strict=True)
            ]
        )  # (B,)
        return (losses * torch.from_numpy(weights[list(places)]).to(losses)).mean()

    def evaluate() -> float:
        return float(np.abs(scorer.predict(val_rows) - val.targets).mean())

    name = "lora" if settings.rank else "tuned"
    recomputed = recomputed_layers(scorer.model, settings.gradient_checkpointing)
    with torch.random.fork_rng(devices=[]), recomputed:
        done = tune(
            [(scorer.trained, settings.learning_rate), (scorer.head, settings.head_rate)],
            [len(row) for row in rows], loss_of, evaluate, settings,
            set_training=scorer.set_training, state=state, name=name, progress=progress,
        )  # fmt: skip
    notes = {**settings.to_dict(), "history": done.history, "best_epoch": done.best_epoch,
             "best_val_mae": done.best_val_mae, "train_examples": len(train)}  # fmt: skip
    # The reader puts the changes into a fresh model, as opening the saved student does.
    reader = TextReader(base, cut, changes_of(scorer.model), device=device)
    return HeadStudent(facts, name, reader, scorer.linear_scores(), notes)


def score_loss(given: Tensor, targets: Tensor, spread: Tensor, kind: Loss) -> Tensor:
    """Compute the loss of one text, averaged over ratings and dimensions.

    Args:
        given: (D,).
        targets: (R, D); one row where the mean is learned.
        spread: (D,) standard deviations of the targets, which are the unit of the error.
        kind: `huber` is quadratic up to an error of 1 and linear beyond (Huber 1964).
    """
    errors = (given - targets) / spread
    zeros = torch.zeros_like(errors)
    return functional.huber_loss(errors, zeros) if kind == "huber" else 0.5 * errors.square().mean()


def some_of(examples: ScoreExamples, most: int | None, seed: int) -> ScoreExamples:
    """Take at most so many examples at random; the same for the same seed."""
    if most is None or most >= len(examples):
        return examples
    places = random.Random(seed).sample(range(len(examples)), most)
    return examples.chosen(sorted(places))


class _Scorer:
    """A model that is being tuned, and the linear map on its vectors."""

    def __init__(
        self,
        base: BaseName,
        cut: TextCut,
        first: LinearScores,
        train: ScoreExamples,
        settings: TuningSettings,
        device: str | None,
    ) -> None:
        checkpoint = load_base(base, device)
        self.model: Any = checkpoint.model
        self._device = checkpoint.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.trained = prepare_model(self.model, settings, self._device)
        self.rows = TokenRows(checkpoint, cut)

        def placed(values: Floats) -> Tensor:
            return torch.tensor(values, device=self._device, dtype=torch.float32)

        self._mean, self._scale = placed(first.mean), placed(first.scale)
        self.weight = nn.Parameter(placed(first.weight))
        self.bias = nn.Parameter(placed(first.bias))
        self.head = [self.weight, self.bias]
        spread = train.targets.std(axis=0)
        self.spread = placed(np.where(spread > 1e-6, spread, 1.0))
        self._first = first

    def __call__(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Score rows of token ids; (B, D)."""
        ids, mask = padded(rows, self._device)
        half = choose_training_dtype(self._device)
        fast = self.weight.dtype != half and self.model.dtype == torch.float32
        with torch.autocast(self._device.type, half) if fast else nullcontext():
            hidden = self.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        vectors = mean_pooled(hidden.float(), mask)
        return (vectors - self._mean) / self._scale @ self.weight + self.bias

    @torch.no_grad()
    def predict(self, rows: Sequence[Sequence[int]]) -> Any:  # noqa: ANN401
        from ...inference.score_students.base_model import length_batches

        found = np.zeros((len(rows), len(self.bias)))
        for places in length_batches(rows):
            found[places] = self([rows[place] for place in places]).double().cpu().numpy()
        return found

    def set_training(self, on: bool) -> None:
        self.model.train(on)

    def linear_scores(self) -> LinearScores:
        weight = self.weight.detach().double().cpu().numpy()
        return replace(self._first, weight=weight, bias=self.bias.detach().double().cpu().numpy())


def prepare_model(
    model: Any,  # noqa: ANN401
    settings: TuningSettings,
    device: torch.device,
) -> list[nn.Parameter]:
    """Choose what is tuned of a model, and how it is held; give the parameters."""
    if settings.four_bit and settings.rank and device.type == "cuda":
        quantize(model.base_model, 4, device=device, dtype=torch.bfloat16)
    if settings.rank:
        trained = put_low_rank(
            model, rank=settings.rank, alpha=settings.alpha, dropout=settings.dropout
        )
    else:
        trained = take_whole(model)
    return trained


def _targets(train: ScoreExamples, *, on_ratings: bool) -> list[Tensor]:
    """Give the targets (R, D) of each text: its ratings, or its mean alone."""
    if on_ratings and train.ratings:
        return [torch.from_numpy(np.asarray(own, dtype=np.float32)) for own in train.ratings]
    return [torch.from_numpy(own[None].astype(np.float32)) for own in train.targets]
