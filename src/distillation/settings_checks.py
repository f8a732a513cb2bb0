"""Check the settings of a distillation, without loading torch: each value, then combinations.

`ALLOWED` has one line per setting. A message is `NAME is VALUE; allowed ...`.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, get_args

from ..errors import nearest
from .setting_names import (
    FROM_SCRATCH,
    FROM_TEACHER,
    MIXTURE,
    PRUNED,
    UNIVERSAL,
    AttentionMeasure,
    HiddenMeasure,
    Objective,
    OptimizerKind,
    RampShape,
    Task,
    TooLong,
)

Rule = tuple[Callable[[Any], bool], str]
"""Whether a value is allowed, and the words for what is."""

LARGEST_SEED: Final = 2**32 - 1
"""NumPy's generator takes no larger one."""
BETAS: Final = {"forward_kl": 0.0, "jsd": 0.5, "reverse_kl": 1.0}
"""TRL's name of our objectives: beta of the generalised Jensen-Shannon divergence."""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(_is_text, value))


def _are_pairs(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and all(type(layer) is int and layer >= 0 for layer in pair)
        for pair in value
    )  # fmt: skip


def _whole(least: int, most: float = math.inf) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and least <= v <= most


def _null_or(rule: Rule) -> Rule:
    return lambda value: value is None or rule[0](value), f"is null or {rule[1].partition(' ')[2]}"


def _one_of(names: Iterable[Any]) -> Rule:
    allowed = tuple(names)
    return lambda value: value in allowed, f"are {allowed}"


_TEXT: Final[Rule] = (_is_text, "is a text")
_COUNT: Final[Rule] = (_whole(1), "is a whole number above 0")
_ABOVE_0: Final[Rule] = (lambda v: _is_number(v) and 0.0 < v < math.inf, "is a number above 0")
_SHARE: Final[Rule] = (lambda v: _is_number(v) and 0.0 <= v < 1.0, "is 0 up to 1")
_WEIGHT: Final[Rule] = (lambda v: _is_number(v) and 0.0 <= v < math.inf, "is 0 (off) or more")
_ALPHA: Final[Rule] = (lambda v: _is_number(v) and 0.0 <= v <= 1.0, "is 0 to 1")
_SWITCH: Final[Rule] = (lambda value: isinstance(value, bool), "are true and false")
_TRUTH: Final[Rule] = (lambda value: value in (True, False), "are true and false")

_LOSS: Final[dict[str, Rule]] = {
    "temperature": _ABOVE_0,
    "alpha": (_ALPHA[0], "is 0 (only labels) to 1 (only the teacher)"),
    "objective": (
        lambda value: value in get_args(Objective), f"are {', '.join(get_args(Objective))}"
    ),
}  # fmt: skip
_LAYERS: Final[dict[str, Rule]] = {
    "hidden_weight": _WEIGHT,
    "attention_weight": _WEIGHT,
    "hidden_measure": _one_of(get_args(HiddenMeasure)),
    "attention_measure": _one_of(get_args(AttentionMeasure)),
    "layer_pairs": _null_or((
        _are_pairs,
        "is a list of [student layer, teacher layer], counted from 1 (0 are the embeddings)",
    )),
}  # fmt: skip
ALLOWED: Final[dict[str, Rule]] = {
    **_LOSS,
    **_LAYERS,
    "teacher_model_name": _TEXT,
    "student_model_name": _TEXT,
    "output_dir": _TEXT,
    "lr_scheduler": _TEXT,
    "torch_compile_backend": _TEXT,
    "teacher_cache": _null_or((
        lambda v: _is_text(v) or (
            isinstance(v, Mapping) and bool(v) and all(map(_is_text, (*v, *v.values())))
        ),
        "is a folder, or source -> folder",
    )),
    "max_length": (_whole(2), "is a whole number from 2 on"),
    "batch_size": (_whole(1), "is a whole number from 1 on"),
    "gradient_accumulation_steps": (_whole(1), "is a whole number from 1 on"),
    "seed": (_whole(0, LARGEST_SEED), f"is a whole number from 0 on, up to {LARGEST_SEED:,}"),
    "max_completion_length": _COUNT,
    "max_steps": _null_or(_COUNT),
    "save_steps": _null_or(_COUNT),
    "student_layers": _null_or(_COUNT),
    "student_width": _null_or(_COUNT),
    "student_size": _null_or((
        lambda v: _is_number(v) and 0.0 < v < 1.0, "is above 0 and below 1, a share of the teacher"
    )),
    "keep_layers": _null_or((
        lambda v: isinstance(v, (list, tuple)) and bool(v)
        and all(type(layer) is int and layer >= 0 for layer in v) and list(v) == sorted(set(v)),
        "is a list of layers of the teacher, ascending, counted from 0",
    )),
    "student_feed_forward": _null_or(_COUNT),
    "student_vocabulary": _null_or(_COUNT),
    "num_epochs": _ABOVE_0,
    "learning_rate": _ABOVE_0,
    "matrix_learning_rate": _ABOVE_0,
    "weight_decay": _SHARE,
    "warmup_ratio": _SHARE,
    "decay_ratio": _SHARE,
    "max_grad_norm": (_WEIGHT[0], "is 0 or more"),
    "optimizer": _one_of(get_args(OptimizerKind)),
    "too_long": _one_of(get_args(TooLong)),
    "task": _one_of(get_args(Task)),
    "dtype": _one_of((None, "bfloat16", "float32")),
    "temperature_end": _null_or(_ABOVE_0),
    "alpha_end": _null_or(_ALPHA),
    "loss_schedule": _one_of(get_args(RampShape)),
    "unfreeze": _null_or((
        lambda value: isinstance(value, (list, tuple)) and bool(value),
        "is a list of patterns, one per epoch",
    )),
    "lora_r": _null_or(_COUNT),
    "lora_alpha": _ABOVE_0,
    "lora_dropout": _SHARE,
    "lora_target_modules": (
        lambda value: _is_text(value) or _are_texts(value), "is a text, or a list of names"
    ),
    "lora_modules_to_save": _null_or((_are_texts, "is a list of names")),
    "teacher_bits": (lambda value: value in (None, 4, 8), "are null, 8 and 4"),
    "on_policy": _TRUTH,
    "progress": _TRUTH,
    "load_in_4bit": _SWITCH,
    "keep_adapter": _SWITCH,
    "gradient_checkpointing": _SWITCH,
    "packing": _SWITCH,
    "torch_compile": _SWITCH,
}  # fmt: skip

_NEED_ADAPTER: Final = (
    "lora_alpha", "lora_dropout", "lora_target_modules", "lora_modules_to_save", "load_in_4bit",
    "keep_adapter",
)  # fmt: skip
_NEED_PRUNED: Final = (
    "student_size", "keep_layers", "student_feed_forward", "student_vocabulary"
)  # fmt: skip
_ON_POLICY: Final = frozenset({
    "teacher_model_name", "student_model_name", "temperature", "alpha", "max_length", "batch_size",
    "num_epochs", "learning_rate", "output_dir", "seed", "gradient_accumulation_steps", "max_steps",
    "objective", "optimizer", "matrix_learning_rate", "weight_decay", "warmup_ratio",
    "lr_scheduler", "decay_ratio", "max_grad_norm", "student_layers", "student_width", "dtype",
    *_NEED_PRUNED, "device", "save_steps", "progress", "trainable", "on_policy",
    "max_completion_length",
})  # fmt: skip
"""Settings that TRL's trainer follows."""


def loss_faults(temperature: float, alpha: float, objective: str) -> list[str]:
    """List the faults in the settings of a loss; empty if there are none."""
    values = {"temperature": temperature, "alpha": alpha, "objective": objective}
    return _value_faults(values, _LOSS)


@cache
def schedule_names() -> frozenset[str]:
    """Return the schedules of transformers; empty if its source is not found."""
    return frozenset(
        line.value.value
        for part in ast.parse(transformers_source("trainer_utils.py")).body
        if isinstance(part, ast.ClassDef) and part.name == "SchedulerType"
        for line in part.body
        if isinstance(line, ast.Assign)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    )


def transformers_source(name: str) -> str:
    """Read a file of transformers, whose import takes seconds; empty if it is not found."""
    place = find_spec("transformers")
    file = None if place is None or place.origin is None else Path(place.origin).with_name(name)
    return file.read_text(encoding="utf-8") if file and file.is_file() else ""


def layer_faults(values: Mapping[str, Any]) -> list[str]:
    """List the faults in the settings of layer losses; empty if there are none."""
    return _value_faults(values, _LAYERS)


def setting_faults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """List the faults in all settings of a `DistillationConfig`; empty if there are none.

    Args:
        values: The settings.
        defaults: Their defaults; a setting left at its default is not asked for.
    """
    faults = _value_faults(values, ALLOWED) + _pattern_faults(values)
    schedules = schedule_names()
    if schedules and values["lr_scheduler"] not in schedules:
        near = nearest(values["lr_scheduler"], sorted(schedules))
        hint = f"; the nearest is {near!r}" if near else f"; there are {sorted(schedules)}"
        faults.append(f"lr_scheduler is {values['lr_scheduler']!r}{hint}")
    faults += [message for broken, message in _combinations(values, defaults) if broken]
    return faults + (on_policy_faults(values, defaults) if values["on_policy"] is True else [])


def on_policy_faults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """List settings that TRL's trainer would not follow; arguments as in `setting_faults`."""
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


def _value_faults(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> list[str]:
    return [
        f"{name} is {values[name]!r}; allowed {allowed}"
        for name, (fits, allowed) in rules.items()
        if not fits(values[name])
    ]


def _pattern_faults(values: Mapping[str, Any]) -> list[str]:
    unfreeze = values["unfreeze"]
    patterns = unfreeze if isinstance(unfreeze, (list, tuple)) else ()
    faults = []
    for pattern in (values["trainable"], *patterns):
        try:
            re.compile("" if pattern is None else pattern)
        except (re.error, TypeError) as fault:
            faults.append(f"{pattern!r} is no regular expression: {fault}")
    return faults


def _combinations(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """Pair each combination of settings that is not allowed with its message."""
    layers = [n for n in ("hidden_weight", "attention_weight") if values[n] != defaults[n]]
    first = layers[0] if layers else ""
    student, cache = values["student_model_name"], values["teacher_cache"] is not None
    classifies, universal = values["task"] == "classification", values["objective"] == UNIVERSAL
    return [
        (
            values["lr_scheduler"] == "warmup_stable_decay" and values["max_steps"] is None,
            "lr_scheduler 'warmup_stable_decay' needs max_steps",
        ),
        (
            student == FROM_SCRATCH and None in (values["student_layers"], values["student_width"]),
            "student_model_name 'from_scratch' needs student_layers and student_width",
        ),
        (
            values["keep_adapter"] is True and student in (*FROM_TEACHER, FROM_SCRATCH),
            f"keep_adapter: an adapter of {student!r} has no base that could be loaded again; save "
            "such a student first, and name its folder",
        ),
        *(
            (
                student != PRUNED and values[name] != defaults[name],
                f"{name} is {values[name]!r} and student_model_name is {student!r}; it is for "
                f"student_model_name={PRUNED!r}",
            )
            for name in _NEED_PRUNED
        ),
        (
            values["keep_layers"] is not None and values["student_layers"] is not None,
            "keep_layers names the layers; leave student_layers out",
        ),
        *(
            (
                values["lora_r"] is None and values[name] != defaults[name],
                f"{name} is {values[name]!r} and there is no adapter; set lora_r, or leave it out",
            )
            for name in _NEED_ADAPTER
        ),
        (
            values["teacher_bits"] is not None and cache,
            "teacher_bits is for a teacher that runs; teacher_cache replaces it",
        ),
        (
            isinstance(values["teacher_cache"], Mapping)
            != (values["teacher_model_name"] == MIXTURE),
            f"teacher_model_name is {values['teacher_model_name']!r} and teacher_cache "
            f"{values['teacher_cache']!r}; several teachers are named {MIXTURE!r}, and their "
            "caches source -> folder",
        ),
        (
            values["torch_compile"] is True and values["attention_weight"] != 0.0,
            "torch_compile leaves no attention maps to compare; set attention_weight to 0, or "
            "leave it out",
        ),
        (
            values["packing"] is True and classifies,
            "packing is for causal models; a classifier reads one text per row",
        ),
        (
            bool(layers) and cache,
            f"{first} needs the teacher's layers; teacher_cache holds logits only",
        ),
        (
            universal and cache,
            f"objective {UNIVERSAL!r} sorts all of the teacher's probabilities; teacher_cache "
            "holds some of them. Leave it out",
        ),
        (
            universal and classifies,
            f"objective {UNIVERSAL!r} is for different tokenizers, and classes must be the same; "
            "set another objective",
        ),
        (
            universal and bool(layers),
            f"{first} compares states of the same tokens, which differ with objective "
            f"{UNIVERSAL!r}; set it to 0",
        ),
    ]
