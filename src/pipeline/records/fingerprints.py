"""What decides the result of a step, as one hash: its settings and its code.

A step, and a model in its settings, say with `hashed_settings` what counts: neither secrets nor the
address, limits and times of a server.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ... import __version__
from ...records import sha256_text, stable_json
from .config.environment_values import SECRET
from .row_codec import plain_json
from .step import Step


@runtime_checkable
class _Hashed(Protocol):
    """What says itself which of its settings decide a result."""

    def hashed_settings(self) -> Mapping[str, Any]: ...


def step_fingerprint(step: Step) -> str:
    """Hash what decides the result of a step."""
    return sha256_text(stable_json(_told(step)))


def stage_fingerprint(steps: tuple[Step, ...]) -> str:
    """Hash what decides the result of a chain of steps, beside its input."""
    return sha256_text(stable_json([step_fingerprint(step) for step in steps]))


def _class_told(kind: type[Any]) -> list[str]:
    """Name a class, and give the hash of its source text, also of the classes it builds on.

    The classes of this package are told by its version as well, since they call its functions.
    """
    home = __name__.partition(".")[0]
    told = [kind.__qualname__, __version__ if kind.__module__.startswith(f"{home}.") else ""]
    for base in kind.__mro__:
        if base.__module__ == Step.__module__ or base is object:
            continue
        try:
            told.append(sha256_text(inspect.getsource(base)))
        except (OSError, TypeError):  # typed in at a prompt
            told.append(base.__qualname__)
    return told


def _told(value: Any) -> Any:  # noqa: ANN401 - any setting
    """Write a setting as JSON."""
    if isinstance(value, Mapping):
        return {str(key): _told(v) for key, v in value.items() if not SECRET.search(str(key))}
    if isinstance(value, list | tuple):
        return [_told(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((_told(v) for v in value), key=stable_json)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, _Hashed) and not isinstance(value, type):
        return [_class_told(type(value)), _told(value.hashed_settings())]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return [_class_told(type(value)), _told(fields)]
    if isinstance(value, type):
        return _class_told(value)
    if callable(value) and hasattr(value, "__qualname__"):
        try:
            return [value.__qualname__, sha256_text(inspect.getsource(value))]
        except (OSError, TypeError):
            return [value.__qualname__]
    try:
        return plain_json(value)
    except (TypeError, ValueError):
        own = getattr(value, "__dict__", {})
        return [_class_told(type(value)), _told({k: v for k, v in own.items() if k[0] != "_"})]
