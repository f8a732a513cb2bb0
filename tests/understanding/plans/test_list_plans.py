"""The plans that a question may mean are listed, with those that people did mean among them."""

import csv
from dataclasses import replace

import pytest
from project_paths import ROOT
from stillroom.understanding.plans.language import (
    All,
    Both,
    Cells,
    Compared,
    Count,
    Either,
    Exists,
    Group,
    Top,
    Where,
)
from stillroom.understanding.plans.list_plans import list_plans, read_question
from stillroom.understanding.plans.run_plan import PlanRunner
from stillroom.understanding.table.same_value import same_value
from stillroom.understanding.table.typed_table import typed_table
from stillroom.understanding.table.values import Day

QUESTIONS = ROOT / "benchmarks" / "questions"
NAMES = sorted(path.stem for path in (QUESTIONS / "tables").glob("*.csv"))


def read_table(name):
    with (QUESTIONS / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        mark = ";" if ";" in file.readline() else ","
        file.seek(0)
        return typed_table(list(csv.DictReader(file, delimiter=mark)), name=name)


def read_questions(name):
    with (QUESTIONS / "asked" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["verdict"] == "answered"]


def gives(values, answer):
    wanted = [{"ja": "yes", "nein": "no"}.get(one, one) for one in answer.split(";")]
    return len(values) == len(wanted) and all(
        any(same_value(value, one) or value.endswith(f" {one}") for value in values)
        or any(_bare(value) == _bare(one) for value in values)
        for one in wanted
    )


def _bare(text):
    return "".join(one for one in text if one.isdigit() or one in ".:-") or text


@pytest.mark.parametrize("name", NAMES)
def test_most_of_what_people_ask_is_listed(name):
    table = read_table(name)
    runner = PlanRunner(table)
    asked = [row for row in read_questions(name) if not row["thread"]]
    missed = [
        row["question"]
        for row in asked
        if not any(
            gives(one.answer.values, row["answer"])
            for one in list_plans(read_question(row["question"], table), table, runner)
        )
    ]
    assert len(missed) <= 2, missed


def test_each_plan_is_listed_once_and_has_its_answer():
    table = read_table("campsites")
    runner = PlanRunner(table)
    question = read_question("which is the cheapest site in High Woods under 20 euros?", table)
    found = list_plans(question, table, runner)
    assert len({one.plan for one in found}) == len(found)
    assert all(runner.run(one.plan) == one.answer for one in found)


@pytest.mark.parametrize(
    "text", ["", "?", "   ", "a" * 3000, "1" * 400, "drop table; --", "\x00\u202e"]
)
def test_any_text_may_be_a_question(text):
    table = read_table("staff")
    list_plans(read_question(text, table), table, PlanRunner(table))


@pytest.mark.parametrize(
    "records",
    [[], [{}], [{"a": None}], [{"a": ""}, {"a": ""}], [{"": "x"}], [{"a": "1"}, {"b": "2"}]],
)
def test_any_table_may_be_asked(records):
    table = typed_table(records)
    list_plans(read_question("how many a are there in 2?", table), table, PlanRunner(table))


PARCELS = [
    {"parcel": "Alpha", "weight": "4 kg", "sent": "2026-03-02", "fragile": "yes", "city": "Oslo"},
    {"parcel": "Beta", "weight": "9 kg", "sent": "2026-03-07", "fragile": "no", "city": "Lima"},
    {"parcel": "Gamma", "weight": "12 kg", "sent": "2026-04-07", "fragile": "no", "city": "Oslo"},
    {"parcel": "Delta", "weight": "25 kg", "sent": "2026-05-01", "fragile": "yes", "city": "Lima"},
]


@pytest.mark.parametrize(
    ("asked", "plan", "values"),
    [
        ("between 5 and 12 kg", Count(Both((Where(1, ">=", 5e3), Where(1, "<=", 12e3)))), ["2"]),
        ("heavier than 10", Cells(Where(1, ">", 10e3), 0), ["Gamma", "Delta"]),
        ("the 2 heaviest", Cells(Top(All(), 1, True, 2), 0), ["Gamma", "Delta"]),
        ("die drei leichtesten", Cells(Top(All(), 1, False, 3), 0), ["Alpha", "Beta", "Gamma"]),
        ("sent on the 7th", Cells(Where(2, "=", Day(0, 0, 7)), 0), ["Beta", "Gamma"]),
        ("sent in may", Cells(Where(2, "=", Day(0, 5)), 0), ["Delta"]),
        ("is beta not in lima", Exists(Both((Where(0, "is", "beta"), Where(4, "not", "lima")))),
         ["no"]),
        ("is alpha in lima", Exists(Both((Where(0, "is", "alpha"), Where(4, "is", "lima")))),
         ["no"]),
        ("how many over 100 kg", Count(Where(1, ">", 100e3)), ["0"]),
        ("gamma in oslo in april", Exists(Both((Where(2, "=", Day(0, 4)), Where(0, "is", "gamma"),
         Where(4, "is", "oslo")))), ["yes"]),
        ("which city has most on average", Group(All(), 4, 1, "average"), ["Lima"]),
    ],
)  # fmt: skip
def test_plans_that_people_mean(asked, plan, values):
    table = typed_table(PARCELS)
    found = list_plans(read_question(asked, table), table, PlanRunner(table))
    answers = {_sorted(one.plan): list(one.answer.values) for one in found}
    assert answers.get(_sorted(plan)) == values


def _sorted(plan):
    """Put the conditions of a plan in one order."""
    rows = plan.rows if hasattr(plan, "rows") else None
    if not isinstance(rows, Both):
        return plan
    return replace(plan, rows=Both(tuple(sorted(rows.conditions, key=repr))))


def test_numbers_that_all_differ_name_no_record():
    log = [{"day": f"2026-03-0{n}", "branch": "Harbour", "sold": str(10 * n)} for n in (1, 2, 3)]
    assert typed_table(log).key in (None, 0)


def test_an_answer_may_be_long_where_words_say_which():
    records = [{"name": f"Customer {n}", "city": ("Oslo", "Lima")[n % 2]} for n in range(200)]
    table = typed_table(records)
    found = list_plans(read_question("all in oslo", table), table, PlanRunner(table))
    wanted = Cells(Where(1, "is", "oslo"), 0)
    assert [len(one.answer.values) for one in found if one.plan == wanted] == [100]
    assert all(one.conditions or len(one.answer.values) <= 40 for one in found)


MATCHES = typed_table(
    [
        {"opponent": name, "venue": venue, "km": km, "dur_min": minutes, "goals": goals}
        for name, venue, km, minutes, goals in (
            ("Port Colne", "H", "3", "95", "0"),
            ("United Kilns", "A", "48", "55", "2"),
            ("Weston", "H", "7", "120", "1"),
            ("Ashby", "A", "12", "40", "0"),
            ("Ellerby", "H", "5", "61", "3"),
        )
    ]
)


@pytest.mark.parametrize(
    ("question", "plan"),
    [
        ("who did we play at home", Cells(Where(1, "is", "h"), 0)),
        ("where was the match against UK", Cells(Where(0, "is", "united kilns"), 1)),
        ("trips shorter than 8 km", Cells(Where(2, "<", 8.0), 0)),
        ("which went on for more than an hour", Cells(Where(3, ">", 60.0), 0)),
        ("how many took over 2 hours", Count(Where(3, ">", 120.0))),
        ("how often did we not score a single goal", Count(Where(4, "=", 0.0))),
        ("did we score against ashby", Exists(Both((Where(0, "is", "ashby"), Where(4, ">", 0.0))))),
        ("the second longest trip", Cells(Top(Top(All(), 2, True, 2), 2, False), 0)),
        ("the three longest distances", Cells(Top(All(), 2, True, 3), 2)),
    ],
)
def test_units_of_names_marks_initials_and_places_are_listed(question, plan):
    runner = PlanRunner(MATCHES)
    asked = read_question(question, MATCHES, frozenset(["the", "was", "did", "we", "who", "how"]))
    assert plan in [one.plan for one in list_plans(asked, MATCHES, runner)]


def test_thousands_may_be_written_with_points():
    table = typed_table([{"car": "Unimog", "km": "48000"}, {"car": "Vito", "km": "91000"}])
    asked = read_question("Welche haben unter 50.000 Kilometer?", table)
    found = [one.plan for one in list_plans(asked, table, PlanRunner(table))]
    assert Cells(Where(1, "<", 50000.0), 0) in found


def test_what_is_one_of_several_in_a_cell_is_not_the_whole_cell():
    dishes = (("Pesto", "gluten, nuts"), ("Baklava", "nuts"), ("Soup", "milk"))
    table = typed_table([{"dish": dish, "allergens": listed} for dish, listed in dishes])
    asked = read_question("does the pesto contain nuts", table, frozenset(["does", "the"]))
    found = {one.plan: one.answer.values for one in list_plans(asked, table, PlanRunner(table))}
    conditions = (Where(0, "is", "pesto"), Where(1, "has", "nuts"))
    answers = [found[plan] for plan in found
               if isinstance(plan, Exists) and isinstance(plan.rows, Both)
               and set(plan.rows.conditions) == set(conditions)]  # fmt: skip
    assert answers == [("yes",)]
    assert not any("'is', value='nuts'" in repr(plan) for plan in found)


def test_a_number_in_a_name_is_not_compared():
    records = [
        {"flat": "Tower 7", "rent": "900"}, {"flat": "Mill 12", "rent": "7"},
        {"flat": "Mill 3", "rent": "650"}, {"flat": "Quay 1", "rent": "1200"},
    ]  # fmt: skip
    table = typed_table(records, key="flat")
    named = read_question("what does tower 7 cost", table)
    also = read_question("does tower 7 cost more than 7", table)
    assert not named.numbers
    assert {one.number for one in also.numbers} == {7.0}


@pytest.fixture(scope="module")
def lands():
    """A wide table: yes and no as 1 and 0, gaps, and names in other languages."""
    return typed_table(
        [
            {
                "name.common": f"Land{n}",
                **{f"name.{lang}": f"Land{n}" for lang in ("deu", "fra", "ita")},
                "area": str(17 * n % 101),
                "landlocked": str(int(n % 2 == 0)),
                **{f"gap {g}": "x" if n % (g + 2) else "" for g in range(18)},
            }
            for n in range(100)
        ]
    )


def _listed(table, question):
    asked = read_question(question, table, frozenset(["is", "which", "or", "are"]))
    return list_plans(asked, table, PlanRunner(table))


def test_two_records_of_a_wide_table_are_compared_but_none_with_itself(lands):
    found = {
        one.plan: one.answer.values for one in _listed(lands, "which is bigger, Land3 or Land4")
    }
    either = Either((Where(0, "is", "land3"), Where(0, "is", "land4")))
    assert found[Cells(Top(either, 4, True), 0)] == ("Land4",)
    alone = _listed(lands, "is Land3 landlocked")
    assert not any(isinstance(one.plan, Compared) for one in alone)


def test_zero_and_one_mean_no_and_yes_where_they_fill_a_long_column(lands):
    column = lands.columns[5]
    assert (column.kind, column.label, lands.columns[0].label) == (
        "flag",
        "landlocked",
        "name common",
    )
    assert (column.texts[:2], column.cell(0), column.cell(1)) == (("yes", "no"), "1", "0")
    assert column.numbers.sum() == 50
    found = {one.plan: one.answer.values for one in _listed(lands, "which are landlocked")}
    assert len(found[Cells(Where(5, "is", "yes"), 0)]) == 50
    assert typed_table([{"goals": str(n % 2)} for n in range(11)]).columns[0].kind == "number"
    assert typed_table([{"wins": "1"} for _ in range(100)]).columns[0].kind == "number"


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("rain on 2012/01/05", set()),
        ("rain on 5.1.2012 above 3", {3.0}),
        ("rain in 2012", {2012.0}),
    ],
)
def test_the_numbers_of_a_date_are_not_compared_alone(question, numbers):
    table = typed_table([{"day": "2012/01/05", "rain": "3"}, {"day": "2012/01/06", "rain": "0"}])
    assert {one.number for one in read_question(question, table).numbers} == numbers


def test_a_number_is_not_used_twice():
    table = typed_table([
        {"place": str(n), "since": str(year), "area": str(year * 10), "time": f"2:{30 + n}:00"}
        for n, year in enumerate((1955, 1960, 1961, 1979), 1)
    ])  # fmt: skip

    def held(question):
        found = (candidate.conditions for candidate in _listed(table, question))
        return {frozenset((one.where.column, one.where.operator) for one in part) for part in found}

    assert {(1, ">")} in held("which since after 1960")
    assert {(1, "is"), (2, ">")} not in held("which since after 1960")
    assert not any((0, "is") in part for part in held("who took less than 2:40"))


def test_what_is_not_meant_may_be_left_out_of_a_list():
    lands = typed_table([
        {"land": "Cyprus", "continent": "Asia", "money": "Euro"},
        {"land": "Malta", "continent": "Europe", "money": "Euro"},
        {"land": "Poland", "continent": "Europe", "money": "Zloty"},
    ])  # fmt: skip
    found = _listed(lands, "which lands have the euro but are not in Europe")
    values = [one.answer.values for one in found if isinstance(one.plan, Cells)]
    assert ("Cyprus",) in values
