"""From questions to records, and from answers to verdicts: tables of cases, no model."""

import dataclasses
import doctest
import importlib

import pytest
from stillroom.agentic_workflow.grounding.answer_check import answers_agree, check_summary
from stillroom.agentic_workflow.record_search.lookup import RecordLookup
from stillroom.tables import Column, FactTable, TableRow


@pytest.fixture(scope="module")
def lookup(table):
    return RecordLookup(table)


def found(lookup, question):
    match = lookup.find(question)
    return match and (match.row.row, match.column and match.column.name)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the symbol of Gold?", (79, "symbol")),
        ("which SYMBOL does gold have", (79, "symbol")),
        ("gold's atomic number, please!", (79, "number")),
        ("atomic_number of gold", (79, "number")),
        ("the mass of gold", (79, "mass")),
        ("Which element has the symbol Au?", (79, "element")),
        ("Which element has the atomic number 79?", (79, "element")),
        ("What is Au?", (79, "element")),
        ("In which category is indium?", (49, "category")),
        ("What category is In?", (49, "category")),
        ("In which category is it?", None),
        ("What is the symbol of a golden ring?", None),
        ("He told me the category", None),
        ("What is the melting joke of gold?", (79, None)),
        ("symbol and category of gold", (79, None)),
        ("gold", (79, None)),
        ("", None),
        ("???", None),
    ],
)
def test_the_row_and_the_column_are_found(lookup, question, expected):
    assert found(lookup, question) == expected


def test_the_trained_wording_is_certain_and_others_are_less(lookup):
    assert lookup.find("Which symbol does Gold have?").confidence == 1.0
    assert 0.5 < lookup.find("symbol for gold").confidence < 1.0


def keys_table(*keys, kind="facts", templates=("What is the year of {key}?",)):
    rows = tuple(TableRow(i + 1, key, {"year": str(1900 + i)}) for i, key in enumerate(keys))
    return FactTable("keys.csv", kind, "name", (Column("year", "year", templates),), rows)


KEYS = ("C", "C++", "C#", "St. Lucia", "Côte d'Ivoire", "金", "F-16", "Maße", "AC/DC", "The Who")
KEYS += ("New York", "York", "Lima", "Lima", "It")


@pytest.mark.parametrize(
    ("question", "key"),
    [
        ("year of C?", "C"),
        ("year of c++", "C++"),
        ("What is the year of C#?", "C#"),
        ("year of D++", None),
        ("year of St Lucia", "St. Lucia"),
        ("year of cote d ivoire", "Côte d'Ivoire"),
        ("year of f-16", "F-16"),
        ("year of masse", "Maße"),
        ("What is the year of AC/DC?", "AC/DC"),
        ("year of the who", "The Who"),
        ("year of New York", "New York"),
        ("year of York", "York"),
        ("金的year是什么", "金"),
        ("Which year was it?", None),
        ("What is the year of It?", "It"),
    ],
)
def test_keys_of_all_kinds_are_found_whole_and_longest_first(question, key):
    match = RecordLookup(keys_table(*KEYS)).find(question)
    assert (match and match.row.key) == key


def test_rows_that_share_a_key_are_all_right():
    match = RecordLookup(keys_table(*KEYS)).find("What is the year of Lima?")
    assert match.values() == ["1912", "1913"]
    assert not match.others


def test_two_records_in_a_question_are_ambiguous(lookup):
    match = lookup.find("symbol of gold or silver?")
    assert {match.row.key, *match.others} == {"Gold", "Silver"}


def test_when_and_who_tell_columns_apart():
    columns = (
        Column("finder", "found by", ("Who discovered {key}?",)),
        Column("year", "year", ("When was {key} discovered?",)),
    )
    table = dataclasses.replace(keys_table("Gold"), columns=columns)
    lookup = RecordLookup(table)
    assert found(lookup, "who has discovered gold")[1] == "finder"
    assert found(lookup, "when did they discover gold")[1] == "year"
    assert found(lookup, "where was gold discovered")[1] is None


@pytest.mark.parametrize(
    ("question", "row"),
    [
        ("How does the virus spread?", 1),
        ("how does the virus spread", 1),
        ("How do viruses spread?", 1),
        ("I would like to know: How does the virus spread?", 1),
        ("Is there a vaccine yet?", 2),
        ("What is the capital of France?", None),
        ("virus", None),
    ],
)
def test_the_nearest_known_question_is_found(question, row):
    known = ("How does the virus spread?", "Is there a vaccine?", "Can my dog catch the virus?")
    table = keys_table(*known, kind="questions", templates=("{key}", "I would like to know: {key}"))
    match = RecordLookup(table).find(question)
    assert (match and match.row.row) == row


SENTENCE = "It spreads through the air and by touching surfaces."


@pytest.mark.parametrize(
    ("answer", "value", "agrees"),
    [
        ("Au", "Au", True),
        (" au. ", "Au", True),
        ("The symbol of gold is Au", "Au", True),
        ('"Au"', "Au", True),
        ("not Au", "Au", False),
        ("Aurum", "Au", False),
        ("in the table", "In", False),
        ("It is In", "In", True),
        ("", "Au", False),
        ("79", "79.0", True),
        ("1,000", "1000", True),
        ("-5", "5", False),
        ("79 or 80", "79", False),
        ("it is 79", "79", True),
        ("metal", "transition metal", False),
        ("a transition metal", "transition metal", True),
        ("C", "C++", False),
        (SENTENCE.rstrip("."), SENTENCE, True),
        (SENTENCE.replace("It", "it always"), SENTENCE, True),
        (SENTENCE.replace("It", "It never"), SENTENCE, False),
        ("It spreads by touch.", SENTENCE, False),
        ("transition metal " + "and so on " * 20, "transition metal", False),
    ],
)
def test_answers_agree_with_values(answer, value, agrees):
    assert answers_agree(answer, value) is agrees


@pytest.mark.parametrize(
    ("summary", "agrees"),
    [
        ("Gold (Au) is a transition metal with atomic number 79 and atomic mass 196.97.", True),
        ("Gold has the atomic number 80.", False),
        ("Gold: atomic number 196.97, atomic mass 79.", False),
        ("Gold is a noble gas.", False),
        ("Gold has the symbol Ag.", False),
        ("Gold is nice.", False),
        ("", False),
    ],
)
def test_summaries_agree_with_records(lookup, summary, agrees):
    row = next(row for row in lookup.table.rows if row.key == "Gold")
    assert check_summary(summary, row, lookup).agrees is agrees


MODULES = [
    "chat_page.html",
    "grounding.answer_check",
    "grounding.claims",
    "routing",
    "state",
    "text_matching",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name):
    module = importlib.import_module(f"stillroom.agentic_workflow.{name}")
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
