"""`stillroom compare` on files, run folders and checkpoints: verdicts, refusals, the gate."""

from __future__ import annotations

import csv
import json
import random
import re
import sys
from pathlib import Path

import pytest
from statsmodels.stats.contingency_tables import mcnemar
from stillroom.cli import main
from stillroom.evaluation.predictions import Prediction, write_predictions
from stillroom.files import read_json
from stillroom.inference.checkpoints.load_student import save_checkpoint
from stillroom.records import Example, write_examples

# The tiny trained model is made by the tests of the room that loads and runs it.
sys.path.insert(0, str(Path(__file__).parents[2] / "inference"))
from tiny_model import PAIRS, make_model, make_trained


def answers(rate, seed=0, count=400, per_source=1):
    """Answers of which about the share `rate` is right; hard questions are hard for all models."""
    draw = random.Random(seed)
    made = []
    for n in range(count):
        right = (n * 37 % 100) / 100 < rate + draw.uniform(-0.1, 0.1)
        made.append(
            Prediction(
                f"q{n:03}", f"What costs <thing> {n}?", str(n), str(n if right else -1), right,
                f"t.csv:{n // per_source}", ("asked", "qa")[n % 2], f1=float(right),
            )
        )  # fmt: skip
    draw.shuffle(made)
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_predictions("old.jsonl", answers(0.7, 1))
    write_predictions("new.jsonl", answers(0.8, 2))
    for recipe, rate, runs in (("same", 0.7, 3), ("better", 0.85, 3), ("running", 0.7, 3)):
        for n in range(runs):
            made = answers(rate, hash_of(recipe) + n, per_source=2)
            write_predictions(f"{recipe}/seed{n}/predictions/student.jsonl", made)
    return tmp_path


def hash_of(name):
    return sum(map(ord, name))


def compared(capsys, *words):
    code = main(["compare", *words, "--json"])
    shown = capsys.readouterr()
    return code, json.loads(shown.out) if code == 0 or shown.out else shown.err


def test_shuffled_files_align_and_the_test_is_mcnemars(folder, capsys):
    code, found = compared(capsys, "old.jsonl", "new.jsonl")
    assert code == 0
    one = found["comparisons"]["new"]
    assert (one["verdict"], one["test"], found["records"]) == ("better", "exact McNemar", 400)
    own, other = ({p.sample_id: p.right for p in answers(*of)} for of in ((0.8, 2), (0.7, 1)))
    table = [[0, 0], [0, 0]]
    for key, right in own.items():
        table[not right][not other[key]] += 1
    assert one["p_value"] == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert one["only_candidate"], one["only_baseline"] == (table[0][1], table[1][0])
    assert one["minimum_detectable"] > 0
    assert set(one["categories"]) == {"asked", "qa"}
    for shown in one["differing"]["gained"]:
        assert shown["answer"] == shown["gold"] != shown["baseline_answer"]
    wilson = found["models"]["old"]
    assert wilson["interval"] == "Wilson"
    assert wilson["low"] < wilson["mean"] < wilson["high"]


def test_each_is_held_against_the_first_and_p_values_are_adjusted(folder, capsys):
    _, alone = compared(capsys, "old.jsonl", "new.jsonl")
    write_predictions("third.jsonl", answers(0.7, 3))
    _, found = compared(capsys, "old.jsonl", "new.jsonl", "third.jsonl")
    assert list(found["comparisons"]) == ["new", "third"]
    adjusted, plain = (one["comparisons"]["new"] for one in (found, alone))
    assert adjusted["p_value"] == pytest.approx(2 * plain["p_value"])
    assert adjusted["significance"] == plain["significance"] / 2
    assert found["comparisons"]["third"]["verdict"] in ("undecided", "not_worse")
    assert "would" in found["comparisons"]["third"]["in_words"]


def test_files_made_elsewhere_are_read_by_their_own_names(folder, capsys):
    made = answers(0.8, 2)
    with open("theirs.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["key", "answer", "gold", "loss"])
        writer.writerows([one.sample_id, one.answer, one.gold, f"{n / 10}"]
                         for n, one in enumerate(made))  # fmt: skip
    # Sources and categories are those of the other file.
    Path("ours.jsonl").write_text(
        "".join(json.dumps({"key": one.sample_id, "correct": one.right, "loss": 40,
                            "category": one.category}) + "\n" for one in answers(0.7, 1)),
        encoding="utf-8",
    )  # fmt: skip
    code, found = compared(capsys, "ours.jsonl", "them=theirs.csv", "--id", "key")
    assert code == 0
    one = found["comparisons"]["them"]
    assert (one["verdict"], set(one["categories"])) == ("better", {"asked", "qa"})
    code, found = compared(
        capsys, "ours.jsonl", "theirs.csv", "--id", "key", "--metric", "loss", "--lower-is-better"
    )
    one = found["comparisons"]["theirs"]
    assert one["difference"] == pytest.approx(40 - sum(range(400)) / 4000)
    assert one["verdict"] == "better"
    assert one["margin"] is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows[1:], "1 records are in the old alone: 'q"),
        (lambda rows: [*rows, rows[0]], r"the id 'q\d+' occurs twice in the new"),
        (lambda rows: [{**r, "gold": "?"} for r in rows],
         "new and old have other right answers under 400 ids.*--training-seed"),
        (lambda rows: [{**r, "question": "?"} if r["sample_id"] == "q007" else r for r in rows],
         "new and old ask other questions under 1 ids: 'q007'"),
        (lambda rows: [{**r, "category": "x"} for r in rows], "two values of category"),
        (lambda rows: [{**r, "right": "perhaps"} for r in rows], "'perhaps' is no number"),
        (lambda rows: [{"x": 1} for r in rows], "no 'sample_id'; it has x .--id"),
        (lambda rows: [], "new.jsonl"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(folder, capsys, change, told):
    rows = [json.loads(line) for line in Path("new.jsonl").read_text("utf-8").splitlines()]
    Path("new.jsonl").write_text("".join(json.dumps(r) + "\n" for r in change(rows)), "utf-8")
    assert main(["compare", "old.jsonl", "new.jsonl"]) == 1
    shown = capsys.readouterr()
    assert re.search(told, shown.err), shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("old.jsonl", 1, "two models or more"),
        ("old.jsonl none.jsonl", 1, "'none.jsonl' is not there"),
        ("old.jsonl new.jsonl --margin 0", 2, "--margin is '0'"),
        ("old.jsonl new.jsonl --most-mb 3", 1, "--most-mb is a condition of the gate"),
        ("old.jsonl new.jsonl same --gate", 1, "--gate judges one new model"),
        ("old.jsonl new.jsonl --output x.pdf", 1, "--output is 'x.pdf'"),
        ("old.jsonl new.jsonl --data old.jsonl", 1, "is a file of answers"),
        ("old.jsonl old.jsonl", 1, "two models are called"),
        ("old.jsonl empty", 1, "holds neither a run"),
        ("running same --seeds 4", 1, "same has 3 runs"),
        ("running/seed0 same/seed0,same/seed1", 1, "2 runs; at least 3 seeds"),
    ],
)
def test_options_that_do_not_fit_are_named(folder, capsys, words, code, told):
    Path("empty").mkdir()
    assert main(["compare", *words.split()]) == code
    assert told in capsys.readouterr().err


def test_runs_with_several_seeds_are_one_recipe(folder, capsys):
    code, found = compared(capsys, "running", "better", "same/seed*")
    assert code == 0
    assert {name: one["runs"] for name, one in found["models"].items()} == {
        "running": 3, "better": 3, "same": 3,
    }  # fmt: skip
    better, same = found["comparisons"].values()
    assert "3 + 3 seeds" in better["test"]
    assert (better["verdict"], found["sources"]) == ("better", 200)
    assert same["verdict"] in ("undecided", "not_worse")


def test_the_gate_promotes_what_is_better_and_says_why_not(folder, capsys):
    code, found = compared(capsys, "running", "better", "--gate")
    assert (code, found["promotion"]["promoted"]) == (0, True)
    names = [one["name"] for one in found["promotion"]["conditions"]]
    assert names == ["seeds", "quality", "category: asked", "category: qa"]
    code, found = compared(capsys, "running", "same", "--gate", "--most-mb", "3")
    assert (code, found["promotion"]["promoted"]) == (1, False)
    missed = [one["name"] for one in found["promotion"]["conditions"] if not one["met"]]
    assert missed == ["quality", "size"]
    assert main(["compare", "running/seed0", "better/seed0", "--gate"]) == 1
    assert "missed: seeds" in capsys.readouterr().out
    assert main(["compare", "running/seed0", "better/seed0", "--gate", "--seeds", "1"]) == 0


def test_the_reports_say_the_same_and_load_nothing(folder, capsys):
    outputs = [word for name in ("c.html", "c.md", "c.json") for word in ("--output", name)]
    assert main(["compare", "old.jsonl", "new.jsonl", *outputs]) == 0
    printed = capsys.readouterr().out
    found = read_json("c.json")
    words = found["comparisons"]["new"]["in_words"]
    page, text = (Path(name).read_text(encoding="utf-8") for name in ("c.html", "c.md"))
    assert all(words in one for one in (printed, page, text))
    assert "What costs &lt;thing&gt;" in page
    assert "<thing>" not in page
    assert not re.search(r"(?:src|href)=|url\(|@import", page)
    assert "(c.png)" in text
    assert Path("c.png").stat().st_size > 5000
    places = [float(one) for one in re.findall(r"(?:left|width):(-?[\d.]+)%", page)]
    assert places
    assert all(0 <= place <= 100 for place in places)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A student that knows its answers and an untrained one, in runs with the same questions."""
    place = tmp_path_factory.mktemp("runs")
    trained = make_trained()
    examples = [
        Example(f"e{n}", prompt, target) for n, (prompt, target) in enumerate(PAIRS.items())
    ]
    for name, model in (("known", trained.model), ("new", make_model(trained.tokenizer))):
        save_checkpoint(place / name / "student", model, trained.tokenizer, {"seed": 0})
        write_examples(str(place / name / "data" / "held_out.jsonl"), examples)
    return place, examples


def test_checkpoints_are_asked_anew(checkpoints, capsys, tmp_path):
    place, examples = checkpoints
    models = [str(place / name / "student") for name in ("known", "new")]
    code, found = compared(capsys, *models)
    assert code == 0
    assert [one["mean"] for one in found["models"].values()] == [1.0, 0.0]
    assert list(found["models"]) == ["known/student", "new/student"]
    some = tmp_path / "some.jsonl"
    write_examples(str(some), examples[:4])
    assert compared(capsys, *models, "--data", str(some))[1]["records"] == 4
    code, found = compared(
        capsys, *models, "--gate", "--seeds", "1", "--most-mb", "1", "--least-speed", "1",
        "--most-ms", "0.001",
    )  # fmt: skip
    met = {one["name"]: one["met"] for one in found["promotion"]["conditions"]}
    assert met == {"seeds": True, "quality": False, "size": True, "speed": True, "time": False}


def test_questions_that_were_trained_on_are_not_asked(checkpoints, capsys):
    place, examples = checkpoints
    train = place / "new" / "data" / "train.jsonl"
    write_examples(str(train), examples[:1])
    try:
        assert main(["compare", *(str(place / n / "student") for n in ("known", "new"))]) == 1
    finally:
        train.unlink()
    assert "were trained on" in capsys.readouterr().err
