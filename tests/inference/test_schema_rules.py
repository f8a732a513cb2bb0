from __future__ import annotations

import doctest
import json
import random
from decimal import Decimal

import pytest
from forms import byte_level, fits
from jsonschema import Draft202012Validator
from stillroom.errors import ConfigError
from stillroom.inference import schema_rules
from stillroom.inference.grammar import json_grammar
from stillroom.inference.schema_limits import MOST_CHARACTERS
from stillroom.inference.schema_rules import LARGEST, tightened

POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}


def test_examples_in_docstrings():
    assert doctest.testmod(schema_rules).failed == 0


@pytest.mark.parametrize(
    ("schema", "fits", "no_more"),
    [
        ({"type": "integer"}, [0, LARGEST, -LARGEST], [LARGEST + 1, -(2**60)]),
        ({"type": ["integer", "null"], "minimum": 5}, [5, None], [2**60]),
        ({"type": "number", "exclusiveMinimum": 0}, [0.5, 1e-9], [1e300]),
        ({"type": "number", "exclusiveMaximum": 0.9, "maximum": 5}, [0.899999999], []),
        ({"type": "number", "minimum": 0.1 + 0.2}, [0.31], []),
        ({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5}, [4], []),
        # Where nothing is said, numbers are numbers all the same.
        ({}, [0, {"a": [1]}, "x", None], [2**60, [2**60], {"a": {"b": 2**60}}]),
        ({"type": "object"}, [{}, {"a": 1}], [{"a": 2**60}]),
        ({"minLength": 2}, ["ab", 1, [1]], [2**60, [2**60], {"a": 2**60}]),
        ({"items": True}, [[1]], [[2**60]]),
        # A name that is required is named.
        ({**POINT, "required": ["x", "y"]}, [{"x": 1, "y": 2}], [{"x": 1, "y": 2, "z": 3}]),
        ({"enum": [2**53 - 1]}, [2**53 - 1], []),
        (POINT, [{"x": 1}], [{"x": 1, "y": 2}]),
        ({**POINT, "additionalProperties": {"type": "null"}}, [{"x": 1, "y": None}], []),
        ({**POINT, "patternProperties": {"^a": {}}}, [{"x": 1, "b": 2}], []),
        ({"type": "array", "items": POINT}, [[{"x": 1}]], [[{"x": 1, "y": 2}]]),
        ({"prefixItems": [POINT]}, [[{"x": 1}]], [[{"x": 1, "y": 2}]]),
        ({"anyOf": [POINT, {"type": "null"}]}, [{"x": 1}, None], [{"x": 1, "y": 2}]),
        ({"$defs": {"p": POINT}, "$ref": "#/$defs/p"}, [{"x": 1}], [{"x": 1, "y": 2}]),
        # What one part of a conjunction leaves out another may name.
        ({"allOf": [POINT, {"properties": {"y": {}}}]}, [{"x": 1, "y": 2}], []),
        ({**POINT, "anyOf": [{"properties": {"y": {"const": 1}}}]}, [{"x": 1, "y": 1}], []),
        (
            {**POINT, "$ref": "#/$defs/p", "$defs": {"p": {"properties": {"y": {}}}}},
            [{"x": 1, "y": 2}],
            [],
        ),
        ({"type": "number", "exclusiveMinimum": 0, "allOf": [{"maximum": 9}]}, [1], [1e-300]),
        # All parts together are closed.
        ({"allOf": [POINT, {"properties": {"y": {}}}]}, [{"x": 1}], [{"x": 1, "z": 2}]),
        ({"allOf": [POINT, {"required": ["y"]}]}, [{"x": 1, "y": [2]}], [{"x": 1, "y": 2, "z": 2}]),
        (
            {"allOf": [{"$ref": "#/$defs/p"}, {"properties": {"y": POINT}}], "$defs": {"p": POINT}},
            [{"x": 1, "y": {"x": 2}}],
            [{"x": 1, "z": 2}],
        ),
        (
            {"properties": {"a": {"allOf": [POINT, {"properties": {"y": {}}}]}, "b": POINT}},
            [{"a": {"x": 1, "y": 2}, "b": {"x": 3}}],
            [{"b": {"x": 3, "y": 2}}, {"c": 1}],
        ),
        ({"allOf": [POINT, {"additionalProperties": True}]}, [{"x": 1, "z": 2}], []),
        # What one place joins another does not.
        (
            {
                "properties": {
                    "a": {"allOf": [{"$ref": "#/$defs/p"}, {"properties": {"y": {}}}]},
                    "b": {"$ref": "#/$defs/q"},
                },
                "$defs": {"p": POINT, "q": POINT},
            },
            [{"a": {"x": 1, "y": 2}, "b": {"x": 3}}],
            [{"b": {"x": 3, "y": 2}}],
        ),
        # An alternative that cannot be enforced is no longer one.
        ({"anyOf": [{"type": "null"}, {"type": "string", "pattern": "(?=a)"}]}, [None], ["a"]),
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


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-0.5, 2.55), (-12.345, 0), (0.001, 0.0999), (-1, -0.25), (3, 99.995)]
)
def test_every_short_number_between_two_bounds_can_be_written(low, high):
    tokenizer, chance = byte_level(), random.Random(0)
    for least, most in (("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum")):
        schema = {"type": ["number", "null"], least: low, most: high}
        judge, form = Draft202012Validator(schema), json_grammar(schema)
        for _ in range(60):
            number = round(chance.uniform(low - 0.3, high + 0.3), chance.randint(0, 5)) or 0.0
            text = format(Decimal(repr(number)), "f").removesuffix(".0")
            assert fits(form, tokenizer, text) == judge.is_valid(number), (schema, text)


def test_the_schema_itself_stays():
    schema = {"properties": {"a": {"type": "number", "exclusiveMinimum": 1}}, "required": ["b"]}
    before = json.dumps(schema)
    tightened(schema)
    assert json.dumps(schema) == before


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"enum": ["x" * (MOST_CHARACTERS + 1)]}, "characters"),
        ({"enum": list(range(10**6))}, "characters"),
        ({"const": {1, 2}}, "no JSON"),
        ({"const": float("nan")}, "no JSON"),
        ({"const": "\ud800"}, "half a character"),
    ],
)
def test_schemas_that_are_none(schema, words):
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
