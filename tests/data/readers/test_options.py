"""Options of reading: what advice says can be typed, and means what the keyword means."""

from __future__ import annotations

import dataclasses
import re
import shlex

import pytest
from stillroom.data.readers.options import FLAGS, ReadOptions, advise, flag_value, read_options
from stillroom.errors import ConfigError

ADVICE = [
    ({"encoding": "cp1252"}, "pass --encoding cp1252 (encoding='cp1252')"),
    ({"sep": ";"}, "pass --sep ';' (sep=';')"),
    ({"sep": "\t"}, r"pass --sep '\t' (sep='\t')"),
    ({"sep": "'"}, None),
    ({"escape": "\\"}, r"pass --escape '\' (escape='\\')"),
    ({"escape": ""}, "pass --escape none (escape='')"),
    ({"quote": None}, "pass --quote none (quote=None)"),
    ({"header": False}, "pass --header no (header=False)"),
    ({"header": True}, "pass --header yes (header=True)"),
    ({"header": None}, "pass --header auto (header=None)"),
    ({"skip_lines": 2}, "pass --skip-lines 2 (skip_lines=2)"),
    ({"ragged": "pad"}, "pass --ragged pad (ragged='pad')"),
    ({"comment": "#"}, "pass --comment '#' (comment='#')"),
    ({"sheet": "Q1 2024"}, "pass --sheet 'Q1 2024' (sheet='Q1 2024')"),
    ({"records_path": "$"}, "pass --records-path '$' (records_path='$')"),
]


@pytest.mark.parametrize(("values", "text"), ADVICE, ids=[str(v) for v, _ in ADVICE])
def test_advice_means_the_same_in_a_shell_and_in_python(values, text):
    advice = advise(**values)
    assert text is None or advice == text
    typed = shlex.split(re.fullmatch(r"pass (.*) \(\w+=.*\)", advice)[1])
    ((name, value),) = values.items()
    assert typed[0] == FLAGS[name]
    assert flag_value(name, typed[1]) == value


def test_advice_for_a_switch_a_repeated_option_and_an_unknown_value():
    assert advise(keep_null_marks=True) == "pass --keep-null-marks (keep_null_marks=True)"
    assert advise(null_values=("-", "?")) == "pass --null - --null '?' (null_values=('-', '?'))"
    assert advise("encoding") == "pass --encoding (encoding=...)"


def test_every_flag_belongs_to_a_keyword():
    known = {field.name for field in dataclasses.fields(ReadOptions)} | {"table", "query"}
    assert set(FLAGS) <= known


@pytest.mark.parametrize("text", ["maybe", "", "True"])
def test_header_takes_three_words(text):
    with pytest.raises(ValueError, match="auto, yes, no"):
        flag_value("header", text)


def test_no_escape_is_a_value_and_two_characters_are_none():
    assert read_options({"escape": ""}).escape == ""
    with pytest.raises(ConfigError, match="escape='ab'"):
        read_options({"escape": "ab"})
