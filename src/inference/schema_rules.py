"""JSON schemas made a little narrower before a model answers in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError

MOST_DEPTH = 64
MOST_CHARACTERS = 256 << 10
LARGEST = 2**53 - 1
"""Whole numbers beyond are read differently by different programs: RFC 8259, section 6."""

_ONE = ("items", "additionalProperties", "unevaluatedProperties")
_LISTS = ("prefixItems", "anyOf", "oneOf", "allOf")
_TABLES = ("properties", "patternProperties", "$defs", "definitions")


def tightened(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Narrow a schema to what a small model should write; every text it allows, the old one does.

    Objects get no properties that the schema does not name. Numbers stay between -(2**53 - 1) and
    2**53 - 1 where the schema sets no bound of its own, which also keeps exponents out: `1e999` is
    valid JSON and no number.

    Args:
        schema: A JSON schema.

    Raises:
        ConfigError: It is nested too deep or holds something that is no JSON.

    >>> tightened({"type": "integer", "minimum": 0})
    {'type': 'integer', 'minimum': 0, 'maximum': 9007199254740991}
    """
    closed = '"allOf"' not in _written(schema)  # what one part leaves out another may name
    return _tightened(schema, closed, 0)


def _written(schema: Mapping[str, Any]) -> str:
    """Write a schema as JSON, and stop where it becomes too long."""
    parts: list[str] = []
    length = 0
    try:
        for part in json.JSONEncoder().iterencode(schema):
            parts.append(part)
            length += len(part)
            if length > MOST_CHARACTERS:
                raise ConfigError([
                    f"the schema has more than {MOST_CHARACTERS} characters; make it smaller"
                ])  # fmt: skip
    except (TypeError, ValueError, RecursionError) as fault:
        if isinstance(fault, ConfigError):
            raise
        raise ConfigError([f"the schema is no JSON, or nested too deep ({fault})"]) from fault
    return "".join(parts)


def _tightened(schema: Mapping[str, Any], closed: bool, depth: int) -> dict[str, Any]:
    if depth > MOST_DEPTH:
        raise ConfigError([f"the schema is nested more than {MOST_DEPTH} deep"])

    def inner(value: Any) -> Any:  # noqa: ANN401 - schemas may be true or false
        return _tightened(value, closed, depth + 1) if isinstance(value, Mapping) else value

    narrow = dict(schema)
    for key, value in schema.items():
        if key in _ONE:
            narrow[key] = inner(value)
        elif key in _LISTS and isinstance(value, list | tuple):
            narrow[key] = [inner(one) for one in value]
        elif key in _TABLES and isinstance(value, Mapping):
            narrow[key] = {name: inner(one) for name, one in value.items()}
    if closed and "properties" in narrow and "patternProperties" not in narrow:
        narrow.setdefault("additionalProperties", False)
    kind = narrow.get("type")
    kinds = kind if isinstance(kind, list | tuple) else [kind]
    if any(one in ("integer", "number") for one in kinds):
        narrow.update(_bounds(narrow))
    return narrow


def _bounds(schema: Mapping[str, Any]) -> dict[str, int]:
    """Give the bounds that a number lacks; none where they would leave no number."""
    if "enum" in schema or "const" in schema:
        return {}

    def given(*keys: str) -> list[float]:
        return [schema[key] for key in keys if isinstance(schema.get(key), int | float)]

    low, high = given("minimum", "exclusiveMinimum"), given("maximum", "exclusiveMaximum")
    added = {}
    if not low and all(bound > -LARGEST for bound in high):
        added["minimum"] = -LARGEST
    if not high and all(bound < LARGEST for bound in low):
        added["maximum"] = LARGEST
    return added
