"""Train a starter teacher for Systems 1 and 2, for use without any other teacher.

It is a tokenizer and a small model, trained from scratch on the answers of a data set. It knows
nothing but that data set.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...distillation.settings import DistillationConfig
from ...distillation.starter_student import STARTER, StarterSize, train_starter
from ...inference.checkpoints.load_student import verify_checkpoint
from ...inference.checkpoints.run_file import RUN_FILE, read_run
from ...inference.checkpoints.training_records import TrainingRecords
from ...prompts import SystemMode
from .train_student import finished_student, training_examples_of, training_identity

BATCH: Final = 32
LONGEST: Final = 1024
"""Most tokens of prompt and answer together; longer answers are truncated."""
POSITIONS: Final = 2 * LONGEST
"""Positions of the model, since held-out records may be longer than those trained on."""
STUDENT_TRAINING: Final[dict[str, Any]] = {
    "per_device_train_batch_size": BATCH,
    "gradient_accumulation_steps": 1,
    "learning_rate": 2e-3,
    "weight_decay": 0.0,
    "optimizer": "muon",
    "max_length": LONGEST,
}
"""Settings for the student of a starter: a model of a million weights needs far larger learning
rates than students with pretrained weights."""


def train_starter_teacher(
    records: Sequence[Mapping[str, Any]],
    out_dir: str,
    mode: SystemMode = "system1",
    *,
    num_epochs: float = 30,
    seed: int = 0,
    size: StarterSize | None = None,
) -> str:
    """Train a starter teacher on labelled records, unless the folder holds it already.

    Args:
        records: `{instruction, input, output}`.
        out_dir: Folder of the teacher; the result of another training in it is replaced.
        mode: Format of the prompts.
        num_epochs: Passes over the records.
        seed: Seed of weights and batches.
        size: Shape of the model; None chooses it by the amount of text.

    Returns:
        `out_dir`.

    Raises:
        EmptyDataError: No record has an output.
    """
    examples = training_examples_of(records, mode)
    config = DistillationConfig(
        teacher_model_name=STARTER,
        student_model_name=STARTER,
        alpha=0.0,
        temperature=1.0,
        max_length=LONGEST,
        batch_size=BATCH,
        num_epochs=num_epochs,
        max_steps=max(1, math.ceil(num_epochs * len(examples) / BATCH)),
        learning_rate=4.8e-3,
        matrix_learning_rate=2.4e-3,
        optimizer="muon",
        warmup_ratio=0.02,
        lr_scheduler="warmup_stable_decay",
        decay_ratio=0.6,
        seed=seed,
        output_dir=out_dir,
    )
    shape = size or StarterSize(vocabulary=_vocabulary(examples), positions=POSITIONS)
    identity = {**training_identity(config, examples, mode), "shape": str(shape)}
    if finished_student(out_dir, identity) == out_dir:
        return out_dir
    work = Path(f"{out_dir.rstrip('/')}.work")
    distiller, _ = train_starter(examples, config, size=shape, work_dir=work)
    distiller.save_distilled_model(out_dir)
    TrainingRecords.of([e.fields for e in examples], mode, identity).write(out_dir)
    verify_checkpoint(out_dir)
    shutil.rmtree(work, ignore_errors=True)
    return out_dir


def is_starter(folder: object) -> bool:
    """Tell by its `run.json` whether a folder holds a starter teacher."""
    if not isinstance(folder, str) or not (Path(folder) / RUN_FILE).is_file():
        return False
    made = (read_run(Path(folder)) or {}).get("student", {})
    return isinstance(made, Mapping) and made.get("id") == STARTER


def _vocabulary(examples: Sequence[Any]) -> int:
    """Choose the size of the vocabulary by the amount of text."""
    characters = sum(len(e.prompt) + len(e.target or "") for e in examples)
    return min(4000, max(600, characters // 100))
