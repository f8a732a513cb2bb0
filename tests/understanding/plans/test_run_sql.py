"""DuckDB is the oracle of the runner in memory: both give one answer for every plan and table."""

import math
import random
from typing import get_args

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_plans import plans_of
from stillroom.understanding.plans import run_plan
from stillroom.understanding.plans.language import All, Cells, Count, Difference, Group, Plan, Where
from stillroom.understanding.plans.run_plan import PlanRunner
from stillroom.understanding.plans.run_sql import _LOCKED, run_sql
from stillroom.understanding.practice.made_questions import QuestionMaker
from stillroom.understanding.practice.made_tables import make_table
from stillroom.understanding.table.typed_table import typed_table
from stillroom.understanding.table.values import Day, days, fold, quantities

CELLS = st.sampled_from([
    "", "", "a", "A", "b c", "c, b", "Á b", "0", "1", "2.5", "-3 km", "900 m", "1e5", "12%", "yes",
    "no", "2023", "2023-05-07", "May 1999", "7 May", "31.12.2023", "x\0y", "o'b", "\ud800",
])  # fmt: skip
NAMES = st.sampled_from(["a", "A", "row", "worth", "named", "t", "text", 'x"y', "a b", "\0", ""])


def assert_same(table, plan):
    duck, sql = run_sql(plan, table)
    for few in (run_plan.FEW, 0):  # cells one by one, and all at once
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_plan, "FEW", few)
            assert_equal(PlanRunner(table).run(plan), duck, sql)


def assert_equal(memory, duck, sql):
    if memory is None or duck is None:
        assert memory is duck, sql
        return
    assert (memory.rows, memory.column) == (duck.rows, duck.column), sql
    assert (memory.number is None) == (duck.number is None), sql
    if memory.number is None:
        shown = tuple(text.encode("utf-8", "replace").decode() for text in memory.values)
        assert shown == duck.values, sql
    else:
        assert math.isclose(memory.number, duck.number, rel_tol=1e-9, abs_tol=1e-9), sql
        assert math.isclose(float(memory.values[0]), float(duck.values[0]), rel_tol=1e-5), sql


@st.composite
def tables_and_plans(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    rows = draw(st.lists(st.tuples(*[CELLS] * len(names)), min_size=1, max_size=8))
    table = typed_table([dict(zip(names, row, strict=True)) for row in rows], name='a"t.csv')
    held = [cell for row in rows for cell in row]
    texts = st.sampled_from([fold(cell) for cell in held])
    numbers = st.sampled_from([q.number for c in held for q in quantities(c)] or [1.0])
    there = st.sampled_from([d for c in held for d, _, _ in days(c)] or [Day(2023)])
    return table, draw(plans_of(len(names), texts, numbers, there))


@settings(max_examples=150, deadline=None)
@given(tables_and_plans())
def test_any_plan_over_any_table(made):
    assert_same(*made)


@pytest.mark.parametrize("seed", range(30))
def test_the_plans_of_questions_over_made_tables(seed):
    rng = random.Random(seed)
    made = make_table(rng)
    table = typed_table(made.records, key=made.key, name="made")
    for asked in QuestionMaker(made, table, rng).ask(12):
        assert_same(table, asked.plan)


def test_every_plan_is_drawn():
    forms = {form.__name__ for form in get_args(Plan)}
    seen = set()

    @settings(max_examples=600, database=None, derandomize=True)
    @given(plans_of(3))
    def draw(plan):
        seen.add(type(plan).__name__)

    draw()
    assert seen == forms


def test_totals_that_differ_by_rounding_are_tied():
    rows = [("a", "0.1"), ("a", "0.2"), ("b", "0.3"), ("c", "0.1")]
    table = typed_table([dict(zip(("by", "n"), row, strict=True)) for row in rows])
    plan = Group(All(), 0, 1, "sum")
    assert PlanRunner(table).run(plan).values == ("a", "b")
    assert_same(table, plan)


def test_a_value_cannot_leave_its_literal():
    table = typed_table([{"name": "x"}, {"name": "' or 1=1 --"}], name='m"; drop table x; --')
    evil = fold("' or 1=1 --")
    for plan in (Count(Where(0, "is", evil)), Cells(Where(0, "not", evil), 0)):
        assert_same(table, plan)
    assert run_sql(Count(Where(0, "is", evil)), table)[0].values == ("1",)


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM read_csv('/etc/hostname')", "COPY (SELECT 1) TO 'x.csv'", "INSTALL httpfs",
     "LOAD httpfs", "ATTACH 'x.db'", "SELECT * FROM evil"],
)  # fmt: skip
def test_duckdb_reaches_nothing_else(statement):
    evil = typed_table([{"a": "1"}])  # noqa: F841 - a variable that DuckDB could read
    with duckdb.connect(":memory:", config=_LOCKED) as connection:
        connection.execute("SET lock_configuration = true")
        with pytest.raises(duckdb.Error):
            connection.execute(statement)


def test_a_difference_of_what_is_not_there_has_no_answer():
    table = typed_table([{"a": "x", "n": "1"}, {"a": "y", "n": ""}])
    plan = Difference(Where(0, "is", "x"), Where(0, "is", "y"), 1)
    assert run_sql(plan, table)[0] is None
    assert_same(table, plan)


def test_what_is_kept_is_dropped_before_it_takes_too_much():
    table = typed_table([{"n": str(n), "m": str(n % 7)} for n in range(100)])
    small, large = PlanRunner(table, most_bytes=2000), PlanRunner(table)
    for n in range(100):
        plan = Count(Where(0, ">", float(n)))
        assert small.run(plan) == large.run(plan)
    assert sum(rows.nbytes for rows in small._found.values()) <= 2000


@settings(max_examples=100, deadline=None)
@given(tables_and_plans(), st.integers(1, 3), st.sampled_from([0, 32]))
def test_answers_with_too_many_values_are_left_out(made, longest, few):
    table, plan = made
    runner, whole = PlanRunner(table), PlanRunner(table).run(plan)
    runner.longest = longest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_plan, "FEW", few)
        found = runner.run(plan)
    kept = whole if whole is not None and len(whole.values) <= longest else None
    if found is None or len(found.values) <= longest:
        assert found == kept
    else:
        assert found == whole
