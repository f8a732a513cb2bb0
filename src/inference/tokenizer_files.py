"""Tokenizers of local checkpoints: built from tokenizer.json as it was saved, and checked against
stored ids.

`AutoTokenizer` on a folder whose config says `qwen2` swaps the saved pre-tokenizer for its own
without a word (transformers 5.23: 12,569 ids instead of 11,549 for one file), so it is not used for
local folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..files import write_json
from .model_files import read_checked_json

GOLDEN_FILE = "tokenizer_check.json"
"""Texts and their ids, written when a checkpoint is saved."""

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
_MODELS = ("BPE", "Unigram", "WordPiece", "WordLevel")


def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - transformers is untyped
    """Build the tokenizer of a checkpoint folder and compare it with its stored ids.

    Raises:
        CheckpointError: tokenizer.json is missing or damaged, or gives other ids than when it was
            saved.
    """
    from transformers import PreTrainedTokenizerFast

    kind = read_checked_json(folder, "tokenizer.json").get("model")
    if not isinstance(kind, dict) or kind.get("type", "BPE") not in _MODELS:
        raise CheckpointError(f"{folder / 'tokenizer.json'}: model type is not one of {_MODELS}")
    settings = _settings(folder)
    try:
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), **settings
        )
    except Exception as fault:  # the Rust library raises plain Exception
        raise CheckpointError(f"{folder}: tokenizer.json does not load ({fault})") from fault
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
    """Read what is needed of tokenizer_config.json; the rest of it (classes, code) is not looked
    at."""
    if not (folder / "tokenizer_config.json").exists():
        return {}
    config = read_checked_json(folder, "tokenizer_config.json")
    if "auto_map" in config:
        raise CheckpointError(
            f"{folder / 'tokenizer_config.json'}: asks for code of its own (auto_map)"
        )
    settings = {key: config[key] for key in _SETTINGS if config.get(key) is not None}
    for key, value in settings.items():
        if key.endswith("_token"):
            settings[key] = value = value.get("content") if isinstance(value, dict) else value
        allowed = {
            "model_max_length": (int, float),
            "clean_up_tokenization_spaces": (bool,),
        }.get(key, (str,))
        if not isinstance(value, allowed):
            raise CheckpointError(
                f"{folder / 'tokenizer_config.json'}: {key} is {str(value)[:80]!r}"
            )
    template = folder / "chat_template.jinja"
    if template.is_file():
        if template.stat().st_size > 1 << 20:
            raise CheckpointError(f"{template}: is larger than 1 MiB")
        settings["chat_template"] = template.read_text(encoding="utf-8")
    return settings
