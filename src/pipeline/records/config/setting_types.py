"""Check the settings of a step or model against the annotations of its fields."""

from __future__ import annotations

import dataclasses
import logging
import types
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from ....errors import did_you_mean
from .config_layers import Written

logger = logging.getLogger(__name__)
SILENT: Final = frozenset({
    "exclude_from_signature", "jobs_ids", "runtime_parameters_info", "type_info", "use_cache",
    "use_system_prompt",
})  # fmt: skip
"""Keys in distilabel's files that tell how it ran."""
IDLE: Final = frozenset({
    "chat_format", "chat_template", "cuda_devices", "default_headers", "device_map",
    "disable_cuda_device_placement", "dtype", "extra_kwargs", "follow_redirects",
    "magpie_pre_query_template", "max_retries", "model_kwargs", "n_batch", "n_ctx", "n_gpu_layers",
    "offline_batch_generation_block_until_done", "quantization", "revision", "seed",
    "structured_output", "tensor_parallel_size", "tokenizer", "tokenizer_id", "tokenizer_mode",
    "torch_dtype", "trust_remote_code", "use_default_structured_output", "use_fast",
    "use_magpie_template", "verbose",
})  # fmt: skip
"""Settings of steps and models of distilabel that have no effect here; a note says so."""
_NAMES: Final = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false",
    dict: "a mapping", list: "a list", type(None): "null",
}  # fmt: skip


def read_settings(
    cls: type[Any], given: Mapping[str, Any], place: str
) -> tuple[dict[str, Any], list[str]]:
    """Check settings, and read those of the command line by the types of their fields.

    Args:
        cls: A dataclass.
        given: Name -> value.
        place: Where the settings are, for the faults, such as `step 'rules'`.

    Returns:
        The settings without those that have no effect, and the faults.
    """
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    hints = hints_of(cls)
    made: dict[str, Any] = {}
    faults: list[str] = []
    for name, value in given.items():
        if name not in fields:
            if name in IDLE and value:
                logger.warning("%s: %s has no effect here", place, name)
            if name not in IDLE and name not in SILENT:
                near = did_you_mean(name, fields)
                faults.append(f"{place}: {cls.__name__} has no setting {name!r}; {near}")
            continue
        hint = hints.get(name, Any)
        made[name] = value = read_value(value, hint)
        if not fits(value, hint):
            faults.append(f"{place}: {name} is {value!r}; allowed is {describe(hint)}")
    faults += [
        f"{place}: {cls.__name__} needs {name!r}"
        for name, field in fields.items()
        if name not in made and _required(field)
    ]
    return made, faults


def read_value(value: Any, hint: Any) -> Any:  # noqa: ANN401
    """Give a value from the command line the type of its field; others are left as they are."""
    if isinstance(value, Written):
        return str(value) if _is_text(value, hint) else value.value
    if isinstance(value, Mapping):
        return {key: read_value(one, Any) for key, one in value.items()}
    return value


def fits(value: Any, hint: Any) -> bool:  # noqa: ANN401
    """Tell whether a value is of a type; what is not understood fits.

    >>> fits(1, float), fits(True, int), fits(None, str | None), fits(["a"], dict[str, str])
    (True, False, True, False)
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    kind = origin or hint
    if kind in (int, float):
        numbers = int if kind is int else (int, float)
        return isinstance(value, numbers) and not isinstance(value, bool)
    if kind in (str, bool, type(None)):
        return isinstance(value, kind)
    if kind in (dict, Mapping):
        values = inner[1] if len(inner) == 2 else Any
        return isinstance(value, Mapping) and all(fits(one, values) for one in value.values())
    if kind in (list, tuple, Sequence):
        each = inner[0] if inner and kind is not tuple else Any
        right = isinstance(value, Sequence) and not isinstance(value, str)
        return right and all(fits(one, each) for one in value)
    return True


def describe(hint: Any) -> str:  # noqa: ANN401
    """Put a type into words.

    >>> describe(int | None)
    'a whole number or null'
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return "anything"
    if origin in (Union, types.UnionType):
        return " or ".join(describe(one) for one in inner)
    if origin is Literal:
        return ", ".join(map(repr, inner))
    kind = origin or hint
    if kind in (list, Sequence) and inner:
        return f"a list, each {describe(inner[0])}"
    if kind is Mapping:
        return _NAMES[dict]
    return _NAMES.get(kind, getattr(kind, "__name__", str(kind)))


def _is_text(value: Written, hint: Any) -> bool:  # noqa: ANN401
    """Say whether a value from the command line is meant as it is written."""
    return fits(str(value), hint) and not (hint is not str and fits(value.value, hint))


def _required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def hints_of(cls: type[Any]) -> dict[str, Any]:
    """Give the types of the fields of a class; nothing where they cannot be found out."""
    try:
        return get_type_hints(cls)
    except NameError:  # an annotation names what only type checkers import
        return {}


def settings_told(cls: type[Any]) -> dict[str, str]:
    """Describe the settings of a class: what is allowed, and the default.

    >>> from ..step import Step
    >>> settings_told(Step)["input_batch_size"]
    'a whole number; default 50'
    """
    hints = hints_of(cls)
    told = {}
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        default = "required" if _required(field) else f"default {_default(field)!r}"
        told[field.name] = f"{describe(hints.get(field.name, Any))}; {default}"
    return told


def _default(field: dataclasses.Field[Any]) -> Any:  # noqa: ANN401
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()
