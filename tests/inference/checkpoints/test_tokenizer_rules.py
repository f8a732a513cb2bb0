from __future__ import annotations

import re
from itertools import product

import pytest
from stillroom.inference.checkpoints.tokenizer_rules import tokenizer_faults

IN_USE = {
    "gpt-4": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| "
    r"?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt-4o": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+",
    "possessive": r"[^\r\n\p{L}\p{N}]?+\p{L}++|\s+(?!\S)|\s",
    "classes in classes": r"[^(\s|.,!?…。，、।۔،)]+|[a-z&&[^aeiou]]+|[]]+|[\]\[]+",
    "digits by threes": r"\d{1,3}(?=(?:\d{3})*\b)",
}
ENDLESS = (
    "(a*)*b", "(a+)+$", "(a|a)*b", "(?:a?a?)*b", "([a-z]+)*$", r"(\s*)+x", "(x+x+)+y", "((a)*)*b",
    "(?:(?:a|ab)c?)*d", "(.*){10}", "(?<n>a|a)+b", r"(a)\1+", r"(?R)", r"\g<1>(a)", "(?(1)a|b)",
)  # fmt: skip


def splitting(pattern):
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    return {
        "model": {"type": "BPE"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, step]},
    }


@pytest.mark.parametrize("name", IN_USE)
def test_patterns_in_use_are_allowed(name):
    assert tokenizer_faults(splitting(IN_USE[name])) == []


@pytest.mark.parametrize("pattern", ENDLESS)
def test_patterns_of_exponential_time_are_refused(pattern):
    (fault,) = tokenizer_faults(splitting(pattern))
    assert "exponential" in fault or "for ever" in fault


def test_no_allowed_pattern_takes_exponential_time():
    """All short patterns of a, groups, choices and repetitions, on the text that hurts most."""
    checked = 0
    for parts in product(["a", "a*", "(a)", "|", "(a*)", "(a|a)", "a?"], ["", "*", "+", "?"], "ab"):
        for inner in ("", "a", "a?"):
            pattern = f"({inner}{parts[0]}){parts[1]}{parts[2]}$"
            if tokenizer_faults(splitting(pattern)):
                continue
            re.search(pattern, "a" * 60 + "c")  # an exponential one would not come back
            checked += 1
    assert checked > 50


def test_reading_a_pattern_ends():
    for pattern in ("[" * 1000, "[a" * 900, "(" * 1999, "[[a]" * 480, "\\" * 1999, "(?" * 999):
        tokenizer_faults(splitting(pattern))
    assert tokenizer_faults(splitting("a" * 3000))[0].endswith("is longer than 2000 characters")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"type": "Py"}}, "model type"),
        ({"model": []}, "model type"),
        ({"model": {"dropout": 0.1}}, "dropout"),
        ({"padding": {"strategy": {"Fixed": 0}}}, "strategy.Fixed"),
        ({"padding": {"strategy": "BatchLongest", "pad_to_multiple_of": 1 << 30}}, "multiple_of"),
        ({"post_processor": {"type": "T", "single": [{}] * 65}}, "adds more than 64"),
        ({"decoder": {"type": "Sequence", "decoders": [{}] * 40}}, "decoder: has more than 32"),
        ({"normalizer": {"type": "Prepend", "prepend": "x" * 1001}}, "1000 times as long"),
    ],
)
def test_faults_are_named(changes, words):
    assert words in "; ".join(tokenizer_faults({"model": {"type": "BPE"}, **changes}))


def test_usual_tokenizers_have_no_faults():
    usual = {
        "model": {"vocab": {}, "dropout": None},
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "padding": {"strategy": "BatchLongest", "pad_to_multiple_of": None},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing", "single": [{}, {}], "pair": [{}] * 4},
    }
    assert tokenizer_faults(usual) == []
