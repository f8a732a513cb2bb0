"""A database is asked with the student that comes with the package, without an encoder."""

import json
import sqlite3

import pytest
from project_paths import ROOT
from stillroom.cli import main
from stillroom.data.readers.database_tables import read_database
from stillroom.understanding.answers.ask_database import DatabaseAsker

PACKAGE = ROOT / "benchmarks" / "questions" / "tables" / "bike_repairs"
TABLES = read_database(PACKAGE)


@pytest.fixture(scope="module")
def asker():
    return DatabaseAsker(TABLES)


@pytest.mark.parametrize(
    ("question", "answer", "tables"),
    [
        ("which brand has the most bikes", {"Kestrin"}, {"brands"}),
        ("how many Velmora bikes are there", {"1"}, {"brands"}),
        ("in which workshop does Piet Hermans work?", {"Old Mill"}, {"workshops"}),
        ("how many parts are there in the category brakes", {"3"}, {"categories"}),
        ("how many brands are there", {"6"}, {"brands"}),
    ],
)
def test_plain_questions(asker, question, answer, tables):
    told = asker.ask(question, always=True)
    assert set(told.answer) == answer
    assert {cell.table for cell in told.cells} == tables


QUESTIONS = [
    "who repaired the Moor", "price of the Fjord?", "average cost of repairs of the Loire", "",
    "which part is dearest", "who is the boss of Lotte Brandt", "phone of the owner of Vento", "?",
    "how many mechanics in Utrecht", "x" * 3000, "select * from bikes",
]  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_rests_on_cells_that_exist(asker, question):
    told = asker.ask(question, always=True)
    records = {table.name: table.records for table in TABLES}
    for cell in told.cells:
        assert (records[cell.table][cell.row - 1][cell.column] or "") == cell.text
    for plan, table in zip(told.plans, told.tables, strict=True):
        assert table.allows(plan)
        assert len(table.paths) <= 2


def test_what_is_not_there_is_not_answered(asker):
    assert asker.ask("who invented the wheel").verdict != "answered"
    assert asker.ask("who invented the wheel").answer == ()


def test_a_second_question_leans_on_the_first(asker):
    first = asker.ask("in which workshop does Piet Hermans work?", always=True)
    second = asker.ask("and Anouk Visser?", first.context, always=True)
    assert second.asked == "in which workshop does anouk visser work"
    assert second.answer == ("Old Mill",)


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE brand (brand_id INTEGER PRIMARY KEY, name TEXT);"
        "INSERT INTO brand VALUES (1, 'Velmora'), (2, 'Kestrin');"
        "CREATE TABLE bike (bike_id INTEGER PRIMARY KEY, model TEXT, price INTEGER,"
        " brand_id INTEGER REFERENCES brand (brand_id));"
        "INSERT INTO bike VALUES (1, 'Moor', 900, 1), (2, 'Fjord', 700, 2), (3, 'Loire', 800, 2);"
    )
    connection.close()
    return path


def test_the_command_asks_and_verifies(shop, capsys):
    asked = ["ask", str(shop), "which brand has the most bikes", "--always", "--json"]
    assert main([*asked, "--explain", "--verify"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] == told["duckdb"] == ["Kestrin"]
    assert told["tables"] == ["bike", "brand"]
    assert told["joins"] == ["bike.brand_id = brand.brand_id"]
    assert told["cells"] == [{"row": 2, "column": "name", "text": "Kestrin", "table": "brand"}]
    text = shop.with_name("shop.verified.yaml").read_text("utf-8")
    assert "table: bike" in text
    assert "brand.name" in text
    assert main(["ask", str(shop), "Which BRAND has the most bikes?", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["answer"], again["confidence"]) == (["Kestrin"], 1.0)


def test_one_table_of_a_database_is_asked_alone(shop, capsys):
    asked = ["ask", str(shop), "how many", "--table", "brand", "--always", "--json"]
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == ["2"]


def test_a_verified_question_whose_table_is_gone_is_named(shop, capsys):
    shop.with_name("shop.verified.yaml").write_text(
        "- question: how many wheels\n  table: wheel\n  plan: {count: {rows: all}}\n", "utf-8"
    )
    assert main(["ask", str(shop), "How many wheels?", "--json"]) == 0
    told = capsys.readouterr()
    assert "'wheel'" in told.err
    assert json.loads(told.out)["verdict"] == "abstained"
