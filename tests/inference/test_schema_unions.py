from __future__ import annotations

import json
import random
from itertools import product

import pytest
from forms import byte_level, draw
from jsonschema import Draft202012Validator
from stillroom.errors import ConfigError
from stillroom.inference.grammar import json_grammar
from stillroom.inference.schema_unions import apart

CAT = {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]}
DOG = {"type": "object", "properties": {"kind": {"enum": ["dog", 1]}}, "required": ["kind"]}
ROOT = {"$defs": {"cat": CAT, "dog": DOG, "both": {"anyOf": [CAT, DOG]}}}
CAT_THERE, DOG_THERE = {"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}
SCHEMAS = [
    True, False, {}, CAT, DOG, {"type": "object"}, {"type": "null"}, {"type": ["null", "string"]},
    {"type": "integer"}, {"type": "number"}, {"type": "integer", "minimum": 3}, {"const": 3},
    {"type": "number", "exclusiveMaximum": 3}, {"maximum": 2}, {"enum": [1, "a", 2.5]},
    {"const": 1.0}, {"const": True}, {"const": {"kind": "cat"}}, {"minLength": 2}, {"enum": []},
    {"allOf": [{"type": "string"}, {"minLength": 1}]}, {"anyOf": [CAT, {"type": "null"}]},
    CAT_THERE, DOG_THERE, {"$ref": "#/$defs/both"}, {"type": "object", "required": ["kind"]},
    {"type": "object", "properties": {"b": {}}}, {"type": "array", "items": {"type": "null"}},
    {"properties": {"kind": {"const": "dog"}}, "required": ["kind"]},
]  # fmt: skip
VALUES = [
    None, True, False, 0, 1, 2, 2.5, 3, 4, -1.5, "", "a", "aa", "cat", [], [None], [1], {},
    {"kind": "cat"}, {"kind": "dog"}, {"kind": 1}, {"kind": "cat", "b": 1}, {"b": 1},
]  # fmt: skip


@pytest.mark.parametrize("one", SCHEMAS)
def test_no_value_fits_two_that_are_told_apart(one):
    for other in SCHEMAS:
        judges = [Draft202012Validator({"allOf": [s], **ROOT}) for s in (one, other)]
        shared = [value for value in VALUES if all(judge.is_valid(value) for judge in judges)]
        if apart(one, other, ROOT):
            assert shared == []
        assert apart(one, other, ROOT) == apart(other, one, ROOT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CAT, DOG), (CAT_THERE, DOG_THERE), (CAT_THERE, {"anyOf": [DOG, {"type": "null"}]}),
        ({"type": "integer"}, {"type": "string"}), ({"const": 1}, {"const": 2}),
        ({"type": "integer", "maximum": 2}, {"type": "number", "minimum": 2.5}),
        ({"type": "integer"}, {"const": 2.5}), ({"const": True}, {"const": 1}),
    ],
)  # fmt: skip
def test_what_can_be_told_apart(one, other):
    assert apart(one, other, ROOT)


def test_answers_fit_one_alternative_only():
    """An object that is not closed also takes what another one names."""
    a = {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}
    b = {"type": "object", "properties": {"b": {"type": "null"}}}
    with pytest.raises(ConfigError, match="both alternative 1 and 2; use anyOf"):
        json_grammar({"oneOf": [a, b]})
    schema = {**ROOT, "oneOf": [CAT_THERE, DOG_THERE, {"type": "null"}]}
    judge, form = Draft202012Validator(schema), json_grammar(schema)
    for seed in range(20):
        judge.validate(json.loads(draw(form, byte_level(), seed)))


def test_both_kinds_of_alternatives_in_one_place():
    schema = {
        "anyOf": [{"type": "null"}, {"type": "integer", "minimum": 0, "maximum": 9}],
        "oneOf": [{"type": "integer"}, {"type": "null"}],
    }
    judge, form = Draft202012Validator(schema), json_grammar(schema)
    for seed in range(10):
        judge.validate(json.loads(draw(form, byte_level(), seed)))


def test_random_alternatives():
    """What is let through is valid; what is refused is so for a reason in most cases."""
    chance, let = random.Random(0), 0
    for one, other in product([s for s in SCHEMAS if isinstance(s, dict)], repeat=2):
        if chance.random() < 0.8:
            continue
        schema = {**ROOT, "oneOf": [one, other]}
        try:
            text = draw(json_grammar(schema), byte_level(), 0)
        except ConfigError:
            continue
        let += 1
        if text is not None:
            Draft202012Validator(schema).validate(json.loads(text))
    assert let > 10


def test_many_alternatives():
    kinds = [{"const": number} for number in range(200)]
    json_grammar({"oneOf": kinds})
    with pytest.raises(ConfigError, match="allowed: 200"):
        json_grammar({"oneOf": [{"const": number} for number in range(300)]})
