"""Numbers of an answer against the cells it cites."""

import doctest

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stillroom.agentic_workflow.grounding import number_check
from stillroom.agentic_workflow.grounding.number_check import (
    CitedCell,
    count_numbers,
    unsupported_numbers,
)


def cell(text, label="value", row=1):
    return CitedCell(row, label, label, text)


@pytest.mark.parametrize(
    ("answer", "texts", "strange"),
    [
        # found
        ("79", ["79"], []),
        ("It is 79.", ["79"], []),
        ("79.0", ["79"], []),
        ("1,000", ["1000"], []),
        ("1\u202f000", ["1000"], []),
        ("196.97 u", ["196.97"], []),
        ("-5", ["-5"], []),
        ("\u22125", ["-5"], []),
        ("1e3", ["1000"], []),
        (".5", ["0.5"], []),
        ("in 2009", ["2009-01-05"], []),
        ("on 5/1", ["2009-01-05"], []),
        ("F-16 and 3D", ["F-16", "3D"], []),
        ("79th", ["79"], []),
        ("no number", ["79"], []),
        ("gold", [], []),
        ("v2 is glued to letters", [], []),
        # not found
        ("80", ["79"], ["80"]),
        ("79", [], ["79"]),
        ("5", ["-5"], ["5"]),
        ("-5", ["5"], ["-5"]),
        ("1,000", ["1,001"], ["1,000"]),
        ("79 and 80", ["79"], ["80"]),
        ("80th", ["79"], ["80"]),
        ("5km", ["7"], ["5"]),
        ("3D", ["Disc"], ["3"]),
        ("1 of 79", ["79"], ["1"]),
        ("7", ["79"], ["7"]),
        ("196.9", ["196.97"], ["196.9"]),
        ("3,5", ["3"], ["5"]),
        ("1.2.9", ["1.2.3"], ["9"]),
        ("1,2345", ["1"], ["2345"]),
        # rounding, where it is said
        ("about 197", ["196.97"], []),
        ("approximately 197.0", ["196.97"], []),
        ("~200", ["196.97"], []),
        ("197", ["196.97"], ["197"]),
        ("about 198", ["196.97"], ["198"]),
        ("about 150", ["196.97"], ["150"]),
        ("about 0", ["0.4"], []),
        # scale
        ("1.4 million people", ["1402112"], []),
        ("1.3 million", ["1402112"], ["1.3"]),
        ("1402 thousand", ["1402112"], []),
        ("1402112", ["1.402112 million"], []),
        # percent
        ("5 %", ["0.05"], []),
        ("5 percent", ["5%"], []),
        ("0.05", ["5 %"], []),
        ("5", ["0.05"], ["5"]),
        # counts
        ("two languages", ["Dutch,French"], []),
        ("3", ["Dutch; French; German"], []),
        ("four", ["Dutch; French; German"], ["four"]),
        ("2", ["1,000"], ["2"]),
        ("2 km", ["Dutch,French"], ["2"]),
        # words
        ("seven", ["7"], []),
        ("seven", ["The Seven Samurai"], []),
        ("seven", ["8"], ["seven"]),
        ("one of them", ["x"], []),
    ],
)
def test_numbers_are_found_or_follow(answer, texts, strange):
    assert unsupported_numbers(answer, [cell(text) for text in texts]) == strange


@pytest.mark.parametrize(
    ("answer", "text", "label", "strange"),
    [
        ("5.7 minutes", "343719", "milliseconds", []),
        ("343.719 s", "343719", "milliseconds", []),
        ("5.8 minutes", "343719", "milliseconds", ["5.8"]),
        ("5.7 kilometres", "343719", "milliseconds", ["5.7"]),
        ("8848 m", "8.848 km", "height", []),
        ("2 kg", "2000", "weight_in_grams", []),
        ("2000 kg", "2000", "weight in grams", []),  # the number itself is the cell's
        ("5 minutes", "300", "runs", ["5"]),
    ],
)
def test_units_follow_where_both_are_named(answer, text, label, strange):
    assert unsupported_numbers(answer, [cell(text, label)]) == strange


def test_records_are_counted():
    cells = [cell("Lima", row=1), cell("Lima", row=2), cell("Lima", row=3)]
    assert unsupported_numbers("There are 3.", cells) == []
    assert unsupported_numbers("There are 2.", cells) == ["2"]


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
@example(999_981_999_000_018, 999_981_998_000_040)
def test_a_whole_number_is_supported_by_itself_alone(one, other):
    assert unsupported_numbers(f"It is {one}.", [cell(f"{one:,}")]) == []
    assert unsupported_numbers(str(one), [cell(str(other))]) == ([] if one == other else [str(one)])


@given(st.text(max_size=60))
def test_any_text_supports_itself_and_nothing_supports_it(text):
    assert unsupported_numbers(text, [cell(text)]) == []
    assert len(unsupported_numbers(text, [])) == count_numbers(text)


def test_examples_in_docstrings_hold():
    result = doctest.testmod(number_check)
    assert result.attempted
    assert not result.failed
