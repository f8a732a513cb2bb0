"""How large a JSON schema may be, so that no one's schema holds up the others.

A form is compiled in one go that nobody can stop. The limits are set so that it takes well under a
second on a slow core; without them 40 characters (`{"type": "integer", "multipleOf": 9999991}`)
take 47 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from .schema_parts import definition, levels_in, references_in, schemas_in

MOST_CHARACTERS = 256 << 10
MOST_PARTS = 5_000
"""Schemas in a schema, together with what stands inside lists and objects of `enum`."""
MOST_OPTIONAL = 300
"""Optional properties of one object; the cost is their square."""
MOST_PATTERNS = 50
"""Patterns for names of properties; each is compared with each."""
MOST_LEVELS = 500
"""Of a schema and what it refers to, one inside the other. The library that compiles it goes down
by recursion, and the process dies of some 1,500."""
MOST_FACTOR = 4_000
"""Of `multipleOf`, all together: each remainder is a state."""


def check_limits(schema: dict[str, Any], joined: bool) -> None:
    """Refuse a schema that would take too long to compile.

    Args:
        schema: As JSON has it.
        joined: Whether parts of it hold for the same value, so that their costs multiply.

    Raises:
        ConfigError: With what is too much, all at once.
    """
    inside = list(schemas_in(schema))
    faults = [
        f"an object has {count} optional properties; allowed: {MOST_OPTIONAL}"
        for count in map(_optional, inside)
        if count > MOST_OPTIONAL
    ]
    patterns = sum(len(_table(one, "patternProperties")) for one in inside)
    factors = [one["multipleOf"] for one in inside if "multipleOf" in one]
    factors = [math.ceil(one) for one in factors if isinstance(one, int | float) and one > 0]
    for count, most, what in (
        (sum(map(_parts, inside)), MOST_PARTS, "parts"),
        (_levels(schema), MOST_LEVELS, "levels, counted through its references"),
        (patterns, MOST_PATTERNS, "patterns for names of properties"),
        (
            math.prod(factors) if joined else sum(factors),
            MOST_FACTOR,
            "as its multipleOf together",
        ),
    ):
        if count > most:
            faults.append(f"the schema has {count} {what}; allowed: {most}")
    if faults:
        raise ConfigError(faults[:5])


def _levels(schema: dict[str, Any]) -> int:
    """Bound how deep a schema goes when every reference is followed once."""
    own = max(depth for depth, _ in levels_in(schema))
    count = own
    for reference in set(references_in(schema)):
        target = definition(schema, reference)
        count += (
            own if target is None else max((depth for depth, _ in levels_in(target)), default=1)
        )
    return count


def _optional(schema: Mapping[str, Any]) -> int:
    required = schema.get("required")
    named = set(required) if isinstance(required, list) and all(_texts(required)) else set()
    return len(_table(schema, "properties").keys() - named)


def _texts(values: list[Any]) -> list[bool]:
    return [isinstance(value, str) for value in values]


def _table(schema: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = schema.get(key)
    return value if isinstance(value, dict) else {}


def _parts(schema: Mapping[str, Any]) -> int:
    """Count a schema and what stands inside lists and objects that are values in it."""
    listed = schema.get("enum")
    values = [*(listed if isinstance(listed, list) else ()), schema.get("const")]
    waiting = [value for value in values if isinstance(value, list | dict)]
    count = 1
    while waiting:
        value = waiting.pop()
        inner = list(value.values() if isinstance(value, dict) else value)
        count += len(inner)
        waiting += [one for one in inner if isinstance(one, list | dict)]
    return count
