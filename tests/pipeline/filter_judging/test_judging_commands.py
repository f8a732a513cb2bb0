"""`stillroom filter evaluate|calibrate|normalize|gate|next|drift|extend|promote` on files."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from stillroom.distillation.score_students.score_examples import ScoreExamples
from stillroom.distillation.score_students.train_tfidf import train_tfidf
from stillroom.inference.score_students.protocol import StudentFacts
from stillroom.labeling.filters.curation.splits import create_splits
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.pipeline.commands.filters.actions import ACTIONS, FILTER

sys.path.insert(0, str(Path(__file__).parents[2] / "labeling" / "filters"))
from made_filter import write_filter

NAMES = ("a", "b", "c")


def label(number, scores, **more):
    return {"id": f"r{number}", "title": f"t{number}", "content": f"text {number}",
            "language": "en" if number % 2 else "de",
            "made_analysis": {"dimensions": dict(zip(NAMES, scores, strict=True)),
                              "prompt_hash": "p", "analyzed_by": "x"}, **more}  # fmt: skip


def write(path, records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return str(path)


def scored(path, true, error, seed):
    rng = np.random.default_rng(seed)
    return write(path, [
        {"id": f"r{n}", "scores": dict(zip(NAMES, (row + rng.normal(0, error, 3)).tolist(),
                                           strict=True))}
        for n, row in enumerate(true)
    ])  # fmt: skip


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_filter(tmp_path)
    true = np.random.default_rng(0).uniform(0, 10, (240, 3)).round(1)
    records = [label(n, row.tolist()) for n, row in enumerate(true)]
    write(tmp_path / "all.jsonl", records)
    create_splits(records, lambda one: one["language"]).write(tmp_path / "splits")
    for seed in range(3):
        scored(tmp_path / f"old{seed}.jsonl", true, 1.5, seed)
        scored(tmp_path / f"new{seed}.jsonl", true, 0.7, 10 + seed)
    return tmp_path


def run(*words):
    try:
        return FILTER([words[0], "made/v1", *words[1:]])
    except SystemExit as left:
        return left.code


def test_evaluate_writes_three_reports(files, capsys):
    code = run("evaluate", "--labels", "splits/test.jsonl", "--predictions", "new0.jsonl",
               "--train", "splits/train.jsonl", "--report", "evaluation")  # fmt: skip
    told = capsys.readouterr().out
    assert code == 0
    assert "mean baseline" in told
    found = json.loads((files / "evaluation.json").read_text())
    assert found["n"] == 24
    assert found["n_train"] == 192
    assert found["dimensions"]["a"]["mae"] < found["dimensions"]["a"]["baseline_mae"]
    assert (files / "evaluation.md").read_text() in told
    assert "<svg" in (files / "evaluation.html").read_text()
    assert run("evaluate", "--labels", "all.jsonl", "--predictions", "new0.jsonl", "--json") == 0
    assert json.loads(capsys.readouterr().out)["categories"].keys() == {"de", "en"}


def test_calibrate_writes_curves_that_help(files, capsys):
    shrunk = [json.loads(line) for line in (files / "new0.jsonl").read_text().splitlines()]
    for one in shrunk:
        one["scores"] = {name: 5 + 0.5 * (x - 5) for name, x in one["scores"].items()}
    write(files / "raw.jsonl", shrunk)
    assert FILTER(["calibrate", "--filter", "made/v1", "--data-dir", "splits",
                        "--predictions", "raw.jsonl", "--test-data", "splits/test.jsonl",
                        "--output", "calibration.json"]) == 0  # fmt: skip
    made = json.loads((files / "calibration.json").read_text())
    assert made["stats"]["mae_after"] < made["stats"]["mae_before"]
    assert made["n_samples"] == 24
    assert "test articles" in capsys.readouterr().out


def test_normalize_fits_percentiles(files, capsys):
    assert run("normalize", "--data-dir", "old0.jsonl", "--analysis-only") == 0
    assert not (files / "made/v1/normalization.json").exists()
    assert run("normalize", "--data-dir", "old0.jsonl", "--min-score", "3", "--allow-thin-fit") == 0
    made = json.loads((files / "made/v1/normalization.json").read_text())
    assert (made["x"][0], made["y"][0]) == (3.0, 0.0)
    assert made["n_articles"] < 240
    assert "left out" in capsys.readouterr().out
    assert run("normalize", "--data-dir", "old0.jsonl", "--ssh", "host") == 2
    assert "--ssh is not supported" in capsys.readouterr().err


def test_gate_lets_the_better_one_pass_and_says_why_not(files, capsys):
    old, new = "--model=old=old0.jsonl", "--model=new=new0.jsonl"
    assert run("gate", "--labels", "all.jsonl", old, new, "--report", "gate.json") == 0
    assert "new may be deployed" in capsys.readouterr().out
    assert json.loads((files / "gate.json").read_text())["passed"]
    assert run("gate", "--labels", "all.jsonl", new, old) == 1
    said = capsys.readouterr()
    assert "missed: old is worse than new" in said.out
    assert "the gate refuses old: 1 of 3" in said.err
    words = ["gate", "--config", "made/v1/config.yaml", "--labels", "all.jsonl", new,
             "--threshold", "6", "--gatekeeper-cap", "2", "--recompute-model-wa",
             "--json"]  # fmt: skip
    assert FILTER(words) == 0
    assert json.loads(capsys.readouterr().out)["threshold"] == 6.0
    assert run("gate", "--labels", "all.jsonl", "--model", "new0.jsonl") == 1


def test_next_leaves_out_what_is_labelled(files, capsys):
    assert run("next", "--scores", "new0.jsonl", "--scores", "old0.jsonl", "--labelled",
               "splits/test.jsonl", "--count", "50", "--output", "next.jsonl") == 0  # fmt: skip
    made = [json.loads(line) for line in (files / "next.jsonl").read_text().splitlines()]
    tested = {json.loads(line)["id"] for line in (files / "splits/test.jsonl").open()}
    assert len({one["id"] for one in made} - tested) == len(made) == 50
    reasons = [one["selection"]["reason"] for one in made]
    assert [reasons.count(name) for name in ("random", "uncertain", "disagreement")] == [10, 25, 15]
    assert "measure a student on the random ones alone" in capsys.readouterr().out


def test_drift_of_input_and_of_the_oracle(files, capsys):
    records = [json.loads(line) for line in (files / "all.jsonl").read_text().splitlines()]
    assert run("drift", "--before", "old0.jsonl", "--after", "old1.jsonl") == 0
    for one in records:
        scores = one["made_analysis"]["dimensions"]
        scores["b"] = min(10, scores["b"] + 0.5)
    write(files / "again.jsonl", records)
    assert run("drift", "--anchors-before", "all.jsonl", "--anchors-after", "again.jsonl",
               "--report", "drift.json") == 1  # fmt: skip
    assert "drifted: oracle (b)" in capsys.readouterr().err
    assert json.loads((files / "drift.json").read_text())["oracle"]["b"]["drifted"]
    write(files / "again.jsonl", records[1:])
    assert run("drift", "--anchors-before", "all.jsonl", "--anchors-after", "again.jsonl") == 1
    assert "1 anchors are scored once: r0" in capsys.readouterr().err
    assert run("drift", "--before", "all.jsonl") == 1
    assert "belong together" in capsys.readouterr().err


def test_extend_keeps_the_test_part_and_refuses_another_prompt(files, capsys):
    write(files / "more.jsonl", [label(n, (1, 2, 3)) for n in range(300, 320)])
    words = ["extend", "--existing-dir", "splits", "--new-labels", "more.jsonl", "--output-dir"]
    assert run(*words, "splits2") == 0
    assert (files / "splits2/test.jsonl").read_bytes() == (files / "splits/test.jsonl").read_bytes()
    assert "18 of them new" in capsys.readouterr().out
    other = [label(n, (1, 2, 3)) for n in range(300, 320)]
    for one in other:
        one["made_analysis"]["prompt_hash"] = "q"
    write(files / "more.jsonl", other)
    assert run(*words, "splits3") == 1
    assert "2 prompts or oracles are mixed" in capsys.readouterr().err
    assert run(*words, "splits3", "--allow-mixed") == 0


def test_promote_needs_three_seeds_and_a_gain(files, capsys):
    new = [word for n in range(3) for word in ("--renewed", f"new{n}.jsonl")]
    old = [word for n in range(3) for word in ("--renewed", f"old{n}.jsonl")]
    assert run("promote", "--labels", "all.jsonl", "--running", "old0.jsonl", *new,
               "--report", "promotion.json") == 0  # fmt: skip
    assert "new0.jsonl replaces old0.jsonl" in capsys.readouterr().out
    assert json.loads((files / "promotion.json").read_text())["promoted"]
    assert run("promote", "--labels", "all.jsonl", "--running", "new0.jsonl", *old) == 1
    assert "is not promoted" in capsys.readouterr().err
    assert run("promote", "--labels", "all.jsonl", "--running", "old0.jsonl", *new[:4]) == 1
    assert "2 renewed runs" in capsys.readouterr().err


def test_a_student_or_its_scores_are_needed(files, capsys):
    assert run("evaluate", "--labels", "all.jsonl") == 1
    assert "made/v1/model holds no student.json" in capsys.readouterr().err
    assert run("evaluate", "--labels", "all.jsonl", "--model", "x", "--predictions", "y") == 1
    assert "both given" in capsys.readouterr().err


def test_a_saved_student_is_evaluated_and_calibrated(files, capsys):
    package = load_filter("made/v1")
    records = [json.loads(line) for line in (files / "splits/train.jsonl").open()]
    texts = [package.view.student_text(package.view.read(one)) for one in records]
    targets = np.array([[one["made_analysis"]["dimensions"][name] for name in NAMES]
                        for one in records])  # fmt: skip
    examples = ScoreExamples(texts, targets, np.ones(len(texts)))
    facts = StudentFacts(NAMES, package.view.sha256)
    train_tfidf(examples, examples.chosen(range(20)), facts).save("made/v1/model")
    assert FILTER(["calibrate", "--filter", "made/v1", "--data-dir", "splits"]) == 0
    assert (files / "made/v1/calibration.json").is_file()
    capsys.readouterr()
    assert run("evaluate", "--labels", "splits/test.jsonl", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    # The texts say nothing of the scores, so nothing is better than the mean.
    assert {one["verdict"] for one in found["dimensions"].values()} <= {"undecided", "worse"}


@pytest.mark.parametrize("name", ["evaluate", "calibrate", "normalize", "gate", "next", "drift",
                                  "extend", "promote"])  # fmt: skip
def test_each_has_help_with_an_example(name, capsys):
    assert name in ACTIONS
    with pytest.raises(SystemExit) as left:
        FILTER([name, "--help"])
    assert left.value.code == 0
    assert f"stillroom filter {name} filters/" in capsys.readouterr().out
