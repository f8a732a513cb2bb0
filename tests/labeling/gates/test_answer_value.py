"""Answers compared by value, never by running them."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom.errors import ConfigError
from stillroom.labeling.gates.answer_value import ValueGate, read_value, value_reason


@pytest.mark.parametrize(
    ("text", "gold", "reason"),
    [
        ("72", "72.0", "ok"), ("0", "0.0", "ok"), ("-0", "0", "ok"), ("0.1", "1/10", "ok"),
        ("50%", "0.5", "ok"), ("$1,200", "1200", "ok"), ("1,200", "$1200.00", "ok"),
        ("\u22125", "-5", "ok"), ("5", "-5", "wrong_value"), ("2 + 3 * 4", "14", "ok"),
        ("(2 + 3) * 4", "#### 20", "ok"), ("0.1 + 0.2", "0.3", "ok"), ("2**10", "1024", "ok"),
        ("7 // 2", "3", "ok"), ("-7 % 3", "2", "ok"), ("1/3", "0.333", "wrong_value"),
        ("First 2, then 5.\n#### 7", "It is 7.", "ok"), (r"so \boxed{1/2}", "0.5", "ok"),
        ("Paris", "paris.", "ok"), ("Paris", "London", "wrong_value"),
        ("[1, 2]", "[1.0, 2]", "ok"), ("[1, 2]", "[2, 1]", "wrong_value"),
        ("[1, 2]", "(1, 2)", "wrong_value"), ("{1, 2}", "{2, 1, 1}", "ok"),
        ("{'a': 1, 'b': [None]}", '{"b": [None], "a": 1.0}', "ok"),
        ("{'a': 1}", "{'a': 1, 'b': 2}", "wrong_value"), ("{'a': 1, 'a': 2}", "{'a': 2}", "ok"),
        ("'a'", "'A'", "wrong_value"), ("'1'", "1", "wrong_value"), ("True", "1", "wrong_value"),
        ("[True]", "[1]", "wrong_value"), ("[None]", "[0]", "wrong_value"), ("['$5']", "['5']",
        "wrong_value"), ("```python\n[1, 2]\n```", "[1, 2]", "ok"), ("", "0", "empty_output"),
        ("  ", "0", "empty_output"), ("nan", "0", "not_finite"), ("-Infinity", "1", "not_finite"),
        ("0", "", "gold_error: empty_output"), ("nan", "nan", "gold_error: not_finite"),
    ],
)  # fmt: skip
def test_values(text, gold, reason):
    assert value_reason(text, gold) == reason


@pytest.mark.parametrize(
    "text",
    ["9**9**9", "9**9**9**9", "2**4096", "10**-99999", "__import__('os').system('x')", "1/0",
     "0**-1", "[].append(1)", "[x for x in y]", "(a := 1)", "1e999", "-" * 3000 + "1", "\0",
     "(" * 3000 + "1" + ")" * 3000, "[" * 2000, "9" * 4000, "x" * 5000, "...", "{**{}}",
     "'a' * 10", "*" * 300],
)  # fmt: skip
def test_what_is_no_value_is_never_computed(text):
    begin = time.process_time()
    assert read_value(text) is None
    assert value_reason(text, "7") == "wrong_value"
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("text", "would_be"),
    [("1 << 3", "8"), ("len([1, 2])", "7"), ("3 if 1 else 2", "3"), ("sum([4, 5])", "9")],
)
def test_code_has_the_value_of_its_text_alone(text, would_be):
    assert value_reason(text, would_be) == "wrong_value"


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-10**9, 10**9) | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_any_literal_equals_itself(value):
    text = repr([value])
    assert value_reason(text, text) == "ok"
    assert value_reason(repr([value, 0]), text) == "wrong_value"


def test_tolerance_is_relative():
    assert value_reason("0.333", "1/3", 0.01) == "ok"
    assert value_reason("0.001", "0", 0.01) == "wrong_value"
    assert value_reason("[99.5]", "[100]", 0.01) == "ok"
    with pytest.raises(ConfigError):
        ValueGate(tolerance=1.0)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"generation": 0, "answer": 0.0}, "ok"), ({"generation": 3, "answer": "3"}, "ok"),
        ({"answer": "3"}, "missing generation"), ({"generation": "3"}, "missing answer"),
        ({"generation": None, "answer": None}, "missing generation"),
        ({"generation": math.nan, "answer": "1"}, "not_finite"),
        ({"generation": "1", "answer": math.nan}, "gold_error: not_finite"),
        ({"generation": [3], "answer": "3"}, "not_text"),
    ],
)  # fmt: skip
def test_verdicts(record, reason):
    verdict = ValueGate().judge(record)
    assert (verdict.reason, verdict.passed) == (reason, reason == "ok")
