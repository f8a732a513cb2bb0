"""Ask the teacher of an EasyDistill job: a server, or a model in this process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigError, GenerationError
from ...labeling.batch.label_run import Check, LabelRun, LabelSettings, LabelTask, Prices
from ...labeling.batch.labeler import BatchLabeler
from ...labeling.tasks.free_text import ask_turns
from ...labeling.tasks.reasoning_labels import numbered_tasks, prompt_of
from ...labeling.teachers.open_teacher import open_teacher
from ...labeling.teachers.protocol import DecodeProfile, Prompt, Teacher
from ...prompts import SystemMode
from .config import JobConfig
from .config_v2 import resolved_variable


def ask_teacher(
    config: JobConfig,
    tasks: Iterable[LabelTask],
    folder: str | Path,
    *,
    check: Check | None = None,
    mode: SystemMode = "system1",
) -> LabelRun:
    """Ask the teacher of a job.

    Args:
        config: The job.
        tasks: Tasks to ask.
        folder: Keeps every answer as soon as it arrives.
        check: Judges answers.
        mode: Mode of the student; with `system2` it learns the teacher's reasoning too.

    Raises:
        ConfigError: A setting is out of range, or an environment variable is not set.
        GenerationError: The run stopped early; the same command continues it.
    """
    inference, stage = config.inference, config.job.definition
    local = config.job.teacher == "local"
    profile = DecodeProfile(
        max_tokens=inference.get("max_new_tokens", stage.new_tokens),
        temperature=inference.get("temperature", 0.0 if stage.judges else 0.8),
        top_p=inference.get("top_p", 1.0),
        seed=inference.get("seed", 777),
    )
    prices = [inference.get(f"{name}_price") for name in ("prompt", "completion")]
    settings = LabelSettings(
        concurrency=inference.get("max_workers", 30 if stage.judges else 32 if local else 16),
        requests_per_minute=inference.get("requests_per_minute"),
        tokens_per_minute=inference.get("tokens_per_minute"),
        prices=None if prices == [None, None] else Prices(*(price or 0.0 for price in prices)),
        budget=inference.get("budget"),
        max_error_rate=None if local else 0.5,
        max_rejections=1 if local else 2,
        keep_thoughts=mode == "system2" or config.job.stage == "thought",
    )
    labeler = BatchLabeler(_opened(config), folder, profile=profile, settings=settings, check=check)
    run = labeler.run(tasks)
    if run.stopped is not None:
        raise GenerationError(f"stopped ({run.stopped}): {run.message}. The same command goes on")
    return run


def ask_instructions(
    config: JobConfig,
    records: Sequence[Mapping[str, Any]],
    mode: SystemMode,
    system: str | None,
    folder: str,
) -> LabelRun:
    """Ask the teacher to answer records `{instruction, input}`.

    A server gets chat turns. A model in this process gets the prompt that the student is trained
    on, or chat turns if there is a system prompt.
    """

    def prompt(record: Mapping[str, Any]) -> Prompt:
        if config.job.teacher == "local" and not system:
            return prompt_of(record, mode)
        given = f"\n{record['input']}" if record.get("input") else ""
        return ask_turns(f"{record['instruction']}{given}", system)

    return ask_teacher(config, numbered_tasks(records, prompt), folder, mode=mode)


def _opened(config: JobConfig) -> Teacher:
    inference, model = config.inference, config.models.get("teacher")
    if config.job.teacher == "local":
        if not isinstance(model, str):
            raise ConfigError([f"models.teacher is {model!r}; this job has one teacher"])
        return open_teacher(model)
    key = inference.get("api_key") or None
    return open_teacher(
        str(inference["base_url"]),
        model=inference.get("model"),
        api_key_env=inference.get("api_key_env"),
        api_key=resolved_variable(key) if key and key.startswith("$") else key,
        timeout_s=float(inference.get("timeout", 120)),
    )
