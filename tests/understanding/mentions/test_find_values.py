"""Values that a question names are found whole, in part and misspelled."""

import pytest
from stillroom.understanding.mentions.find_values import find_values, written_as_codes
from stillroom.understanding.table.typed_table import typed_table
from stillroom.understanding.table.values import words

COMMON = frozenset(["is", "the", "a", "of", "in", "what", "which", "how", "much", "does"])


@pytest.fixture(scope="module")
def table():
    return typed_table(
        [
            {"dish": "Margherita pizza", "maker": "Müller & Söhne", "contains": "milk, gluten"},
            {"dish": "Caesar salad", "maker": "O'Brien", "contains": "fish, egg"},
            {"dish": "The", "maker": "Müller & Söhne", "contains": "milk"},
        ]
    )


@pytest.mark.parametrize(
    ("question", "column", "phrase", "whole"),
    [
        ("how much is the margherita?", 0, "margherita", False),
        ("Margherita Pizza", 0, "margherita pizza", True),
        ("whats in the cesar salad", 0, "caesar salad", True),
        ("price of MARGERITA", 0, "margherita", False),
        ("dishes of muller & sohne", 1, "muller sohne", True),
        ("which have milk?", 2, "milk", True),
        ("fish", 2, "fish", True),
        ("o'brien's", 1, "o'brien", True),
        ("margheritas", 0, "margherita", False),
    ],
)
def test_a_value_is_found(table, question, column, phrase, whole):
    found = find_values(words(question), table, COMMON)
    assert (column, phrase, whole) in [(one.column, one.phrase, one.whole) for one in found]


@pytest.mark.parametrize("question", ["how much is it", "sushi", "of in what", "", "pazzi"])
def test_what_is_not_there_is_not_found(table, question):
    assert not find_values(words(question), table, COMMON)


def test_a_common_word_counts_where_it_is_a_whole_cell(table):
    assert [m.phrase for m in find_values(["the"], table, COMMON)] == ["the"]


def test_a_longer_phrase_hides_its_parts(table):
    found = find_values(words("the caesar salad"), table, COMMON)
    assert [m.phrase for m in found if m.column == 0 and m.start > 0] == ["caesar salad"]


def test_a_misspelled_word_counts_less(table):
    right, wrong = (find_values([w], table, COMMON)[0] for w in ("margherita", "margerita"))
    assert right.alike == 1.0 > wrong.alike


@pytest.mark.parametrize(
    ("question", "found"),
    [("srv09 owner", ["srv09"]), ("srv19 owner", []), ("srv1 owner", []), ("srvr09", ["srv09"])],
)
def test_a_code_with_another_number_is_another_code(question, found):
    servers = typed_table([{"server": f"srv0{n}", "owner": "Tom Beecham"} for n in (1, 9)])
    assert [one.phrase for one in find_values(words(question), servers, COMMON)] == found


@pytest.mark.parametrize(
    ("question", "codes"),
    [
        ("What is the area of AT?", {"at"}),
        ("which one has the symbol In", {"in"}),
        ("In which year was it the?", set()),
        ("WHAT IS THE AREA OF AT", set()),
        ("What Is The Area Of Vienna", set()),
    ],
)
def test_a_common_word_with_a_capital_is_a_code(question, codes):
    assert written_as_codes(question, {"what", "is", "the", "of", "at", "in", "was"}) == codes


@pytest.mark.parametrize(
    ("word", "value"),
    [("rainy", "rain"), ("hunden", "hund"), ("scheibe", "windschutzscheibe"),
     ("lattenkopf", "lattenkopfhütte"), ("meerschwein", "meerschweinchen")],
)  # fmt: skip
def test_a_word_may_be_a_part_of_a_value_or_have_one(word, value):
    table = typed_table([{"what": value}, {"what": "other"}])
    found = find_values([word], table, COMMON)
    assert [one.phrase for one in found] == words(value)
    assert found[0].alike < 0.9


def test_a_word_of_a_column_is_no_part_of_a_value():
    table = typed_table([{"element": "Gold", "atomic mass": "197", "kind": "diatomic nonmetal"}])
    found = find_values(words("atomic mass of gold"), table, COMMON)
    assert [one.phrase for one in found] == ["gold"]


def test_the_words_of_a_whole_name_mean_nothing_else():
    records = [
        {"boat": "Bell Tower 7", "skipper": "Ann Bell", "berth": "7"},
        {"boat": "Gull", "skipper": "Tom Tower", "berth": "9"},
        {"boat": "Tern", "skipper": "Bell", "berth": "12"},
    ]
    table = typed_table(records, key="boat")
    named = find_values(words("when did bell tower 7 sail"), table)
    # Bell alone is another skipper's whole name, so that it stays; Tower is only a part of one.
    assert {(one.column, one.phrase) for one in named} == {
        (0, "bell tower 7"), (1, "bell"), (2, "7"),
    }  # fmt: skip
    parted = find_values(words("is tower with the bell"), table)
    assert (1, "tower") in {(one.column, one.phrase) for one in parted}


@pytest.mark.parametrize(
    ("question", "found"),
    [("which lands are cold", False), ("what is the size of are", True), ("size of ARE now", True)],
)
def test_a_common_word_is_a_code_only_where_it_is_written_as_one_or_ends(question, found):
    codes = typed_table([{"land": "Emirates", "code": "ARE"}, {"land": "Austria", "code": "AUT"}])
    common = COMMON | {"are", "now"}
    mentions = find_values(words(question), codes, common, codes=written_as_codes(question, common))
    assert ("are" in [one.phrase for one in mentions]) is found


@pytest.mark.parametrize(
    ("question", "found"), [("the code of it", []), ("sales of cods", ["cod"])]
)
def test_a_word_is_no_short_code_that_it_begins_with(question, found):
    codes = typed_table(
        [{"airport": "Codela", "iata": "COD"}, {"airport": "Vienna", "iata": "VIE"}]
    )
    assert [one.phrase for one in find_values(words(question), codes, COMMON)] == found
