"""EasyDistill jobs that end in a student: black box, and white box with the teacher's logits."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...data.datasets.chat_records import instruction_records
from ...data.datasets.json_files import save_json
from ...data.datasets.thought_views import LABEL, RATIONALE
from ...distillation.settings import DistillationConfig
from ...distillation.teacher.cache_format import MANIFEST_FILE
from ...distillation.teacher.cache_job import CacheSettings, cache_teacher_logits
from ...errors import ConfigError, EmptyDataError, GenerationError
from ...labeling.tasks.reasoning_labels import label_records, labelled_records, prompt_of
from ...labeling.teachers.protocol import Prompt
from ...prompts import SystemMode
from ..reasoning.rows import read_rows
from ..reasoning.train_student import train_student, training_examples_of
from .config import JobConfig
from .settings import training_settings
from .teachers import decode_profile, job_teacher, label_settings

logger = logging.getLogger(__name__)

Records = list[dict[str, Any]]


def run_black_box(config: JobConfig) -> str:
    """Label what has no answer, where the job has a teacher, and train on the answers.

    Returns:
        The student's folder.
    """
    mode = prompt_mode(config)
    records = labels_of(config, mode)
    settings = training_settings(config)
    return train_student(settings, records, mode, overwrite=_overwrites(config))


def run_white_box(config: JobConfig) -> str:
    """Label, keep the teacher's logits on these very answers, and train on both.

    The logits are found by the tokens they belong to, never by their place in a file.

    Returns:
        The student's folder.
    """
    cache = str(config.dataset["logits_path"])
    if config.job.teacher == "none" and not (Path(cache) / MANIFEST_FILE).is_file():
        raise ConfigError([
            f"dataset.logits_path is {cache!r}, which is no folder of kept logits. Files of the "
            "peer hold logits of other answers than the labels, so they are not read; "
            "kd_white_box makes the folder"
        ])  # fmt: skip
    settings, mode = training_settings(config, teacher_cache=cache), prompt_mode(config)
    records = labels_of(config, mode)
    if config.job.teacher != "none":
        keep_logits(config, settings, records, mode)
    return train_student(settings, records, mode, overwrite=_overwrites(config))


def keep_logits(
    config: JobConfig, settings: DistillationConfig, records: Records, mode: SystemMode
) -> None:
    """Build the folder of the teacher's top-k logits, or what is missing of it."""
    wanted = CacheSettings(
        settings.teacher_model_name,
        str(settings.teacher_cache),
        top_k=config.inference.get("top_logits_num", 10),
        temperatures=(float(settings.temperature),),
        max_length=settings.max_length,
        too_long=settings.too_long,
        progress=settings.progress,
    )
    cache_teacher_logits(wanted, training_examples_of(records, mode))


def labels_of(config: JobConfig, mode: SystemMode) -> Records:
    """Give the labelled records of a job; its teacher answers those that have none.

    Answers that are there stay, unless `inference.overwrite` is true.

    Raises:
        EmptyDataError: There is nothing to train on.
        GenerationError: The teacher stopped before all records were labelled.
    """
    place = Path(config.dataset["labeled_path"])
    known = read_instructions(place) if place.is_file() else []
    if config.job.teacher == "none":
        return known
    asked = read_instructions(config.dataset["instruction_path"])
    overwrite = bool(config.inference.get("overwrite", False))
    answers = {} if overwrite else {_question(r): r for r in known if r["output"]}
    missing = [record for record in _distinct(asked) if _question(record) not in answers]
    if missing:
        made = ask_teacher(config, missing, mode, Path(f"{place}.work"))
        answers |= {_question(record): record for record in made}
    ordered = [*asked, *known]
    labelled = [answers[key] for key in dict.fromkeys(map(_question, ordered)) if key in answers]
    if not labelled:
        raise EmptyDataError("the teacher gave no usable answer", path=place)
    if missing:
        save_json(place, labelled)
    logger.info("%d records, %d answered by the teacher", len(labelled), len(missing))
    return labelled


def ask_teacher(config: JobConfig, records: Records, mode: SystemMode, folder: Path) -> Records:
    """Let the job's teacher answer records; the folder keeps each answer.

    Raises:
        GenerationError: It stopped before the end: the budget is used up, the key is refused, or
            too much fails. The same command goes on.
    """
    teacher = job_teacher(config)
    run = label_records(
        teacher,
        records,
        [_prompt(config, record, mode) for record in records],
        folder=folder,
        profile=decode_profile(config),
        settings=label_settings(config, mode),
    )
    if run.stopped is not None:
        raise GenerationError(f"labelling stopped ({run.stopped}): {run.message}")
    return labelled_records(run)


def _prompt(config: JobConfig, record: Mapping[str, Any], mode: SystemMode) -> Prompt:
    """Write what the teacher is asked: a server puts turns into its own form, a model in this
    process goes on with the very prompt that the student learns."""
    if config.job.teacher == "local":
        return prompt_of(record, mode)
    system = config.inference.get("system_prompt")
    given = f"\n{record['input']}" if record.get("input") else ""
    asked = {"role": "user", "content": f"{record['instruction']}{given}"}
    return [*([{"role": "system", "content": str(system)}] if system else []), asked]


def read_instructions(path: str | Path) -> Records:
    """Read records with instructions from any file; `view` of two-task records is kept."""
    rows = read_rows(path)
    return [
        {**record, **({"view": row["view"]} if row.get("view") in (LABEL, RATIONALE) else {})}
        for row, record in zip(rows, instruction_records(rows), strict=True)
    ]


def prompt_mode(config: JobConfig) -> SystemMode:
    """Give the form of the prompts; where the file names none, say which is taken."""
    chosen: SystemMode | None = config.dataset.get("prompt_format")
    if chosen is not None:
        return chosen
    logger.warning(
        "dataset.prompt_format is not given, so prompts have the form 'system1' (User: ... "
        "Assistant:) in training; ask the student with mode='system1'"
    )
    return "system1"


def _overwrites(config: JobConfig) -> bool:
    return bool(config.training.get("overwrite_output_dir", False))


def _question(record: Mapping[str, Any]) -> tuple[str, str]:
    return str(record["instruction"]), str(record.get("input") or "")


def _distinct(records: Sequence[dict[str, Any]]) -> Records:
    return list({_question(record): record for record in records}.values())
