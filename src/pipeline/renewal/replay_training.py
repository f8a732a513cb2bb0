"""Distil a student again: the recipe of its run, on its old data mixed with the new."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ...data.questions.questions import training_stream
from ...distillation.distiller import ModelDistiller
from ...distillation.settings import (
    EVERY_SECOND,
    FROM_SCRATCH,
    PRUNED,
    DistillationConfig,
    read_config,
)
from ...distillation.training.run_record import DistillationSummary
from ...errors import ConfigError
from ...files import read_json
from ...inference.checkpoints.architectures import checkpoint_kind
from ...inference.prompt_tokens.default_system import drop_default_system
from ...records import Example
from ...tables import FactTable
from ..main_job.named_student import NAMED_STUDENT_WEIGHTS
from ..main_job.train_student import STUDENT_WEIGHTS
from .frozen_test import FrozenTest

NEW_SHARE: Final = 0.2
"""Most of the training that new examples take; the rest replays the old data."""
MOST_REPEATED: Final = 16
"""How often a new example is seen at most."""


@dataclass(frozen=True)
class Recipe:
    """How the students of a renewal are trained."""

    config: DistillationConfig
    start: str
    """Where their weights come from, in words."""
    weights: Mapping[str, float] | None
    """Share of each task in the old data; None takes those for an untrained model."""


def recipe_of(run: Path, student: Path, *, effort: float = 1.0) -> Recipe:
    """Read the recipe that a student was distilled by.

    The teacher and the start are those in the run's folder. Where the start is gone, training
    continues from the student; where the teacher is gone, from labels alone.

    Args:
        run: The run's folder.
        student: The student's folder.
        effort: Factor on the number of steps, above 0.

    Raises:
        ConfigError: The student is no model that writes text, or its `run.json` has no settings.
    """
    stored = read_json(student / "run.json")
    if checkpoint_kind(read_json(student / "config.json")) == "encoder":
        raise ConfigError([f"{student} chooses among labels; renew takes students that write text. "
                           "Run stillroom run again with the corrected table"])  # fmt: skip
    given = {**stored.get("config", {})}
    if "max_steps" not in given:
        raise ConfigError([f"{student / 'run.json'} has no settings to distil by again"])
    given.pop("dtype", None)
    config = read_config(given)
    teacher, start = run / "teacher", config.student_model_name
    if (teacher / "config.json").is_file():
        config = replace(config, teacher_model_name=str(teacher))
    elif config.alpha or start in (EVERY_SECOND, PRUNED, FROM_SCRATCH):
        config = replace(config, alpha=0.0, teacher_model_name="none")
    words = f"{start} of the teacher"
    places = [Path(start), run / "work" / "start"]
    if start in (EVERY_SECOND, PRUNED, FROM_SCRATCH):
        if config.teacher_model_name == "none":
            config, words = replace(config, student_model_name=str(student)), "the student"
    else:
        found = next((one for one in places if (one / "config.json").is_file()), student)
        config = replace(config, student_model_name=str(found))
        words = "the student" if found == student else f"the start of the run, {found.name}"
    steps = max(1, round((config.max_steps or 1) * effort))
    weights: Mapping[str, float] | None = NAMED_STUDENT_WEIGHTS
    if config.optimizer == "muon":  # a starter's student, or one from scratch
        weights = STUDENT_WEIGHTS if config.teacher_model_name != "none" else None
    return Recipe(replace(config, max_steps=steps), words, weights)


def replay_stream(
    old: Sequence[Example],
    new: Sequence[Example],
    table: FactTable,
    count: int,
    *,
    seed: int,
    new_share: float = NEW_SHARE,
    weights: Mapping[str, float] | None = None,
) -> list[Example]:
    """Draw the examples of a training: old ones, and each new one up to `MOST_REPEATED` times.

    Args:
        old: Examples that the student was trained on before.
        new: Examples from what people said.
        table: The student's table.
        count: Examples to draw.
        seed: Of the draw.
        new_share: Most of the examples that are new, 0 to 1.
        weights: Task -> share, of the old examples; None for those of an untrained model.

    Returns:
        `count` examples in shuffled order.
    """
    fresh = min(round(count * new_share), MOST_REPEATED * len(new)) if new else 0
    stream = training_stream(old, table, count - fresh, seed=seed, weights=weights)
    if fresh:
        drawn = training_stream(new, table, fresh, seed=seed + 1)
        stream += [replace(one, id=f"{one.id}+") for one in drawn]
    random.Random(seed).shuffle(stream)
    return stream


def train_again(
    recipe: Recipe,
    old: Sequence[Example],
    new: Sequence[Example],
    table: FactTable,
    frozen: FrozenTest,
    folder: Path,
    work: Path,
    *,
    seed: int,
    new_share: float = NEW_SHARE,
) -> DistillationSummary:
    """Train one student and write it; an interrupted training continues from `work`.

    Args:
        recipe: From `recipe_of`.
        old: Examples that the student was trained on before.
        new: Examples from what people said.
        table: The student's table.
        frozen: The test. A training with an example of it is refused.
        folder: The student's folder to write.
        work: Keeps checkpoints.
        seed: Of the training.
        new_share: Most of the training that new examples take.

    Raises:
        DataError: The training holds an example of the frozen test.
    """
    config = replace(recipe.config, seed=seed, output_dir=str(folder))
    count = (config.max_steps or 1) * config.batch_size * config.gradient_accumulation_steps
    stream = replay_stream(
        old, new, table, count, seed=seed, new_share=new_share, weights=recipe.weights
    )
    frozen.require_absent(stream)
    distiller = ModelDistiller(config)
    distiller.make_student(stream)
    tokenizer: Any = distiller.tokenizer
    if getattr(tokenizer, "chat_template", None):
        drop_default_system(tokenizer)
    summary = distiller.distill(stream, work_dir=work)
    distiller.save_distilled_model(folder)
    table.write(folder)
    return summary
