"""`stillroom update`: new rows are asked at once, the old ones are gone, and one command away."""

import csv
import json
import os
import random
import time

import pytest
from stillroom import files
from stillroom.cli import main
from stillroom.data.questions.profile import profile_table
from stillroom.data.questions.questions import build_question_set
from stillroom.data.questions.updated_table import update_table
from stillroom.errors import UnknownColumnError
from stillroom.pipeline.commands.update import _swap_in
from stillroom.tables import FactTable

ROWS = [
    {"dish": "Tomato soup", "price": "6.50", "course": "starter"},
    {"dish": "Caesar salad", "price": "9.80", "course": "starter"},
    {"dish": "Green curry", "price": "16.50", "course": "main"},
    {"dish": "Mango sorbet", "price": "5.50", "course": "dessert"},
]


def fact_table(rows, **given):
    return build_question_set(rows, profile_table(rows, source="menu.csv", **given)).table


@pytest.fixture
def student(tmp_path):
    folder = tmp_path / "run" / "student"
    folder.mkdir(parents=True)
    fact_table(ROWS, key="dish").write(folder)
    return folder


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def ask(student, question, capsys):
    capsys.readouterr()
    assert main(["ask", str(student), question, "--json", "--always"]) == 0
    return json.loads(capsys.readouterr().out)


CHANGED = [
    {**ROWS[0], "price": "7.10"}, ROWS[1], {"dish": "Lentil dal", "price": "11", "course": "main"},
]  # fmt: skip


def test_new_rows_are_asked_and_old_answers_are_gone(student, tmp_path, capsys):
    assert ask(student, "what is the price of tomato soup", capsys)["answer"] == ["6.50"]
    new = write(tmp_path / "new.csv", CHANGED)
    assert main(["update", str(student.parent), "--data", new]) == 0
    printed = capsys.readouterr().out
    assert "3 rows: 1 new, 1 changed, 2 gone" in printed
    assert "questions about the new rows" in printed
    assert ask(student, "what is the price of tomato soup", capsys)["answer"] == ["7.10"]
    assert ask(student, "what is the price of lentil dal", capsys)["answer"] == ["11"]
    held = (student / "table.json").read_text("utf-8")
    for gone in ("6.50", "Green curry", "16.50", "Mango sorbet"):
        assert gone not in held
        assert gone not in str(ask(student, f"price of {gone}", capsys)["answer"])
    assert main(["update", str(student), "--undo"]) == 0
    assert ask(student, "what is the price of tomato soup", capsys)["answer"] == ["6.50"]
    assert main(["update", str(student), "--undo"]) == 0
    assert ask(student, "what is the price of tomato soup", capsys)["answer"] == ["7.10"]


def test_a_lost_column_is_named_with_what_it_seems_to_be_now(student, tmp_path, capsys):
    renamed = [{"dish": r["dish"], "course": r["course"], "cost": r["price"]} for r in ROWS]
    new = write(tmp_path / "new.csv", renamed)
    before = (student / "table.json").read_bytes()
    assert main(["update", str(student), "--data", new]) == 1
    told = capsys.readouterr().err
    assert "'price' (is it 'cost' now?)" in told
    assert "--renamed" in told
    assert (student / "table.json").read_bytes() == before
    assert main(["update", str(student), "--data", new, "--renamed", "price=cost"]) == 0
    assert ask(student, "what is the price of green curry", capsys)["answer"] == ["16.50"]
    assert main(["update", str(student), "--data", new, "--without", "price"]) == 0
    assert "not asked about, as the student was made without: cost" in capsys.readouterr().out
    assert "price" not in (student / "table.json").read_text("utf-8")


def test_verified_questions_are_asked_again(student, tmp_path, capsys):
    path = student.parent / "verified.yaml"
    (student.parent / "progress.json").write_text("{}")
    where = "{where: {column: dish, operator: is, value: green curry}}"
    path.write_text(
        "- question: the cheapest?\n"
        "  plan: {cells: {rows: {top: {rows: all, column: price, highest: no}}, column: dish}}\n"
        f"- question: curry?\n  plan: {{cells: {{rows: {where}, column: price}}}}\n"
        "- question: courses?\n  plan: {distinct: {rows: all, column: course}}\n",
        "utf-8",
    )
    text = path.read_text("utf-8").replace("highest: no", "highest: false")
    path.write_text(text, "utf-8")
    new = write(tmp_path / "new.csv", [*CHANGED, ROWS[3] | {"price": "20"}])
    assert main(["update", str(student), "--data", new]) == 0
    printed = capsys.readouterr().out
    assert "'the cheapest?' is now answered Tomato soup" in printed
    assert "'curry?' has no answer any more" in printed
    assert "1 of 3 questions are answered as before" in printed
    assert main(["update", str(student), "--data", new, "--without", "course"]) == 0
    assert "cannot be answered any more: 'courses?'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--data FILE, or --undo"), (["--undo"], "was not updated"),
        (["--data", "nothing.csv"], "nothing.csv"),
        (["--data", __file__, "--undo"], "one of the two"),
        (["--data", __file__, "--renamed", "price"], "OLD=NEW"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(student, options, words, capsys):
    assert main(["update", str(student), *options]) in (1, 2)
    assert words in capsys.readouterr().err


def test_a_folder_without_a_table_is_refused(tmp_path, capsys):
    assert main(["update", str(tmp_path), "--data", __file__]) == 1
    assert "table.json" in capsys.readouterr().err


def test_a_column_that_the_table_never_had_is_refused(student, tmp_path, capsys):
    new = write(tmp_path / "new.csv", CHANGED)
    assert main(["update", str(student), "--data", new, "--without", "colour"]) == 1
    assert "'colour'" in capsys.readouterr().err


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_killed_at_any_point_the_old_or_the_new_table_is_there(student, step, at, monkeypatch):
    old = FactTable.read(student)
    new = update_table(old, CHANGED, "new.csv").table
    _swap_in(student, new)
    _swap_in(student, old)

    class Killed(BaseException):
        pass

    calls = 0

    def count(real):
        def call(*args, **keywords):
            nonlocal calls
            calls += 1
            if calls == at:
                raise Killed
            return real(*args, **keywords)

        return call

    target = {"open": (files, "open", open), "fsync": (os, "fsync", os.fsync),
              "replace": (os, "replace", os.replace)}[step]  # fmt: skip
    monkeypatch.setattr(target[0], target[1], count(target[2]), raising=False)
    try:
        _swap_in(student, new)
        assert at > 2
    except Killed:
        monkeypatch.undo()
        assert FactTable.read(student) in (old, new)
        before = json.loads((student / "table.before.json").read_text("utf-8"))
        assert before["source"] in ("menu.csv", "new.csv")


def test_a_table_without_a_key_is_updated(tmp_path):
    rows = [{"a": a, "b": b, "c": c} for a, b, c in
            [("x", "1", "p"), ("x", "2", "q"), ("y", "1", "p"), ("y", "2", "p")]]  # fmt: skip
    table = fact_table(rows)
    assert table.kind == "rows"
    changed = update_table(table, [*rows, {"a": "z", "b": "1", "c": "r"}], "new.csv").table
    assert changed == fact_table([*rows, {"a": "z", "b": "1", "c": "r"}]).__class__(
        **{**vars(fact_table([*rows, {"a": "z", "b": "1", "c": "r"}])), "source": "new.csv",
           "columns": table.columns}
    )  # fmt: skip


def test_questions_and_answers_are_updated():
    rows = [{"question": f"What is {n}?", "answer": f"It is {n}."} for n in "abc"]
    table = fact_table(rows)
    rows[1]["answer"] = "It is new."
    change = update_table(table, rows[:2], "new.csv")
    assert (change.added, change.gone, change.changed) == (0, 1, 1)
    assert change.table.rows[1].values == {"answer": "It is new."}


def test_a_cell_is_cited_by_its_number_in_the_file(tmp_path, capsys):
    rows = [ROWS[0], {**ROWS[1], "dish": ""}, ROWS[2]]
    folder = tmp_path / "student"
    folder.mkdir()
    fact_table(rows, key="dish").write(folder)
    told = ask(folder, "what is the price of green curry", capsys)
    assert told["cells"] == [{"row": 3, "column": "price", "text": "16.50"}]


def test_what_a_key_is_called_is_asked():
    table = fact_table(ROWS, key="dish")
    with pytest.raises(UnknownColumnError, match=r"'dish' \(is it 'name' now\?\)"):
        update_table(table, [{**r, "name": r["dish"], "dish": None} for r in ROWS][:0] or [
            {"name": r["dish"], "price": r["price"], "course": r["course"]} for r in ROWS
        ], "new.csv")  # fmt: skip


def test_a_thousand_changed_rows_take_seconds(tmp_path, capsys):
    rng = random.Random(1)
    rows = [{"item": f"Item {n:04}", **{f"c{k}": str(rng.randint(1, 999)) for k in range(11)}}
            for n in range(1000)]  # fmt: skip
    folder = tmp_path / "student"
    folder.mkdir()
    fact_table(rows, key="item").write(folder)
    for row in rows:
        row["c3"] = f"{row['c3']}.5"
    new = write(tmp_path / "new.csv", rows)
    began = time.process_time()
    assert main(["update", str(folder), "--data", new]) == 0
    assert time.process_time() - began < 60
    assert "1,000 rows: 0 new, 1,000 changed" in capsys.readouterr().out
