"""What an agent is: its task, prompts and instructions, as `spec.yaml` holds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...config import as_settings, read_written_yaml
from ...errors import ConfigError
from ...files import write_text
from ..records.config.setting_types import read_settings
from ..records.run_folder import slug

PROMPT_TEMPLATE = "{{ instruction }}{% if context %}\n\nContext: {{ context }}{% endif %}"


@dataclass(frozen=True)
class Instruction:
    """One thing that the agent is asked."""

    instruction: str
    task_id: str = ""
    """Unique in a spec; empty takes the spec's slug and a number."""
    context: str | None = None


@dataclass(frozen=True, kw_only=True)
class DistillAgentSpec:
    """An agent to distil."""

    name: str
    task: str
    description: str = ""
    system_prompt: str = ""
    prompt_template: str = PROMPT_TEMPLATE
    instructions: Sequence[Instruction] = ()
    teacher_model: str | None = None
    student_model: str | None = None
    min_output_chars: int = 24
    max_output_chars: int = 2048
    train_ratio: float = 0.9
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read instructions that are mappings, and number those without an id.

        Raises:
            ConfigError: An instruction lacks a text, or two have one id.
        """
        faults: list[str] = []
        made: list[Instruction] = []
        for number, one in enumerate(self.instructions, start=1):
            if isinstance(one, Mapping):
                settings, wrong = read_settings(Instruction, one, f"instructions[{number - 1}]")
                faults += wrong
                if wrong:
                    continue
                one = Instruction(**settings)
            named = one.task_id or f"{slug(self.name)}-{number:04d}"
            made.append(dataclasses.replace(one, task_id=named))
        ids = [one.task_id for one in made]
        faults += [f"two instructions have the task_id {one!r}" for one in _doubles(ids)]
        if faults:
            raise ConfigError(faults)
        object.__setattr__(self, "instructions", tuple(made))

    def rows(self) -> list[dict[str, Any]]:
        """Give the instructions as records."""
        return [
            {"task_id": one.task_id, "instruction": one.instruction, "context": one.context or ""}
            for one in self.instructions
        ]


def write_spec(spec: DistillAgentSpec, path: Path) -> Path:
    """Write a spec as YAML."""
    import yaml  # type: ignore[import-untyped]

    told = dataclasses.asdict(spec)
    told["instructions"] = [
        {name: one[name] for name in ("task_id", "instruction", "context")}
        for one in told["instructions"]
    ]
    return write_text(path, yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100))


def read_spec(path: Path) -> DistillAgentSpec:
    """Read what `write_spec` has written.

    Raises:
        ConfigError: There is no such file, or it holds something else; lists all faults.
    """
    told = as_settings(read_written_yaml(path), path)
    settings, faults = read_settings(DistillAgentSpec, told, str(path))
    if faults:
        raise ConfigError(faults)
    return DistillAgentSpec(**settings)


def _doubles(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
