"""Answers as CSV: one line a cell, formulas neutralised, numbers left as they are."""

import csv
import io

import pytest
from stillroom.agentic_workflow.conversations.answers_csv import answers_csv
from stillroom.agentic_workflow.conversations.transcript import ChatTurn
from stillroom.agentic_workflow.feedback.spreadsheet_text import without_formula


def turn(question, response, cells=(), confidence=0.97):
    cited = [{"table": "t.csv", "row": row, "key": "k", "column": name, "value": value}
             for row, name, value in cells]  # fmt: skip
    final = {"response": response, "verdict": "agrees", "confidence": confidence,
             "answered_by": "student", "citations": cited}  # fmt: skip
    return ChatTurn("run-1", "multi", question, final, "2026-01-01T00:00:00+00:00")


def test_each_cited_cell_has_a_line_and_each_answer_at_least_one():
    text = answers_csv([
        turn("symbol of gold?", "Au", [(79, "name", "Gold"), (79, "symbol", "Au")]),
        turn("capital of France?", "I don't know", confidence=None),
    ])  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(r["question"], r["answer"], r["row"], r["column"], r["cell"]) for r in rows] == [
        ("symbol of gold?", "Au", "79", "name", "Gold"),
        ("symbol of gold?", "Au", "79", "symbol", "Au"),
        ("capital of France?", "I don't know", "", "", ""),
    ]
    assert [r["confidence"] for r in rows] == ["0.9700", "0.9700", ""]
    assert {r["run_id"] for r in rows} == {"run-1"}


@pytest.mark.parametrize(
    "formula",
    ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "|cmd", "%0A=1", "＝1",
     "=HYPERLINK(\"http://evil.example\",\"x\")", "=cmd|' /C calc'!A0", "-2+3+cmd|'/C calc'!A0"],
)  # fmt: skip
def test_no_field_starts_a_formula(formula):
    text = answers_csv([turn(formula, formula, [(1, formula, formula)])])
    (row,) = csv.DictReader(io.StringIO(text))
    for name in ("question", "answer", "column", "cell"):
        assert row[name] == f"'{formula}"


@pytest.mark.parametrize("number", ["-5", "+5", "-1.5e-3", "1,000", "-1,000.5", "gold", ""])
def test_numbers_and_plain_texts_stay(number):
    assert without_formula(number) == number
