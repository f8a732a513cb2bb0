"""What a teacher was asked and what it said is what a student is trained on, for records of all
shapes."""

import doctest

import pytest
from stillroom import record_shapes
from stillroom.data.datasets.chat_records import instruction_records
from stillroom.distillation.training_data import training_examples
from stillroom.errors import DataError
from stillroom.labeling.batch import records as label_records
from stillroom.labeling.batch.label_run import Labelled
from stillroom.labeling.batch.records import kept_columns, label_tasks, labelled_record
from stillroom.labeling.teachers.protocol import DecodeProfile, TeacherAnswer
from stillroom.prompts import FORMATS, render

SAID = "a label"


def turn(role, content):
    return {"role": role, "content": content}


def label(records, **how):
    tasks = label_tasks(records, **how)
    answer = TeacherAnswer(SAID, "stop", 1, 1, "m")
    return tasks, [
        labelled_record(Labelled(task, answer, None, False, "k"), "m", DecodeProfile(), **how)
        for task in tasks
    ]


def trained(records, **how):
    """Label records and give what is asked and trained, and the records."""
    tasks, labelled = label(records, **how)
    return [task.prompt for task in tasks], training_examples(labelled), labelled


PLAIN = [
    {"question": "Which?"},
    {"question": "Which?", "answer": "old"},
    {"question": "Which?", "context": "of metals", "answer": None},
    {"question": "Which?", "context": ["one passage", "another"], "answers": {"text": ["old"]}},
    {"question": "Which?", "context": 7, "label": "metal", "answer_before": "oldest"},
    {"question": "Which?", "context": float("nan"), "instruction": "Do", "output": "old"},
    {"question": "Which?", "prompt": "P", "completion": "old", "text": "a text"},
    {"question": None, "instruction": "Do", "input": "it", "output": "old"},
    {"instruction": "Do", "input": "", "output": "old"},
    {"instruction": "Do", "input": 7, "label": {"own": 1}},
    {"prompt": "As it is", "completion": "old", "target": "older"},
    {"prompt": "As it is", "messages": None, "label": None},
]


@pytest.mark.parametrize("form", ["s2-qa", "s2-summarize", "system1", "system2"])
@pytest.mark.parametrize("record", PLAIN, ids=range(len(PLAIN)))
def test_a_prompt_is_trained_as_it_was_asked(record, form):
    asked, examples, (labelled,) = trained([record], form=form)
    assert [(e.prompt, e.target) for e in examples] == [(asked[0], SAID)]
    for value in record.values():
        assert value in (None, "") or value != value or value in labelled.values()


CHATS = [
    {"messages": [turn("user", "Hi")]},
    {"messages": [turn("user", "Hi"), turn("assistant", "old")]},
    {"messages": [turn("system", " "), turn("user", "Hi")]},
    {"messages": [turn("user", [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}])]},
    {"messages": [turn("User", [{"type": "input_text", "text": "Hi"}])], "question": "Q"},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "old"}]},
    {"conversations": [turn("user", "Hi")]},
    {"prompt": [turn("user", "Hi")], "completion": [turn("assistant", "old")]},
    {"prompt": [turn("user", "Hi")], "chosen": [turn("assistant", "old")]},
]


@pytest.mark.parametrize("record", CHATS, ids=range(len(CHATS)))
def test_an_exchange_is_trained_as_it_was_asked(record):
    asked, examples, (labelled,) = trained([record])
    assert asked == [[turn("user", "Hi")]]
    assert [(e.prompt, e.target) for e in examples] == [(render("s2-qa", "Hi"), SAID)]
    assert "old" not in str(labelled) or "_before" in str(labelled) or "chosen" in labelled


@pytest.mark.parametrize("form", ["s2-qa", "system2"])
def test_turns_are_asked_and_trained_without_the_words_of_a_format(form):
    _, examples, _ = trained([{"messages": [turn("user", "Hi")]}], form=form)
    assert examples[0].prompt == render("s2-qa", "Hi")


@pytest.mark.parametrize(
    ("record", "how", "asked"),
    [
        ({"question": "Q", "context": "C", "output": "old"}, {}, ("Q", "C")),
        ({"instruction": "I", "output": "old", "answer": "old"}, {}, ("I", "")),
        ({"instruction": "I", "output": "old"}, {"template": "Say {instruction}"}, ("Say I", "")),
        ({"messages": [turn("user", "Hi")], "output": "old"}, {}, ("Hi", "")),
    ],
)
def test_students_of_instructions_learn_the_label_too(record, how, asked):
    (made,) = instruction_records(label([record], **how)[1])
    assert made == {"instruction": asked[0], "input": asked[1], "output": SAID}


@pytest.mark.parametrize("roles", [("system",), ("developer",), ("system", "developer")])
def test_what_the_system_says_is_context(roles):
    turns = [turn(role, f"S{n}") for n, role in enumerate(roles)]
    asked, examples, _ = trained([{"messages": [*turns, turn("user", "Hi")]}])
    system = "\n\n".join(f"S{n}" for n in range(len(roles)))
    assert asked == [[turn("system", system), turn("user", "Hi")]]
    assert examples[0].prompt == render("s2-qa", "Hi", context=system)


@pytest.mark.parametrize("record", [*PLAIN, *CHATS], ids=range(len(PLAIN) + len(CHATS)))
def test_a_template_is_trained_whatever_the_record_holds(record):
    record = {**record, "topic": "gold {n}", "n": 79, "listed": ["ä", 1]}
    template = 'About {topic}, {n}, {listed}: {"a": 1}'
    asked, examples, (labelled,) = trained([record], template=template)
    assert asked == ['About gold {n}, 79, ["ä", 1]: {"a": 1}']
    assert [(e.prompt, e.target) for e in examples] == [(asked[0], SAID)]
    own = {key: value for key, value in record.items() if key not in ("prompt", "completion")}
    assert {key: labelled[key] for key in own} == {k: v if v == v else None for k, v in own.items()}


def test_labels_of_labels_replace_them_and_their_marks():
    first = label([{"question": "Which?", "label": "metal"}])[1]
    second = trained(first, template="Say: {question}")
    third = trained(second[2])
    assert third[0] == [render("s2-qa", "Which?")]
    assert [(e.prompt, e.target) for e in third[1]] == [(third[0][0], SAID)]
    (record,) = third[2]
    assert record["label"] == "metal"
    assert record["stillroom_label"]["asked"] == "question"
    assert record["answer_before"] == SAID


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"messages": [turn("system", "A"), turn("assistant", "B")]}, "user and assistant in turn"),
        ({"messages": [turn("assistant", "A")]}, "user and assistant in turn"),
        ({"messages": [turn("user", "A"), turn("user", "B")]}, "user and assistant in turn"),
        ({"messages": [turn("robot", "A")]}, "a turn of 'robot'; roles"),
        ({"messages": [turn("user", "A"), turn("tool", "B")]}, "a turn of 'tool'; roles"),
        ({"messages": [turn("user", [{"type": "image_url", "image_url": {}}])]}, "'image_url'; on"),
        ({"messages": [turn("user", None)]}, "a text is needed"),
        ({"messages": [{"content": "A"}]}, "a turn of None"),
        ({"messages": []}, "needs a list"),
        ({"messages": "Hi"}, "needs a list"),
        ({"conversations": [{"from": "human", "value": 5}]}, "a part of type 'int'"),
        ({"prompt": [turn("user", "A")] * 2, "completion": []}, "in turn"),
        ({"question": None}, "column 'question': is None; a text"),
        ({"question": 5}, "is 5; a text"),
        ({"question": float("nan")}, "is None; a text"),
        ({"question": ["Q"]}, r"is \['Q'\]; a text"),
        ({"question": "Q", "context": {"a": 1}}, "column 'context': is {'a': 1}; a text"),
        ({"instruction": "Q", "input": [1]}, "column 'input'"),
        ({"prompt": " "}, "column 'prompt': is ' '"),
        ({"metal": "gold"}, "--question"),
        ({"id": 1, "question": "Q", "at": object()}, "a value that JSON does not know"),
        ({"id": 1, "question": "Q", "n": [float("inf")]}, "a value that JSON does not know"),
    ],
)
def test_what_could_not_be_trained_is_refused_before_it_is_asked(record, words):
    with pytest.raises(DataError, match=f"row 2.*{words}"):
        label_tasks([{"question": "fine"}, record])


def test_columns_that_make_room_are_named():
    records = [
        {"question": "Q", "answer": "A", "label": "x"},
        {"question": "Q", "answer": "", "answer_before": "B"},
        {"messages": [turn("user", "Q"), turn("assistant", "A")]},
    ]
    told = {"answer": "answer_before", "messages": "messages_before", "label": "stillroom_label"}
    assert kept_columns(label_tasks(records)) == told
    assert kept_columns(label_tasks([{"question": "Q"}])) == {}
    tasks = label_tasks([{"prompt": "P", "answer": "A"}], template="{prompt}!")
    assert kept_columns(tasks, template="{prompt}!") == {"prompt": "prompt_before"}


def test_ids_that_are_there_twice_are_numbered():
    records = [{"id": name, "question": "Q"} for name in (1, 1, "1-2", None, 1, float("nan"))]
    ids = [task.id for task in label_tasks(records)]
    assert len(set(ids)) == 6
    assert (ids[0], ids[2]) == ("1", "1-2")


def test_records_of_a_mark_without_its_columns_are_read_by_what_they_hold():
    (labelled,) = label([{"question": "Q", "answer": "A"}], template="{question}!")[1]
    del labelled["completion"]
    assert [(e.prompt, e.target) for e in training_examples([labelled])] == [
        (render("s2-qa", "Q"), "A")
    ]


@pytest.mark.parametrize("module", [record_shapes, label_records], ids=lambda m: m.__name__)
def test_examples_in_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_every_format_has_a_name_that_a_mark_can_hold():
    for form in FORMATS:
        (record,) = label([{"question": "Q"}], form=form)[1]
        assert training_examples([record])[0].prompt == render(form, "Q")
