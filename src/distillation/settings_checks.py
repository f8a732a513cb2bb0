"""What is wrong with settings of schedules, freezing, layer losses and on-policy training.

Checked when a `DistillationConfig` is made, without loading anything.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, get_args

from .setting_names import UNIVERSAL, AttentionMeasure, HiddenMeasure, Objective, RampShape, Task

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


BETAS: Final = {"forward_kl": 0.0, "jsd": 0.5, "reverse_kl": 1.0}
"""Our objectives under TRL's name: beta of the generalised Jensen-Shannon divergence."""

_ON_POLICY: Final = frozenset({
    "teacher_model_name", "student_model_name", "temperature", "alpha", "max_length", "batch_size",
    "num_epochs", "learning_rate", "output_dir", "seed", "gradient_accumulation_steps", "max_steps",
    "objective", "optimizer", "matrix_learning_rate", "weight_decay", "warmup_ratio",
    "lr_scheduler", "decay_ratio", "max_grad_norm", "student_layers", "student_width", "dtype",
    "device", "save_steps", "progress", "trainable", "on_policy", "max_completion_length",
})  # fmt: skip
"""Settings that TRL's trainer follows."""


def loss_faults(temperature: float, alpha: float, objective: str) -> list[str]:
    """List what is wrong with the settings of a loss; empty when all is well."""
    faults = []
    if not (_is_number(temperature) and 0.0 < temperature < math.inf):
        faults.append(f"temperature is {temperature!r}; allowed is a number above 0")
    if not (_is_number(alpha) and 0.0 <= alpha <= 1.0):
        faults.append(f"alpha is {alpha!r}; allowed is 0 (only labels) to 1 (only the teacher)")
    if objective not in get_args(Objective):
        faults.append(f"objective is {objective!r}; allowed are {', '.join(get_args(Objective))}")
    return faults


@cache
def schedule_names() -> frozenset[str]:
    """Name the schedules of transformers, from its source: importing it takes seconds.

    Returns:
        Empty where the source is not found.
    """
    place = find_spec("transformers")
    if place is None or place.origin is None:
        return frozenset()
    source = Path(place.origin).with_name("trainer_utils.py")
    if not source.is_file():
        return frozenset()
    return frozenset(
        line.value.value
        for part in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(part, ast.ClassDef) and part.name == "SchedulerType"
        for line in part.body
        if isinstance(line, ast.Assign)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    )


def run_faults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """List what is wrong with the settings named above; empty when all is well.

    Args:
        values: All settings of a `DistillationConfig`.
        defaults: Its defaults.
    """
    faults = layer_faults(values) + _schedule_faults(values) + _freezing_faults(values)
    faults += form_faults(values, defaults)
    for name, allowed in (("task", get_args(Task)), ("loss_schedule", get_args(RampShape))):
        if values[name] not in allowed:
            faults.append(f"{name} is {values[name]!r}; allowed are {allowed}")
    if values["on_policy"] not in (True, False):
        faults.append(f"on_policy is {values['on_policy']!r}; allowed are true and false")
    length = values["max_completion_length"]
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        faults.append(f"max_completion_length is {length!r}; allowed is a whole number above 0")
    layers = [n for n in ("hidden_weight", "attention_weight") if values[n] != defaults[n]]
    if layers and values["teacher_cache"] is not None:
        faults.append(f"{layers[0]} needs the teacher's layers; teacher_cache holds logits only")
    if values["objective"] == UNIVERSAL:
        faults += _universal_faults(values, layers)
    return faults + (on_policy_faults(values, defaults) if values["on_policy"] is True else [])


def _universal_faults(values: Mapping[str, Any], layers: list[str]) -> list[str]:
    """List settings that need equal positions or classes on both sides."""
    faults = []
    if values["teacher_cache"] is not None:
        faults.append(
            f"objective {UNIVERSAL!r} sorts all of the teacher's probabilities; teacher_cache "
            "holds some of them. Leave it out"
        )
    if values["task"] == "classification":
        faults.append(f"objective {UNIVERSAL!r} is for unlike tokens, and classes have to be equal")
    if layers:
        faults.append(
            f"{layers[0]} compares states of equal tokens, and objective {UNIVERSAL!r} reads the "
            "text in unlike ones; set it to 0"
        )
    return faults


def on_policy_faults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """List settings that TRL's trainer would not follow; empty when all is well.

    Args:
        values: All settings of a `DistillationConfig`.
        defaults: Its defaults: what is left at its default is not asked for.
    """
    faults = []
    if values["alpha"] != 1.0:
        faults.append(
            f"on_policy with alpha {values['alpha']!r}: what the student writes has no label, so "
            "there is no cross-entropy; set alpha=1"
        )
    if values["temperature"] != 1.0:
        faults.append(
            f"on_policy with temperature {values['temperature']!r}: TRL applies no T^2 and samples "
            "at the same temperature; set temperature=1"
        )
    if values["objective"] not in BETAS:
        faults.append(f"on_policy has the objectives {list(BETAS)}, not {values['objective']!r}")
    return faults + [
        f"on_policy does not follow {name}; leave it at {defaults[name]!r}"
        for name in sorted(values.keys() - _ON_POLICY)
        if values[name] != defaults[name]
    ]


def _schedule_faults(values: Mapping[str, Any]) -> list[str]:
    faults = []
    for name, most, allowed in (
        ("temperature_end", float("inf"), "null or a number above 0"),
        ("alpha_end", 1.0, "null or 0 to 1"),
    ):
        value = values[name]
        if value is None:
            continue
        number = _is_number(value)
        least_fits = number and (value > 0.0 or (name == "alpha_end" and value == 0.0))
        if not least_fits or not value <= most or value == float("inf"):
            faults.append(f"{name} is {value!r}; allowed is {allowed}")
    return faults


def _freezing_faults(values: Mapping[str, Any]) -> list[str]:
    unfreeze = values["unfreeze"]
    if unfreeze is not None and (not isinstance(unfreeze, (list, tuple)) or not unfreeze):
        return [f"unfreeze is {unfreeze!r}; allowed is null or a list of patterns, one per epoch"]
    faults = []
    for pattern in [values["trainable"], *(unfreeze or ())]:
        if pattern is None:
            continue
        try:
            re.compile(pattern)
        except (re.error, TypeError) as fault:
            faults.append(f"{pattern!r} is no regular expression: {fault}")
    return faults


def layer_faults(values: Mapping[str, Any]) -> list[str]:
    """List what is wrong with the settings of layer losses; empty when all is well.

    Args:
        values: `hidden_weight`, `hidden_measure`, `attention_weight`, `attention_measure` and
            `layer_pairs`, as `DistillationConfig` holds them.
    """
    faults = []
    for name in ("hidden_weight", "attention_weight"):
        value = values[name]
        if not _is_number(value) or not 0.0 <= value < float("inf"):
            faults.append(f"{name} is {value!r}; allowed is 0 (off) or more")
    for name, allowed in (
        ("hidden_measure", get_args(HiddenMeasure)),
        ("attention_measure", get_args(AttentionMeasure)),
    ):
        if values[name] not in allowed:
            faults.append(f"{name} is {values[name]!r}; allowed are {allowed}")
    if values["layer_pairs"] is not None and not _are_pairs(values["layer_pairs"]):
        faults.append(
            f"layer_pairs is {values['layer_pairs']!r}; allowed is null or a list of [student "
            "layer, teacher layer], counted from 1 (0 are the embeddings)"
        )
    return faults


def _are_pairs(value: object) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(
            isinstance(pair, (list, tuple))
            and len(pair) == 2
            and all(type(layer) is int and layer >= 0 for layer in pair)
            for pair in value
        )
    )
