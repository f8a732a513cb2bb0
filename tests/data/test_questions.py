"""What is asked about a table: key, columns, phrasings, the held-out part, the gold part, the
training stream."""

from collections import Counter

import pytest
from stillroom.data.phrasings import QUESTION_TEMPLATES, check_templates, fill, paraphrases
from stillroom.data.profile import cell_text, column_label, profile_table
from stillroom.data.questions import build_question_set, training_stream
from stillroom.errors import ConfigError, DataError, EmptyDataError, UnknownColumnError

METALS = [
    {"name": f"Metal{i}", "symbol": f"M{i}", "number": str(i), "phase": "solid" if i % 3 else None}
    for i in range(1, 31)
]


def question_set(records=METALS, seed=0, **settings):
    options = {k: settings.pop(k) for k in ("templates", "gold_share") if k in settings}
    profile = profile_table(records, source="metals.csv", **settings)
    return build_question_set(records, profile, seed=seed, **options)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (float("nan"), None),
        ("  ", None),
        (" a\n b ", "a b"),
        (0, "0"),
        ("nan", "nan"),
        (True, "yes"),
        (["x", None, 3], "x, 3"),
        ([], None),
        ({}, None),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_a_cell_as_text(value, text):
    assert cell_text(value) == text


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("atomic_number", "atomic number"),
        ("unitPrice", "unit price"),
        ("name.official", "name official"),
        ("GDPPerHead", "gdp per head"),
        ("_", "_"),
    ],
)
def test_a_column_name_in_words(name, label):
    assert column_label(name) == label


def test_the_key_is_the_column_a_person_would_use():
    records = [{"id": str(i), "title": f"Song {i}", "genre": "rock"} for i in range(20)]
    assert profile_table(records, source="t").key == "title"


def test_equal_keys_are_told_apart_and_said_so():
    records = [
        {"id": str(i), "title": f"Song {i // 2 if i < 2 else i}", "n": str(i % 7)}
        for i in range(40)
    ]
    profile = profile_table(records, source="t")
    assert (profile.key, profile.key_suffix) == ("title", "id")
    made = build_question_set(records, profile)
    assert {"Song 0 (0)", "Song 0 (1)", "Song 2"} <= {row.key for row in made.table.rows}


def test_equal_keys_without_another_key_are_skipped_and_counted():
    records = [{"title": f"Song {i}", "year": "1990"} for i in range(20)] + [
        {"title": "song 3", "year": "1991"},
        {"title": None, "year": "1992"},
    ]
    profile = profile_table(records, source="t", key="title")
    assert [row for row, _ in profile.skipped_rows] == [21, 22]
    assert any("the first in row 21" in line for line in profile.describe())


def test_columns_left_out_have_reasons():
    records = [
        {
            "name": f"N{i}",
            "text": "long " * 40,
            "url": f"https://x/{i}",
            "same": "x",
            "none": None,
            "v": str(i),
        }
        for i in range(12)
    ]
    profile = profile_table(records, source="t")
    assert profile.columns == ("v",)
    assert {name for name, _ in profile.left_out} == {"text", "url", "same", "none"}


def test_columns_that_most_records_have_are_asked_first():
    sparse = {f"name in language {i}": i for i in range(20)}
    records = [
        {"name": f"Place {n}", **{k: f"P{n}" for k, i in sparse.items() if i == n}, "area": n * 7}
        for n in range(20)
    ]
    profile = profile_table(records, source="places")
    assert len(profile.columns) == 12
    assert "area" in profile.columns
    assert {reason for _, reason in profile.left_out} == {
        "more than 12 columns; name columns to choose others"
    }


@pytest.mark.parametrize(
    ("records", "settings", "fault", "message"),
    [
        ([], {}, EmptyDataError, "no records"),
        (METALS, {"key": "nome"}, UnknownColumnError, "columns are: name, symbol, number, phase"),
        (METALS, {"question": "name"}, ConfigError, "both a question column and an answer"),
        ([{"a": "1"}, {"a": "1"}], {}, DataError, "name one with key="),
        (
            [{"q": None, "a": "x"}],
            {"question": "q", "answer": "a"},
            EmptyDataError,
            "no record has both",
        ),
    ],
)
def test_faults_say_what_to_do(records, settings, fault, message):
    with pytest.raises(fault, match=message):
        profile_table(records, source="t", **settings)


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        (["{key}?"], "at least two"),
        (["{label}?", "{key}"], "lacks {key}"),
        (["{key} {x}", "{key}"], "only {key} and {label}"),
        (["{key}", "{key}"], "the same"),
    ],
)
def test_templates_are_checked(templates, message):
    with pytest.raises(ConfigError, match=message):
        check_templates(templates)


def test_braces_in_values_stay():
    assert fill("What is the {label} of {key}?", "{label}", "x") == "What is the x of {label}?"
    assert paraphrases("{question}?")[1] == "Please tell me: {question}?"


def test_the_held_out_phrasing_of_a_fact_occurs_in_no_training_task():
    made = question_set()
    trained = {(e.fact, e.fields["text"]) for e in made.train}
    held_out = {(e.fact, e.fields["text"]) for e in made.held_out}
    assert held_out
    assert not trained & held_out
    assert not {e.prompt for e in made.train} & {e.prompt for e in made.held_out}


def test_every_fact_is_asked_once_in_the_held_out_part():
    made = question_set()
    asked = Counter(e.fact for e in made.held_out if e.task == "qa")
    facts = sum(value is not None for r in METALS for k, value in r.items() if k != "name")
    assert len(asked) == facts
    assert set(asked.values()) == {1}
    assert made.facts == facts


def test_phrasings_take_turns_in_being_held_out():
    made = question_set()
    used = Counter(e.id.split(":")[3] for e in made.held_out if e.task == "qa")
    assert len(used) == len(QUESTION_TEMPLATES)


def test_nulls_are_not_asked():
    made = question_set()
    assert not any(e.fact == "3:phase" for e in made.train + made.held_out)
    assert not any("None" in e.prompt or "nan" in (e.target or "") for e in made.train)


def test_validation_is_balanced_and_its_wrong_answers_are_wrong():
    made = question_set()
    validate = [e for e in made.train if e.task == "validate"]
    verdicts = Counter(e.fields["verdict"] for e in validate)
    assert verdicts["yes"] == verdicts["no"]
    for example in validate:
        right = example.fields["proposed"].casefold() == example.fields["right"].casefold()
        assert right == (example.fields["verdict"] == "yes")
        assert example.target == f"{example.fields['right']}: {'yes' if right else 'no'}"


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_gold_share_is_exact_and_by_fact(share):
    made = question_set(gold_share=share)
    facts = {e.fact for e in made.train}
    assert len(made.gold_facts) == round(share * len(facts))
    assert {e.fact for e in made.train if made.is_gold(e)} == made.gold_facts


def test_the_same_seed_gives_the_same_questions_and_another_seed_others():
    first, again, other = question_set(seed=1), question_set(seed=1), question_set(seed=2)
    assert first == again
    assert [e.id for e in first.held_out] != [e.id for e in other.held_out]
    assert first.gold_facts != other.gold_facts


def test_the_stream_is_seeded_varied_and_never_asks_a_held_out_wording_as_it_stands():
    made = question_set()
    stream = training_stream(made.train, made.table, 2000, seed=3, fresh_negatives=True)
    assert stream == training_stream(made.train, made.table, 2000, seed=3, fresh_negatives=True)
    assert len({e.id for e in stream}) == len(stream)
    assert {e.task for e in stream} == {"qa", "validate", "summarize"}
    assert not {e.prompt for e in stream} & {e.prompt for e in made.held_out}
    by_id = {e.id: e for e in made.train}
    for example in stream:
        origin = by_id[example.id.split("#")[0]]
        assert example.target == origin.target
        assert origin.fields["key"].lower() in example.prompt.lower()
        if example.task == "validate" and example.fields["verdict"] == "no":
            assert f"Answer: {example.fields['right']}\n" not in example.prompt


def test_questions_that_are_given_are_paraphrased():
    records = [
        {"question": f"Why {i}?", "answer": f"Because {i}", "ctx": f"c{i}"} for i in range(9)
    ]
    made = question_set(records, context="ctx")
    assert made.table.kind == "questions"
    assert made.facts == 9
    assert all("Context: c" in e.prompt for e in made.train)
    assert not any(e.task == "summarize" for e in made.train)


def test_the_same_question_twice_is_skipped_and_counted():
    records = [{"question": "Why?", "answer": "A"}, {"question": "why?", "answer": "B"}]
    profile = profile_table(records, source="t")
    assert profile.skipped_rows == ((2, "the same question again"),)
