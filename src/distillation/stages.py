"""Run several trainings in sequence, such as a teacher assistant, or labels before soft targets.

    distill_stages("configs/distillation/teacher_assistant.json")

Each stage is a complete training and saves a checkpoint folder. An interrupted call continues with
its current stage, and finished stages are not repeated as long as their settings, data and models
stay the same.

Source of the teacher assistant: Mirzadeh et al. 2020 (arXiv 1902.03393).
"""

from __future__ import annotations

import gc
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from ..config import read_written_text
from ..errors import ConfigError, DataError, UnreadableFileError
from ..files import read_json, write_json
from ..inference.checkpoints.load_student import find_checkpoint
from ..prompts import prompts_sha256
from ..records import Example, record_hash
from ..run_identity import examples_hash
from .distiller import DistillationSummary, ModelDistiller
from .settings import DistillationConfig, config_hash
from .stage_plan import STAGE, Stage, find_data, read_plan
from .teacher.cache_format import known_identity
from .torch_processes import is_main_process, wait_for_everyone
from .training.dispatch import examples_of
from .training_data import Record

logger = logging.getLogger(__name__)

STAGE_FILE: Final = "stage.json"
"""File in the folder of a finished stage, with the hash of its settings, data and models."""
WORK_FOLDER: Final = "work"


@dataclass(frozen=True)
class StageSummary:
    """The result of a stage."""

    name: str
    folder: Path
    """The checkpoint of its student."""
    summary: DistillationSummary | None
    """None if the stage was finished before this call."""


def distill_stages(
    config: Mapping[str, Any] | str | Path,
    training_data: Iterable[Record] | None = None,
    *,
    read: Callable[[Path], Iterable[Record]] | None = None,
    beside: Path | None = None,
) -> list[StageSummary]:
    """Run the stages of a configuration that are not finished.

    Args:
        config: As described in `stage_plan.py`, or its JSON file; relative paths are resolved
            against the current folder, then against that of the file.
        training_data: Records for stages that name no file.
        read: Reads a file of records; None for `read_records`.
        beside: Folder of the file that the mapping came from.

    Returns:
        One entry per stage; the student is in the last one's folder.

    Raises:
        ConfigError: The configuration has faults; it lists all of them.
        DataError: Records cannot be used, or a stage has none.
        DataNotFoundError: A file of records does not exist.
    """
    beside = beside if isinstance(config, Mapping) else Path(config).parent
    plan = read_plan(config if isinstance(config, Mapping) else read_json(config))
    given = None if training_data is None else list(training_data)
    reader = read_records if read is None else read
    examples = {stage.name: _examples(stage, given, beside, reader) for stage in plan.stages}
    done: dict[str, tuple[Path, str]] = {}
    summaries = []
    for number, stage in enumerate(plan.stages, start=1):
        folder = plan.output_dir / f"stage-{number:02d}-{stage.name}"
        settings = stage.config({name: place for name, (place, _) in done.items()})
        identity = stage_identity(stage, settings, examples[stage.name], done)
        summary = None
        if _is_finished(folder, identity):
            logger.warning("%s: this stage is finished; delete the folder to repeat it", folder)
        else:
            work = plan.output_dir / WORK_FOLDER / folder.name
            summary = _run_stage(settings, examples[stage.name], folder, work)
            _mark_finished(folder, work, stage, identity)
        done[stage.name] = folder, identity
        summaries.append(StageSummary(stage.name, folder, summary))
    return summaries


def stage_identity(
    stage: Stage,
    settings: DistillationConfig,
    examples: Sequence[Example],
    done: Mapping[str, tuple[Path, str]],
) -> str:
    """Hash everything that determines the result of a stage, independently of its folder."""
    models = {
        role: {"stage": done[name.removeprefix(STAGE)][1]}
        if name.startswith(STAGE)
        else known_identity(name, None)
        for role, name in (("teacher", stage.teacher), ("student", stage.student))
    }
    neutral = settings.to_dict() | {"teacher_model_name": "-", "student_model_name": "-"}
    return record_hash(
        {
            "config": config_hash(DistillationConfig(**neutral), dtype=str(settings.dtype)),
            "data": examples_hash(examples),
            "prompts": prompts_sha256(),
            "models": models,
        }
    )


def _run_stage(
    settings: DistillationConfig, examples: Sequence[Example], folder: Path, work: Path
) -> DistillationSummary:
    distiller = ModelDistiller(settings)
    summary = distiller.distill(examples, work_dir=work)
    distiller.save_distilled_model(folder)
    del distiller
    gc.collect()  # frees this stage's models, which have reference cycles, before the next ones
    return summary


def _mark_finished(folder: Path, work: Path, stage: Stage, identity: str) -> None:
    wait_for_everyone()  # no process reads the work folder any more
    if is_main_process():
        write_json(
            folder / STAGE_FILE, {"schema_version": 1, "name": stage.name, "identity": identity}
        )
        shutil.rmtree(work, ignore_errors=True)
    wait_for_everyone()


def _is_finished(folder: Path, identity: str) -> bool:
    """Tell whether the folder holds the complete result of exactly this stage."""
    try:
        found = read_json(folder / STAGE_FILE)
    except (FileNotFoundError, ValueError):
        return False
    if found.get("identity") == identity and find_checkpoint(folder) == folder:
        return True
    logger.warning("%s: other settings, data or models made it; the stage is repeated", folder)
    return False


def _examples(
    stage: Stage,
    given: Sequence[Record] | None,
    beside: Path | None,
    read: Callable[[Path], Iterable[Record]],
) -> list[Example]:
    if stage.data is None and given is None:
        raise DataError(f"stage {stage.name!r} has no data; name a file, or give training_data")
    records: Iterable[Record] = given or ()
    if stage.data is not None:
        records = read(find_data(stage.data, beside))
    return examples_of(records, stage.values["task"])


def read_records(path: Path) -> list[Record]:
    """Read records from a JSON list or JSON Lines; those of `write_examples` become examples.

    Raises:
        DataError: It is neither.
    """
    try:
        written = read_written_text(path)
        if written.lstrip().startswith("["):
            records = json.loads(written)
        else:
            records = [json.loads(line) for line in written.split("\n") if line.strip()]
    except ConfigError as fault:
        raise UnreadableFileError(str(fault)) from fault
    except json.JSONDecodeError as fault:
        raise DataError(f"is neither a JSON list nor JSON Lines ({fault})", path=path) from fault
    names = {field.name for field in fields(Example)}
    return [
        Example.from_dict(record) if isinstance(record, dict) and set(record) == names else record
        for record in records
    ]
