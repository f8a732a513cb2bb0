"""An accepted answer that one reading of its question gives becomes a verified question."""

from dataclasses import replace

from stillroom.agentic_workflow.feedback.claims import Claim, Judged
from stillroom.agentic_workflow.reading.table_reader import TableReader
from stillroom.pipeline.renewal.frozen_test import FrozenTest
from stillroom.pipeline.renewal.verified_answers import find_plans, verify
from stillroom.tables import Column, FactTable, TableRow

ROWS = [("Tomato soup", "6.50", "310"), ("Green curry", "16.50", "640"),
        ("Mango sorbet", "5.50", "180")]  # fmt: skip
TABLE = FactTable(
    "menu.csv", "facts", "dish",
    tuple(Column(name, name, (f"What is the {name} of {{key}}?",)) for name in ("price", "energy")),
    tuple(TableRow(n, name, {"price": price, "energy": energy})
          for n, (name, price, energy) in enumerate(ROWS, 1)),
)  # fmt: skip
EMPTY = FrozenTest.of([], [])


def accepted(question, answer, status="accepted"):
    claim = Claim(question, question, answer, ("a", "b", "c"))
    return Judged(claim, status, "3 people say so independently", answer)


def test_a_question_that_was_not_understood_is_answered_by_its_plan(tmp_path):
    student = tmp_path / "student"
    TABLE.write(student)
    question = "What do I pay for Green curry?"
    reader = TableReader(TABLE, folder=student, encoder=None)
    assert reader.read(question).verdict != "answered"
    said = [
        accepted(question, "16.50"),
        accepted("What do I pay for Tomato soup?", "99"),
        accepted("What do I pay for Mango sorbet?", "5.50", status="waits"),
        accepted("What is the price of Tomato soup?", "6.50"),
    ]
    found = find_plans(said, reader, EMPTY)
    assert [asked for asked, _ in found] == [question]
    assert verify(student, found, reader) == [question]
    assert verify(student, found, reader) == []
    again = TableReader(TABLE, folder=student, encoder=None).read(question)
    assert (again.verdict, again.answer) == ("answered", ("16.50",))


def test_questions_of_the_test_are_not_verified():
    question = "What do I pay for Green curry?"
    key = "what do i pay for green curry"
    frozen = replace(EMPTY, questions=frozenset({key}))
    assert frozen.has_question(question)
    reader = TableReader(TABLE, encoder=None)
    assert find_plans([accepted(question, "16.50")], reader, frozen) == []
