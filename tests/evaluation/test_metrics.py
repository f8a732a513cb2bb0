"""Measures against hand counts, SciPy, closed forms and brute force."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stillroom.evaluation.metrics import (
    agreement,
    bleu,
    exact_match,
    mean_rouge_l,
    normalize_text,
    perplexity,
    rouge_l,
    token_f1,
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
    with pytest.raises(ValueError, match="not 3 with 2"):
        agreement(["a", "b", "c"], ["a", "b"])
    with pytest.raises(ValueError, match="not 0 with 0"):
        agreement([], [])


def test_perplexity():
    assert perplexity(0.0, 5) == 1
    assert perplexity(7 * math.log(400), 7) == pytest.approx(400)  # a blind guess
    assert perplexity(1e9, 1) == math.inf
    with pytest.raises(ValueError, match="at least one token"):
        perplexity(0.0, 0)


def test_bleu_of_the_paper():
    """Papineni et al. 2002, example 2: clipped unigram precision 2/7 of seven times "the"."""
    said, wanted = "the the the the the the the", "the cat is on the mat x"
    assert bleu([said], [wanted]) == 0.0  # no bigram in common
    # One word each: only unigrams count, 1 of 2 right.
    assert bleu(["a", "b"], ["a", "c"]) == pytest.approx(0.5)


def test_bleu_by_hand():
    # the cat sat on the mat | the cat sat on a mat: 5/6, 3/5, 2/4, 1/3, equal lengths.
    by_hand = math.prod((5 / 6, 3 / 5, 2 / 4, 1 / 3)) ** 0.25
    assert bleu(["the cat sat on the mat"], ["the cat sat on a mat"]) == pytest.approx(by_hand)
    # All precisions 1, three words short of eight: only the penalty is left.
    assert bleu(["a b c d e"], ["a b c d e f g h"]) == pytest.approx(math.exp(1 - 8 / 5))
    assert bleu(["a b c d e f g h"], ["a b c d e f g h"]) == 1.0


def test_bleu_is_of_the_corpus_not_a_mean():
    one, other = ("a b c d", "a b c d"), ("x y z w", "a b c d")
    both = bleu([one[0], other[0]], [one[1], other[1]])
    assert both == pytest.approx(math.prod((4 / 8, 3 / 6, 2 / 4, 1 / 2)) ** 0.25)


def brute_force(first, second):
    return max(
        size
        for size in range(min(len(first), len(second)) + 1)
        if {tuple(first[i] for i in c) for c in itertools.combinations(range(len(first)), size)}
        & {tuple(second[i] for i in c) for c in itertools.combinations(range(len(second)), size)}
    )


def test_rouge_against_all_subsequences():
    source = random.Random(0)
    for _ in range(60):
        first = source.choices("abcd", k=source.randint(1, 7))
        second = source.choices("abcd", k=source.randint(1, 7))
        wanted = 2 * brute_force(first, second) / (len(first) + len(second))
        assert rouge_l(" ".join(first), " ".join(second)) == pytest.approx(wanted)


def test_rouge_of_the_paper_and_of_nothing():
    assert rouge_l("police kill the gunman", "police killed the gunman") == 0.75
    assert rouge_l("the gunman kill police", "police killed the gunman") == 0.5
    assert (rouge_l("", ""), rouge_l("", "a"), rouge_l("a", "")) == (1.0, 0.0, 0.0)
    assert mean_rouge_l(["a", "b"], ["a", "c"]) == 0.5


@pytest.mark.parametrize("measure", [bleu, mean_rouge_l])
def test_lists_must_fit(measure):
    for lists in (([], []), (["a"], [])):
        with pytest.raises(ValueError, match="compared"):
            measure(*lists)
