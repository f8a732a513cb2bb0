from __future__ import annotations

import doctest
import json
import random
import time as clock
from datetime import datetime, time
from decimal import Decimal

import pytest
from forms import byte_level, draw, fits
from jsonschema import Draft202012Validator, FormatChecker
from stillroom.errors import AnswerMismatchError, ConfigError
from stillroom.inference.constrained import llguidance_schema
from stillroom.inference.constrained.answer_validation import AnswerJudge
from stillroom.inference.constrained.grammar import constrain, json_grammar
from stillroom.inference.constrained.regex_checks import FORMATS
from stillroom.inference.constrained.schema import (
    LARGEST,
    MOST_CHARACTERS,
    MOST_OPTIONAL,
    MOST_PARTS,
    read_schema,
)

POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}


def written(value):
    """Write a value as answers are written, without exponents."""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k, ensure_ascii=False)}: {written(v)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=False)


def allows(schema, value):
    """Say whether a value can be written in a schema's form."""
    return fits(json_grammar(schema), byte_level(), written(value))


def test_examples_in_docstrings():
    assert doctest.testmod(llguidance_schema).failed == 0


@pytest.mark.parametrize(
    ("schema", "fitting", "no_more"),
    [
        ({"type": "integer"}, [0, LARGEST, -LARGEST], [LARGEST + 1, -(2**60)]),
        ({"type": ["integer", "null"], "minimum": 5}, [5, None], [2**60]),
        ({"type": "number", "exclusiveMinimum": 0}, [0.5, 1e-9], [1e300]),
        ({"type": "number", "multipleOf": 0.25}, [9999999999999.75], [900719925476539.75]),
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
        ({**POINT, "patternProperties": {"^a": {}}}, [{"x": 1, "a": 2}], [{"x": 1, "b": 2}]),
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
def test_narrower_but_not_empty(schema, fitting, no_more):
    judge = Draft202012Validator(schema)
    for value in fitting:
        assert judge.is_valid(value)
        assert allows(schema, value), value
    for value in no_more:
        assert judge.is_valid(value)
        assert not allows(schema, value), value


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
    schema = {
        "properties": {"a": {"type": "number", "exclusiveMinimum": 1, "title": "A"}},
        "required": ["b"],
        "oneOf": [{"required": ["a"]}, {"required": ["c"]}],
        "items": [{"type": "null"}],
    }
    before = json.dumps(schema)
    json_grammar(schema)
    json_grammar(schema)
    assert json.dumps(schema) == before


WORDS = [
    # What is written in llguidance's words: all that fits can be written, and nothing else can.
    ({"type": "array", "uniqueItems": True, "items": {"enum": ["a", "b"]}},
     [[], ["b", "a"], ["a"]], [["a", "a"]]),
    ({"type": "array", "uniqueItems": True, "items": {"type": "boolean"}, "minItems": 2},
     [[True, False]], [[True], [True, True]]),
    ({"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/c"},
      "$defs": {"c": {"type": "integer", "minimum": 1, "maximum": 3}}}, [[3, 1, 2]], [[1, 1]]),
    ({"properties": {"a": {}, "b": {"type": "null"}}, "type": "object",
      "dependentRequired": {"a": ["b"]}}, [{}, {"b": None}, {"a": 1, "b": None}], [{"a": 1}]),
    ({"properties": {"a": {"type": "null"}, "b": {}}, "type": "object",
      "dependentSchemas": {"a": {"properties": {"b": {"const": 2}}}}},
     [{"a": None, "b": 2}, {"b": 3}], [{"a": None, "b": 3}]),
    ({"properties": {"a": {}, "b": {}}, "type": "object", "dependencies": {"a": ["b"]}},
     [{}], [{"a": 1}]),
    ({"type": "object", "propertyNames": {"enum": ["p", "q"]},
      "additionalProperties": {"type": "null"}}, [{"p": None}, {}], [{"r": None}]),
    ({"type": "object", "propertyNames": {"maxLength": 2}, "additionalProperties": {"const": 1}},
     [{"ab": 1}], [{"abc": 1}]),
    ({"type": "object", "propertyNames": {"pattern": "^k"}}, [{"k1": 1}], [{"l": 1}]),
    ({"type": "object", "propertyNames": {"format": "date"}, "additionalProperties": True},
     [{"2024-02-29": 1}], [{"x": 1}]),
    ({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2},
     [{"a": 1, "c": 1}], [{"a": 1}, {}]),
    ({"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 2},
     [{"a": None, "b": None}], [{"a": None}]),
    ({"type": "object", "properties": {"a": {}}, "unevaluatedProperties": False}, [{"a": 1}],
     [{"b": 1}]),
    ({"type": "array", "prefixItems": [{"const": 1}], "unevaluatedItems": False}, [[1]], [[1, 2]]),
    ({"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 1}, [0.07, 0.29, 1], [0.075]),
    ({"oneOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {}}, "required": ["b"]}]},
     [{"a": 1}, {"b": 1}], [{"a": 1, "b": 1}]),
    ({"oneOf": [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/y"}],
      "discriminator": {"propertyName": "k", "mapping": {"x": "#/$defs/x"}},
      "$defs": {"x": {"type": "object", "properties": {"k": {"const": "x"}}, "required": ["k"]},
                "y": {"type": "object", "properties": {"k": {"const": "y"}}, "required": ["k"]}}},
     [{"k": "x"}, {"k": "y"}], [{"k": "z"}]),
    ({"allOf": [{"properties": {"a": {"type": "null"}}, "required": ["a"]},
                {"properties": {"b": {"type": "null"}}, "required": ["b"]}], "type": "object"},
     [{"a": None, "b": None}], [{"a": None}, {}]),
    ({"type": "array", "items": {"$ref": "#"}, "maxItems": 2}, [[], [[], [[]]]], [[1]]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "fitting", "others"), WORDS)
def test_words_that_the_grammar_holds(schema, fitting, others):
    judge = Draft202012Validator(schema)
    for value in fitting:
        assert judge.is_valid(value) or "multipleOf" in schema  # 0.07 % 0.01 is not 0 there
        assert allows(schema, value), value
    for value in others:
        assert not judge.is_valid(value) or "dependencies" in schema or "format" in str(schema)
        assert not allows(schema, value), value


LEFT_TO_THE_CHECK = [
    ({"enum": [1, 2, "a"], "not": {"const": 2}}, [1, "a"], [2]),
    ({"type": ["integer", "null", "boolean"], "not": {"type": "boolean"}}, [1, None], [True]),
    ({"properties": {"a": {}, "b": {}}, "not": {"required": ["a"]}, "type": "object"},
     [{"b": 1}, {}], [{"a": 1}]),
    ({"properties": {"kind": {"enum": ["a", "b"]}}, "type": "object", "required": ["kind"],
      "if": {"properties": {"kind": {"const": "a"}}},
      "then": {"properties": {"x": {"type": "null"}}, "required": ["x"]}},
     [{"kind": "a", "x": None}, {"kind": "b"}], [{"kind": "a"}]),
    ({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 1},
     [{"b": 1}, {}], [{"a": 1, "c": 1}]),
    ({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "required": ["c"],
      "minProperties": 2, "maxProperties": 2}, [{"a": 1, "c": 1}], [{"a": 1, "b": 1, "c": 1}]),
    ({"type": "object", "properties": {"a": {}}, "minProperties": 2}, [], [{}, {"a": 1}]),
    ({"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 2}, "maxItems": 3},
     [[2], [1, 2], [2, 2, 2], [1, 1, 2]], [[1], [1, 1, 1]]),
    ({"type": "array", "contains": {"const": "x"}}, [["x"], [1, 2, 3, 4, "x"]], [[1]]),
    ({"type": "array", "contains": {"const": 1}, "minContains": 2}, [[1, 1]], [[1, 2]]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "fitting", "others"), LEFT_TO_THE_CHECK)
def test_words_that_only_the_check_of_the_answer_holds(schema, fitting, others):
    judge = AnswerJudge(read_schema(schema))
    for value in fitting:
        assert allows(schema, value), value
        judge.check_text(written(value))
    for value in others:
        assert allows(schema, value), value
        with pytest.raises(AnswerMismatchError):
            judge.check_text(written(value))


def test_tuples_of_older_drafts():
    schema = {"type": "array", "items": [{"const": 1}, {"const": 2}], "additionalItems": False}
    assert allows(schema, [1, 2])
    assert not allows(schema, [2])
    assert not allows(schema, [1, 2, 3])


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"oneOf": [{"type": "object", "properties": {n: {}}} for n in "ab"]}, "oneOf.*1 and 2"),
        ({"oneOf": [{"const": 1, "title": "A"}, {"const": 2}, {"const": 1}]}, "oneOf.*1 and 3"),
        ({"not": {}}, "not: it leaves no value"),
        ({"type": "array", "uniqueItems": True, "items": {"type": "boolean"}, "minItems": 3},
         "uniqueItems: 2 values cannot fill 3"),
        ({"type": "string", "contentSchema": {"type": "null"}}, "contentSchema"),
        ({"unevaluatedProperties": False, "patternProperties": {"a": {}}}, "unevaluatedProp"),
    ],
)  # fmt: skip
def test_what_no_answer_fits_is_refused_by_its_word(schema, words):
    with pytest.raises(ConfigError, match=words):
        json_grammar(schema)


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
        json_grammar(schema)


def test_depth_is_bounded():
    for word in ("items", "not", "if", "contains", "propertyNames", "unevaluatedItems"):
        deep: dict = {}
        for _ in range(100):
            deep = {word: deep}
        with pytest.raises(ConfigError, match="nested"):
            json_grammar(deep)
    for _ in range(5000):
        deep = {"items": deep}
    with pytest.raises(ConfigError, match="nested"):
        json_grammar(deep)


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
    start = clock.perf_counter()
    with pytest.raises(ConfigError, match=words):
        json_grammar(schema)
    assert clock.perf_counter() - start < 2


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
    start = clock.perf_counter()
    constrain(json_grammar(schema), byte_level(), [0])
    assert clock.perf_counter() - start < 10


def of_format(name):
    return json_grammar({"type": "string", "format": name})


@pytest.mark.parametrize(
    ("name", "reader"),
    [("date", datetime.fromisoformat), ("date-time", datetime.fromisoformat),
     ("time", time.fromisoformat)],
)  # fmt: skip
def test_days_and_times_are_such(name, reader):
    tokenizer, form = byte_level(), of_format(name)
    for seed in range(100):
        reader(draw(form, tokenizer, seed)[1:-1])


@pytest.mark.parametrize(
    ("name", "texts", "others"),
    [
        ("date", ["2024-02-29", "2000-02-29", "1999-12-31", "2023-04-30"],
         ["2023-02-29", "1900-02-29", "2023-04-31", "0000-01-01", "2023-13-01", "23-01-01"]),
        ("time", ["23:59:59Z", "00:00:00.125-11:30"], ["12:00:60Z", "24:00:00Z", "12:00:00"]),
        ("date-time", ["2024-02-29T00:00:00Z"], ["2023-02-29T00:00:00Z", "2024-02-29 00:00:00Z"]),
        ("ipv4", ["127.0.0.1"], ["256.1.1.1", "01.1.1.1"]),
        ("ipv6", ["::1"], ["1::2::3"]),
        ("uuid", ["00000000-0000-0000-0000-000000000000"], ["0"]),
        ("email", ["a@b.de"], ["a b@c.de", "a"]),
        ("uri", ["http://x/y"], ["x y", "http://a b"]),
        ("hostname", ["a.b"], ["-a", "a_b"]),
        ("duration", ["P1D", "PT1H", "P2Y3M", "P1DT2H3M4S", "P3W"], ["P", "1", "P1DT", "P99999W"]),
        ("password", ["any text"], []),
        ("binary", ["any text"], []),
        ("uuid4", ["00000000-0000-4000-8000-000000000000"],
         ["00000000-0000-1000-8000-000000000000"]),
        ("base64", ["", "YQ==", "YWI=", "YWJj"], ["YQ", "Y!==", "YR=="]),
        ("ipv4network", ["10.0.0.1/32"], ["10.0.0.1/8"]),
        ("json-pointer", ["", "/a/0", "/~0~1"], ["a", "/~2"]),
    ],
)  # fmt: skip
def test_formats(name, texts, others):
    form, tokenizer = of_format(name), byte_level()
    assert all(fits(form, tokenizer, f'"{text}"') for text in texts)
    assert not any(fits(form, tokenizer, f'"{text}"') for text in others)


@pytest.mark.parametrize("name", sorted({"ipv4", "ipv6", "uuid", "date", "email"} & set(FORMATS)))
def test_an_outside_reader_agrees_with_what_is_drawn(name):
    schema = {"type": "string", "format": name}
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    for seed in range(30):
        if text := draw(of_format(name), byte_level(), seed):
            validator.validate(text[1:-1])


@pytest.mark.parametrize("name", ["weird", "unknown", "regex", "byte", 5])
def test_other_formats_are_refused(name):
    with pytest.raises(ConfigError, match=r"cannot be enforced; allowed: .*'date', 'date-time'"):
        json_grammar({"type": "string", "format": name})
    assert allows({"type": "boolean", "format": name}, True), "it is a word about texts only"


def test_a_format_and_a_pattern_hold_both():
    form = json_grammar({"type": "string", "format": "date", "pattern": "-02-29$"})
    for seed in range(20):
        assert datetime.fromisoformat(draw(form, byte_level(), seed)[1:-1]).day == 29


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"prefixItems": [], "items": [{"type": "null"}]}, "items is"),
        ({"maxItems": -1}, "maxItems is -1"),
        ({"minLength": 1.5}, "minLength is 1.5"),
        ({"dependentRequired": {"a": "b"}}, "lists of names"),
        ({"uniqueItems": "yes"}, "uniqueItems is 'yes'"),
        ({"items": 3}, "items is 3"),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, "exclusiveMinimum is True"),
        ({"minimum": "5"}, "minimum is '5'"),
        ({"type": "integer", "minimum": 10**30}, "either side of 0"),
        ({"type": "number", "maximum": -1e300}, "either side of 0"),
        ({"const": -(2**63)}, "read differently"),  # llguidance 1.9 dies of it
        ({"enum": [{"a": [2**53]}]}, "read differently"),
        ({"const": 123456789.123456789}, "in 15 digits"),
        ({"const": 1e300}, "read differently"),
        ({"const": 1e-300}, "read differently"),
        ({"multipleOf": 1e-30}, "such as 5 or 0.01"),
        ({"multipleOf": True}, "above 0"),
        ({"multipleOf": -3}, "above 0"),
        ({"type": 5}, "type is 5"),
        ({"type": ["integer", {}]}, "type is"),
        ({"type": []}, "type is"),
        ({"required": "a"}, "required is 'a'"),
        ({"anyOf": {"type": "null"}}, "anyOf is"),
        ({"properties": [1]}, "properties is"),
        ({"enum": "abc"}, "enum is"),
        ({"$ref": 5}, "ref is 5"),
        ({"required": [1]}, "required is"),
        ({"properties": {"a\x01": {}}}, "control character"),
        ({"enum": [{"k": ["\x7f"]}]}, "control character"),
        ({"enum": [{"\ud800": 1}]}, "half a character"),
        ({"$schema": "http://example.org/own"}, "leave it out"),
        ({"properties": {"a": {"$id": "http://x/y"}}}, "stands inside"),
        ({"patternProperties": {"a+": {}, "a+?": {}}}, "mean the same"),
    ],
)
def test_words_that_would_be_taken_otherwise(schema, words):
    with pytest.raises(ConfigError, match=words):
        json_grammar(schema)


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError, match="minimum") as caught:
        json_grammar({"minimum": "5", "format": "weird", "properties": {"a": {"multipleOf": -0.1}}})
    assert "weird" in str(caught.value)
    assert "multipleOf" in str(caught.value)


@pytest.mark.parametrize("draft", ["draft-04", "draft-07", "draft/2019-09", "draft/2020-12"])
def test_drafts_that_say_it_the_same_way(draft):
    schema = {"$schema": f"http://json-schema.org/{draft}/schema#", "type": "null"}
    assert draw(json_grammar(schema), byte_level(), 0) == "null"
