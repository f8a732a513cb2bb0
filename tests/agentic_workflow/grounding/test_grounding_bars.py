"""The bars of grounding, on the bundled table, with a student that is often wrong.

The full figures, with trained students and on more tables: `benchmarks/grounding.py`.
"""

import sys

import pytest
from project_paths import ROOT
from stillroom.agentic_workflow.grounding.grounded_answer import Grounding, open_grounding

KINDS = {"other entity", "misspelt key", "other column", "empty cell", "other table", "mixed"}


@pytest.fixture(scope="module")
def bench():
    """Import the benchmark as it imports its own parts."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import grounding
        import grounding_tables

        yield grounding, grounding_tables
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def elements(bench):
    grounding, tables = bench
    table = tables.make_table("elements")
    foreign = [("Peru", "capital"), ("Kind of Blue", "artist"), ("Gold", "composer")]
    cases = grounding.make_cases(table, 60, 7, other_labels=["boiling point"], foreign=foreign)
    return table, cases, tables.simulated(table, 7)


def measured(bench, elements, way):
    table, cases, model = elements
    return bench[0].measure(cases, table, bench[0].validated(model, table, way))


def verdicts(bench, elements, tally):
    grounding = bench[0]
    return grounding.judge(grounding.Measured("elements", "", elements[0], {"grounded": tally}))


def test_the_bars_hold_with_grounding(bench, elements):
    tally = measured(bench, elements, open_grounding(elements[0]))
    assert set(tally.refused) == KINDS
    assert min(tally.accepted, tally.numbers, tally.cited) > 30
    lines = verdicts(bench, elements, tally)
    assert [line for line in lines if not line.startswith("holds")] == []
    assert len(lines) == 5


def test_they_are_missed_by_one_that_refuses_everything(bench, elements):
    class Silent(Grounding):
        def refuse(self, requested):
            return "I don't know."

    tally = measured(bench, elements, Silent(open_grounding(elements[0]).reader))
    missed = [line for line in verdicts(bench, elements, tally) if line.startswith("missed")]
    assert any("where there is one" in line for line in missed)
