"""What is asked about a table: key, columns, phrasings, the held-out part, the gold part, the
training stream."""
# ruff: noqa: E501 - tables read best with one case per line

import unicodedata
from collections import Counter

import pytest
from stillroom.data.questions.phrasings import (
    QUESTION_TEMPLATES,
    check_templates,
    fill,
    paraphrases,
)
from stillroom.data.questions.profile import column_label, profile_table
from stillroom.data.questions.questions import (
    build_question_set,
    draw_wordings,
    training_stream,
)
from stillroom.data.readers.cells import cell_text
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
        ("('price', '2023')", "price 2023"),
        ("('price', '')", "price"),
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


def test_properties_are_asked_before_codes_and_the_key_is_the_english_name():
    codes = {f"list {i}": i for i in range(14)}
    records = [
        {"name_fr": f"Pays {n} du monde", "name_en": f"Country {n}",
         **{k: f"{chr(65 + n)}{i}" for k, i in codes.items()},
         "area": str(n * 7001), "continent": ("Asia", "Europe")[n % 2]}
        for n in range(20)
    ]  # fmt: skip
    profile = profile_table(records, source="countries")
    assert profile.key == "name_en"
    assert len(profile.columns) == 12
    assert {"area", "continent"} <= set(profile.columns)


@pytest.mark.parametrize(
    ("records", "settings", "fault", "message"),
    [
        ([], {}, EmptyDataError, "no records"),
        (METALS, {"key": "nome"}, UnknownColumnError, "columns are: name, symbol, number, phase"),
        (METALS, {"question": "name"}, ConfigError, "both a question column and an answer"),
        (
            [{"a": "1"}],
            {"key": "a"},
            DataError,
            "no column to ask about beside the key 'a'; pass --columns",
        ),
        ([{"a": None}, {"a": " "}], {}, EmptyDataError, "every cell of the table is empty"),
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


def test_further_wordings_replace_a_share_of_the_questions_and_nothing_else():
    made = question_set()
    column = made.table.columns[0].name
    wordings = {column: ("How about {key}, then?", "Say it of {key}!")}
    plain = training_stream(made.train, made.table, 3000, seed=3)
    assert training_stream(made.train, made.table, 3000, seed=3, wordings={}) == plain
    mixed = training_stream(made.train, made.table, 3000, seed=3, wordings=wordings)
    targets = {e.id: (e.fact, e.target) for e in made.train}
    assert all(targets[e.id.split("#")[0]] == (e.fact, e.target) for e in mixed)
    asked = [e for e in mixed if e.fields.get("column") == column]
    reworded = [e for e in asked if "about" in e.fields["text"] or "Say it" in e.fields["text"]]
    assert 0.4 < len(reworded) / len(asked) < 0.6
    assert {e.task for e in reworded} == {"qa", "validate"}
    for example in reworded:
        assert example.fields["key"].casefold() in example.prompt.casefold()
        assert "about" in example.prompt.casefold() or "say it" in example.prompt.casefold()
    whole = training_stream(made.train, made.table, 500, wordings=wordings, wording_share=1.0)
    texts = {e.fields["text"] for e in whole if e.fields.get("column") == column}
    assert len(texts) == 2 * len(made.table.rows)


def test_wordings_are_drawn_once_per_fact_and_without_a_label():
    made = question_set()
    column = made.table.columns[0].name
    wordings = {column: ("How about {key}, then?", "Say it of {key}!", "{key}, please?")}
    facts = {e.fact for e in made.train if e.task == "qa" and e.fields["column"] == column}
    drawn = draw_wordings(made.train, wordings, 2 * len(facts), seed=1)
    assert drawn == draw_wordings(made.train, wordings, 2 * len(facts), seed=1)
    assert Counter(Counter(e.fact for e in drawn).values()) == {2: len(facts)}
    assert {e.fact for e in drawn} == facts
    every = draw_wordings(made.train, wordings, 10_000)
    assert len(every) == 3 * len(facts) == len({e.id for e in every})
    for example in every:
        assert example.target is None
        assert example.task == "qa"
        assert example.fields["text"] in example.prompt
        assert example.fields["key"] in example.fields["text"]


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


def prompts_with_two_answers(made):
    asked = {}
    stream = training_stream(made.train, made.table, 4000, seed=1)
    for example in [*made.train, *made.held_out, *stream]:
        if example.task == "qa":
            asked.setdefault(example.prompt.casefold(), set()).add(example.target)
    return {prompt for prompt, targets in asked.items() if len(targets) > 1}


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("Price", "price"), ("Price (column 2)", "price (column 3)")),
        (("unit_price", "unitPrice"), ("unit_price", "unitPrice")),
        (("unit_price", "unitPrice", "Unit_Price"), ("unit_price (column 2)", "unitPrice", "Unit_Price (column 4)")),
        (("Größe", "GRÖSSE"), ("Größe (column 2)", "GRÖSSE (column 3)")),
        (("Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"), ("Gr\u00f6\u00dfe (column 2)", "Gr\u00f6\u00dfe (column 3)")),
        (("price", "price ", " PRICE"), ("price (column 2)", "price (column 3)", "PRICE (column 4)")),
        (("unit price", "unit.price"), ("unit price", "unit.price")),
        (("rate of tax", "rate tax"), ("rate of tax (column 2)", "rate tax (column 3)")),
        (("price ($)", "price (€)"), ("price ($)", "price (€)")),
        (("price", "weight"), ("price", "weight")),
    ],
)  # fmt: skip
def test_columns_of_the_same_words_are_told_apart(names, labels):
    records = [
        {"name": f"Thing {i}", **{n: str(10 * i + j) for j, n in enumerate(names)}}
        for i in range(12)
    ]
    profile = profile_table(records, source="t")
    made = build_question_set(records, profile)
    assert tuple(c.label for c in made.table.columns) == labels
    assert not prompts_with_two_answers(made)
    assert made.facts == 12 * len(names)
    said = any("told apart in questions" in line for line in profile.describe())
    assert said == (labels != tuple(map(column_label, names)))


def test_a_column_that_is_not_asked_about_needs_no_telling_apart():
    records = [{"name": f"Thing {i}", "Price": str(i), "price": str(i + 1)} for i in range(9)]
    made = question_set(records, columns=("price",))
    assert [c.label for c in made.table.columns] == ["price"]


def test_a_question_for_two_facts_is_asked_for_neither():
    records = [
        {"name": "ale", "tax": "1", "tax of beer": "2"},
        {"name": "beer of ale", "tax": "3", "tax of beer": "4"},
        {"name": "wine", "tax": "5", "tax of beer": "6"},
    ]
    made = question_set(records)
    assert not prompts_with_two_answers(made)
    assert made.ambiguous == 2  # "What is the tax of beer of ale?"
    assert made.facts == 4


@pytest.mark.parametrize(
    ("records", "key", "suffix", "said"),
    [
        (  # names that repeat beside telephone numbers
            [{"name": n, "phone": f"0{i}55", "city": "B"} for i, n in enumerate(["Ann", "Bob", "Ann", "Cid"])],
            "name", "phone", "pass --key phone (key='phone')",
        ),
        (  # names that nearly all repeat
            [{"name": "AB"[i % 2], "phone": f"0{i}55", "city": f"C{i % 3}"} for i in range(12)],
            "phone", None, "because 'name' is the same in 12 records; pass --key name (key='name')",
        ),
        (  # first names are part of a name only
            [{"first name": f"F{i % 8}", "email": f"a{i}@x.org", "city": "B"} for i in range(12)],
            "email", None, None,
        ),
        (
            [{"number": str(100 + i), "kind": "ab"[i % 2]} for i in range(12)],
            "number", None, "because no column of words differs",
        ),
        ([{"title": f"T{i}", "year": str(1990 + i)} for i in range(9)], "title", None, None),
        ([{"key": n, "city": c} for n, c in [("Ann", "Rome"), ("Bob", "Oslo")]], "key", None, None),
        (  # nothing would be left to ask about
            [{"name": "AB"[i // 2], "score": str(i)} for i in range(4)], "score", None, "because 'name' is the same",
        ),
    ],
)  # fmt: skip
def test_the_choice_of_a_key_is_said_where_another_may_be_expected(records, key, suffix, said):
    profile = profile_table(records, source="t")
    assert (profile.key, profile.key_suffix) == (key, suffix)
    assert (said is None) == (not profile.notes)
    assert said is None or said in " ".join(profile.describe())


@pytest.mark.parametrize("name", ["__index_level_0__", "Unnamed: 0", "index", "level_0"])
def test_row_numbers_of_pandas_are_neither_asked_nor_a_key(name):
    records = [{name: i * 2, "kind": "ab"[i % 2], "n": i % 5} for i in range(10)]
    profile = profile_table(records, source="t")
    assert name not in (profile.key, *profile.columns, *profile.condition_columns)
    assert any(name in line and "pandas" in line for line in profile.describe())
    assert profile_table(records, source="t", columns=(name,)).columns == (name,)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("__index_level_0__", ["Apple", "Pear", "Plum"]),  # an index of names names the records
        ("index", ["1.7", "2.4", "1.7"]),  # a refractive index
        ("index", ["3", "3", "4"]),
    ],
)
def test_an_index_that_says_something_stays(name, values):
    records = [{name: v, "n": str(i % 2)} for i, v in enumerate(values)]
    profile = profile_table(records, source="t")
    assert name in (profile.key, *profile.columns)


MATCHES = [
    {"year": y, "opponent": o, "score": s, "place": p}
    for y, o, s, p in [
        ("1998", "Lions", "3:1", "home"), ("1998", "Bears", "2:2", "away"), ("1999", "Lions", "0:1", "away"),
        ("1999", "Bears", "2:2", "home"), ("2000", "Lions", "3:1", "home"), ("2000", "Bears", "1:1", "home"),
        ("2000", "Bears", "4:1", "away"),
    ]
]  # fmt: skip


def test_a_table_without_a_key_is_asked_by_what_its_records_hold():
    profile = profile_table(MATCHES, source="matches")
    made = build_question_set(MATCHES, profile)
    assert made.table.kind == profile.kind == "rows"
    assert any("no column names the records" in line for line in profile.describe())
    facts = {(e.source.row, e.source.column) for e in made.held_out if e.task == "qa"}
    assert (3, "score") in facts
    texts = {e.fields["text"] for e in [*made.train, *made.held_out]}
    assert "What is the score where year is 1999 and opponent is Lions?" in texts
    assert not prompts_with_two_answers(made)
    for example in [*made.train, *made.held_out]:  # every condition leads to one record only
        conditions = [c.split(" is ") for c in example.fields["key"].split(" and ")]
        met = [r for r in MATCHES if all(r[label] == value for label, value in conditions)]
        assert met == [MATCHES[example.source.row - 1]]
        assert example.source.column not in dict(conditions)
        assert example.fields["right"] == met[0][example.source.column]
    # twice in 2000 against the Bears: year and opponent do not tell the score
    assert not any("year is 2000 and opponent is Bears?" in text for text in texts)


@pytest.mark.parametrize(
    ("records", "question"),
    [
        ([{"a": "1"}, {"a": "2"}, {"a": "1"}], "What is the a where record is 2?"),
        ([{"name": "Ann"}, {"name": "Bob"}], "What is the name where record is 1?"),
        ([{"name": "Ann"}], "What is the name where record is 1?"),
        ([{"a": "x", "b": "y"}, {"a": "X", "b": "y"}], "What is the a where record is 2?"),
        ([{"record": "x"}], "What is the record where record 2 is 1?"),
        ([{"text": "long " * 40}, {"text": "long " * 50}], "What is the text where record is 1?"),
    ],
)
def test_the_smallest_tables_are_asked_by_the_number_of_a_record(records, question):
    made = question_set(records)
    assert made.table.kind == "rows"
    assert question in {e.fields["text"] for e in [*made.train, *made.held_out]}
    assert made.held_out


@pytest.mark.parametrize("own", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_columns_are_named_in_either_unicode_form(own, asked):
    name, size = (unicodedata.normalize(own, n) for n in ("Käse", "Größe"))
    records = [{name: f"Sorte{i}é", size: str(i)} for i in range(9)]
    made = question_set(
        records,
        key=unicodedata.normalize(asked, "Käse"),
        columns=[unicodedata.normalize(asked, "Größe")],
    )
    assert (made.table.key, made.table.columns[0].name) == (name, size)
    prompts = [e.prompt for e in [*made.train, *made.held_out]]
    assert all(unicodedata.is_normalized("NFC", prompt) for prompt in prompts)


def test_keys_that_differ_in_unicode_form_only_are_equal_and_keep_their_spelling():
    keys = [unicodedata.normalize(form, "Zürich") for form in ("NFC", "NFD")]
    records = [{"name": k, "id": f"id{i}"} for i, k in enumerate(keys)]
    made = question_set(records, key="name")
    assert [row.key for row in made.table.rows] == [f"{keys[0]} (id0)", f"{keys[1]} (id1)"]


@pytest.mark.parametrize("kind", ["facts", "rows"])
def test_records_that_are_equal_in_every_column_are_asked_about_once(kind):
    records = METALS if kind == "facts" else MATCHES
    twice = [*records, *records[:3], dict(records[0])]
    profile = profile_table(twice, source="t")
    assert profile.kind == kind
    first = len(records) + 1
    assert profile.skipped_rows == tuple((first + i, "the same record again") for i in range(4))
    made, once = question_set(twice), question_set(records)
    assert [r.key for r in made.table.rows] == [r.key for r in once.table.rows]
    assert made.facts == once.facts


def test_a_table_of_one_column_says_how_it_is_asked():
    lines = profile_table([{"name": "Ann"}, {"name": "Bob"}], source="t").describe()
    assert "records are asked about by their number" in lines[0]
