"""A question that names a column of yes and no asks for its yes, unless it denies something."""

import pytest
from stillroom.understanding.answers.ask_table import TableAsker
from stillroom.understanding.plans.language import Cells, Where
from stillroom.understanding.plans.list_plans import list_plans, read_question
from stillroom.understanding.plans.run_plan import PlanRunner
from stillroom.understanding.ranker.polarity import WEIGHTS, polarity
from stillroom.understanding.table.typed_table import typed_table

SITES = typed_table([
    {"site": "Birchwater", "region": "North", "dogs": "ja", "power hook-up": "yes"},
    {"site": "Lakeview", "region": "North", "dogs": "nein", "power hook-up": "no"},
    {"site": "Otter Creek", "region": "South", "dogs": "ja", "power hook-up": "no"},
])  # fmt: skip


@pytest.mark.parametrize(
    ("question", "value", "worth"),
    [
        ("which sites take dogs", "ja", 0.0),
        ("which sites take dogs", "nein", WEIGHTS.named_no),
        ("which sites are for animals", "nein", WEIGHTS.other_no),
        ("which sites do not take dogs", "nein", 0.0),
        ("which sites don't take dogs", "ja", WEIGHTS.denied_yes),
        ("sites without dogs", "nein", 0.0),
        ("Plätze ohne dogs", "ja", WEIGHTS.denied_yes),
    ],
)
def test_what_is_asked_of_a_column_of_yes_and_no(question, value, worth):
    asked = read_question(question, SITES)
    candidates = list_plans(asked, SITES, PlanRunner(SITES))
    found = polarity(asked, SITES, candidates, {"which", "do", "not", "are", "for"})
    plans = [one.plan for one in candidates]
    assert found[plans.index(Cells(Where(2, "is", value), 0))] == pytest.approx(worth)
    assert found[plans.index(Cells(Where(2, "is", value), 1))] == pytest.approx(worth)
    assert found[-1] == 0.0
    assert len(found) == len(candidates) + 1


def test_a_table_without_such_a_column_is_asked_as_before():
    table = typed_table([{"dish": "soup", "price": "5"}, {"dish": "salad", "price": "7"}])
    asked = read_question("is soup not cheap", table)
    candidates = list_plans(asked, table, PlanRunner(table))
    assert not polarity(asked, table, candidates, ()).any()


def test_no_is_less_likely_than_yes():
    readings = TableAsker(SITES).read("which sites have dogs").readings
    chance = {one.candidate.answer.values: one.probability for one in readings if one.candidate}
    assert chance["Birchwater", "Otter Creek"] > chance["Lakeview",]
