from __future__ import annotations

from datetime import datetime, time

import pytest
from forms import byte_level, draw, fits
from jsonschema import Draft202012Validator, FormatChecker
from stillroom.errors import ConfigError
from stillroom.inference.grammar import json_grammar
from stillroom.inference.schema_rules import tightened
from stillroom.inference.schema_words import FORMATS


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
        ("duration", ["P1D", "PT1H"], ["P", "1"]),
        ("password", ["any text"], []),
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
    with pytest.raises(ConfigError, match=r"cannot be enforced; allowed: \['date'"):
        tightened({"type": "string", "format": name})
    assert tightened({"type": "boolean", "format": name}), "it is a word about texts only"


def test_a_format_and_a_pattern_hold_both():
    form = json_grammar({"type": "string", "format": "date", "pattern": "-02-29$"})
    for seed in range(20):
        assert datetime.fromisoformat(draw(form, byte_level(), seed)[1:-1]).day == 29


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"items": [{"type": "null"}]}, "write prefixItems"),
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
        ({"multipleOf": 0.01}, "smaller unit"),
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
        ({"minProperties": 2, "additionalProperties": {"type": "null"}}, "may come twice"),
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
        tightened(schema)


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError, match="minimum") as caught:
        tightened({"minimum": "5", "format": "weird", "properties": {"a": {"multipleOf": 0.1}}})
    assert "weird" in str(caught.value)
    assert "multipleOf" in str(caught.value)


@pytest.mark.parametrize("draft", ["draft-04", "draft-07", "draft/2019-09", "draft/2020-12"])
def test_drafts_that_say_it_the_same_way(draft):
    schema = {"$schema": f"http://json-schema.org/{draft}/schema#", "type": "null"}
    assert draw(json_grammar(schema), byte_level(), 0) == "null"
