"""Walking through a JSON schema: what stands in it, and what its references lead to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from ..errors import ConfigError

MOST_DEPTH = 64
DEFINITIONS = ("$defs", "definitions")
_ONE = ("items", "additionalProperties")
_LISTS = ("prefixItems", "anyOf", "oneOf", "allOf")
_TABLES = ("properties", "patternProperties", *DEFINITIONS)


def parts_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give the keys of a schema under which other schemas stand, and what stands there: a schema, a
    list or a table of schemas."""
    for key, value in schema.items():
        of_list = key in _LISTS and isinstance(value, list)
        if key in _ONE or of_list or (key in _TABLES and isinstance(value, dict)):
            yield key, value


def levels_in(schema: object) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give a schema and all in it, each with how deep it stands, from 1.

    Raises:
        ConfigError: They are nested too deep.
    """
    waiting = [(schema, 1)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MOST_DEPTH + 1:
            raise ConfigError([f"the schema is nested more than {MOST_DEPTH} deep"])
        if not isinstance(one, dict):
            continue
        yield depth, one
        for key, inner in parts_of(one):
            values = inner.values() if key in _TABLES else inner if key in _LISTS else [inner]
            waiting += [(value, depth + 1) for value in values]


def schemas_in(schema: object) -> Iterator[dict[str, Any]]:
    """Give a schema and all in it.

    Raises:
        ConfigError: They are nested too deep.
    """
    for _, one in levels_in(schema):
        yield one


def references_in(schema: object) -> Iterator[str]:
    """Give what a schema and all in it refer to."""
    for one in schemas_in(schema):
        if isinstance(one.get("$ref"), str):
            yield one["$ref"]


def definition(schema: Mapping[str, Any], reference: str) -> Any:  # noqa: ANN401
    """Look a definition up; None for what is no reference to one in the same schema."""
    parts = reference.split("/")
    if len(parts) != 3 or parts[0] != "#" or parts[1] not in DEFINITIONS:
        return None
    name = unquote(parts[2]).replace("~1", "/").replace("~0", "~")
    table = schema.get(parts[1])
    return table.get(name) if isinstance(table, dict) else None


def without_definitions(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what a schema only defines."""
    return {word: value for word, value in schema.items() if word not in DEFINITIONS}
