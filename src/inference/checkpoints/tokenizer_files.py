"""Loading tokenizers from tokenizer.json, and checking them against stored ids.

`AutoTokenizer` is not used for folders: if the config says `qwen2`, it silently replaces the saved
pre-tokenizer by its own (transformers 5.23: 12,569 ids instead of 11,549 for one file).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...files import write_json
from .chat_templates import MAX_TEMPLATE_BYTES, check_template
from .folder_checks import read_checked_json
from .tokenizer_rules import tokenizer_faults

GOLDEN_FILE = "tokenizer_check.json"
"""File of texts and their ids, written when a checkpoint is saved."""

_GOLDEN_TEXTS = (
    "Question: What is the symbol of gold?\n\nAnswer: Au",
    "Summarize the following: 3.14 kg, 1,234 items (2026-01-02)\n\n",
    "  leading, double  and trailing spaces \t\n",
    "Füße, naïve cafe\u0301, Ω ≠ Ω, 你好, 👩\u200d🔬, \u00a0\ufeff",
    "isn't THEY'RE x_1==y[2]; /* # */ <|endoftext|> </s> <s>",
)

_SETTINGS = (
    "bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token",
    "model_max_length", "clean_up_tokenization_spaces", "chat_template",
)  # fmt: skip
_MOST_TOKEN_CHARACTERS = 1000
_MOST_GOLDEN_CHARACTERS = 2000


def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - transformers is untyped
    """Load the tokenizer of a checkpoint folder and compare it with the stored ids.

    Raises:
        CheckpointError: tokenizer.json is missing, damaged or not safe to use, or gives other ids
            than when it was saved.
    """
    faults = tokenizer_faults(read_checked_json(folder, "tokenizer.json"))
    if faults:
        raise CheckpointError(f"{folder / 'tokenizer.json'}: {'; '.join(faults[:5])}")
    settings = _settings(folder)
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), **settings
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as fault:  # the Rust library raises plain Exception, and panics
        raise CheckpointError(f"{folder / 'tokenizer.json'}: does not load ({fault})") from fault
    _compare_golden_ids(folder, tokenizer)
    return tokenizer


def write_golden_ids(folder: Path, tokenizer: Any) -> None:  # noqa: ANN401
    """Store the ids of a few texts beside a tokenizer."""
    cases = [
        {
            "text": text,
            "ids": tokenizer(text)["input_ids"],
            "plain_ids": tokenizer(text, add_special_tokens=False)["input_ids"],
        }
        for text in _GOLDEN_TEXTS
    ]
    write_json(folder / GOLDEN_FILE, {"schema_version": 1, "cases": cases})


def _compare_golden_ids(folder: Path, tokenizer: Any) -> None:  # noqa: ANN401
    if not (folder / GOLDEN_FILE).exists():
        return  # a foreign checkpoint
    cases = read_checked_json(folder, GOLDEN_FILE).get("cases")
    if not isinstance(cases, list) or not 0 < len(cases) <= 100:
        raise CheckpointError(f"{folder / GOLDEN_FILE}: holds no cases; save the checkpoint again")
    for case in cases:
        if not isinstance(case, dict) or not isinstance(text := case.get("text"), str):
            raise CheckpointError(f"{folder / GOLDEN_FILE}: a case has no text")
        if len(text) > _MOST_GOLDEN_CHARACTERS:
            raise CheckpointError(
                f"{folder / GOLDEN_FILE}: a text has more than {_MOST_GOLDEN_CHARACTERS} characters"
            )
        found = (
            tokenizer(text)["input_ids"],
            tokenizer(text, add_special_tokens=False)["input_ids"],
        )
        if found != (case.get("ids"), case.get("plain_ids")):
            raise CheckpointError(
                f"{folder}: the tokenizer gives other ids than when the checkpoint was saved (for "
                f"{text!r}); tokenizer.json or tokenizer_config.json was changed, or this version "
                "of tokenizers differs"
            )


def _settings(folder: Path) -> dict[str, Any]:
    """Read the needed settings of tokenizer_config.json; classes and code in it are ignored."""
    path = folder / "tokenizer_config.json"
    settings: dict[str, Any] = {}
    if path.exists():
        config = read_checked_json(folder, path.name)
        if "auto_map" in config:
            raise CheckpointError(f"{path}: asks for code of its own (auto_map)")
        settings = {key: config[key] for key in _SETTINGS if config.get(key) is not None}
    for key, value in settings.items():
        settings[key] = value = _plain(key, value)
        allowed = {
            "model_max_length": (int, float),
            "clean_up_tokenization_spaces": (bool,),
        }.get(key, (str,))
        short = not key.endswith("_token") or len(value) <= _MOST_TOKEN_CHARACTERS
        if not isinstance(value, allowed) or not short:
            raise CheckpointError(f"{path}: {key} is {str(value)[:80]!r}")
    where = path
    template = folder / "chat_template.jinja"
    if template.is_file():
        if template.stat().st_size > MAX_TEMPLATE_BYTES:
            raise CheckpointError(f"{template}: is larger than {MAX_TEMPLATE_BYTES >> 10} KiB")
        settings["chat_template"] = _read_text(template)
        where = template
    if "chat_template" in settings:
        check_template(settings["chat_template"], where)
    return settings


def _plain(key: str, value: Any) -> Any:  # noqa: ANN401
    """Reduce a token's description to its text, and several named templates to the default one."""
    if key.endswith("_token") and isinstance(value, dict):
        return value.get("content")
    if key == "chat_template" and isinstance(value, list):
        named = [one for one in value if isinstance(one, dict) and one.get("name") == "default"]
        return named[0].get("template") if named else value
    return value


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise CheckpointError(f"{path}: is no UTF-8 text ({fault})") from fault
