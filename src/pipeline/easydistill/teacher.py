"""Ask the teacher of an EasyDistill job: a server, or a model in this process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigError, GenerationError
from ...labeling.batch.label_run import Check, LabelRun, LabelSettings, LabelTask, Prices
from ...labeling.batch.labeler import BatchLabeler
from ...labeling.tasks.free_text import ask_turns
from ...labeling.tasks.reasoning_labels import labelled_records, numbered_tasks, prompt_of
from ...labeling.teachers.open_teacher import open_teacher
from ...labeling.teachers.protocol import DecodeProfile, Prompt, Teacher
from .config import JobConfig
from .config_v2 import resolved_variable

_LIMITS = ("requests_per_minute", "tokens_per_minute", "budget")


def ask_teacher(
    config: JobConfig, tasks: Iterable[LabelTask], name: str = "", *, check: Check | None = None
) -> LabelRun:
    """Ask the teacher of a job; every answer is kept as soon as it arrives.

    Args:
        config: The job.
        tasks: Tasks to ask.
        name: Tells apart the questions of one job, if it asks several times.
        check: Judges answers.

    Raises:
        ConfigError: A setting is out of range, or an environment variable is not set.
        GenerationError: The run stopped early; the same command continues it.
    """
    given, local = config.inference, config.job.teacher == "local"
    profile = DecodeProfile(
        given["max_new_tokens"], given["temperature"], given["top_p"], given["seed"]
    )
    has_prices = "prompt_price" in given or "completion_price" in given
    prices = Prices(given.get("prompt_price", 0.0), given.get("completion_price", 0.0))
    settings = LabelSettings(
        concurrency=given["max_workers"],
        prices=prices if has_prices else None,
        max_error_rate=None if local else 0.5,
        max_rejections=1 if local else 2,
        keep_thoughts=config.mode == "system2" or config.stage.name == "thought",
        **{limit: given[limit] for limit in _LIMITS if limit in given},
    )
    folder = Path(config.work, name)
    labeler = BatchLabeler(_opened(config), folder, profile=profile, settings=settings, check=check)
    run = labeler.run(tasks)
    if run.stopped is not None:
        raise GenerationError(f"stopped ({run.stopped}): {run.message}. The same command goes on")
    return run


def answered_records(
    config: JobConfig,
    records: Sequence[Mapping[str, Any]],
    system: str | None = None,
    name: str = "",
) -> list[dict[str, Any]]:
    """Let the teacher answer records `{instruction, input}`.

    A server gets chat turns. A model in this process gets the prompt that the student is trained
    on, or chat turns if there is a system prompt.

    Returns:
        The records with the answers as `output`; those without a usable answer are left out.
    """

    def prompt(record: Mapping[str, Any]) -> Prompt:
        if config.job.teacher == "local" and not system:
            return prompt_of(record, config.mode)
        given = f"\n{record['input']}" if record.get("input") else ""
        return ask_turns(f"{record['instruction']}{given}", system)

    return labelled_records(ask_teacher(config, numbered_tasks(records, prompt), name))


def _opened(config: JobConfig) -> Teacher:
    given, model = config.inference, config.models.get("teacher")
    if config.job.teacher == "local":
        if not isinstance(model, str):
            raise ConfigError([f"models.teacher is {model!r}; this job has one teacher"])
        return open_teacher(model)
    key = given.get("api_key") or None
    return open_teacher(
        str(given["base_url"]),
        model=given.get("model"),
        api_key_env=given.get("api_key_env"),
        api_key=resolved_variable(key) if key and key.startswith("$") else key,
        timeout_s=float(given["timeout"]),
    )
