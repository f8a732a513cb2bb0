"""EasyDistill jobs that train a student on labels, labels and cached logits, or conversations."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...data.datasets.chat_records import instruction_records
from ...data.datasets.conversations import conversation_records
from ...data.datasets.json_files import save_json
from ...data.datasets.thought_views import LABEL, RATIONALE
from ...distillation.teacher.cache_format import MANIFEST_FILE
from ...distillation.teacher.cache_job import CacheSettings, cache_teacher_logits
from ...errors import ConfigError, EmptyDataError
from ...labeling.tasks.reasoning_labels import labelled_records
from ...prompts import SystemMode
from ..reasoning.rows import read_rows
from ..reasoning.train_student import train_student, training_examples_of
from .config import JobConfig
from .teacher import ask_instructions

logger = logging.getLogger(__name__)

Records = list[dict[str, Any]]


def run_black_box(config: JobConfig) -> str:
    """Train on labels; the job's teacher, if it has one, first labels records without an answer.

    Returns:
        The student's folder.
    """
    mode = prompt_mode(config)
    return train(config, _labels(config, mode), mode)


def run_white_box(config: JobConfig) -> str:
    """Train on labels and on the teacher's logits for these labels.

    Cached logits are looked up by the token ids of a sequence, not by its position in a file.

    Returns:
        The student's folder.
    """
    cache, settings = str(config.dataset["logits_path"]), config.settings
    has_teacher = config.job.teacher != "none"
    if not has_teacher and not (Path(cache) / MANIFEST_FILE).is_file():
        raise ConfigError([
            f"dataset.logits_path is {cache!r}, which is not a folder of cached logits. Files of "
            "EasyDistill hold logits of other answers than the labels, so they are not read; "
            "kd_white_box makes the folder"
        ])  # fmt: skip
    mode = prompt_mode(config)
    records = _labels(config, mode)
    if has_teacher:
        wanted = CacheSettings(
            settings.teacher_model_name,
            cache,
            top_k=config.inference.get("top_logits_num", 10),
            temperatures=(float(settings.temperature),),
            max_length=settings.max_length,
            too_long=settings.too_long,
            progress=settings.progress,
        )
        cache_teacher_logits(wanted, training_examples_of(records, mode))
    return train(config, records, mode)


def run_conversations(config: JobConfig) -> str:
    """Train on each turn of the assistant in a conversation, after the turns before it.

    Returns:
        The student's folder.
    """
    rows = _rows(config, "labeled_path")
    records = [one for n, row in enumerate(rows, start=1) for one in conversation_records(row, n)]
    return train(config, records, "system1")


def prompt_mode(config: JobConfig) -> SystemMode:
    """Return the format of the prompts; log a warning if the configuration names none."""
    chosen: SystemMode | None = config.dataset.get("prompt_format")
    if chosen is None:
        logger.warning(
            "dataset.prompt_format is not given, so prompts have the form 'system1' (User: ... "
            "Assistant:) in training; ask the student with mode='system1'"
        )
    return chosen or "system1"


def train(config: JobConfig, records: Records, mode: SystemMode, **special: Any) -> str:  # noqa: ANN401
    """Train the student of a job; `special` are further arguments of `train_student`."""
    overwrite = bool(config.training.get("overwrite_output_dir", False))
    return train_student(config.settings, records, mode, overwrite=overwrite, **special)


def _labels(config: JobConfig, mode: SystemMode) -> Records:
    """Return the labelled records of a job; its teacher answers records without a label.

    Existing labels are kept, unless `inference.overwrite` is true.

    Raises:
        EmptyDataError: There is nothing to train on.
    """
    place = Path(config.dataset["labeled_path"])
    is_there = place.is_file() or "labeled_path" in config.records
    known = _instructions(config, "labeled_path") if is_there else []
    if config.job.teacher == "none":
        return known
    asked = _instructions(config, "instruction_path")
    answers = {_question(record): record for record in known if record["output"]}
    if config.inference.get("overwrite"):
        answers = {}
    missing = [r for key, r in {_question(r): r for r in asked}.items() if key not in answers]
    if missing:
        system = config.inference.get("system_prompt") if config.job.teacher == "api" else None
        run = ask_instructions(config, missing, mode, system, f"{place}.work")
        answers |= {_question(record): record for record in labelled_records(run)}
    keys = dict.fromkeys(map(_question, [*asked, *known]))
    labelled = [answers[key] for key in keys if key in answers]
    if not labelled:
        raise EmptyDataError("the teacher gave no usable answer", path=place)
    if missing:
        save_json(place, labelled)
    logger.info("%d records, %d answered by the teacher", len(labelled), len(missing))
    return labelled


def _instructions(config: JobConfig, key: str) -> Records:
    """Read instruction records, and keep the `view` of two-task records."""
    rows = _rows(config, key)
    return [
        {**record, **({"view": row["view"]} if row.get("view") in (LABEL, RATIONALE) else {})}
        for row, record in zip(rows, instruction_records(rows), strict=True)
    ]


def _rows(config: JobConfig, key: str) -> Sequence[Mapping[str, Any]]:
    return read_rows(config.records.get(key, config.dataset[key]))


def _question(record: Mapping[str, Any]) -> tuple[str, str]:
    return str(record["instruction"]), str(record.get("input") or "")
