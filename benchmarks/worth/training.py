"""Train teachers, their caches and students, with the library's own functions."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from recipes import (
    BATCH_SIZE,
    KEPT,
    MAX_LENGTH,
    STUDENTS,
    TEACHER,
    TEMPERATURES,
    VOCABULARY,
    Recipe,
    Shape,
)
from stillroom.distillation.batches.batching import (
    TokenizedExample,
    collator_for,
    tokenize_examples,
)
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.starter_student import StarterSize, new_model, train_tokenizer
from stillroom.distillation.students.open_students import half_of
from stillroom.distillation.teacher.cache_job import CacheSettings, cache_teacher_logits
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.teacher.online import OnlineTeacher
from stillroom.distillation.training.optimizers import make_optimizer
from stillroom.distillation.training.schedules import LossSchedule, Ramp
from stillroom.distillation.training.trainer import KDTrainer, training_arguments
from stillroom.inference.checkpoints.load_student import (
    Checkpoint,
    choose_training_dtype,
    load_checkpoint,
    save_checkpoint,
)
from stillroom.prompts import join_of
from stillroom.records import Example
from tasks import Row, Task
from torch.nn import functional
from transformers import TrainerCallback

CPU = torch.device("cpu")
NEVER = 10**9
"""Steps between checkpoints: these runs are seconds long."""


@dataclass(frozen=True)
class Trained:
    """A model, and what it took."""

    model: Any
    seconds: float
    """Processor seconds from the first step to the last."""
    loss: float


class StepClock(TrainerCallback):  # type: ignore[misc]
    """Processor seconds between the first step and the last."""

    def on_train_begin(self, *_: object, **__: object) -> None:
        self.began = time.process_time()

    def on_step_end(self, *_: object, **__: object) -> None:
        self.seconds = time.process_time() - self.began


def make_tokenizer(task: Task) -> Any:  # noqa: ANN401
    """Train the tokenizer on the questions and the set of answers; no label is looked at."""
    prompts = [row.prompt for row in task.train]
    answers = sorted({answer for column in task.wrong.values() for answer in column})
    # As many answers as questions, so that answers are a few long tokens.
    often = [join_of(prompts[0]) + a for a in answers] * (len(prompts) // len(answers))
    return train_tokenizer([*prompts, *often], VOCABULARY)


def fresh_model(tokenizer: Any, shape: Shape, seed: int) -> Any:  # noqa: ANN401
    """Make an untrained model."""
    size = StarterSize(layers=shape.layers, width=shape.width, heads=shape.heads, positions=256)
    return new_model(tokenizer, size, seed=seed)


def examples_of(rows: Sequence[Row], labels: dict[str, str]) -> list[Example]:
    """Pair questions with labels; rows without one are left out."""
    return [Example(row.id, row.prompt, labels[row.id]) for row in rows if row.id in labels]


def train(
    model: Any,  # noqa: ANN401 - transformers is untyped
    tokenizer: Any,  # noqa: ANN401
    items: Sequence[TokenizedExample],
    recipe: Recipe,
    seed: int,
    *,
    teacher: Any = None,  # noqa: ANN401 - a model or a TeacherCache
) -> Trained:
    """Train a model by a recipe.

    Args:
        model: Changed in place.
        tokenizer: Of model and teacher.
        items: From `tokenized`.
        recipe: What is trained.
        seed: Of the order of batches.
        teacher: A causal model or a `TeacherCache`; not asked at alpha 0.
    """
    loss_fn = DistillationLoss(recipe.temperature, recipe.alpha, objective=recipe.objective)
    ends = {"alpha": recipe.alpha_end, "temperature": recipe.temperature_end}
    ramps = {n: Ramp(getattr(recipe, n), end) for n, end in ends.items() if end is not None}
    clock = StepClock()
    callbacks = [clock, LossSchedule(loss_fn, **ramps)] if ramps else [clock]
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(
            folder,
            device=CPU,
            dtype=choose_training_dtype(CPU),
            batch_size=BATCH_SIZE,
            max_steps=recipe.steps,
            seed=seed,
        )
        trainer = KDTrainer(
            model,
            arguments,
            train_dataset=items,
            data_collator=collator_for(tokenizer),
            loss_fn=loss_fn,
            teacher=teacher,
            save_steps=NEVER,
            progress=False,
            callbacks=callbacks,
            optimizer_of=lambda student: make_optimizer(
                student,
                kind="muon",
                learning_rate=0.75 * recipe.rate,
                matrix_learning_rate=recipe.rate,
            ),
        )
        trainer.train()
    return Trained(model.eval(), clock.seconds, trainer.history.losses[-1][1])


def tokenized(tokenizer: Any, examples: Sequence[Example]) -> list[TokenizedExample]:  # noqa: ANN401
    """Tokenise as the cache does."""
    return tokenize_examples(examples, tokenizer, max_length=MAX_LENGTH, too_long="truncate")


def train_teacher(
    tokenizer: Any,  # noqa: ANN401
    examples: Sequence[Example],
    folder: Path,
    *,
    steps: int,
    rate: float,
    seed: int,
) -> Trained:
    """Train a teacher on gold and save it, or load the one that was saved."""
    if folder.is_dir():
        checkpoint = load_checkpoint(folder)
        run = checkpoint.run or {}
        return Trained(checkpoint.model, run["seconds"], run["loss"])
    model = fresh_model(tokenizer, TEACHER, seed)
    items = tokenized(tokenizer, examples)
    done = train(model, tokenizer, items, Recipe(steps=steps, rate=rate), seed)
    save_checkpoint(folder, model, tokenizer, {"seconds": done.seconds, "loss": done.loss})
    return done


def fit_confidence(model: Any, tokenizer: Any, examples: Sequence[Example]) -> float:  # noqa: ANN401
    """Find the temperature that makes the labels of some examples likeliest, token by token.

    Guo et al. 2017, section 4.2 (arXiv 1706.04599). 1 is the model as it is; above, it is too sure.
    """
    logits, targets = _supervised_logits(model, tokenizer, examples)
    best = min(
        (functional.cross_entropy(logits / (step / 20), targets).item(), step / 20)
        for step in range(10, 121)
    )
    return best[1]


@torch.inference_mode()
def _supervised_logits(
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    examples: Sequence[Example],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the logits (N, V) and tokens (N,) of all supervised positions."""
    items = sorted(tokenized(tokenizer, examples), key=lambda item: len(item.input_ids))
    collate, found = collator_for(tokenizer), []
    for start in range(0, len(items), 128):
        batch = collate(items[start : start + 128])
        rows = OnlineTeacher(model).rows(batch)
        targets = batch["labels"][:, 1:]
        logits = functional.linear(rows.hidden, rows.weight, rows.bias)
        found.append((logits, targets[targets != -100]))
    return torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found])


def sharpen(model: Any, temperature: float) -> Any:  # noqa: ANN401
    """Divide a Llama's logits by a temperature, in its last norm; the model is changed."""
    with torch.no_grad():
        model.model.norm.weight.div_(temperature)
    return model


def build_cache(
    teacher: Path, folder: Path, examples: Sequence[Example]
) -> tuple[TeacherCache, float]:
    """Cache a saved teacher's logits for some examples; gives the processor seconds too."""
    began = time.process_time()
    cache_teacher_logits(
        CacheSettings(
            str(teacher),
            str(folder),
            top_k=KEPT,
            temperatures=TEMPERATURES,
            max_length=MAX_LENGTH,
            device="cpu",
            progress=False,
        ),
        examples,
    )
    return TeacherCache(folder), time.process_time() - began


def new_student(recipe: Recipe, tokenizer: Any, teacher: Any, seed: int) -> Any:  # noqa: ANN401
    """Make the student that a recipe begins with."""
    if recipe.student == "half of teacher":
        return half_of(teacher).requires_grad_(True)
    return fresh_model(tokenizer, STUDENTS[recipe.student], seed + 1000)


def as_checkpoint(model: Any, tokenizer: Any) -> Checkpoint:  # noqa: ANN401
    """Wrap a model for the functions that answer."""
    return Checkpoint(model, tokenizer, None, "student")
