"""`oneOf`, where exactly one alternative may hold: proven to be no more than `anyOf`, or refused.

Alternatives are made narrower before an answer is held to them, so whether two can hold for one
value must be judged before that: `{"a": 1}` fits an object that names only `b` and is not closed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from ..errors import ConfigError
from .schema_parts import definition
from .schema_words import kinds_of

_MOST_PAIRS = 20_000
_MOST_DEPTH = 12


def check_one_of(branches: list[Any], root: Mapping[str, Any]) -> None:
    """Check that no value fits two alternatives.

    Args:
        branches: What stands under `oneOf`.
        root: The schema that they stand in, for its definitions.

    Raises:
        ConfigError: Two cannot be told apart, or they are too many.
    """
    if math.comb(len(branches), 2) > _MOST_PAIRS:
        raise ConfigError([f"oneOf has {len(branches)} alternatives; allowed: 200. Use anyOf"])
    for one, other in combinations(range(len(branches)), 2):
        if not apart(branches[one], branches[other], root):
            raise ConfigError([
                f"oneOf: a value may fit both alternative {one + 1} and {other + 1}; use anyOf, or "
                "a property that both require with another const or enum in each"
            ])  # fmt: skip


def apart(one: Any, other: Any, root: Mapping[str, Any], depth: int = 0) -> bool:  # noqa: ANN401
    """Say whether it is certain that no value fits two schemas."""
    if one is False or other is False:
        return True
    if not isinstance(one, dict) or not isinstance(other, dict) or depth > _MOST_DEPTH:
        return False
    pairs = ((one, other), (other, one))
    if any(_by_parts(part, rest, root, depth + 1) for part, rest in pairs):
        return True
    if any(_by_values(part, rest) for part, rest in pairs):
        return True
    common = _kinds(one) & _kinds(other)
    if not common:
        return True
    if common <= {"integer", "fraction"}:
        return any(_highest(part) < _lowest(rest) for part, rest in pairs)
    return common == {"object"} and any(
        apart(_property(one, name), _property(other, name), root, depth + 1)
        for name in {*one.get("required", ())} & {*other.get("required", ())}
    )


def _by_parts(one: dict[str, Any], other: Any, root: Mapping[str, Any], depth: int) -> bool:  # noqa: ANN401
    """Follow a reference, parts that all hold, or alternatives of which one does."""
    reference = one.get("$ref")
    if reference is not None and (target := definition(root, reference)) is not None:
        return apart(target, other, root, depth)
    if any(apart(part, other, root, depth) for part in one.get("allOf", ())):
        return True
    return any(
        all(apart(branch, other, root, depth) for branch in one[word])
        for word in ("anyOf", "oneOf")
        if one.get(word)
    )


def _by_values(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Compare the values that one lists with those of the other, or with its types."""
    values = _values(one)
    if values is None:
        return False
    others = _values(other)
    if others is not None:
        return not values.keys() & others.keys()
    return not {_kind(value) for value in values.values()} & _kinds(other)


def _values(schema: dict[str, Any]) -> dict[str, Any] | None:
    if "const" not in schema and "enum" not in schema:
        return None
    listed = [schema["const"]] if "const" in schema else schema["enum"]
    return {json.dumps(_plain(value), sort_keys=True): value for value in listed}


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Write equal numbers alike: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def _kinds(schema: dict[str, Any]) -> set[str]:
    """Give the types that a schema allows, each number in one of two."""
    values = _values(schema)
    if values is not None:
        return {_kind(value) for value in values.values()}
    told = set(kinds_of(schema))
    return (told - {"number"}) | {"integer", "fraction"} if "number" in told else told


def _kind(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) or value.is_integer() else "fraction"
    names = {str: "string", list: "array", dict: "object", type(None): "null"}
    return names[type(value)]


def _property(schema: dict[str, Any], name: str) -> Any:  # noqa: ANN401
    return schema.get("properties", {}).get(name)


def _lowest(schema: dict[str, Any]) -> float:
    bounds = [schema[word] for word in ("minimum", "exclusiveMinimum") if word in schema]
    return max(bounds, default=-math.inf)


def _highest(schema: dict[str, Any]) -> float:
    bounds = [schema[word] for word in ("maximum", "exclusiveMaximum") if word in schema]
    return min(bounds, default=math.inf)
