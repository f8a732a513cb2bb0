"""Train a student on instruction records, and choose its folder.

A finished student with the same settings, data, prompts and models is reused. Another student is
not overwritten by default: the new one is written to a folder beside it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from ...data.datasets.thought_views import view_weights
from ...distillation.distiller import ModelDistiller
from ...distillation.settings import FROM_TEACHER, DistillationConfig, config_hash
from ...distillation.teacher.cache_format import MANIFEST_FILE, known_identity
from ...errors import CheckpointError, EmptyDataError
from ...files import file_sha256
from ...inference.checkpoints.load_student import (
    choose_device,
    choose_training_dtype,
    verify_checkpoint,
)
from ...inference.checkpoints.training_records import TrainingRecords, read_training_records
from ...inference.system_pair.answers import find_checkpoint
from ...prompts import SystemMode, format_prompt, format_sha256
from ...records import Example, record_hash
from ...run_identity import changed_parts, run_identity

logger = logging.getLogger(__name__)


def training_examples_of(records: Sequence[Mapping[str, Any]], mode: SystemMode) -> list[Example]:
    """Make training examples of labelled records; records without an output are counted in the log.

    Raises:
        EmptyDataError: No record has an output.
    """
    examples: dict[str, Example] = {}
    weights = view_weights([record for record in records if "view" in record])
    for record in records:
        target = str(record.get("output") or "").strip()
        if not target:
            continue
        prompt = format_prompt(str(record["instruction"]), str(record.get("input") or ""), mode)
        content = record_hash({"prompt": prompt, "target": target})[:24]
        name = next(n for n in (f"{content}-{i}" for i in count()) if n not in examples)
        focus = (0, weights[record["view"]]) if "view" in record else None
        examples[name] = Example(
            name, prompt, target, task="text", fields=dict(record), focus=focus
        )
    if not examples:
        raise EmptyDataError("no record has an output to train on; label the records first")
    if len(examples) < len(records):
        missing = len(records) - len(examples)
        logger.warning("%d of %d records have no output and are not trained on", missing,
                       len(records))  # fmt: skip
    return list(examples.values())


def train_student(
    config: DistillationConfig,
    records: Sequence[Mapping[str, Any]],
    mode: SystemMode,
    *,
    overwrite: bool = False,
    train: Callable[[DistillationConfig], object] | None = None,
    decided_by: Mapping[str, str] | None = None,
) -> str:
    """Train a student on labelled records, unless a finished one can be reused.

    Args:
        config: The settings; `output_dir` is the student's folder.
        records: `{instruction, input, output}`.
        mode: Format of the prompts.
        overwrite: Whether to replace another student in `output_dir` instead of training into a
            folder beside it.
        train: Function that trains and writes the student; None distils the records.
        decided_by: Name -> value of whatever else determines the student, for `train`.

    Returns:
        The folder of a student that was loaded and run successfully: `output_dir` as given, or a
        folder beside it.

    Raises:
        StillroomError: The settings, the data or a model cannot be used, or the written student
            does not load.
    """
    examples = training_examples_of(records, mode)
    identity = {**training_identity(config, examples, mode), **(decided_by or {})}
    there = finished_student(config.output_dir, identity)
    if there is not None:
        print(f"Existing checkpoint found at {there}. Skipping training (delete to retrain).")
        return there
    folder = config.output_dir if overwrite else _free_folder(config.output_dir)
    settings, work = replace(config, output_dir=folder), Path(f"{folder.rstrip('/')}.work")
    if train is not None:
        train(settings)
    else:
        distiller = ModelDistiller(settings)
        distiller.distill(examples, work_dir=work)
        distiller.save_distilled_model()
    TrainingRecords.of([e.fields for e in examples], mode, identity).write(folder)
    verify_checkpoint(folder)
    shutil.rmtree(work, ignore_errors=True)
    return folder


def training_identity(
    config: DistillationConfig, examples: Sequence[Example], mode: SystemMode
) -> dict[str, str]:
    """Hash everything that determines the student: settings, data, prompts, model weights and the
    teacher's cached logits."""
    dtype = config.dtype or str(choose_training_dtype(choose_device(config.device)))
    neutral = replace(
        config,
        teacher_model_name="-",
        student_model_name="every_second_layer",
        teacher_cache=None,
    )
    uses_teacher = config.alpha > 0.0 or config.student_model_name in FROM_TEACHER
    models = {
        "student": known_identity(config.student_model_name, None),
        "teacher": known_identity(config.teacher_model_name, None) if uses_teacher else None,
    }
    caches = config.teacher_cache or {}
    folders = {"manifest": caches} if isinstance(caches, str) else caches
    if folders:
        models["logits"] = {n: file_sha256(Path(f) / MANIFEST_FILE) for n, f in folders.items()}
    identity = run_identity(
        config_hash=config_hash(neutral, dtype=dtype),
        examples=examples,
        prompt_sha256=format_sha256(mode),
        models=models,
    )
    return {**identity, "prompt_format": mode}


def finished_student(out_dir: str, identity: Mapping[str, str]) -> str | None:
    """Find a working student of the same training in a folder, or in the folders beside it."""
    for folder in _folders(out_dir):
        found = find_checkpoint(folder)
        if found is None:
            return None
        try:
            records = read_training_records(found)
            changed = changed_parts(records.identity if records else {}, identity)
            if not changed:
                verify_checkpoint(found)
                return found
            logger.info("%s holds another student: %s", found, changed)
        except CheckpointError as fault:
            logger.warning("%s: not taken (%s)", found, fault)
    return None


def _free_folder(out_dir: str) -> str:
    """Return the folder, or the first one beside it without a student, and print which."""
    folder = next(folder for folder in _folders(out_dir) if find_checkpoint(folder) is None)
    if folder != out_dir:
        print(f"{out_dir} holds a student of other settings or data; training into {folder}")
    return folder


def _folders(out_dir: str) -> Iterator[str]:
    """Yield the folder and those beside it: `-run2`, `-run3` and so on."""
    yield out_dir
    yield from (f"{out_dir.rstrip('/')}-run{number}" for number in count(2))
