"""Keys of duplicates: what is the same, and what only looks so."""

import datetime
import doctest
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom.data.identity import duplicate_keys
from stillroom.data.identity.duplicate_keys import (
    compared_text,
    duplicate_key,
    normalized_text,
    numbers_key,
)
from stillroom.errors import IdentityError


def test_examples_in_docstrings():
    assert doctest.testmod(duplicate_keys).failed == 0


def test_normalized_keys_ignore_unicode_form_case_and_blanks():
    forms = ["Stra\u00dfe  Caf\u00e9", "STRASSE\u00a0cafe\u0301", " strasse\n\tcaf\u00e9 "]
    keys = {duplicate_key({"q": [{"a": f}]}, ["q"], normalize=True) for f in forms}
    assert len(keys) == 1
    assert len({duplicate_key({"q": f}, ["q"]) for f in forms}) == 3


@pytest.mark.parametrize("normalize", [False, True])
def test_missing_null_zero_and_empty_are_different(normalize):
    values = [{}, *({"a": v} for v in (None, 0, 0.0, "", "0", False, [], {}, 1, 1.0, True, "null"))]
    keys = {duplicate_key({"b": 1, **v}, ["a", "b"], normalize=normalize) for v in values}
    assert len(keys) == len(values)


def test_values_do_not_move_between_fields():
    assert duplicate_key({"a": 1}, ["a", "b"]) != duplicate_key({"b": 1}, ["a", "b"])
    one = {"a": 'x","b":"y', "b": ""}
    assert duplicate_key(one, ["a", "b"]) != duplicate_key({"a": "x", "b": "y"}, ["a", "b"])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "missing_field"),
        ({"sample_id": None}, "missing_field"),
        ({"sample_id": float("nan")}, "not_finite"),
        ({"sample_id": datetime.date(2026, 1, 2)}, "not_json"),
    ],
)
def test_a_record_without_a_key_says_why(record, reason):
    with pytest.raises(IdentityError) as fault:
        duplicate_key(record, ["sample_id"])
    assert fault.value.reason == reason
    if reason == "missing_field":
        assert str(fault.value) == "DeduplicateByField requires field 'sample_id' in each row."


def test_text_of_several_fields():
    record = {"q": " One\n", "n": 0, "none": None, "list": ["A"]}
    assert compared_text(record, ["q", "n", "none", "list", "absent"]) == 'one 0 ["a"]'
    with pytest.raises(IdentityError, match="no text to compare"):
        compared_text(record, ["none", "absent"])


def test_numbers_are_compared_in_their_order():
    same = numbers_key("From 3 to 1,000.5 on 2026-01-02")
    assert numbers_key("of 3 and 1,000.5: 2026-01-02!") == same
    for other in ("From 1,000.5 to 3", "From 3 to 1,000.6", "no number", "From -3 to 1,000.5"):
        assert numbers_key(other) != same


@given(st.text())
def test_every_unicode_form_has_the_same_normalized_text(text):
    forms = {normalized_text(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert forms == {normalized_text(text)}
