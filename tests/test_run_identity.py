"""Runs are the same when all that decides their result is; else a sentence says what differs."""

import pytest
from stillroom.records import Example
from stillroom.run_identity import changed_parts, changed_values, examples_hash, run_identity

EXAMPLES = [Example("1", "Q", "A"), Example("2", "R", "B")]
RUN = {"config_hash": "c", "examples": EXAMPLES, "prompt_sha256": "p", "models": {"student": "s"}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"examples": EXAMPLES[::-1]}, ""),
        ({"examples": EXAMPLES[:1]}, "other data"),
        ({"config_hash": "d"}, "other settings"),
        ({"models": {"student": "t"}}, "other models"),
        ({"prompt_sha256": "q", "config_hash": "d"}, "other settings, prompts"),
    ],
)
def test_what_differs_is_said(change, said):
    assert changed_parts(run_identity(**RUN), run_identity(**{**RUN, **change})) == said


def test_a_run_that_says_nothing_of_itself_is_another():
    assert changed_parts({}, run_identity(**RUN)) == "other settings, data, prompts, models"


def test_only_id_prompt_and_target_are_data():
    noted = [Example("1", "Q", "A", fields={"x": 1}), EXAMPLES[1]]
    assert examples_hash(noted) == examples_hash(EXAMPLES)
    assert examples_hash([Example("1", "Q", "a"), EXAMPLES[1]]) != examples_hash(EXAMPLES)


def test_changed_values_stop_after_three():
    theirs, ours = dict.fromkeys("abcd", 0), dict.fromkeys("abcd", 1.23456)
    assert changed_values(theirs, ours) == (
        "a: 0 there, 1.235 here, b: 0 there, 1.235 here, c: 0 there, 1.235 here, ..."
    )
    assert changed_values({"r": {"s": 1}}, {"r": {"s": 2}}) == "r.s: 1 there, 2 here"
