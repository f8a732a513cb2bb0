"""Conversations become one record per turn of the assistant, with all turns before it."""

import pytest
from stillroom.data.datasets.conversations import conversation_records
from stillroom.errors import DataError
from stillroom.prompts import format_prompt


def conversation(*turns):
    return {"conversations": [{"from": speaker, "value": text} for speaker, text in turns]}


def test_each_turn_of_the_assistant_is_asked_after_the_turns_before_it():
    row = conversation(
        ("system", "Be brief."), ("human", "hi"), ("gpt", "hello"), ("tool", "42"), ("gpt", "It is")
    )
    first, second = conversation_records(row, 1)
    assert first == {"instruction": "Be brief.\nUser: hi", "input": "", "output": "hello"}
    assert second["instruction"].endswith("User: hi\nAssistant: hello\nTool: 42")
    (alone,) = conversation_records(conversation(("user", "hi"), ("assistant", "hello")), 1)
    assert format_prompt(alone["instruction"]) == "User: hi\nAssistant:"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "has no conversation"),
        ({"conversations": []}, "has no conversation"),
        ({"conversations": ["hi"]}, "needs turns of 'from' and 'value'"),
        (conversation(("human", 5)), "needs turns of 'from' and 'value'"),
        (conversation(("gpt", "hello")), "begins with the assistant"),
        (conversation(("human", "hi"), ("gpt", "hello"), ("human", "?")), "does not end with"),
    ],
)
def test_what_is_no_conversation_is_named_by_its_row(row, reason):
    with pytest.raises(DataError, match=reason) as caught:
        list(conversation_records(row, 7))
    assert (caught.value.row, caught.value.column) == (7, "conversations")
