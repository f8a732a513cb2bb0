"""Tune a decoder to write scores as JSON, by low-rank changes; the loss is on the JSON alone.

Sizes: B texts of a batch, T tokens, D dimensions, V vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...inference.score_students.base_model import BaseName, TextCut, load_base, padded
from ...inference.score_students.generative_student import GenerativeStudent, PromptForm, PromptRows
from ...inference.score_students.protocol import StudentFacts
from ...inference.score_students.score_text import ScoreText
from ..runtime_patches import recomputed_layers
from .low_rank import changes_of
from .score_examples import ScoreExamples
from .train_frozen import Progress, no_progress
from .tune_head import prepare_model, some_of
from .tuning import TuningSettings, tune
from .unsloth_model import unsloth_decoder, unsloth_serves


def train_generative(
    train: ScoreExamples,
    val: ScoreExamples,
    facts: StudentFacts,
    base: BaseName,
    cut: TextCut,
    settings: TuningSettings,
    *,
    form: PromptForm | None = None,
    state: Path | None = None,
    device: str | None = None,
    progress: Progress = no_progress,
) -> GenerativeStudent:
    """Tune a decoder to write the scores of a text.

    With `settings.on_ratings`, each epoch a text is answered by one of its raters, drawn at random:
    so the student's probabilities learn their distribution, and its expected value their mean.

    Arguments are those of `train_tuned`; `form` says what stands around a text. `val` chooses the
    epoch by the loss of its mean scores.
    """
    form = form or PromptForm()
    train = some_of(train, settings.most_examples, settings.seed)
    val = some_of(val, settings.most_val, settings.seed)
    checkpoint = load_base(base, device)
    prompts, text = PromptRows(checkpoint, cut, form), ScoreText(checkpoint.tokenizer, facts)
    rows, val_rows = prompts(train.texts), prompts(val.texts)
    model, place = checkpoint.model, checkpoint.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if unsloth_serves(settings, place):
            model, trained = unsloth_decoder(base, settings, max_tokens=2 * cut.max_tokens)
            settings = replace(settings, gradient_checkpointing=False)  # Unsloth does it
        else:
            trained = prepare_model(model, settings, place)
    weights = train.weights / train.weights.mean()
    end = checkpoint.tokenizer.eos_token_id

    def answer(scores: Sequence[float]) -> list[int]:
        return [*text.ids(scores), *([] if end is None else [end])]

    def loss_of(places: Sequence[int], epoch: int) -> Tensor:
        chosen = [_scores(train, n, epoch, settings) for n in places]
        losses = answer_losses(
            model, [rows[n] for n in places], [answer(one) for one in chosen], place
        )
        return (losses * torch.from_numpy(weights[list(places)]).to(losses)).mean()

    @torch.no_grad()
    def evaluate() -> float:
        total = 0.0
        size = settings.batch_size * 2
        for start in range(0, len(val_rows), size):
            part = range(start, min(start + size, len(val_rows)))
            losses = answer_losses(
                model, [val_rows[n] for n in part], [answer(val.targets[n]) for n in part], place
            )
            total += float(losses.sum())
        return total / len(val_rows)

    with recomputed_layers(model, settings.gradient_checkpointing):
        done = tune(
            [(trained, settings.learning_rate)],
            [len(row) for row in rows], loss_of, evaluate, settings,
            set_training=model.train, state=state, name="generative", progress=progress,
        )  # fmt: skip
    history = [{**one, "val_loss": one["val_mae"]} for one in done.history]
    for one in history:
        del one["val_mae"]
    notes = {**settings.to_dict(), "history": history, "best_epoch": done.best_epoch,
             "train_examples": len(train)}  # fmt: skip
    return GenerativeStudent(
        facts, base, cut, form, changes_of(model), device=device, notes=notes
    )  # fmt: skip


def answer_losses(
    model: Any,  # noqa: ANN401
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    device: torch.device,
) -> Tensor:
    """Give the mean cross-entropy of the tokens of each answer, (B,).

    The head computes logits at the places before an answer's tokens alone.
    """
    rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    ids, mask = padded(rows, device)
    hidden = model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, H)
    which = [n for n, answer in enumerate(answers) for _ in answer]
    # The token at place t is foreseen at place t - 1: here alone the sequence is shifted.
    before = [len(prompt) + t - 1 for prompt, answer in zip(prompts, answers, strict=True)
              for t in range(len(answer))]  # fmt: skip
    wanted = torch.tensor([token for answer in answers for token in answer], device=device)
    logits = model.get_output_embeddings()(hidden[which, before]).float()
    losses = functional.cross_entropy(logits, wanted, reduction="none")
    sums = torch.zeros(len(answers), device=device).index_add(
        0, torch.tensor(which, device=device), losses
    )
    return sums / torch.tensor([len(answer) for answer in answers], device=device)


def _scores(
    train: ScoreExamples, place: int, epoch: int, settings: TuningSettings
) -> Sequence[float]:
    """Give the scores that an example is answered with in an epoch."""
    if not (settings.on_ratings and train.ratings):
        return list(train.targets[place])
    drawn = random.Random(f"{settings.seed} {epoch} {place}").randrange(len(train.ratings[place]))
    return list(np.asarray(train.ratings[place][drawn]))
