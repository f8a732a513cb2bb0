"""All shapes of training records."""

import pytest
from stillroom.distillation.training_data import training_examples
from stillroom.errors import DataError, EmptyDataError
from stillroom.prompts import render
from stillroom.records import Example


@pytest.mark.parametrize(
    ("record", "prompt", "target"),
    [
        ({"text": "a text"}, "", "a text"),
        ({"text": "a text", "label": "x"}, "", "a text"),
        ({"question": "Q", "answer": "A"}, render("s2-qa", "Q"), "A"),
        ({"question": "Q", "answer": "A", "context": "C"}, render("s2-qa", "Q", context="C"), "A"),
        ({"question": "Q", "answer": "A", "context": None}, render("s2-qa", "Q"), "A"),
        ({"instruction": "I", "input": "", "output": "O"}, render("s2-qa", "I"), "O"),
        (
            {"instruction": "I", "input": "N", "output": "O"},
            render("s2-qa", "I", context="N"),
            "O",
        ),
        ({"prompt": "P", "completion": "C"}, "P", "C"),
        ({"prompt": "P", "target": "T"}, "P", "T"),
        (
            {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
            render("s2-qa", "Q"),
            "A",
        ),
        (
            {
                "messages": [
                    {"role": "system", "content": "S"},
                    {"role": "user", "content": "Q"},
                    {"role": "assistant", "content": "A"},
                ]
            },
            render("s2-qa", "Q", context="S"),
            "A",
        ),
    ],
)
def test_shapes(record, prompt, target):
    (example,) = training_examples([record])
    assert (example.prompt, example.target) == (prompt, target)


def test_examples_are_taken_as_they_are():
    example = Example("e1", "P", "T", task="summarize")
    assert training_examples([example]) == [example]


def test_order_of_reading_does_not_matter_and_equal_records_stay():
    records = [{"text": t} for t in ("a", "b", "c", "a")]
    examples = training_examples(records)
    assert examples == training_examples(records[::-1])
    assert sorted(e.target for e in examples) == ["a", "a", "b", "c"]
    assert len({e.id for e in examples}) == 4


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"frage": "Q", "antwort": "A"}, r"row 2: has the keys 'frage', 'antwort'; known are text"),
        ({"question": "Q"}, r"row 2: has the keys 'question'"),
        ({"question": "Q", "answer": float("nan")}, r"row 2, column 'answer': is nan"),
        ({"question": 5, "answer": "A"}, r"row 2, column 'question': is 5"),
        ({"text": " "}, r"row 2, column 'text': is ' '"),
        ({"prompt": "P", "completion": None}, r"row 2, column 'completion': is None"),
        ("text", r"row 2: is a str"),
        (Example("x", "P"), r"row 2, column 'target': is None"),
        ({"messages": [{"role": "user", "content": "Q"}]}, r"row 2, column 'messages': has the ro"),
        ({"messages": ["Q"]}, r"row 2, column 'messages': needs a list"),
        ({"messages": 3}, r"row 2, column 'messages': needs a list"),
    ],
)
def test_a_record_that_cannot_be_used_is_named(record, message):
    with pytest.raises(DataError, match=message):
        training_examples([{"text": "fine"}, record])


def test_no_records():
    with pytest.raises(EmptyDataError, match="no training records"):
        training_examples([])


def test_one_id_for_two_examples_is_refused():
    with pytest.raises(DataError, match="'e1'"):
        training_examples([Example("e1", "P", "T"), Example("e1", "Q", "T")])
