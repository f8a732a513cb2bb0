"""Verified questions: what a person approved is always answered so, and every fault is named."""

import json

import pytest
from hypothesis import given
from made_plans import plans_of
from stillroom.cli import main
from stillroom.errors import DataError
from stillroom.understanding.answers.ask_table import TableAsker
from stillroom.understanding.plans.as_data import plan_from_data, plan_to_data
from stillroom.understanding.plans.language import All, Cells, Count, Top
from stillroom.understanding.table.typed_table import typed_table
from stillroom.understanding.verified.verified_questions import (
    add_verified,
    question_key,
    read_verified,
    verified_place,
)

ROWS = [
    {"dish": "Tomato soup", "price": "6.50", "no": "1"},
    {"dish": "Caesar salad", "price": "9.80", "no": "2"},
    {"dish": "Green curry", "price": "16.50", "no": "3"},
]
TABLE = typed_table(ROWS, name="menu")
CHEAPEST = Cells(Top(All(), 1, False), 0)


@given(plans_of(3))
def test_a_plan_is_read_as_it_was_written(plan):
    data = json.loads(json.dumps(plan_to_data(plan, TABLE)))
    assert plan_from_data(data, TABLE) == plan


@given(plan=plans_of(3))
def test_a_plan_survives_its_file(plan, tmp_path_factory):
    path = tmp_path_factory.mktemp("verified") / "verified.yaml"
    assert add_verified(path, "What is that?", plan, TABLE)
    assert not add_verified(path, "what IS that", plan, TABLE)
    found = read_verified(path, {"menu": TABLE})
    assert found.plans == {"what is that": ("menu", plan)}
    assert not found.faults()


def test_what_a_file_holds_stays_when_a_question_is_added(tmp_path):
    path = tmp_path / "verified.yaml"
    path.write_text("# ours\n- question: how many?\n  plan: {count: {rows: all}}", "utf-8")
    add_verified(path, "Which is cheapest?", CHEAPEST, TABLE)
    text = path.read_text("utf-8")
    assert text.startswith(
        "# ours\n- question: how many?\n  plan: {count: {rows: all}}\n- question"
    )
    assert set(read_verified(path, {"menu": TABLE}).plans) == {"how many", "which is cheapest"}


def test_a_list_in_brackets_is_added_to(tmp_path):
    path = tmp_path / "verified.yaml"
    path.write_text('[{"question": "how many?", "plan": {"count": {"rows": "all"}}}]\n', "utf-8")
    add_verified(path, "Which is cheapest?", CHEAPEST, TABLE)
    assert set(read_verified(path, {"menu": TABLE}).plans) == {"how many", "which is cheapest"}


def test_a_question_has_one_plan(tmp_path):
    path = tmp_path / "verified.yaml"
    add_verified(path, "Which is cheapest?", CHEAPEST, TABLE)
    with pytest.raises(DataError, match="another plan"):
        add_verified(path, "which is CHEAPEST", Count(All()), TABLE)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("{cells: {rows: all, column: prize}}", "'prize'.*nearest known column is 'price'"),
        ("{cell: {rows: all, column: price}}", "no form 'cell'.*'cells'"),
        ("{cells: {rows: all}}", "lacks column"),
        ("{cells: {rows: all, column: price, more: 1}}", "no part 'more'"),
        ("{cells: {rows: some, column: price}}", "'some'.*one of all, where"),
        ("{count: {rows: {where: {column: dish, operator: like, value: x}}}}", "'like'.*is, not"),
        ("{count: {rows: {where: {column: dish, operator: is}}}}", "lacks value, .*'is'"),
        ("{count: {rows: {where: {column: dish, operator: empty, value: x}}}}", "takes no value"),
        ("{count: {rows: {where: {column: price, operator: <, value: cheap}}}}", "write a number"),
        ("{count: {rows: {where: {column: price, operator: <, value: inf}}}}", "write a number"),
        ("{count: {rows: {where: {column: price, operator: <, value: {y: 1}}}}}", "year, month"),
        ("{count: {rows: {both: {conditions: []}}}}", "two or more"),
        ("{cells: {rows: {at: {rows: all, place: x}}, column: dish}}", "whole number"),
        ("{cells: {rows: {top: {rows: all, column: no, highest: x}}, column: no}}", "true or fa"),
        ("{count: {rows: " + 9 * "{at: {place: 0, rows: " + "all" + 9 * "}}" + "}}", "nested more"),
        ("count", "'count'; write one of cells"),
    ],
)
def test_a_fault_of_a_plan_is_named(plan, words, tmp_path):
    path = tmp_path / "verified.yaml"
    path.write_text(f"- question: how much?\n  plan: {plan}\n", "utf-8")
    found = read_verified(path, {"menu": TABLE})
    assert not found.plans
    assert len(found.faults()) == 1
    with pytest.raises(DataError, match=words):
        raise DataError(found.faults()[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question: x", "is not a list"), ("- 5", "entry 1 is not a mapping"),
        ("- [", "is not YAML"), ("- &a {question: x, plan: *a}", "is not YAML"),
        ("- {question: x}", "entry 1 lacks plan"), ("- {plan: x}", "entry 1 lacks question"),
        ("- {question: '?', plan: x}", "entry 1 has the question"),
        ("- {question: a, plan: x, answer: 3}", "part 'answer'"),
        ("- {question: a, plan: x}\n- {question: A!, plan: x}", "entry 2 repeats .* entry 1"),
        ("- {question: [a], plan: x}", "entry 1 has the question"),
    ],
)  # fmt: skip
def test_a_fault_of_the_file_is_named(text, words, tmp_path):
    path = tmp_path / "verified.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=words) as told:
        read_verified(path, {"menu": TABLE})
    assert "verified.yaml" in str(told.value)


def test_a_verified_question_is_always_answered_by_its_plan(tmp_path):
    path = tmp_path / "verified.yaml"
    add_verified(path, "What should I have tonight?", CHEAPEST, TABLE)
    asker = TableAsker(TABLE, verified=read_verified(path, {"menu": TABLE}))
    bare = TableAsker(TABLE)
    for text in ("What should I have tonight?", "what should i have TONIGHT", "¿What… should I have tonight"):  # noqa: E501  # fmt: skip
        assert bare.ask(text).answer != ("Tomato soup",)
        told = asker.ask(text)
        assert (told.answer, told.verdict, told.confidence) == (("Tomato soup",), "answered", 1.0)
        assert told.verified
        assert [(one.row, one.column) for one in told.cells] == [(1, "dish")]
    first = asker.ask("what is the price of green curry", always=True)
    assert asker.ask("what should I have tonight", first.context).answer == ("Tomato soup",)


def test_a_plan_whose_column_is_gone_is_not_guessed_at(tmp_path):
    path = tmp_path / "verified.yaml"
    add_verified(path, "which is the cheapest dish", CHEAPEST, TABLE)
    table = typed_table([{"dish": "Soup", "cost": "5"}, {"dish": "Salad", "cost": "7"}])
    found = read_verified(path, {"menu": table})
    assert "'price'" in found.faults()[0]
    told = TableAsker(table, verified=found).ask("which is the cheapest dish?", always=True)
    assert told.verdict == "abstained"
    assert "'price'" in told.message


def test_where_the_file_lies(tmp_path):
    assert verified_place(tmp_path / "menu.csv") == tmp_path / "menu.verified.yaml"
    student = tmp_path / "student"
    student.mkdir()
    assert verified_place(student) == student / "verified.yaml"
    (student / "table.json").touch()
    (tmp_path / "progress.json").touch()
    assert verified_place(student) == tmp_path / "verified.yaml"


def test_the_command_verifies_and_then_answers_so(tmp_path, capsys):
    table = tmp_path / "menu.csv"
    table.write_text("dish,price\nSoup,5\nSalad,7\n", "utf-8")
    ask = ["ask", str(table), "--json"]
    assert main([*ask, "give me the fanciest thing"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] != ["Salad"]
    (tmp_path / "menu.verified.yaml").write_text(
        "- question: dearest?\n  plan: {cells: {rows: {top: {rows: all, column: price}}, column: dish}}\n"  # noqa: E501
    )
    assert main([*ask, "Dearest!"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == ["Salad"]
    assert main([*ask, "what does soup cost", "--always", "--verify"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main([*ask, "What does SOUP cost?"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == {**first, "question": "What does SOUP cost?", "confidence": 1.0}
    assert main([*ask, "what does soup cost", "--verify", "2"]) == 1
    assert "1 readings" in capsys.readouterr().err


def test_the_key_of_a_question():
    assert question_key(" What's the price — of Crème brûlée?! ") == "what's the price of creme brulee"  # noqa: E501  # fmt: skip
