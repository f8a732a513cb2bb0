"""The sections `training` and `distillation` of an EasyDistill job as settings of a distillation.

The peer passes `training` to transformers' trainer. What has a meaning here is mapped; the rest is
named in the log and has no effect.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from ...distillation.settings import DistillationConfig, read_config
from ...errors import ConfigError
from .config import JobConfig

logger = logging.getLogger(__name__)

NO_TEACHER: Final = "none"
_MAPPED: Final = {
    "output_dir": "output_dir",
    "num_train_epochs": "num_epochs",
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "max_length": "max_length",
    "learning_rate": "learning_rate",
    "weight_decay": "weight_decay",
    "warmup_ratio": "warmup_ratio",
    "lr_scheduler_type": "lr_scheduler",
    "max_grad_norm": "max_grad_norm",
    "max_steps": "max_steps",
    "save_steps": "save_steps",
    "gradient_checkpointing": "gradient_checkpointing",
    "optimizer": "optimizer",
}
_DEFAULTS: Final[dict[str, Any]] = {
    "output_dir": "./result/",
    "num_train_epochs": 3,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 8,
    "max_length": 512,
    "save_steps": 1000,
    "learning_rate": 2e-5,
    "weight_decay": 0.05,
    "warmup_ratio": 0.1,
    "lr_scheduler_type": "cosine",
}
_ELSEWHERE: Final = frozenset({"bf16", "fp16", "logging_steps", "beta", "overwrite_output_dir"})
OBJECTIVES: Final = {"forward_kld": "forward_kl", "reverse_kld": "reverse_kl"}


def training_settings(
    config: JobConfig, *, teacher_cache: str | None = None, teacher: str | None = None
) -> DistillationConfig:
    """Build the settings of a job's training.

    Args:
        config: The job.
        teacher_cache: Folder of the teacher's logits; None trains on the labels alone.
        teacher: Name of the teacher; None takes that of the job.

    Raises:
        ConfigError: Values out of range; all faults, by the names that the file has.
    """
    without = sorted(set(config.training) - set(_MAPPED) - _ELSEWHERE)
    if without:
        logger.info("training: %s have no effect here", ", ".join(without))
    dtype = _dtype({**_DEFAULTS, **config.training})
    return _checked({**_values(config, teacher_cache, teacher), "dtype": dtype})


def check_training(config: JobConfig) -> None:
    """Refuse a training with values out of range, without loading torch.

    Raises:
        ConfigError: All faults, by the names that the file has.
    """
    stage = config.job.stage
    if stage in ("black_box", "white_box", "preferences", "tool_talks"):
        _checked(_values(config, "cache" if stage == "white_box" else None, None))


def _values(config: JobConfig, teacher_cache: str | None, teacher: str | None) -> dict[str, Any]:
    training = {**_DEFAULTS, **config.training}
    values: dict[str, Any] = {
        ours: training[theirs]
        for theirs, ours in _MAPPED.items()
        if training.get(theirs) is not None
    }
    if values.get("max_steps", 1) in (-1, 0):  # the trainer's word for: not given
        del values["max_steps"]
    values |= {
        "student_model_name": config.models.get("student", ""),
        "teacher_model_name": teacher or _teacher_name(config),
        "alpha": 0.0,
        "temperature": 1.0,
        "seed": config.dataset.get("seed", 42),
    }
    if teacher_cache is not None:
        values |= _white_box(config.distillation) | {"teacher_cache": teacher_cache}
    return values


def _checked(values: Mapping[str, Any]) -> DistillationConfig:
    try:
        return read_config(values)
    except ConfigError as fault:
        raise ConfigError([_in_their_words(line) for line in fault.faults]) from fault


def _white_box(section: Mapping[str, Any]) -> dict[str, Any]:
    """Read the section `distillation`; `kd_ratio` is the weight of the teacher's distributions."""
    kind = section.get("distillation_type", "forward_kld")
    if kind not in OBJECTIVES:
        raise ConfigError(
            [f"distillation.distillation_type is {kind!r}; allowed are {', '.join(OBJECTIVES)}"]
        )
    return {
        "alpha": section.get("kd_ratio", 0.1),
        "temperature": section.get("temperature", 1.0),
        "max_length": section.get("max_seq_length", 512),
        "objective": OBJECTIVES[kind],
    }


def _teacher_name(config: JobConfig) -> str:
    teacher = config.models.get("teacher")
    if isinstance(teacher, list):
        teacher = teacher[0] if teacher else None
    return teacher or NO_TEACHER


def _dtype(training: Mapping[str, Any]) -> str | None:
    """Choose the arithmetic; what this machine has not falls back, and the log says so."""
    # Here, because these load torch, and faults are told without it.
    from ...inference.checkpoints.load_student import choose_device, choose_training_dtype

    able = str(choose_training_dtype(choose_device())).removeprefix("torch.")
    if training.get("fp16"):
        logger.info("fp16: losses are not scaled here; training in %s", able)
        return None
    if training.get("bf16") and able != "bfloat16":
        logger.info("bf16: this machine does not multiply it; training in %s", able)
    return None


def _in_their_words(fault: str) -> str:
    """Put the key of the file in the place of ours at the start of a fault."""
    names = {ours: f"training.{theirs}" for theirs, ours in _MAPPED.items()} | {
        "alpha": "distillation.kd_ratio",
        "temperature": "distillation.temperature",
        "student_model_name": "models.student",
        "seed": "dataset.seed",
    }
    first, _, rest = fault.partition(" ")
    return f"{names.get(first, first)} {rest}"
