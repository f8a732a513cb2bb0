"""`stillroom system1` and `system2` from end to end, on what is made by rule and on public data."""

import pytest
from stillroom.cli import main
from stillroom.files import read_json
from stillroom.inference.checkpoints.load_student import verify_checkpoint

QUICK = [
    "--teacher-epochs", "1", "--epochs", "1", "--held-out", "5", "--max-new-tokens", "8",
    "--output-dir", "out",
]  # fmt: skip


def check_run(capsys, mode):
    told = capsys.readouterr().out
    assert told.count("[Prompt ") == 3
    assert told.count("Teacher (truncated): ") == 3
    assert told.count(f"System {mode[-1]} student: ") == 3
    assert "(skipped)" in told, "the other system is left out"
    what = "final answers" if mode == "system2" else "answers"
    for name in ("teacher", "student"):
        assert f"  {name}: " in told
    assert f"of 5 held-out {what} right" in told
    assert "cannot: " in told
    assert verify_checkpoint("out/student")["status"] == "complete"
    train, kept = (read_json(f"out/data/{name}.json") for name in ("train", "held_out"))
    assert {r["instruction"] + r["input"] for r in train}.isdisjoint(
        r["instruction"] + r["input"] for r in kept
    )
    return told


@pytest.mark.parametrize("mode", ["system1", "system2"])
def test_the_default_needs_nothing(mode, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([mode, "--slice", "train[:60]", *QUICK]) == 0
    check_run(capsys, mode)
    assert main([mode, "--slice", "train[:60]", *QUICK]) == 0
    assert "Existing checkpoint found at out/student." in capsys.readouterr().out
    assert main(["easydistill", "--config", "out/job.json"]) == 0
    assert "Existing checkpoint found at out/student." in capsys.readouterr().out, (
        "the files hold what was handed over in memory"
    )


PUBLIC = [
    ("system1", "rasbt-instructions/instruction-data.json"),
    ("system1", "self-instruct-seed/seed_tasks.jsonl"),
    ("system2", "gsm8k/train.jsonl.gz"),
]


@pytest.mark.parametrize(("mode", "name"), PUBLIC)
def test_public_data_goes_all_the_way(mode, name, shared_data, tmp_path, monkeypatch, capsys):
    path = str(shared_data(name))
    monkeypatch.chdir(tmp_path)
    assert main([mode, "--data", path, "--slice", "train[:40]", *QUICK]) == 0
    check_run(capsys, mode)


def test_a_teacher_of_ones_own_and_its_labels(starter, tmp_path, monkeypatch, capsys):
    from small_records import instructions, write_json

    monkeypatch.chdir(tmp_path)
    source = write_json(tmp_path / "mine.json", instructions())
    assert main(["system1", "--data", source, "--teacher", starter, "--relabel", *QUICK]) != 0
    told = capsys.readouterr()
    assert "were in the training data" in told.err, "the teacher has seen all of them"
    labelled = read_json("out/data/train.json")
    assert all(record["output"] for record in labelled)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nowhere.json"], "nowhere.json"),
        (["--slice", "train[:0]"], "No data for System 1 distillation"),
        (["--held-out", "0"], "--held-out is '0'; allowed is a whole number from 1 on"),
    ],
)
def test_mistakes_are_one_sentence(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["system1", *QUICK, *options]) == (2 if "--held-out" in options else 1)
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
