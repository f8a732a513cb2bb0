from __future__ import annotations

import asyncio
import importlib
import json
import re
import sys

import llguidance
import pytest
from forms import TOKENIZERS, byte_level, draw, fits, whole_words, without_tags
from jsonschema import Draft202012Validator
from project_paths import ROOT
from stillroom.errors import ConfigError, GenerationError, MissingDependencyError
from stillroom.inference.constrained.grammar import (
    choice_grammar,
    constrain,
    json_grammar,
    regex_grammar,
)

SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "b": {"type": "string", "maxLength": 8},
        "c": {"type": "array", "items": {"type": "number"}, "maxItems": 3},
        "d": {"enum": ["x", "é\n", '"\\', None, 1.5]},
    },
    "required": ["a", "b", "c", "d"],
}
NAMED = {
    "type": "object",
    "properties": {"a": {"const": 1}},
    "additionalProperties": {"type": "null"},
}
ENDLESS = {"type": "object", "required": ["a"]}
AWKWARD = [
    "a",
    "ab",
    '"q"\\',
    "né\n/ü",
    "你好",
    "<tool_call>",
    "a b",
    "/x/",
    "#\t\r",
    "(.*)",
    "%-_~",
]


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


@pytest.mark.parametrize("lead", ["", " ", "\n\n"])
def test_json_is_valid_with_every_tokenizer(tokenizer, lead):
    form, validator = json_grammar(SCHEMA), Draft202012Validator(SCHEMA)
    for seed in range(20):
        text = draw(form, tokenizer, seed, lead=lead)
        validator.validate(json.loads(text))
        written = json.dumps(json.loads(text), ensure_ascii=False)
        assert written.startswith('{"a": '), "separators as json.dumps writes them"
        assert lead == " " or text.startswith(lead + "{"), "one space may go with decoding"


def test_choices_are_all_that_comes(tokenizer):
    drawn = {draw(choice_grammar(AWKWARD), tokenizer, seed) for seed in range(150)}
    assert drawn == set(AWKWARD)


def test_patterns_are_matched_from_end_to_end(tokenizer):
    pattern = r"[ab]{2,4}/[0-9]\n(x|y z)?"
    drawn = {draw(regex_grammar(pattern), tokenizer, seed) for seed in range(40)}
    assert len(drawn) > 20
    assert all(re.fullmatch(pattern, text) for text in drawn)


def test_random_schemas_models_prompts_and_weights(monkeypatch):
    """The benchmark of the same name in small: every answer is valid, or a typed error."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = importlib.import_module("structured_output")
    models = importlib.import_module("structured_models")
    found = asyncio.run(benchmark.ask_all(200, seed=1, at_once=16, max_tokens=80))
    assert found["faults"] == []
    assert set(found["counts"]) <= {"valid", "cut", "refused", "unfit"}
    assert found["counts"]["valid"] > 150
    assert found["counts"].get("unfit", 0) < 4
    found = models.ask_models(32, seed=1, answers=2)
    assert found["faults"] == []
    assert set(found["counts"]) <= {"valid", "cut"}
    assert found["counts"]["valid"] > 48


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: json_grammar({"not": {}}), "not"),
        (lambda: json_grammar({"$ref": "https://example.org/x"}), "example.org"),
        (lambda: json_grammar({"$ref": "file:///etc/passwd"}), "etc/passwd"),
        (lambda: json_grammar({"type": "nonsense"}), "nonsense"),
        (lambda: json_grammar({"type": {"a": 1}}), "type"),
        (lambda: json_grammar({"type": "integer", "minimum": 5, "maximum": 3}), "Unsatisfiable"),
        (lambda: json_grammar({"type": "string", "pattern": "(?=a)b"}), "looks around"),
        (lambda: json_grammar({"type": "string", "format": "weird"}), "weird"),
        (lambda: json_grammar({"enum": ["x" * 10**6]}), "characters"),
        (lambda: regex_grammar("("), "regex"),
        (lambda: regex_grammar("(a{1000}){1000}"), "too many expressions"),
        (lambda: regex_grammar("a" * 10**6), "characters"),
        (lambda: regex_grammar("a\ud800"), "surrogate"),
        (lambda: choice_grammar([]), "give one text"),
        (lambda: choice_grammar(["a", ""]), "none empty"),
        (lambda: json_grammar({"$ref": "#"}), "refers to nothing but itself"),
        (lambda: json_grammar({**ENDLESS, "properties": {"a": {"$ref": "#"}}}), "items"),
        (lambda: json_grammar({"$dynamicRef": "#a"}), "dynamicRef"),
        (lambda: json_grammar({"patternProperties": {"^a": {}, "b$": {}}}), "disjoint"),
        (lambda: json_grammar({"type": "string", "minLength": 3, "maxLength": 2}), "minLength"),
        (lambda: json_grammar({"enum": []}), "Unsatisfiable"),
        (lambda: json_grammar({"type": "string", "maxLength": "2"}), "maxLength"),
    ],
)
def test_what_cannot_be_enforced_is_refused_before_an_answer(make, words):
    with pytest.raises(ConfigError, match=words):
        constrain(make(), byte_level(), [0])


@pytest.mark.parametrize(
    ("schema", "fitting", "text"),
    [
        (NAMED, '{"a": 1, "b": null}', '{"a": 1, "\\u0061": null}'),  # a property twice
        (NAMED, "{}", '{"\\u0061": null}'),
        ({"type": "number", "exclusiveMaximum": 0.9}, "0.89", "0.89999999999999999999"),  # is 0.9
        ({"type": "number", "exclusiveMinimum": 0}, "0.1", f"0.{'0' * 400}1"),  # is 0
        ({}, "1", "1e999"),
        ({"type": "object"}, '{"a": [1]}', '{"a": [1e999]}'),
        ({"type": "string"}, '"a"', '"\\u0061"'),
    ],
)
def test_what_would_be_read_as_something_else_does_not_fit(schema, fitting, text):
    assert fits(json_grammar(schema), byte_level(), fitting)
    assert not fits(json_grammar(schema), byte_level(), text)


def test_ten_thousand_choices_are_no_trouble():
    labels = [f"label {number}" for number in range(10_000)]
    assert draw(choice_grammar(labels), byte_level(), 3) in labels


def test_a_vocabulary_that_cannot_write_json():
    with pytest.raises(ConfigError, match="byte fallback"):
        constrain(json_grammar(SCHEMA), whole_words(), [1])


def test_a_token_that_was_not_allowed_is_an_error():
    constraint = constrain(choice_grammar(["yes"]), byte_level(), [0])
    with pytest.raises(GenerationError, match="does not fit the wanted form"):
        constraint.accept(byte_level()("no")["input_ids"][0])
    with pytest.raises(GenerationError, match="no token continues"):
        constraint.mask([])


def test_the_end_is_allowed_exactly_where_the_answer_may_end():
    tokenizer = byte_level()
    constraint = constrain(choice_grammar(["a", "ab", "abc"]), tokenizer, [0])
    a, b, c = (tokenizer(letter)["input_ids"][0] for letter in "abc")
    assert not constraint.mask([])[0]
    assert not constraint.accept(a)
    allowed = constraint.mask([a])
    assert allowed[0]
    assert allowed[b]
    assert not allowed[c]
    assert not constraint.accept(b)
    assert constraint.accept(c), "nothing can follow, so the answer is complete"


def test_several_end_tokens():
    tokenizer = byte_level()
    other = tokenizer("~")["input_ids"][0]
    constraint = constrain(choice_grammar(["a", "ab"]), tokenizer, [0, other])
    constraint.accept(tokenizer("a")["input_ids"][0])
    assert constraint.mask([])[[0, other]].all()


def test_requests_do_not_disturb_each_other():
    tokenizer = byte_level()
    first = constrain(choice_grammar(["abc"]), tokenizer, [0])
    first.accept(tokenizer("a")["input_ids"][0])
    second = constrain(choice_grammar(["abc"]), tokenizer, [0])
    assert second.mask([]).nonzero().tolist() != first.mask([]).nonzero().tolist()


def test_forms_are_compiled_once_and_only_the_latest_are_kept(monkeypatch):
    real, compiled = llguidance.LLMatcher, []

    class Counting:
        grammar_from_lark = staticmethod(real.grammar_from_lark)

        def __new__(cls, tokens, grammar, **options):
            compiled.append(grammar)
            return real(tokens, grammar, **options)

    monkeypatch.setattr(llguidance, "LLMatcher", Counting)
    tokenizer = without_tags()

    def compilations(*names):
        before = len(compiled)
        for name in names:
            constrain(choice_grammar([str(name)]), tokenizer, [0])
        return len(compiled) - before

    assert compilations("a", "a", "b", "a") == 2
    assert compilations(*range(200)) == 200
    assert compilations(*range(180, 200)) == 0, "the latest are kept"
    assert compilations("a", "b") == 2, "of many only some are kept"


def test_without_llguidance_the_command_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stillroom\[grammar\]'"):
        constrain(choice_grammar(["a"]), without_tags(), [0])
