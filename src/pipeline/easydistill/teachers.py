"""The teacher of an EasyDistill job, how it decodes, and where its answers are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...errors import ConfigError
from ...labeling.batch.label_run import LabelSettings, Prices
from ...labeling.teachers.open_teacher import open_teacher
from ...labeling.teachers.protocol import DecodeProfile, Teacher
from ...prompts import SystemMode
from .config import JobConfig, resolved_key

_NEW_TOKENS: Final = {
    "extraction": 1024, "thought": 1024, "shorter": 1024, "longer": 1024,
    "thought_scores": 8196, "answer_scores": 8196,
}  # fmt: skip
_WORKERS: Final = {"thought_scores": 30, "answer_scores": 30}
_LOCAL_TEMPERATURE: Final = 0.8


def job_teacher(config: JobConfig) -> Teacher:
    """Open the teacher of a job: the server at `inference.base_url`, or the model in
    `models.teacher`.

    Raises:
        ConfigError: A setting or variable is missing.
        StillroomError: The model cannot be loaded.
    """
    inference = config.inference
    if config.job.teacher == "api":
        return open_teacher(
            str(inference["base_url"]),
            model=inference.get("model"),
            api_key_env=inference.get("api_key_env"),
            api_key=resolved_key(inference.get("api_key")),
            timeout_s=float(inference.get("timeout", 120)),
        )
    return open_teacher(_one_teacher(config.models))


def _one_teacher(models: Mapping[str, Any]) -> str:
    teacher = models["teacher"]
    if isinstance(teacher, str):
        return teacher
    raise ConfigError([f"models.teacher is {teacher!r}; this job has one teacher"])


def decode_profile(config: JobConfig) -> DecodeProfile:
    """Say how the teacher of a job decodes.

    Raises:
        ConfigError: A value is out of range.
    """
    inference, stage = config.inference, str(config.job.stage)
    judges = stage in _WORKERS
    temperature = 0.0 if judges else _LOCAL_TEMPERATURE
    return DecodeProfile(
        max_tokens=inference.get("max_new_tokens", _NEW_TOKENS.get(stage, 512)),
        temperature=inference.get("temperature", temperature),
        top_p=inference.get("top_p", 1.0),
        seed=inference.get("seed", 777),
    )


def label_settings(config: JobConfig, mode: SystemMode = "system1") -> LabelSettings:
    """Say what limits the teacher of a job.

    Args:
        config: The job.
        mode: Of the student; one that reasons learns the teacher's thoughts, too.

    Raises:
        ConfigError: A value is out of range.
    """
    inference = config.inference
    default = _WORKERS.get(str(config.job.stage), 16 if config.job.teacher == "api" else 32)
    prices = Prices(inference.get("prompt_price", 0.0), inference.get("completion_price", 0.0))
    priced = "prompt_price" in inference or "completion_price" in inference
    return LabelSettings(
        concurrency=inference.get("max_workers", default),
        requests_per_minute=inference.get("requests_per_minute"),
        tokens_per_minute=inference.get("tokens_per_minute"),
        prices=prices if priced else None,
        budget=inference.get("budget"),
        max_error_rate=None if config.job.teacher == "local" else 0.5,
        max_rejections=1 if config.job.teacher == "local" else 2,
        keep_thoughts=mode == "system2" or config.job.stage == "thought",
    )
