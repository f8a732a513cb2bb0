"""The settings of an agent's distillation: sections `agent`, `distill`, `teacher`, `training`.

A section `claude` is accepted and has no effect: the teacher writes the instructions.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...config import as_settings, named_place, read_written_yaml
from ...distillation.setting_names import EVERY_SECOND
from ...errors import ConfigError, did_you_mean
from ..records.config.environment_values import with_environment
from ..records.config.run_settings import as_count, from_variable
from ..records.config.setting_types import read_settings

logger = logging.getLogger(__name__)
EMBEDDED: Final = "embedded"
"""Provider of a teacher in this process."""
EMBEDDED_MODEL: Final = "smollm2"
LOCAL: Final = (EMBEDDED, "local", "transformers")
PROVIDERS: Final = (*LOCAL, "anthropic", "ollama", "openai", "openrouter", "sglang", "vllm")
_MLX_NAMES: Final = {
    "model": "model", "iters": "iters", "batch_size": "batch_size",
    "max_seq_length": "max_seq_length", "learning_rate": "learning_rate", "seed": "seed",
    "save_every": "save_every",
}  # fmt: skip
"""Keys of MLX's training file that our trainer reads -> fields of `TrainingSettings`."""
_MLX_IDLE: Final = frozenset({
    "adapter_path", "data", "fast", "fine_tune_type", "grad_checkpoint", "lora_parameters",
    "lr_schedule", "num_layers", "optimizer", "steps_per_eval", "steps_per_report", "test",
    "test_batches", "train", "train_mode", "train_type", "val_batches",
})  # fmt: skip
"""Keys of MLX's training file that have no effect here."""


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """What is distilled, and where to."""

    task: str | None = None
    """What the agent is for, in words."""
    name: str | None = None
    """Name of the agent; None takes the first words of the task."""
    output_dir: str = "outputs/agents"
    """Folder of the bundles."""
    num_instructions: int = 48
    """Instructions that the teacher is to write, 2 or more."""
    run_id: str | None = None
    """Name of the bundle; None is the time and the agent's name."""


@dataclass(frozen=True, kw_only=True)
class DistillSettings:
    """Prompts, and which answers are kept."""

    system_prompt: str | None = None
    prompt_template: str | None = None
    """Jinja text with `instruction` and `context`."""
    min_output_chars: int = 24
    max_output_chars: int = 2048
    train_ratio: float = 0.9
    """Share of the kept records that is trained on, 0 to 1; the rest measures the student."""


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """The teacher."""

    provider: str = EMBEDDED
    """`embedded` (in this process), or a provider of a server."""
    model: str | None = None
    """Name of the model; None takes the packaged one, or the provider's variable."""
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    """The key, better `${NAME}`; it is written nowhere."""
    api_key_env: str | None = None
    generation_kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Whether the teacher runs in this process."""
        return self.provider in LOCAL


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The training of the student."""

    enabled: bool | None = None
    """Whether to train; None trains where the teacher runs in this process."""
    mlx_config: str | None = None
    """Training file in MLX's form, whose settings stand where no others are given."""
    model: str | None = None
    """Where the student starts: a folder, a model of the hub, `every_second_layer` of the teacher,
    or `from_teacher` (measures the layers first, which takes longer than the training). None is
    `every_second_layer` for a teacher in this process."""
    iters: int | None = None
    """Steps of the training; None is about eight passes."""
    batch_size: int = 4
    max_seq_length: int = 1024
    learning_rate: float = 2e-4
    seed: int = 0
    save_every: int | None = None
    export_gguf: bool = True
    gguf_output: str | None = None


@dataclass(frozen=True)
class AgentConfig:
    """All settings."""

    agent: AgentSettings
    distill: DistillSettings
    teacher: TeacherSettings
    training: TrainingSettings

    @property
    def trains(self) -> bool:
        """Whether a student is trained."""
        wanted = self.training.enabled
        return self.teacher.is_local if wanted is None else wanted

    @property
    def student(self) -> str | None:
        """Where the student starts."""
        return self.training.model or (EVERY_SECOND if self.teacher.is_local else None)


_SECTIONS: Final[dict[str, type[Any]]] = {
    "agent": AgentSettings, "distill": DistillSettings, "teacher": TeacherSettings,
    "training": TrainingSettings,
}  # fmt: skip


def read_agent_config(config: Mapping[str, Any], beside: Path | None = None) -> AgentConfig:
    """Read merged settings; see `config_layers.read_layers`.

    Args:
        config: The settings.
        beside: Folder of the file that they are from, for the paths in them.

    Raises:
        ConfigError: Lists all faults.
    """
    known = (*_SECTIONS, "claude", "parameters")
    faults = [
        f"there is no section {key!r}; {did_you_mean(key, _SECTIONS, what='section')}"
        for key in config
        if key not in known or (key == "parameters" and config[key])
    ]
    if config.get("claude"):
        logger.info("claude has no effect here: the teacher writes the instructions")
    made: dict[str, Any] = {}
    for name, cls in _SECTIONS.items():
        given = config.get(name) or {}
        if not isinstance(given, Mapping):
            faults.append(f"{name} is {given!r}; a mapping is needed")
            continue
        values = with_environment(dict(given), name, faults)
        if name == "training":
            values = {**_mlx(values.get("mlx_config"), beside, faults), **values}
        if name == "teacher" and "provider" not in values:
            variable = os.environ.get("FASTDISTILL_PROVIDER", "").strip().lower()
            values |= {"provider": variable} if variable else {}
        settings, wrong = read_settings(cls, values, name)
        faults += wrong
        made[name] = cls(**settings) if not wrong else None
    if not faults:
        config_made = AgentConfig(**made)
        faults += _range_faults(config_made)
    if faults:
        raise ConfigError(faults)
    return config_made


def _range_faults(config: AgentConfig) -> list[str]:
    agent, distill, teacher, training = (getattr(config, name) for name in _SECTIONS)
    lengths = (distill.min_output_chars, distill.max_output_chars)
    checks = (
        (bool(agent.task and agent.task.strip()), "agent.task is missing; say what the agent is "
         "for: --task '...'"),
        (agent.num_instructions >= 2, f"agent.num_instructions is {agent.num_instructions}; "
         "allowed is 2 or more"),
        (1 <= lengths[0] <= lengths[1], f"distill.min_output_chars and max_output_chars are "
         f"{lengths[0]} and {lengths[1]}; allowed is 1 or more, the second not below the first"),
        (0 <= distill.train_ratio <= 1, f"distill.train_ratio is {distill.train_ratio}; allowed "
         "is 0 to 1"),
        (teacher.provider in PROVIDERS, f"teacher.provider is {teacher.provider!r}; "
         f"{did_you_mean(teacher.provider, PROVIDERS, what='provider')}"),
        (training.iters is None or training.iters >= 1, f"training.iters is {training.iters}; "
         "allowed is 1 or more"),
        (training.batch_size >= 1, f"training.batch_size is {training.batch_size}; allowed is 1 "
         "or more"),
        (not config.trains or config.student is not None, "training.model is missing; a teacher "
         "on a server has no weights here to make a student of: name a model to start from"),
    )  # fmt: skip
    return [words for fine, words in checks if not fine]


def _mlx(path: object, beside: Path | None, faults: list[str]) -> dict[str, Any]:
    """Read MLX's settings: a file, then the variables `MLX_...`, which go before it."""
    found: dict[str, Any] = {}
    path = path or os.environ.get("MLX_TRAIN_CONFIG", "").strip() or None
    if isinstance(path, str):
        place = named_place(path, beside, Path.is_file)
        try:
            found = as_settings(read_written_yaml(place or path), path)
        except ConfigError as fault:
            faults += fault.faults
    known = {*_MLX_NAMES, *_MLX_IDLE}
    faults += [
        f"{path} has the key {key!r}; {did_you_mean(key, known)}"
        for key in found
        if key not in known
    ]
    if found.get("train_mode", "sft") != "sft":
        faults.append(f"{path}: train_mode is {found['train_mode']!r}; allowed is 'sft'")
    told = {_MLX_NAMES[key]: value for key, value in found.items() if key in _MLX_NAMES}
    for name in ("model", "iters", "batch_size", "max_seq_length", "save_every"):
        kind = str if name == "model" else as_count
        value = from_variable(f"MLX_{name.upper()}", kind, faults)
        if value is not None:
            told[name] = value
    rate = told.get("learning_rate")
    if isinstance(rate, str):  # YAML reads 1e-5 as a text
        try:
            told["learning_rate"] = float(rate)
        except ValueError:
            faults.append(f"{path}: learning_rate is {rate!r}; allowed is a number")
    return told
