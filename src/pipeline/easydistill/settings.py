"""The sections `training` and `distillation` of an EasyDistill job as a `DistillationConfig`.

The peer passes `training` to transformers' trainer. Keys without a counterpart here are logged and
have no effect.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from ...distillation.settings import DistillationConfig, read_config
from ...errors import ConfigError
from .config import OBJECTIVES, JobConfig

logger = logging.getLogger(__name__)

_MAPPED: Final[dict[str, tuple[str, Any]]] = {
    "output_dir": ("output_dir", "./result/"),
    "num_train_epochs": ("num_epochs", 3),
    "per_device_train_batch_size": ("batch_size", 1),
    "gradient_accumulation_steps": ("gradient_accumulation_steps", 8),
    "max_length": ("max_length", 512),
    "learning_rate": ("learning_rate", 2e-5),
    "weight_decay": ("weight_decay", 0.05),
    "warmup_ratio": ("warmup_ratio", 0.1),
    "lr_scheduler_type": ("lr_scheduler", "cosine"),
    "max_grad_norm": ("max_grad_norm", None),
    "max_steps": ("max_steps", None),
    "save_steps": ("save_steps", 1000),
    "gradient_checkpointing": ("gradient_checkpointing", None),
    "optimizer": ("optimizer", None),
}
"""Key of `training` -> our name and EasyDistill's default; None takes ours."""
_USED_ELSEWHERE: Final = {"bf16", "fp16", "logging_steps", "beta", "overwrite_output_dir"}


def training_settings(config: JobConfig, *, teacher_cache: str | None = None) -> DistillationConfig:
    """Build the settings of a job's training.

    Args:
        config: The job.
        teacher_cache: Folder of the teacher's logits; None trains on the labels alone.

    Raises:
        ConfigError: Values out of range; all faults, under the names that the file has.
    """
    ignored = sorted(set(config.training) - set(_MAPPED) - _USED_ELSEWHERE)
    if ignored:
        logger.info("training: %s have no effect here", ", ".join(ignored))
    # Here, because this loads torch, and faults are reported without it.
    from ...inference.checkpoints.load_student import choose_device, choose_training_dtype

    able = str(choose_training_dtype(choose_device())).removeprefix("torch.")
    if config.training.get("fp16"):
        logger.info("fp16: losses are not scaled here; training in %s", able)
    elif config.training.get("bf16") and able != "bfloat16":
        logger.info("bf16: this machine does not multiply it; training in %s", able)
    return _checked(config, teacher_cache)


def check_training(config: JobConfig) -> None:
    """Refuse a training with values out of range, without loading torch.

    Raises:
        ConfigError: All faults, under the names that the file has.
    """
    if config.job.stage in ("black_box", "white_box", "preferences", "conversations"):
        _checked(config, "cache" if config.job.stage == "white_box" else None)


def _checked(config: JobConfig, teacher_cache: str | None) -> DistillationConfig:
    teacher = config.models.get("teacher")
    values: dict[str, Any] = {
        "student_model_name": config.models.get("student", ""),
        "teacher_model_name": (teacher[:1] or [None])[0] if isinstance(teacher, list) else teacher,
        "alpha": 0.0,
        "temperature": 1.0,
        "seed": config.dataset.get("seed", 42),
    }
    values["teacher_model_name"] = values["teacher_model_name"] or "none"
    for theirs, (ours, default) in _MAPPED.items():
        value = config.training.get(theirs, default)
        if value is not None and not (theirs == "max_steps" and value in (-1, 0)):
            values[ours] = value  # -1 and 0 steps mean that no number is given
    if teacher_cache is not None:
        section = config.distillation
        values |= {
            "teacher_cache": teacher_cache,
            "alpha": section.get("kd_ratio", 0.1),
            "temperature": section.get("temperature", 1.0),
            "max_length": section.get("max_seq_length", 512),
            "objective": OBJECTIVES[section.get("distillation_type", "forward_kld")],
        }
    try:
        return read_config(values)
    except ConfigError as fault:
        raise ConfigError([_renamed(line) for line in fault.faults]) from fault


def _renamed(fault: str) -> str:
    """Put the key of the file in the place of ours at the start of a fault."""
    names: Mapping[str, str] = {ours: f"training.{key}" for key, (ours, _) in _MAPPED.items()} | {
        "alpha": "distillation.kd_ratio",
        "temperature": "distillation.temperature",
        "student_model_name": "models.student",
        "seed": "dataset.seed",
    }
    first, _, rest = fault.partition(" ")
    return f"{names.get(first, first)} {rest}"
