"""The example with citations, abstentions and SQL; a tiny student stands for the trained one."""

import runpy
import sys
from pathlib import Path

import pytest
from project_paths import ROOT
from stillroom.tables import Column, FactTable, TableRow

sys.path.insert(0, str(Path(__file__).parents[2] / "inference"))
from tiny_model import make_trained


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    checkpoint = make_trained()
    checkpoint.model.save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)
    column = Column("symbol", "symbol", ("What is the symbol of {key}?",))
    rows = (TableRow(79, "gold", {"symbol": "Au"}), TableRow(47, "silver", {"symbol": "Ag"}))
    FactTable("elements.csv", "facts", "element", (column,), rows).write(folder)
    return folder


def run_example(monkeypatch, capsys, *arguments):
    program = ROOT / "examples" / "grounded_answers.py"
    monkeypatch.setattr(sys, "argv", [str(program), *map(str, arguments)])
    runpy.run_path(str(program), run_name="__main__")
    return capsys.readouterr().out


def test_the_example_answers_cites_abstains_and_calls_sql(student, monkeypatch, capsys):
    out = run_example(monkeypatch, capsys, student)
    assert "student  Au  (agrees)" in out
    assert "elements.csv, row 79, symbol: Au" in out
    assert "What is the symbol of goldd?" in out
    assert out.count("(abstained)") == 2
    assert "'rows': [['Ag', 1], ['Au', 1]]" in out
    assert "it holds DROP; give one SELECT'}" in out


def test_questions_of_ones_own_are_asked(student, monkeypatch, capsys):
    out = run_example(monkeypatch, capsys, student, "What is the symbol of silver?")
    assert "elements.csv, row 47, symbol: Ag" in out
    assert "gold" not in out.partition("query_table")[0]


def test_without_a_student_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="run `make demo` first"):
        run_example(monkeypatch, capsys, tmp_path / "nothing")
