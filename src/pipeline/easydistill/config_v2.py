"""Configurations of EasyDistill 2.0, read into the same jobs as those of 1.0."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ...config import read_written_text
from ...errors import ConfigError, did_you_mean
from .config import JobConfig, found_path
from .jobs import JOBS, find_job
from .kinds import kind_faults

DEFAULT_JOB: Final = "instruct_distill"
_SECTIONS: Final[dict[str, frozenset[str]]] = {
    name: frozenset(keys.split())
    for name, keys in {
        "backend": "type api_key api_key_env base_url endpoint_url token model_id timeout "
        "max_retries",
        "eval_backend": "type api_key api_key_env base_url endpoint_url token model_id timeout "
        "max_retries",
        "dataset": "input_path output_path output_dir instruction_key system_key problem_key "
        "answer_key output_key text_key output_format skip_empty min_length max_length",
        "generation": "system_prompt temperature max_tokens max_workers prompt_template "
        "prompt_template_file raise_on_error retry_attempts retry_backoff_base retry_max_wait "
        "model_id seed show_progress",
        "synthesis": "prompt_template prompt_template_file num_in_context_samples "
        "num_output_samples seed rounds",
        "eval": "metrics prompts_file model_id max_workers temperature max_tokens",
    }.items()
}
_PROMPTS: Final = {
    "expansion": "Write one new instruction in the manner of the examples below, but on another "
    "matter. Put it between <answer> and </answer>.",
    "refinement": "Rewrite the instruction below so that it is clear and complete. Put it between "
    "<answer> and </answer>.",
    "extraction": "Find an instruction that the text below answers. Put it between <instruction> "
    "and </instruction>, and the answer between <response> and </response>.",
    "thought": "Solve the problem below step by step, then give the answer.",
    "shorter": "You make reasoning short and keep what it needs.",
    "longer": "You write reasoning out in full.",
}
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_EXPANDED: Final = ("backend", "eval_backend")


def is_second_generation(values: Mapping[str, Any]) -> bool:
    """Tell a configuration of 2.0 by its job; without one, by what only 1.0 has.

    Raises:
        ConfigError: There is no job, and sections of 1.0 are there.
    """
    name = values.get("job_type")
    if name is None:
        if "models" in values or "training" in values:
            raise ConfigError(["job_type is missing; see stillroom easydistill --list-jobs"])
        return True
    job = JOBS.get(name) if isinstance(name, str) else None
    return job is not None and job.generation == "2.0"


def read_second_generation(values: Mapping[str, Any], path: str | os.PathLike[str]) -> JobConfig:
    """Check a configuration of EasyDistill 2.0 and put it into the words of 1.0.

    Args:
        values: What the file holds.
        path: The file; relative paths are looked for from the current folder, then from its own.

    Raises:
        ConfigError: All faults.
    """
    job = find_job(values.get("job_type", DEFAULT_JOB))
    faults = list(_unknown(values))
    if faults:
        raise ConfigError(faults)
    beside = Path(path).resolve().parent
    sections = {name: _expanded(name, values.get(name) or {}) for name in _SECTIONS}
    dataset, backend = dict(sections["dataset"]), dict(sections["backend"])
    judges = job.stage in ("thought_scores", "answer_scores")
    if judges and sections["eval_backend"]:
        backend = dict(sections["eval_backend"])
    for section, given, keys in (
        ("dataset", dataset, ("input_path", "output_path")),
        ("backend", backend, ("base_url",)),
    ):
        faults += [
            f"{section}.{k} is missing; {job.name} needs it" for k in keys if not given.get(k)
        ]
    if backend.get("type", "openai") != "openai":
        faults.append(f"backend.type is {backend['type']!r}; allowed is 'openai', for any server "
                      "that speaks its HTTP")  # fmt: skip
    if faults:
        raise ConfigError(faults)
    dataset["input_path"] = found_path(dataset["input_path"], beside)
    dataset |= {
        "instruction_key": dataset.get("instruction_key", "instruction"),
        "output_key": dataset.get("output_key", "response" if job.stage == "answers" else "output"),
        **{k: v for k, v in sections["synthesis"].items() if k in ("num_in_context_samples",
           "num_output_samples", "seed")},
    }  # fmt: skip
    inference = _inference(sections, backend, judges=judges)
    inference["prompt"] = _prompt(str(job.stage), sections, beside)
    return JobConfig(job, Path(path), dataset, inference=inference)


def _inference(
    sections: Mapping[str, Mapping[str, Any]], backend: Mapping[str, Any], *, judges: bool
) -> dict[str, Any]:
    used = sections["eval" if judges else "generation"]
    defaults = (
        {"temperature": 0.0, "max_tokens": 512, "max_workers": 10}
        if judges
        else {"temperature": 0.7, "max_tokens": 2048, "max_workers": 1}
    )
    taken = {name: used.get(name, value) for name, value in defaults.items()}
    wanted = {
        "base_url": backend["base_url"],
        "api_key": backend.get("api_key"),
        "api_key_env": backend.get("api_key_env"),
        "model": used.get("model_id") or backend.get("model_id"),
        "timeout": backend.get("timeout", 120),
        "system_prompt": used.get("system_prompt"),
        "seed": used.get("seed", 777),
        "temperature": taken["temperature"],
        "max_new_tokens": taken["max_tokens"],
        "max_workers": taken["max_workers"],
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _prompt(stage: str, sections: Mapping[str, Mapping[str, Any]], beside: Path) -> str:
    """Give the prompt that stands before the record: the file's own, or a plain one.

    Raises:
        ConfigError: It has places to fill in, or its file is not there.
    """
    for name in ("synthesis", "generation"):
        section = sections[name]
        text = section.get("prompt_template")
        if text is None and section.get("prompt_template_file"):
            place = found_path(str(section["prompt_template_file"]), beside)
            text = read_written_text(place)
        if text is None:
            continue
        if re.search(r"\{(instruction|problem|answer|output|text|examples)\}", str(text)):
            raise ConfigError([
                f"{name}.prompt_template has places such as {{instruction}} to fill in; write the "
                "prompt alone: the record is put behind it"
            ])  # fmt: skip
        return str(text)
    return _PROMPTS.get(stage, "")


def _unknown(values: Mapping[str, Any]) -> Iterator[str]:
    """Name unknown keys of known sections; further sections are kept for other tools."""
    for section, known in _SECTIONS.items():
        given = {} if values.get(section) is None else values[section]
        if not isinstance(given, Mapping):
            yield f"{section} is {given!r}; a mapping is needed"
            continue
        yield from kind_faults(section, given)
        for name in given:
            if name not in known:
                hint = did_you_mean(name, known, what="one")
                yield f"unknown key '{section}.{name}'; {hint}"


def _expanded(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Put variables of the environment in, where an address, a key or a path stands.

    Raises:
        ConfigError: One is not set.
    """
    return {
        name: _VARIABLE.sub(_variable, value)
        if isinstance(value, str)
        and name != "api_key"
        and (section in _EXPANDED or name.endswith(("_path", "_file", "_dir")))
        else value
        for name, value in values.items()
    }


def _variable(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    found = os.environ.get(name)
    if found is None:
        raise ConfigError([
            f"Config references unset environment variable '{name}'. Set the variable or remove "
            "the placeholder."
        ])  # fmt: skip
    return found
