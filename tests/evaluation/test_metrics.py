from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from stillroom.evaluation.metrics import (
    agreement,
    exact_match,
    normalize_text,
    perplexity,
    token_f1,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("answer", "target", "same"),
    [
        ("Au", "Au", True),
        (" Au \n", "Au", True),
        ("a  b\tc", "a b c", True),
        ("cafe\u0301", "caf\u00e9", True),
        ("Co", "CO", False),
        ("-5", "5", False),
        ("3.14", "314", False),
        ("Au.", "Au", False),
        ("10\u00b2", "102", False),
        ("", "Au", False),
        ("", "", True),
    ],
)
def test_exact_match(answer, target, same):
    assert exact_match(answer, target) is same


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ("gold", "gold", 1.0),
        ("Gold.", "gold", 1.0),
        ("b a", "a b", 1.0),
        ("gold", "silver", 0.0),
        ("a b c", "a b d", 2 / 3),
        ("a a a", "a", 0.5),
        ("a", "a a a", 0.5),
        ("", "", 1.0),
        ("", "a", 0.0),
        ("-5", "5", 0.0),
        ("3.14", "314", 0.0),
        ("?", "!", 0.0),
    ],
)
def test_token_f1(answer, target, score):
    assert token_f1(answer, target) == pytest.approx(score)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_f1_is_symmetric_bounded_and_one_for_itself(a, b):
    assert token_f1(a, b) == token_f1(b, a)
    assert 0 <= token_f1(a, b) <= 1
    assert token_f1(a, a) == 1
    assert exact_match(a, a)
    assert normalize_text(normalize_text(a)) == normalize_text(a)


def test_agreement_counts_equal_answers():
    assert agreement(["a", " b ", "c"], ["a", "b", "d"]) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="3 with 2"):
        agreement(["a", "b", "c"], ["a", "b"])
    with pytest.raises(ValueError, match="0 with 0"):
        agreement([], [])


def test_perplexity():
    assert perplexity(0.0, 5) == 1
    assert perplexity(7 * math.log(400), 7) == pytest.approx(400)  # a blind guess
    assert perplexity(1e9, 1) == math.inf
    with pytest.raises(ValueError, match="at least one token"):
        perplexity(0.0, 0)


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (3, 10), (10, 10), (480, 500)])
def test_wilson_interval_is_that_of_scipy(hits, trials):
    wanted = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(hits, trials) == pytest.approx((wanted.low, wanted.high), abs=1e-4)
