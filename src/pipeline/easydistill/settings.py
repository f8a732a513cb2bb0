"""Convert the sections `training` and `distillation` of an EasyDistill job to a
`DistillationConfig`, without loading torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...distillation.settings import DistillationConfig, read_config
from ...errors import ConfigError
from .jobs import Job

OBJECTIVES: Final = {"forward_kld": "forward_kl", "reverse_kld": "reverse_kl"}
"""Value of `distillation.distillation_type` -> our name of the divergence."""
_MAPPED: Final[dict[str, tuple[str, Any]]] = {
    "models.student": ("student_model_name", ""),
    "dataset.seed": ("seed", 42),
    "training.output_dir": ("output_dir", "./result/"),
    "training.num_train_epochs": ("num_epochs", 3),
    "training.per_device_train_batch_size": ("batch_size", 1),
    "training.gradient_accumulation_steps": ("gradient_accumulation_steps", 8),
    "training.max_length": ("max_length", 512),
    "training.learning_rate": ("learning_rate", 2e-5),
    "training.weight_decay": ("weight_decay", 0.05),
    "training.warmup_ratio": ("warmup_ratio", 0.1),
    "training.lr_scheduler_type": ("lr_scheduler", "cosine"),
    "training.max_grad_norm": ("max_grad_norm", None),
    "training.max_steps": ("max_steps", None),
    "training.save_steps": ("save_steps", 1000),
    "training.gradient_checkpointing": ("gradient_checkpointing", None),
    "training.optimizer": ("optimizer", None),
}
_MAPPED_LOGITS: Final[dict[str, tuple[str, Any]]] = {
    "dataset.logits_path": ("teacher_cache", None),
    "distillation.kd_ratio": ("alpha", 0.1),
    "distillation.temperature": ("temperature", 1.0),
    "distillation.max_seq_length": ("max_length", 512),
    "distillation.distillation_type": ("objective", "forward_kld"),
}
"""Section and key -> our name and EasyDistill's default; None takes our default. This second table
is for jobs that also train on logits."""


def training_settings(given: Mapping[str, Mapping[str, Any]], job: Job) -> DistillationConfig:
    """Build the settings of a job's training.

    Args:
        given: The sections of the configuration.
        job: A job that trains a student.

    Raises:
        ConfigError: Values are out of range; lists all faults, with the keys of the configuration.
    """
    mapped = _MAPPED | (_MAPPED_LOGITS if job.stage == "white_box" else {})
    teacher = given["models"].get("teacher")
    values: dict[str, Any] = {
        "teacher_model_name": (teacher[0] if isinstance(teacher, list) and teacher else teacher)
        or "none",
        "alpha": 0.0,
        "temperature": 1.0,
    }
    for place, (ours, default) in mapped.items():
        section, _, key = place.partition(".")
        value = given[section].get(key, default)
        # -1 or 0 steps mean that the number of steps is not given.
        if value is not None and not (key == "max_steps" and value in (-1, 0)):
            values[ours] = OBJECTIVES[value] if key == "distillation_type" else value
    nested = given["training"].get("output")  # agentkd_distill has its folder there
    if isinstance(nested, Mapping) and "output_dir" in nested:
        values["output_dir"] = nested["output_dir"]
    try:
        return read_config(values)
    except ConfigError as fault:
        places = {ours: place for place, (ours, _) in mapped.items()}
        split = [line.partition(" ") for line in fault.faults]
        raise ConfigError(
            [f"{places.get(first, first)} {rest}" for first, _, rest in split]
        ) from fault
