from __future__ import annotations

import pytest
from stillroom.errors import ConfigError
from stillroom.inference.schema_limits import MOST_OPTIONAL, MOST_PARTS
from stillroom.inference.schema_rules import tightened


def properties(count, **more):
    return {"properties": {f"k{i}": {"type": "null"} for i in range(count)}, **more}


def chain(count):
    """Definitions of which each refers to the next."""
    links = {f"d{i}": {"properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(count)}
    return {"$defs": {**links, f"d{count}": {"type": "null"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (chain(400), "804 levels"),  # of 1,000 llguidance 1.9 dies
        ({"properties": {f"k{i}": {"$ref": f"#/properties/k{i + 1}"} for i in range(300)}}, "lev"),
        ({"type": "integer", "multipleOf": 9999991}, "multipleOf"),
        ({"type": "number", "multipleOf": 1e6}, "multipleOf"),
        ({"anyOf": [{"multipleOf": 3000}, {"multipleOf": 2000}]}, "5000 as its multipleOf"),
        ({"allOf": [{"multipleOf": 100}, {"multipleOf": 99}]}, "9900 as its multipleOf"),
        (properties(MOST_OPTIONAL + 1), "301 optional properties"),
        ({"items": {"anyOf": [properties(400)]}}, "400 optional properties"),
        (properties(MOST_PARTS, required=[f"k{i}" for i in range(MOST_PARTS)]), "5001 parts"),
        ({"enum": [{"a": [1] * 100}] * 100}, "parts"),
        ({"const": [[1] * 6000]}, "parts"),
        ({"patternProperties": {f"^k{i}x": {} for i in range(51)}}, "patterns for names"),
    ],
)
def test_what_would_take_too_long(schema, words):
    with pytest.raises(ConfigError, match=words):
        tightened(schema)


@pytest.mark.parametrize(
    "schema",
    [
        properties(MOST_OPTIONAL),
        chain(240),
        {"prefixItems": [True] * 6000},
        properties(4000, required=[f"k{i}" for i in range(4000)]),
        {"enum": [f"label {i}" for i in range(10_000)]},
        {"type": "integer", "multipleOf": 3600},
        {"anyOf": [{"const": i} for i in range(3000)]},
    ],
)
def test_what_is_large_and_no_trouble(schema):
    assert tightened(schema)
