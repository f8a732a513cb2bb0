"""Convert configurations of EasyDistill 2.0 to the sections and keys of 1.0."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ...config import named_place, read_written_text
from ...errors import ConfigError
from .jobs import Job

Values = Mapping[str, Any]
_SERVER: Final = "type api_key api_key_env base_url endpoint_url token model_id timeout max_retries"
SECTIONS_V2: Final = {
    "backend": _SERVER,
    "eval_backend": _SERVER,
    "dataset": "input_path output_path output_dir instruction_key system_key problem_key "
    "answer_key output_key text_key output_format skip_empty min_length max_length",
    "generation": "system_prompt temperature max_tokens max_workers prompt_template "
    "prompt_template_file raise_on_error retry_attempts retry_backoff_base retry_max_wait model_id "
    "seed show_progress",
    "synthesis": "prompt_template prompt_template_file num_in_context_samples num_output_samples "
    "seed rounds",
    "eval": "metrics prompts_file model_id max_workers temperature max_tokens",
}
_MAPPED: Final = {
    (ours, name.partition("=")[0]): (theirs, name.rpartition("=")[2])
    for ours, theirs, names in (
        ("dataset", "dataset", "input_path output_path instruction_key output_key"),
        ("dataset", "synthesis", "num_in_context_samples num_output_samples seed"),
        ("inference", "backend", "base_url api_key api_key_env timeout"),
        ("inference", "generation", "system_prompt seed temperature max_new_tokens=max_tokens "
         "max_workers model=model_id"),
    )
    for name in names.split()
}  # fmt: skip
"""Section and key of 1.0 -> the equivalent ones of 2.0. Jobs that score use `eval` instead of
`generation`, and `eval_backend`, if it is given, instead of `backend`."""
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
"""Stage -> default prompt of a 2.0 job."""


def place_v2(section: str, key: str) -> str:
    """Return the 2.0 name of a key of 1.0."""
    return ".".join(_MAPPED.get((section, key), (section, key)))


def from_v2(
    given: Mapping[str, Values], job: Job, beside: Path, faults: list[str]
) -> dict[str, dict[str, Any]]:
    """Convert the sections of a 2.0 configuration to those of 1.0; append faults to the list."""
    used = {name: {key: value for key, value in given.get(name, {}).items() if value is not None}
            for name in SECTIONS_V2}  # fmt: skip
    for section, values in used.items():
        for key, value in values.items():
            # Addresses and paths may be variables. The API key is resolved when it is used.
            named = section in ("backend", "eval_backend") or key.endswith(
                ("_path", "_file", "_dir")
            )
            if named and key != "api_key" and isinstance(value, str):
                try:
                    values[key] = resolved_variable(value)
                except ConfigError as fault:
                    faults += fault.faults
    defaults: Values = {"temperature": 0.7, "max_tokens": 2048, "max_workers": 1}
    if job.definition.judges:
        defaults = {"temperature": 0.0, "max_tokens": 512, "max_workers": 10}
        used["generation"] = used["eval"]
        used["backend"] = used["eval_backend"] or used["backend"]
    kind = used["backend"].get("type", "openai")
    if kind != "openai":
        faults.append(f"backend.type is {kind!r}; allowed is 'openai', for any server that speaks "
                      "its HTTP")  # fmt: skip
    model = used["generation"].get("model_id") or used["backend"].get("model_id")
    used["generation"] = {**defaults, **used["generation"], "model_id": model}
    output_key = "response" if job.stage == "answers" else "output"
    made: dict[str, dict[str, Any]] = {"dataset": {"output_key": output_key}, "inference": {}}
    for (to, key), (section, name) in _MAPPED.items():
        if name in used[section]:
            made[to][key] = used[section][name]
    try:
        made["inference"]["prompt"] = _prompt(used, job, beside)
    except ConfigError as fault:
        made["inference"]["prompt"] = "?"  # not missing: its fault is reported here
        faults += fault.faults
    return made


def _prompt(used: Mapping[str, Values], job: Job, beside: Path) -> str:
    """Return the prompt that is written before each record.

    Raises:
        ConfigError: The prompt contains placeholders, or its file does not exist.
    """
    for name in ("synthesis", "generation"):
        text, file = (used[name].get(f"prompt_template{end}") for end in ("", "_file"))
        if not text and file:
            text = read_written_text(named_place(str(file), beside) or str(file))
        if text:
            if re.search(r"\{(instruction|problem|answer|output|text|examples)\}", str(text)):
                raise ConfigError([
                    f"{name}.prompt_template has places such as {{instruction}} to fill in; write "
                    "the prompt alone: the record is put behind it"
                ])  # fmt: skip
            return str(text)
    return _PROMPTS.get(job.stage or "", "")


def resolved_variable(text: str) -> str:
    """Replace `${NAME}` and `$NAME` by environment variables.

    Raises:
        ConfigError: A variable is not set.
    """
    for name in re.findall(r"\$\{?(\w+)", text):
        if name not in os.environ:
            raise ConfigError([f"Config references unset environment variable '{name}'. Set the "
                               "variable or remove the placeholder."])  # fmt: skip
    return os.path.expandvars(text)
