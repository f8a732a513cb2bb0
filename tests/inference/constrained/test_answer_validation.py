from __future__ import annotations

import json
import random
import time
from itertools import product

import pytest
from forms import byte_level, draw
from jsonschema import Draft202012Validator
from stillroom.errors import AnswerMismatchError, ConfigError, GenerationError
from stillroom.inference.constrained.answer_validation import AnswerJudge
from stillroom.inference.constrained.grammar import json_grammar
from stillroom.inference.constrained.schema import read_schema

CAT = {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]}
DOG = {"type": "object", "properties": {"kind": {"enum": ["dog", 1]}}, "required": ["kind"]}
DEFINITIONS = {"$defs": {"cat": CAT, "dog": DOG, "both": {"anyOf": [CAT, DOG]}}}
SCHEMAS = [
    {}, CAT, DOG, {"type": "object"}, {"type": "null"}, {"type": ["null", "string"]},
    {"type": "integer"}, {"type": "number"}, {"type": "integer", "minimum": 3}, {"const": 3},
    {"type": "number", "exclusiveMaximum": 3}, {"maximum": 2}, {"enum": [1, "a", 2.5]},
    {"const": 1.0}, {"const": True}, {"const": {"kind": "cat"}}, {"minLength": 2},
    {"allOf": [{"type": "string"}, {"minLength": 1}]}, {"anyOf": [CAT, {"type": "null"}]},
    {"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}, {"$ref": "#/$defs/both"},
    {"type": "object", "properties": {"b": {}}}, {"type": "array", "items": {"type": "null"}},
    {"properties": {"kind": {"const": "dog"}}, "required": ["kind"]}, {"not": {"type": "string"}},
    {"uniqueItems": True, "type": "array"}, {"contains": {"const": 1}, "type": "array"},
    {"patternProperties": {"^k": {"const": 1}}, "type": "object", "additionalProperties": False},
    {"if": {"type": "object"}, "then": {"required": ["b"]}}, {"pattern": "^a", "multipleOf": 2},
]  # fmt: skip
VALUES = [
    None, True, False, 0, 1, 2, 2.5, 3, 4, -1.5, "", "a", "aa", "cat", [], [None], [1], [1, 1], {},
    {"kind": "cat"}, {"kind": "dog"}, {"kind": 1}, {"kind": "cat", "b": 1}, {"b": 1}, {"k": 1},
]  # fmt: skip


def fits(schema, text):
    try:
        AnswerJudge(read_schema(schema)).check_text(text)
    except AnswerMismatchError as fault:
        return fault.answer != text
    return True


@pytest.mark.parametrize("one", SCHEMAS)
def test_it_judges_as_jsonschema_does(one):
    for other in SCHEMAS:
        schema = {**DEFINITIONS, "oneOf": [one, other]}
        judge = Draft202012Validator(schema)
        for value in VALUES:
            assert fits(schema, json.dumps(value)) == judge.is_valid(value), (schema, value)


def test_random_alternatives():
    """What is drawn is valid, or the judge says that it is not; no third thing happens."""
    chance, seen = random.Random(0), {True: 0, False: 0}
    for one, other in product(SCHEMAS, repeat=2):
        if chance.random() < 0.8:
            continue
        schema = {**DEFINITIONS, "oneOf": [one, other]}
        try:
            text = draw(json_grammar(schema), byte_level(), 0)
        except ConfigError:
            continue
        if text is not None:
            told = fits(schema, text)
            assert told == Draft202012Validator(schema).is_valid(json.loads(text)), (schema, text)
            seen[told] += 1
    assert seen[True] > 40
    assert seen[False] > 10


@pytest.mark.parametrize(
    ("schema", "text", "words"),
    [
        ({"uniqueItems": True}, "[1, 1]", "uniqueItems does not hold at the answer"),
        (
            {"properties": {"a": {"items": {"minimum": 3}}}},
            '{"a": [5, 2]}',
            r"minimum .* \$.a\[1\]",
        ),
        ({"oneOf": [{"minimum": 1}, {"maximum": 9}]}, "5", "oneOf does not hold"),
        ({"type": "string", "pattern": "^b"}, '"a"', "pattern"),
        ({"type": "string", "format": "date"}, '"2023-02-29"', "format"),
        ({"type": "string", "format": "time"}, '"25:00:00Z"', "format"),
        ({"type": "string", "format": "uuid4"}, '"x"', "format"),
        ({"additionalProperties": False}, '{"a": 1}', "no property 'a'"),
        ({"multipleOf": 0.01}, "0.075", "multipleOf"),
        ({}, "1e999", "no number"),
        ({}, "NaN", "no number"),
        ({}, '{"a": ', "no JSON"),
        ({}, "", "no JSON"),
        ({}, "[" * 9000 + "]" * 9000, "nested too deep"),
    ],
)
def test_the_word_and_the_place_are_told(schema, text, words):
    with pytest.raises(GenerationError, match=words):
        AnswerJudge(read_schema(schema)).check_text(text)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"multipleOf": 0.01}, "0.07"),  # jsonschema and floats say no
        ({"type": "string", "format": "time"}, '"12:00:00Z"'),
        ({"type": "string", "format": "date-time"}, '"2024-02-29T12:00:00.5+01:00"'),
        ({"type": "array", "items": [{"const": 1}], "additionalItems": False}, "[1]"),
        ({"dependencies": {"a": ["b"]}}, '{"a": 1, "b": 2}'),
    ],
)
def test_what_is_meant_fits(schema, text):
    assert fits(schema, text)


def test_alternatives_that_refer_to_themselves_take_no_time():
    """Each level has two alternatives, so a plain walk takes 2**60 steps."""
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": ["object", "null"],
                "properties": {
                    "a": {
                        "oneOf": [
                            {"$ref": "#/$defs/node"},
                            {"allOf": [{"$ref": "#/$defs/node"}, {"required": ["b"]}]},
                        ]
                    }
                },
            }
        },
    }
    start = time.perf_counter()
    assert fits(schema, '{"a": ' * 60 + "null" + "}" * 60) in (True, False)
    assert not fits({**schema, "required": ["c"]}, '{"a": ' * 60 + "{}" + "}" * 60)
    assert time.perf_counter() - start < 5


def test_a_pattern_that_goes_back_takes_no_time():
    start = time.perf_counter()
    for schema, text in (
        ({"pattern": "^(a+)+$"}, json.dumps("a" * 60 + "b")),
        ({"patternProperties": {"^(a|a)*$": False}}, json.dumps({"a" * 60: 1})),
        (
            {"patternProperties": {"^(a+)+$": True}, "additionalProperties": False},
            json.dumps({"a" * 60 + "b": 1}),
        ),
    ):
        assert not fits(schema, text)
    assert time.perf_counter() - start < 2


def test_a_reference_elsewhere_is_never_followed():
    with pytest.raises(AnswerMismatchError, match="leads nowhere"):
        AnswerJudge(read_schema({"$ref": "http://127.0.0.1:9/schema"})).check_text("1")
