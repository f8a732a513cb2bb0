"""Read EasyDistill configurations of both generations into a `JobConfig`.

All faults are reported at once. A 2.0 configuration is converted to the keys of 1.0. Null means
not given.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...config import as_settings, named_place, read_written_json, read_written_yaml
from ...distillation.settings import DistillationConfig, read_config
from ...errors import ConfigError
from ...prompts import SystemMode
from ..path_checks import output_faults
from .config_v2 import from_v2, place_v2
from .jobs import Job, Stage, find_job
from .keys import OBJECTIVES, USED, Section, key_faults

logger = logging.getLogger(__name__)

_DEFAULTS: Final[Mapping[str, Section]] = {
    "dataset": {"seed": 42, "instruction_key": "instruction", "output_key": "output",
                "num_in_context_samples": 3, "num_output_samples": 10},
    "models": {},
    "inference": {"seed": 777, "top_p": 1.0, "top_logits_num": 10, "timeout": 120},
    "distillation": {"kd_ratio": 0.1, "temperature": 1.0, "max_seq_length": 512,
                     "distillation_type": "forward_kld"},
    "training": {"output_dir": "./result/", "num_train_epochs": 3, "max_length": 512,
                 "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8,
                 "learning_rate": 2e-5, "weight_decay": 0.05, "warmup_ratio": 0.1,
                 "lr_scheduler_type": "cosine", "save_steps": 1000, "beta": 0.1},
}  # fmt: skip
_SETTINGS: Final = {
    "models.student": "student_model_name", "dataset.seed": "seed",
    "training.num_train_epochs": "num_epochs", "training.lr_scheduler_type": "lr_scheduler",
    "training.per_device_train_batch_size": "batch_size",
    **{f"training.{name}": name for name in (
        "output_dir", "gradient_accumulation_steps", "max_length", "learning_rate", "weight_decay",
        "warmup_ratio", "max_grad_norm", "max_steps", "save_steps", "gradient_checkpointing",
        "optimizer",
    )},
}  # fmt: skip
_LOGITS_SETTINGS: Final = {
    "dataset.logits_path": "teacher_cache", "distillation.kd_ratio": "alpha",
    "distillation.temperature": "temperature", "distillation.max_seq_length": "max_length",
    "distillation.distillation_type": "objective",
}  # fmt: skip
"""Section and key -> our setting of the training. This second table is for jobs that also train on
logits."""


@dataclass(frozen=True)
class JobConfig:
    """A configuration without faults. Keys with a default are always there."""

    job: Job
    stage: Stage
    dataset: Section
    """Paths of input files are resolved; paths of output files are as given."""
    models: Section
    inference: Section = field(repr=False)
    training: Section
    settings: DistillationConfig
    """Settings of the training, if the job trains a student."""
    records: Mapping[str, Sequence[Section]] = field(default_factory=dict, repr=False)
    """Key of `dataset` -> records of that file, if the caller has read them already."""

    @property
    def mode(self) -> SystemMode:
        """Format of the student's prompts."""
        mode: SystemMode = self.dataset.get("prompt_format", "system1")
        return mode

    @property
    def work(self) -> str:
        """Folder that keeps the teacher's answers, beside the file that the job writes."""
        return f"{self.dataset.get('output_path') or self.dataset['labeled_path']}.work"


def read_job(path: str | Path) -> JobConfig:
    """Read and check a configuration of either generation in a JSON or YAML file.

    Relative paths in it are resolved against the current folder, then against the folder of the
    configuration.

    Raises:
        ConfigError: There is no such file, it is neither JSON nor YAML, or the job is unknown or
            not supported. Otherwise lists all faults: unknown and missing keys, wrong values,
            missing input files, and output that cannot be written.
    """
    if not os.path.isfile(path):
        raise ConfigError([f"there is no configuration at {str(path)!r}"])
    is_yaml = Path(path).suffix.lower() in (".yaml", ".yml")
    written = read_written_yaml(path) if is_yaml else read_written_json(path)
    values, beside = as_settings(written, path), Path(path).resolve().parent
    if values.get("job_type") is None and ("models" in values or "training" in values):
        raise ConfigError(["job_type is missing; see stillroom easydistill --list-jobs"])
    job, stage = find_job(values.get("job_type") or "instruct_distill")  # the default of 2.0
    faults = list(key_faults(values, job.generation))
    sections = {
        name: {key: value for key, value in section.items() if value is not None}
        for name, section in values.items()
        if isinstance(section, Mapping)
    }
    if job.generation == "2.0":
        sections = from_v2(sections, stage, beside, faults)
    given = {name: {**defaults, **sections.get(name, {})} for name, defaults in _DEFAULTS.items()}
    if isinstance(nested := given["training"].get("output"), Mapping):
        given["training"] |= nested  # agentkd_distill has its folder there
    given["inference"] = {**_decoding(job, stage), **given["inference"]}
    faults += [*_missing(given, job, stage), *_place_faults(given, job, stage, beside)]
    if faults:
        raise ConfigError(faults)
    _log_notes(given, stage)
    settings = _settings(given, stage) if stage.trains else DistillationConfig()
    del given["distillation"]
    return JobConfig(job, stage, settings=settings, **given)


def _decoding(job: Job, stage: Stage) -> Section:
    """Return the defaults of a teacher's answers; those who judge decode greedily."""
    names = ("temperature", "max_new_tokens", "max_workers")
    if job.generation == "2.0":
        values = (0.0, 512, 10) if stage.judges else (0.7, 2048, 1)
    elif stage.judges:
        values = (0.0, stage.new_tokens, 30)
    else:
        values = (0.8, stage.new_tokens, 32 if job.teacher == "local" else 16)
    return dict(zip(names, values, strict=True))


def _missing(given: Mapping[str, Section], job: Job, stage: Stage) -> Iterator[str]:
    needed = ["dataset.instruction_path"] if job.labels else []
    needed += stage.needs
    needed += {"local": ["models.teacher"], "api": ["inference.base_url"], "none": []}[job.teacher]
    for name in needed:
        section, key = name.split(".")
        if not given[section].get(key):
            place = place_v2(section, key) if job.generation == "2.0" else name
            yield f"{place} is missing; {job.name} needs it"


def _place_faults(
    given: Mapping[str, dict[str, Any]], job: Job, stage: Stage, beside: Path
) -> Iterator[str]:
    """Resolve paths of input; report those that are not found, and output that cannot be written.

    The name of a model that is no folder may be one on the hub.
    """
    dataset, models, folder = given["dataset"], given["models"], given["training"]["output_dir"]
    # Labels are an input only if no teacher writes them.
    labels = ("labeled_path", "logits_path") if job.teacher == "none" else ()
    for key in ("instruction_path", "input_path", *labels):
        path = dataset.get(key)
        if isinstance(path, str) and path.strip():
            found = named_place(path, beside)
            dataset[key] = str(found or path)
            if found is None:
                yield f"Input path does not exist: {path}"
            elif found != Path(path):
                logger.info("%s: taken from %s", path, found)
    for key, name in models.items():
        if isinstance(name, str):
            models[key] = str(named_place(name, beside) or name)
    path = dataset.get("output_path")
    if isinstance(path, str) and Path(path).is_dir():
        yield f"Output path is a directory: {path}"
    elif isinstance(path, str):
        yield from output_faults("dataset.output_path", str(Path(path).parent))
    if isinstance(folder, str) and stage.trains:
        yield from output_faults("training.output_dir", folder)


def _log_notes(given: Mapping[str, Section], stage: Stage) -> None:
    """Log what a user may not expect: keys without effect, a plain API key, the prompts' format."""
    for section, values in given.items():
        idle = [key for key in values if key not in USED[section].split()]
        if idle:
            logger.info("%s: %s have no effect here", section, ", ".join(idle))
    if not str(given["inference"].get("api_key") or "$").startswith("$"):
        logger.warning("inference.api_key holds a key in plain text; set a variable, and name it "
                       "in inference.api_key_env")  # fmt: skip
    if stage.trains and "prompt_format" not in given["dataset"]:
        logger.warning(
            "dataset.prompt_format is not given, so prompts have the form 'system1' (User: ... "
            "Assistant:) in training; ask the student with mode='system1'"
        )


def _settings(given: Mapping[str, Section], stage: Stage) -> DistillationConfig:
    """Build the settings of a job's training.

    Raises:
        ConfigError: Values are out of range; lists all faults, with the keys of the configuration.
    """
    mapped = _SETTINGS | (_LOGITS_SETTINGS if stage.name == "white_box" else {})
    teacher = given["models"].get("teacher") or "none"
    values: dict[str, Any] = {
        "teacher_model_name": teacher[0] if isinstance(teacher, list) else teacher,
        "alpha": 0.0,
        "temperature": 1.0,
    }
    for place, ours in mapped.items():
        section, _, key = place.partition(".")
        if key in given[section]:
            values[ours] = given[section][key]
    if "objective" in values:
        values["objective"] = OBJECTIVES[values["objective"]]
    if values.get("max_steps") in (-1, 0):  # not given
        del values["max_steps"]
    try:
        return read_config(values)
    except ConfigError as fault:
        places = {ours: place for place, ours in mapped.items()}
        split = [line.partition(" ") for line in fault.faults]
        raise ConfigError(
            [f"{places.get(first, first)} {rest}" for first, _, rest in split]
        ) from fault
