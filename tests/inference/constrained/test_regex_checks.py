from __future__ import annotations

import doctest
import random
import re
import time

import pytest
from forms import byte_level, draw, fits
from stillroom.errors import ConfigError
from stillroom.inference.constrained import regex_checks as pattern_rules
from stillroom.inference.constrained.grammar import constrain, json_grammar
from stillroom.inference.constrained.regex_checks import agreed_pattern, matches

NOT_QUOTED = '^[^"]$'


def form(pattern):
    return json_grammar({"type": "string", "pattern": pattern, "maxLength": 8})


def read(text):
    """Read a JSON text without a JSON reader's own idea of it."""
    plain = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
    return re.sub(r"\\(.)", lambda found: plain.get(found[1], found[1]), text[1:-1])


def test_examples_in_docstrings():
    assert doctest.testmod(pattern_rules).failed == 0


PATTERNS = [
    "^[a-c]{2,4}$", r"^\d{1,3}-[A-Z]$", r"^\w+$", r"^\W+$", r"^\D{1,3}$", r"^\S+$", r"^\s+$",
    r"^[^\w]+$", r"^[^\d\s]+$", r"^[\W\d]+$", r"^[^\W]+$", r"^[^\D]+$", "^.{1,4}$", NOT_QUOTED,
    r'^[^"\\]{0,5}$', r"^[\x00-\x1f]{1,2}$", r"^[\x00-\x7f]+$", r"^[^\x00-\x08]+$", "[[a]",
    "^[a&&b]+$", "^[a~~b]+$", r"^[\]\[^-]+$", "^[-a]+$", "^[a-]+$", "(a|bc)*?d", "^a|b$", "(^a|b$)",
    "x{2}", "a{", "{a}",
    r"^\u00e9\x41$", r"^[\u00e0-\u00ef]+$", "^[äöü日]{1,3}$", r"^\-\_\/\ \<\>\"\\$", "^#&~ -$",
    "^$", "",
    "(?:a)(?P<n>b)?", r"^[\b]$", r"^[\s\S]{3}$", "]", "}",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_python_reads_no_pattern_more_strictly(pattern):
    tokenizer, told = byte_level(), pattern
    for doubtful in ("[[a", "&&", "~~"):  # Python warns that it may read them otherwise one day
        told = told.replace(doubtful, "".join(f"\\{one}" for one in doubtful))
    wanted = re.compile(told.replace(r"\[\[\a", r"[\[a"))
    drawn = {text for seed in range(30) if (text := draw(form(pattern), tokenizer, seed))}
    assert drawn
    for text in drawn:
        assert wanted.search(read(text)), text


def test_random_patterns():
    chance, tokenizer, tried = random.Random(0), byte_level(), 0
    while tried < 150:
        pattern = some_pattern(chance, 3)
        try:
            made = form(pattern)
            drawn = {draw(made, tokenizer, seed, most=60) for seed in range(4)}
        except ConfigError:
            continue  # nothing of eight characters matches
        tried += 1
        for text in drawn - {None}:
            assert re.search(pattern, read(text)), (pattern, text)


def some_pattern(chance, depth):
    if depth == 0:
        kinds = [r"\d", r"\W", r"\S", ".", "a", "é", r"\.", '"', some_set(chance), some_set(chance)]
        return chance.choice(kinds)
    parts = [some_pattern(chance, depth - 1) for _ in range(chance.randint(1, 2))]
    joined = chance.choice(["", "|"]).join(parts)
    return f"(?:{joined}){chance.choice(['', '*', '+?', '{1,2}'])}"


def some_set(chance):
    members = ["a-f", r"\d", r"\W", r"\S", r"\s", '"', r"\\", r"\n", r"\x00-\x20", "é-ü", "&", "/"]
    return f"[{chance.choice(['', '^'])}{''.join(chance.sample(members, 3))}]"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (NOT_QUOTED, r'"\""'),  # llguidance 1.9 takes this for a text without a quote
        (r'^[^"\\]$', r'"\\"'),
        (r"^[\x00-\x1f]$", r'"\""'),
        (r"^\W$", '"é"'),
        (r"^[^\d]$", '"٣"'),
        (r"^\S$", '"\ufeff"'),
        ("^.$", '"\u2028"'),
        ("^[[a]]$", '"a"'),
    ],
)
def test_what_some_reader_would_not_match_is_left_out(pattern, text):
    assert not fits(form(pattern), byte_level(), text)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?=a)b", "looks around"),
        ("(?<!a)b", "looks around"),
        ("(?i)a", "sets flags"),
        ("(?i:a)", "sets flags"),
        (r"(a)\1", r"\\1"),
        (r"\bab", r"\\b"),
        (r"a\Z", r"\\Z"),
        (r"\cA", r"\\c"),
        (r"\ud83d\ude00", "half a character"),
        (r"\u{110000}", "half a character"),
        ("a++", "cannot be repeated"),
        ("a{2}{3}", "cannot be repeated"),
        ("^*a", "cannot be repeated"),
        ("a|*", "cannot be repeated"),
        ("a{,3}", "write {0,n}"),
        ("[]a]", "does not end|empty set"),
        ("[a", "does not end"),
        ("[^]", "empty set"),
        (r"[a-\d]", "kind of character"),
        (r"[\d-z]", "kind of character"),
        ("a\x00", "control character"),
        (r"\x01", "control character"),
        ("a\\", "does not end"),
        (r"\x{41}", "does not end"),
        ("a" * 3000, "3000 characters"),
    ],
)
def test_what_readers_differ_in_is_refused(pattern, words):
    with pytest.raises(ConfigError, match=words):
        agreed_pattern(pattern)


@pytest.mark.parametrize("part", ["[", "[a", "(", "\\", "[^", "(?", "a{1}("])
def test_a_long_pattern_is_refused_at_once(part):
    pattern = (part * 1999)[:1999]
    start = time.perf_counter()
    with pytest.raises(ConfigError):
        constrain(form(pattern), byte_level(), [0])
    assert time.perf_counter() - start < 1


def test_a_long_pattern_that_is_one_is_read():
    assert agreed_pattern("{1" * 999) == "\\x{7b}1" * 999


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^(a+)+$", "a" * 40, True),
        ("^(a+)+$", "a" * 40 + "b", False),
        ("^(a|a)*$", "a" * 60 + "!", False),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 60, False),
        ("b", "abc", True),
        (r"^\d{2}$", "12", True),
        ("^[[a]$", "a", True),
        (r"^\u00e9$", "é", True),
    ],
)
def test_matching_takes_no_time(pattern, text, found):
    start = time.perf_counter()
    assert matches(pattern, text) is found
    assert time.perf_counter() - start < 1
