"""The plans that a question may mean are listed, with those that people did mean among them."""

import csv

import pytest
from project_paths import ROOT
from stillroom.understanding.plans.list_plans import list_plans, read_question
from stillroom.understanding.plans.run_plan import PlanRunner
from stillroom.understanding.table.same_value import same_value
from stillroom.understanding.table.typed_table import typed_table

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
