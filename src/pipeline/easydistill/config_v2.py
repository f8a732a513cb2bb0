"""Convert configurations of EasyDistill 2.0 to the sections and keys of 1.0."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from ...config import named_place, read_written_text
from ...errors import ConfigError
from ..options import faults_of
from .jobs import Stage
from .keys import KEYS_V2, Section

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


def place_v2(section: str, key: str) -> str:
    """Return the 2.0 name of a key of 1.0."""
    return ".".join(_MAPPED.get((section, key), (section, key)))


def from_v2(
    given: Mapping[str, Section], stage: Stage, beside: Path, faults: list[str]
) -> dict[str, dict[str, Any]]:
    """Convert the sections of a 2.0 configuration to those of 1.0; append faults to the list."""
    used = {name: dict(given.get(name, {})) for name in KEYS_V2}
    for section, values in used.items():
        for key, value in values.items():
            # Addresses and paths may be variables. The API key is resolved when it is used.
            is_place = section.endswith("backend") or key.endswith(("_path", "_file", "_dir"))
            if is_place and key != "api_key" and isinstance(value, str):
                faults += faults_of(partial(resolved_variable, value))
                values[key] = os.path.expandvars(value)
    if stage.judges:
        used |= {"generation": used["eval"], "backend": used["eval_backend"] or used["backend"]}
    kind = used["backend"].get("type", "openai")
    if kind != "openai":
        faults.append(f"backend.type is {kind!r}; allowed is 'openai', for any server that speaks "
                      "its HTTP")  # fmt: skip
    if "model_id" in used["backend"]:
        used["generation"].setdefault("model_id", used["backend"]["model_id"])
    made = {name: {key: used[section][theirs]
                   for (ours, key), (section, theirs) in _MAPPED.items()
                   if ours == name and theirs in used[section]}
            for name in ("dataset", "inference")}  # fmt: skip
    if stage.name == "answers":
        made["dataset"].setdefault("output_key", "response")
    made["inference"]["prompt"] = "?"  # not missing, even if it has a fault
    faults += faults_of(lambda: made["inference"].update(prompt=_prompt(used, stage, beside)))
    return made


def _prompt(used: Mapping[str, Section], stage: Stage, beside: Path) -> str:
    """Return the prompt that is written before each record.

    Raises:
        ConfigError: The prompt contains placeholders, or its file does not exist.
    """
    for name in ("synthesis", "generation"):
        text, file = (used[name].get(f"prompt_template{end}") for end in ("", "_file"))
        if not text and file:
            text = read_written_text(named_place(str(file), beside) or str(file))
        if re.search(r"\{(instruction|problem|answer|output|text|examples)\}", str(text)):
            raise ConfigError([
                f"{name}.prompt_template has places such as {{instruction}} to fill in; write the "
                "prompt alone: the record is put behind it"
            ])  # fmt: skip
        if text:
            return str(text)
    return stage.prompt_v2


def resolved_variable(text: str) -> str:
    """Replace `${NAME}` and `$NAME` by environment variables.

    Raises:
        ConfigError: Variables are not set.
    """
    unset = [name for name in re.findall(r"\$\{?(\w+)", text) if name not in os.environ]
    if unset:
        raise ConfigError([f"Config references unset environment variable '{name}'. Set the "
                           "variable or remove the placeholder." for name in unset])  # fmt: skip
    return os.path.expandvars(text)
