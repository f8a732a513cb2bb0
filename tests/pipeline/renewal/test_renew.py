"""`stillroom renew` on a small run: refused, served, interrupted, and back byte by byte."""

import csv
import json
import shutil

import pytest
from small_run import make_run
from stillroom.agentic_workflow.reading import table_reader
from stillroom.cli import main
from stillroom.evaluation.promotion import Promotion
from stillroom.pipeline.renewal import renew as steps
from stillroom.pipeline.renewal import versions
from stillroom.pipeline.renewal.versions import folder_sha256, versions_of
from stillroom.tables import FactTable

UNKNOWN = "which astronomer named Star {}?"
"""The table does not know."""
SAID = [
    {"question": "the distance of Star B, please?", "answer": "4", "correction": "7",
     "owner": "anna"},
    {"question": "what is the distance of Star C, please?", "answer": "4", "correction": "11",
     "owner": "bert"},
    {"question": "what is the tint of Star A?", "answer": "", "owner": "anna", "exit": "abstained",
     "correction": "red"},
    {"question": "what is the tint of Star B?", "answer": "", "owner": "bert", "exit": "abstained"},
    {"question": UNKNOWN.format("D"), "answer": "Bob", "correction": "'=1+1", "owner": "eve"},
    *({"question": UNKNOWN.format("E"), "answer": "Bob", "correction": "Kim", "owner": name}
      for name in "abc"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_encoder(monkeypatch):
    """Read questions without the sentence encoder, so that the tests are the same everywhere."""
    monkeypatch.setattr(table_reader, "shared_encoder", lambda: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    run = tmp_path_factory.mktemp("made") / "run"
    make_run(run)
    return run


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


@pytest.fixture
def said(tmp_path):
    path = tmp_path / "said.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["question", "answer", "opinion", "correction", "owner",
                                       "run_id", "exit"], restval="")  # fmt: skip
        writer.writeheader()
        for number, row in enumerate(SAID):
            writer.writerow({"exit": "answered", "run_id": f"r{number}", **row})
    return str(path)


@pytest.fixture
def always_better(monkeypatch):
    """Let the gate promote, as students of a few steps are never better."""
    judge = steps.judge

    def promoted(*given):
        found = judge(*given)
        return Promotion(True, found.conditions, found.overall, found.categories, found.not_judged)

    monkeypatch.setattr(steps, "judge", promoted)


def renew(run, *options, capsys, code=0):
    capsys.readouterr()
    assert main(["renew", str(run), "--json", *options]) == code
    return json.loads(capsys.readouterr().out)


def test_a_dry_run_tells_and_a_review_decides(run, said, tmp_path, capsys):
    before = folder_sha256(run / "student")
    found = renew(run, "--feedback", said, "--dry-run", capsys=capsys)
    assert found["data"]["new"] == found["data"]["accepted"] == 2
    assert [one["in_words"] for one in found["proposals"]] == [
        '2 people asked for "tint": column colour?'
    ]
    assert not versions_of(run)
    output = str(tmp_path / "review.csv")
    listed = renew(run, "--feedback", said, "--review", "list", "--output", output, capsys=capsys)
    waiting = {one["question"]: one for one in listed["waiting"]}
    assert "contradicts the table" in waiting[SAID[1]["question"]]["reason"]
    assert waiting[UNKNOWN.format("D")]["answer"] == "=1+1"
    with open(output, encoding="utf-8", newline="") as file:
        cells = {row["answer"] for row in csv.DictReader(file)}
    assert "'=1+1" in cells
    assert "=1+1" not in cells
    place = waiting[UNKNOWN.format("D")]["id"]
    renew(run, "--feedback", said, "--review", "edit", place, "Ann", capsys=capsys)
    renew(run, "--feedback", said, "--review", "reject", waiting[SAID[1]["question"]]["id"],
          capsys=capsys)  # fmt: skip
    renew(run, "--feedback", said, "--review", "accept", listed["proposals"][0]["id"],
          capsys=capsys)  # fmt: skip
    again = renew(run, "--feedback", said, "--dry-run", capsys=capsys)
    # With the new name the table confirms the correction of the first abstention.
    assert again["data"] | {"old": 0} == {
        "old": 0, "new": 4, "preference_pairs": 3, "accepted": 4, "waiting": 0, "rejected": 1,
        "left_out": 0, "replaced_labels": 0,
    }  # fmt: skip
    assert again["proposals"] == []
    colour = next(c for c in FactTable.read(run / "student").columns if c.name == "colour")
    assert colour.also == ("tint",)
    assert folder_sha256(run / "student") != before


def test_wrong_options_are_refused_together(tmp_path, capsys):
    assert main(["renew", str(tmp_path), "--back", "--dry-run", "--feedback", "nowhere"]) == 1
    told = capsys.readouterr().err
    for words in ("holds no table.json", "one of --dry-run", "no such file or folder"):
        assert words in told


def test_a_refused_renewal_leaves_the_student_and_is_not_tried_again(run, said, capsys):
    before = folder_sha256(run / "student")
    found = renew(run, "--feedback", said, "--effort", "0.4", capsys=capsys, code=1)
    assert found["status"] == "refused"
    assert any(one.startswith("missed: ") for one in found["verdict"]["reasons"])
    assert folder_sha256(run / "student") == before
    assert not (run / "renewals" / "0001" / "seeds").exists()
    again = renew(run, "--feedback", said, "--effort", "0.4", capsys=capsys)
    assert again["status"] == "nothing new since version 1, which was refused"
    held_out = run / "data" / "held_out.jsonl"
    held_out.write_text(held_out.read_text().replace("white", "green"))
    assert main(["renew", str(run), "--feedback", said]) == 1
    assert "held-out questions were changed after version 1" in capsys.readouterr().err


@pytest.mark.usefixtures("always_better")
def test_a_renewal_killed_at_any_step_goes_on_and_goes_back_byte_by_byte(run, said, capsys):
    """Every step raises once; the same command is then given again."""
    student = run / "student"
    before = {path.name: path.read_bytes() for path in student.iterdir()}
    killed = []

    def dies_once(patch, module, name, after):
        whole = getattr(module, name)

        def step(*given, **named):
            if name in killed:
                return whole(*given, **named)
            killed.append(name)
            if after:
                whole(*given, **named)
            raise KeyboardInterrupt

        patch.setattr(module, name, step)

    for module, name, after in (
        (steps, "train_again", False), (steps, "train_again", True), (steps, "forgetting", False),
        (steps, "_calibrate", True), (versions, "exchange", False), (steps, "settle", True),
        (steps, "_drop_work", False),
    ):  # fmt: skip
        killed.clear()
        with pytest.MonkeyPatch.context() as patch:
            dies_once(patch, module, name, after)
            assert main(["renew", str(run), "--feedback", said, "--effort", "0.4"]) == 130
        assert killed == [name]
        assert (student / "config.json").is_file()
    found = renew(run, "--feedback", said, "--effort", "0.4", capsys=capsys)
    assert (found["status"], found["version"]) == ("served", 1)
    assert json.loads((student / "renewal.json").read_text())["version"] == 1
    assert (student / "model.safetensors").read_bytes() != before["model.safetensors"]
    assert FactTable.read(student) is not None
    killed.clear()
    with pytest.MonkeyPatch.context() as patch:
        dies_once(patch, versions, "exchange", True)
        assert main(["renew", str(run), "--back"]) == 130
    assert renew(run, "--back", capsys=capsys)["taken_back"] == 1
    assert main(["renew", str(run), "--back"]) == 1  # nothing is left to go back to
    assert {path.name: path.read_bytes() for path in student.iterdir()} == before
    assert [one.status for one in versions_of(run)] == ["taken_back"]
