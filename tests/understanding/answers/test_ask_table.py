"""A bare table is asked with the student that comes with the package, without an encoder."""

import csv
import json

import pytest
from project_paths import ROOT
from stillroom.cli import main
from stillroom.understanding.answers.ask_table import TableAsker, is_literal
from stillroom.understanding.table.typed_table import typed_table

MENU = [
    {"dish": "Tomato soup", "price": "€ 6.50", "course": "starter", "vegan": "yes"},
    {"dish": "Caesar salad", "price": "€ 9.80", "course": "starter", "vegan": "no"},
    {"dish": "Margherita pizza", "price": "€ 10.50", "course": "main", "vegan": "no"},
    {"dish": "Green curry", "price": "€ 16.50", "course": "main", "vegan": "yes"},
    {"dish": "Mango sorbet", "price": "€ 5.50", "course": "dessert", "vegan": "yes"},
]


@pytest.fixture(scope="module")
def asker():
    return TableAsker(typed_table(MENU, name="menu"))


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what is the price of green curry?", ["€ 16.50"]),
        ("which dish has the highest price", ["Green curry"]),
        ("how many dishes are there with course main", ["2"]),
        ("what is the average price", ["9.76"]),
    ],
)
def test_plain_questions(asker, question, answer):
    told = asker.ask(question, always=True)
    assert (told.verdict, list(told.answer)) == ("answered", answer)
    assert 0.0 < told.confidence <= 1.0


def test_an_answer_rests_on_cells_that_exist(asker):
    told = asker.ask("what is the price of the caesar salad", always=True)
    assert [(one.row, one.column, one.text) for one in told.cells] == [(2, "price", "€ 9.80")]
    assert "price" in told.plan


def test_what_is_not_in_the_table_is_not_answered(asker):
    for question in ("who invented the wheel", "what is the phone number of the moon", "?"):
        told = asker.ask(question)
        assert told.verdict != "answered"
        assert not told.answer
        assert not told.cells


def test_a_second_question_leans_on_the_first(asker):
    first = asker.ask("what is the price of green curry", always=True)
    second = asker.ask("and tomato soup?", first.context, always=True)
    third = asker.ask("and its course?", second.context, always=True)
    assert list(second.answer) == ["€ 6.50"]
    assert list(third.answer) == ["starter"]


def test_the_name_of_the_same_column_is_replaced(asker):
    first = asker.ask("how many vegan dishes have the course main", always=True)
    second = asker.ask("and dessert?", first.context, always=True)
    assert second.asked == "how many vegan dishes have the course dessert"


@pytest.mark.parametrize(
    "text", ["", " ", "a" * 5000, "'; drop table x; --", "\x00\u202e{k}", "🦆" * 50]
)
def test_any_text_ends_in_a_verdict(asker, text):
    assert asker.ask(text).verdict in ("answered", "ask_back", "abstained")


def test_a_question_that_stands_alone_is_not_completed(asker):
    first = asker.ask("what is the price of green curry", always=True)
    second = asker.ask("how many dishes are there with course main", first.context, always=True)
    assert list(second.answer) == ["2"]


def test_no_name_is_made_up(asker):
    values = {value for row in MENU for value in row.values()}
    for row in MENU:
        for question in ("what {} {}", "{} {}?", "which {} is not {}"):
            told = asker.ask(question.format("price", row["dish"]), always=True)
            assert {one.text for one in told.cells} <= values


@pytest.fixture
def menu(tmp_path):
    path = tmp_path / "menu.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(MENU[0]))
        writer.writeheader()
        writer.writerows(MENU)
    return path


def test_the_command_writes_json(menu, capsys):
    assert main(["ask", str(menu), "what is the price of green curry?", "--json", "--always"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["answer"], told["verdict"]) == (["€ 16.50"], "answered")
    assert told["cells"] == [{"row": 4, "column": "price", "text": "€ 16.50"}]


@pytest.mark.parametrize(
    ("question", "literal"),
    [
        ("what is the price of green curry?", True),
        ("Green Curry price", True),
        ("what is the price of the curry", False),
        ("what is the price of gren curry", False),
        ("what is the delivery price of green curry?", False),
        ("who set the price of green curry?", False),
        ("how many have the price of green curry?", False),
    ],
)
def test_a_question_is_literal_that_names_a_column_and_a_record_alone(asker, question, literal):
    read = asker.read(question)
    first = next(one for one in read.readings if one.candidate is not None)
    assert is_literal(first, read, asker.common - {"who"}) is literal


def test_a_note_is_no_line_of_json(tmp_path, capsys):
    table = tmp_path / "prices.csv"
    table.write_text("dish,price,chef\nsoup,6.50,NA\nbread,2.00,Ann\n", "utf-8")
    assert main(["ask", str(table), "what is the price of soup?", "--json", "--always"]) == 0
    printed = capsys.readouterr()
    assert "became null" in printed.err
    assert json.loads(printed.out)["answer"] == ["6.50"]
    assert main(["ask", str(table), "what is the price of soup?", "--always"]) == 0
    assert "became null" in capsys.readouterr().out


def test_the_command_answers_a_file_of_questions(menu, tmp_path, capsys):
    asked = tmp_path / "asked.csv"
    asked.write_text("n,question,thread\n1,price of tomato soup,a\n2,and green curry?,a\n", "utf-8")
    assert main(["ask", str(menu), "--questions", str(asked), "--json", "--always"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["answer"] for line in lines] == [["€ 6.50"], ["€ 16.50"]]
    assert [line["n"] for line in lines] == ["1", "2"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ([], "question"), (["what?", "--questions", "x.csv"], "one of the two"),
        (["--questions", "missing.csv"], "missing.csv"), (["what?", "--key", "nothing"], "--key"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(menu, options, word, capsys):
    assert main(["ask", str(menu), *options]) in (1, 2)
    assert word in capsys.readouterr().err


def test_a_missing_table_is_refused(capsys):
    assert main(["ask", "no-such-table.csv", "what?"]) != 0
    assert "no-such-table.csv" in capsys.readouterr().err


def test_the_student_is_small():
    folder = ROOT / "src" / "understanding" / "general_student"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2_000_000


def test_the_command_explains_with_sql_that_gives_the_answer(menu, capsys):
    asked = ["ask", str(menu), "which dish has the highest price", "--always", "--explain"]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert '"price"."number" = max(' in printed
    assert "duckdb     Green curry" in printed
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["duckdb"] == told["answer"] == told["readings"][0]["answer"] == ["Green curry"]


@pytest.mark.parametrize(
    "question",
    ["is it true that the price of mango sorbet is 5.50", "who cooked the tomato soup", "?"],
)
def test_a_question_with_a_record_of_its_own_is_not_completed(asker, question):
    first = asker.ask("what is the price of green curry", always=True)
    alone, after = asker.ask(question), asker.ask(question, first.context)
    assert (after.answer, after.plan, after.asked) == (alone.answer, alone.plan, alone.asked)
