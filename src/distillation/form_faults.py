"""What is wrong with settings of how models are held and run: adapters, bits, packing, compiling.

Checked when a `DistillationConfig` is made, without loading anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_SWITCHES: Final = (
    "load_in_4bit",
    "keep_adapter",
    "gradient_checkpointing",
    "packing",
    "torch_compile",
)
_OF_ADAPTERS: Final = (
    "lora_alpha",
    "lora_dropout",
    "lora_target_modules",
    "lora_modules_to_save",
    "load_in_4bit",
    "keep_adapter",
)


def form_faults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """List what is wrong with the settings named above; empty when all is well.

    Args:
        values: All settings of a `DistillationConfig`.
        defaults: Its defaults: what is left at its default is not asked for.
    """
    faults = _range_faults(values)
    if values["lora_r"] is None:
        faults += [
            f"{name} is {values[name]!r} and there is no adapter; set lora_r, or leave it out"
            for name in _OF_ADAPTERS
            if values[name] != defaults[name]
        ]
    if values["teacher_bits"] is not None and values["teacher_cache"] is not None:
        faults.append("teacher_bits is for a teacher that runs; teacher_cache replaces it")
    if values["torch_compile"] is True and values["attention_weight"] != 0.0:
        faults.append(
            "torch_compile leaves no attention maps to compare; set attention_weight to 0, or "
            "leave it out"
        )
    if values["packing"] is True and values["task"] == "classification":
        faults.append("packing is for causal models; a classifier reads one text per row")
    return faults


def _range_faults(values: Mapping[str, Any]) -> list[str]:
    faults = [
        f"{name} is {values[name]!r}; allowed are true and false"
        for name in _SWITCHES
        if not isinstance(values[name], bool)
    ]
    rank, alpha, dropout = values["lora_r"], values["lora_alpha"], values["lora_dropout"]
    if rank is not None and (type(rank) is not int or rank < 1):
        faults.append(f"lora_r is {rank!r}; allowed is null or a whole number above 0")
    if not _is_number(alpha) or not 0.0 < alpha < float("inf"):
        faults.append(f"lora_alpha is {alpha!r}; allowed is a number above 0")
    if not _is_number(dropout) or not 0.0 <= dropout < 1.0:
        faults.append(f"lora_dropout is {dropout!r}; allowed is 0 up to 1")
    targets, saved = values["lora_target_modules"], values["lora_modules_to_save"]
    if not _is_text(targets) and not _are_texts(targets):
        faults.append(f"lora_target_modules is {targets!r}; allowed is a text, or a list of names")
    if saved is not None and not _are_texts(saved):
        faults.append(f"lora_modules_to_save is {saved!r}; allowed is null or a list of names")
    if values["teacher_bits"] not in (None, 4, 8):
        faults.append(f"teacher_bits is {values['teacher_bits']!r}; allowed are null, 8 and 4")
    if not _is_text(values["torch_compile_backend"]):
        faults.append(
            f"torch_compile_backend is {values['torch_compile_backend']!r}; allowed is a text"
        )
    return faults


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(_is_text, value))
