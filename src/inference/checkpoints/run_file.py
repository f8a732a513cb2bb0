"""`run.json` of a checkpoint folder: how its model was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ...errors import CheckpointError
from ...files import file_sha256
from ...prompts import prompts_sha256
from ..prompt_tokens.prompt_ids import template_sha256
from .folder_checks import bounded_file, read_checked_json

RUN_FILE = "run.json"
SCHEMA_VERSION = 1
TEMPLATE_KEY: Final = "chat_template_sha256"
"""In `run.json`: hash of the chat template that rendered the training; None for plain prompts."""


def read_run(folder: Path) -> dict[str, Any] | None:
    """Read `run.json` and check it against this version and the tokenizer file.

    Returns:
        Its contents; None without the file, as in models that stillroom did not make.

    Raises:
        CheckpointError: It is damaged, of another version, of other prompts, or names another
            tokenizer.
    """
    if not (folder / RUN_FILE).exists():
        return None
    run = read_checked_json(folder, RUN_FILE)
    if run.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(
            f"{folder}: {RUN_FILE} has schema_version {run.get('schema_version')!r}; this "
            f"version reads {SCHEMA_VERSION}"
        )
    if run.get("prompt_sha256") != prompts_sha256():
        raise CheckpointError(
            f"{folder}: was trained on prompts with hash {str(run.get('prompt_sha256'))[:12]!r}, "
            f"this version asks with {prompts_sha256()[:12]!r}; its answers would be poor. Distil "
            "again with this version"
        )
    wanted = run.get("tokenizer_sha256")  # absent in what version 0.1 saved
    if wanted is not None and wanted != file_sha256(bounded_file(folder, "tokenizer.json")):
        raise CheckpointError(
            f"{folder / 'tokenizer.json'}: is not the file that {RUN_FILE} names by its hash, so "
            "texts would get other ids than in training; copy the whole folder again"
        )
    return run


def require_template(folder: Path, run: dict[str, Any] | None, tokenizer: Any) -> None:  # noqa: ANN401
    """Check that a tokenizer renders prompts as in the training that `run.json` tells of.

    Students of earlier versions were trained on plain prompts, whatever template their tokenizer
    had, so the template is removed from it.

    Raises:
        CheckpointError: The template is another one, or missing.
    """
    if run is None:
        return
    if TEMPLATE_KEY not in run:
        tokenizer.chat_template = None
        return
    trained, found = run[TEMPLATE_KEY], template_sha256(tokenizer)
    if trained != found:
        words = ["no chat template" if one is None else f"the chat template with hash {one[:12]!r}"
                 for one in (trained, found)]  # fmt: skip
        raise CheckpointError(
            f"{folder}: was trained on prompts of {words[0]}, and its tokenizer has {words[1]}; "
            "its answers would be poor. Copy chat_template.jinja and tokenizer_config.json again, "
            "or distil again"
        )
