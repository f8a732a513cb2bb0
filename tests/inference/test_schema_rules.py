from __future__ import annotations

import doctest

import pytest
from jsonschema import Draft202012Validator
from stillroom.errors import ConfigError
from stillroom.inference import schema_rules
from stillroom.inference.schema_rules import LARGEST, MOST_CHARACTERS, tightened

POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}


def test_examples_in_docstrings():
    assert doctest.testmod(schema_rules).failed == 0


@pytest.mark.parametrize(
    ("schema", "fits", "no_more"),
    [
        ({"type": "integer"}, [0, LARGEST, -LARGEST], [LARGEST + 1, -(2**60)]),
        ({"type": ["integer", "null"], "minimum": 5}, [5, None], [2**60]),
        ({"type": "number", "maximum": -(2**60)}, [-(2**61)], []),
        ({"type": "number", "exclusiveMinimum": 0}, [0.5], [1e300]),
        ({"enum": [2**60]}, [2**60], []),
        (POINT, [{"x": 1}], [{"x": 1, "y": 2}]),
        ({**POINT, "additionalProperties": {"type": "null"}}, [{"x": 1, "y": None}], []),
        ({**POINT, "patternProperties": {"^a": {}}}, [{"x": 1, "b": 2}], []),
        ({"type": "array", "items": POINT}, [[{"x": 1}]], [[{"x": 1, "y": 2}]]),
        ({"prefixItems": [POINT]}, [[{"x": 1}]], [[{"x": 1, "y": 2}]]),
        ({"anyOf": [POINT, {"type": "null"}]}, [{"x": 1}, None], [{"x": 1, "y": 2}]),
        ({"$defs": {"p": POINT}, "$ref": "#/$defs/p"}, [{"x": 1}], [{"x": 1, "y": 2}]),
        # What one part of a conjunction leaves out another may name.
        ({"allOf": [POINT, {"properties": {"y": {}}}]}, [{"x": 1, "y": 2}], []),
        # Names that look like keywords are names.
        ({"properties": {"type": {"const": "integer"}}}, [{"type": "integer"}], [{"a": 1}]),
        ({"const": {"properties": {"a": 1}}}, [{"properties": {"a": 1}}], []),
    ],
)
def test_narrower_but_not_empty(schema, fits, no_more):
    before, after = Draft202012Validator(schema), Draft202012Validator(tightened(schema))
    for value in fits:
        assert before.is_valid(value)
        assert after.is_valid(value)
    for value in no_more:
        assert before.is_valid(value)
        assert not after.is_valid(value)


def test_the_schema_itself_stays():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    tightened(schema)
    assert schema == {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"enum": ["x" * (MOST_CHARACTERS + 1)]}, "characters"),
        ({"enum": list(range(10**6))}, "characters"),
        ({"const": {1, 2}}, "no JSON"),
        ({"minimum": "5", "type": ["integer", {}]}, None),
    ],
)
def test_schemas_that_are_none(schema, words):
    if words is None:
        tightened(schema)  # what is wrong with it llguidance says
        return
    with pytest.raises(ConfigError, match=words):
        tightened(schema)


def test_depth_is_bounded():
    deep: dict = {}
    for _ in range(100):
        deep = {"items": deep}
    with pytest.raises(ConfigError, match="nested"):
        tightened(deep)
    for _ in range(5000):
        deep = {"items": deep}
    with pytest.raises(ConfigError, match="nested"):
        tightened(deep)
