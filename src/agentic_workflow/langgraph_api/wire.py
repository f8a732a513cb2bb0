"""State, messages and interrupts as JSON; names of threads within the store."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

from langgraph.types import Interrupt, Overwrite
from pydantic import BaseModel


def thread_key(owner: str, thread_id: str) -> str:
    """Give the name of an owner's thread in the store.

    Another owner's thread has another name, so that no id, guessed or known, leads to it.

    >>> thread_key("anna", "t1"), thread_key("a/b", "t1")
    ('anna/t1', 'a%2Fb/t1')
    """
    return f"{quote(owner, safe='')}/{thread_id}"


def thread_id_of(key: str) -> str:
    """Give a thread's id, as its owner knows it."""
    return key.partition("/")[2]


def owner_of(key: str) -> str:
    """Give the owner of a thread."""
    return unquote(key.partition("/")[0])


def to_json(value: Any) -> str:  # noqa: ANN401 - of any type
    """Write JSON in ASCII; NaN and the infinities, which JSON does not have, become null."""
    try:
        return json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(json.loads(json.dumps(value, default=_plain))))


def jsonable(value: Any) -> Any:  # noqa: ANN401 - of any type
    """Convert a value to what JSON can hold."""
    return json.loads(to_json(value))


def time_text(seconds: float) -> str:
    """Write a time, in seconds since 1970, as ISO 8601.

    >>> time_text(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _plain(value: Any) -> Any:  # noqa: ANN401 - what `json` does not know
    if isinstance(value, BaseModel):  # messages among them
        return value.model_dump()
    if isinstance(value, Interrupt):
        return {"value": value.value, "id": value.id}
    if isinstance(value, Overwrite):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, BaseException):
        return {"error": type(value).__name__, "message": str(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return str(value)


def _finite(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
