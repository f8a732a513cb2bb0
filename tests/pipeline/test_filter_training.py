"""`stillroom filter prepare`, `validate` and `train`: from labels to one table of students."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from stillroom.cli import main
from stillroom.errors import ConfigError, DataError
from stillroom.inference.score_students.base_model import TextCut
from stillroom.inference.score_students.open_student import open_score_student
from stillroom.labeling.filters.filter_config import HeadTail
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.new_package import new_filter
from stillroom.labeling.filters.scored_record import Analysis, scored_record
from stillroom.pipeline.filter_training.labelled_examples import read_split
from stillroom.pipeline.filter_training.score_report import score_row, weighted_kappa
from stillroom.pipeline.filter_training.train_filter import RECIPES, FilterTraining, train_filter

GOOD, BAD = ("sunny", "happy", "bright"), ("gloomy", "awful", "broken")


def label(package, n, *, oracles=0):
    rng = np.random.default_rng(n)
    good, loud = rng.random() < 0.5, rng.random() < 0.5
    words = [*rng.choice(GOOD if good else BAD, 2), "LOUD" if loud else "quiet", f"word{n}"]
    scores = {"joy": 8.0 if good else 2.0, "reach": 7.0 if loud else 3.0}
    own = {f"oracle {k}": {"joy": scores["joy"] + k - 1, "reach": scores["reach"]}
           for k in range(oracles)}  # fmt: skip
    article = {"id": f"a{n}", "title": "A day", "content": " ".join(words)}
    return scored_record(
        article, Analysis(scores, oracles=own), package.config, oracle="scripted",
        prompt_hash=package.prompt.prompt_hash, view_hash=package.view.sha256,
    )  # fmt: skip


def write_lines(path, records):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


@pytest.fixture
def mood(tmp_path):
    package = load_filter(new_filter(tmp_path / "mood/v1", dimensions=["joy", "reach"]))
    parts = {"train": range(80), "val": range(100, 130), "test": range(200, 240)}
    for part, numbers in parts.items():
        write_lines(tmp_path / f"splits/{part}.jsonl", [label(package, n) for n in numbers])
    return package


@pytest.fixture
def ran(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(line):
        code = main(["filter", *shlex.split(line)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


TRAIN = "train --filter mood/v1 --data-dir splits --output-dir out --student tfidf"


def test_a_split_becomes_a_student_and_a_table_once(mood, ran, tmp_path):
    code, out, err = ran(TRAIN)
    assert (code, err) == (0, "")
    assert "takes some seconds" in out
    report = json.loads((tmp_path / "out/students.json").read_text())
    base, row = report["rows"]
    assert (base["student"], row["student"]) == ("mean baseline", "tfidf")
    assert row["mean_mae"] < 0.3 * base["mean_mae"]
    assert row["tier_kappa"] > 0.8 > (base["tier_kappa"] or 0)
    assert "| tfidf |" in (tmp_path / "out/students.md").read_text()
    assert (tmp_path / "out/students.png").stat().st_size > 1000
    student = open_score_student(tmp_path / "out/tfidf")
    assert student.view_hash == mood.view.sha256
    made = (tmp_path / "out/tfidf/weights.safetensors").stat().st_mtime_ns
    assert "trained before" in ran(TRAIN)[1]
    assert (tmp_path / "out/tfidf/weights.safetensors").stat().st_mtime_ns == made
    assert "trained before" not in ran(f"{TRAIN} --sample-weight-scale 2")[1]


def test_the_report_shows_students_and_their_evaluation(mood, ran, tmp_path):
    assert ran(TRAIN)[0] == 0
    assert main(["report", "out"]) == 0
    alone = json.loads((tmp_path / "out/report.json").read_text())
    assert "always the mean is off by" in alone["conclusion"][0]
    code, _, err = ran(
        "evaluate mood/v1 --labels splits/test.jsonl --model out/tfidf "
        "--train splits/train.jsonl --report out/evaluation"
    )
    assert (code, err) == (0, "")
    assert main(["report", "out", "--teacher-price", "1,4", "--prompt-tokens", "2000"]) == 0
    whole = json.loads((tmp_path / "out/report.json").read_text())
    evaluation = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert whole["conclusion"] == evaluation["conclusion"]
    missing = [one["name"] for one in whole["sections"] if one["missing"]]
    assert missing == ["training", "int8", "worst"]
    assert whole["numbers"]["cost"]["oracle_per_1000_articles"] == 1000 * (2000 + 4 * 10) / 1e6
    html = (tmp_path / "out/report.html").read_text()
    assert "mean baseline" in html
    assert "A day" in html


def test_students_with_pretrained_models_share_the_split(mood, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend("tests/distillation/score_students")
    from score_models import save_decoder, save_encoder
    from stillroom.distillation.score_students.tuning import TuningSettings

    fast = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3}
    settings = FilterTraining(
        save_encoder(tmp_path / "encoder"), save_decoder(tmp_path / "decoder"), "float32",
        TextCut(48),
        {"tuned": TuningSettings(**fast), "lora": TuningSettings(**fast, rank=2),
         "generative": TuningSettings(**fast, rank=2, most_examples=32)},
        compare_cuts=True,
    )  # fmt: skip
    told = []
    kinds = ("tfidf", "frozen", "tuned", "lora", "generative")
    rows = train_filter(
        mood, tmp_path / "splits", tmp_path / "out", kinds, settings,
        tell=lambda name, words, seconds: told.append((name, words, seconds)),
    )  # fmt: skip
    names = ["mean baseline", *kinds, "frozen, head only", "frozen, head and tail"]
    assert [row["student"] for row in rows] == names
    assert {row["n"] for row in rows} == {40}
    assert all(row["texts_per_second_core"] > 0 for row in rows[1:])
    assert rows[5]["train_examples"] == 32
    expected = [words for name, words, seconds in told if seconds is None and name in kinds[1:]]
    assert len(expected) == 4
    assert all("takes about" in words for words in expected)
    metadata = json.loads((tmp_path / "out/tuned/training_metadata.json").read_text())
    history = json.loads((tmp_path / "out/tuned/training_history.json").read_text())
    assert (metadata["num_dimensions"], metadata["val_examples"]) == (2, 30)
    assert 0 < metadata["num_trainable_parameters"] < metadata["num_parameters"]
    assert history[0]["val"]["mae"] == metadata["min_val_mae_observed"]
    for name in (*kinds, "frozen-head-and-tail"):
        student = open_score_student(tmp_path / "out" / name)
        assert student.predict(["sunny LOUD"]).shape == (1, 2)
    assert open_score_student(tmp_path / "out/frozen-head-and-tail").reader.cut.tail_tokens == 24


def test_labels_of_another_prompt_are_refused_unless_it_is_allowed(mood, ran, tmp_path):
    prompt = tmp_path / "mood/v1/prompt-compressed.md"
    prompt.write_text(prompt.read_text().replace("joy", "delight", 1))
    code, out, err = ran(TRAIN)
    assert code == 1
    assert "the prompt has changed since" in out + err
    assert ran(f"{TRAIN} --allow-view-mismatch")[0] == 0


def test_what_oracles_disagree_on_counts_less(mood, tmp_path):
    records = [label(mood, n, oracles=3 if n % 2 else 0) for n in range(20)]
    write_lines(tmp_path / "splits/train.jsonl", records)
    part = read_split(mood, tmp_path / "splits")["train"].examples
    assert [len(own) for own in part.ratings[:2]] == [1, 3]
    assert part.weights.std() > 0
    plain = read_split(mood, tmp_path / "splits", by_agreement=False)["train"].examples
    assert plain.weights.tolist() == [1.0] * 20
    scaled = read_split(mood, tmp_path / "splits", by_agreement=False, sample_weight_scale=2.0)
    averages = scaled["train"].examples.targets.mean(axis=1)
    np.testing.assert_allclose(scaled["train"].examples.weights, 1 + 0.2 * averages)
    assert set(scaled["val"].examples.weights) == {1.0}


def test_a_record_in_two_parts_or_without_a_score_is_refused(mood, tmp_path):
    write_lines(tmp_path / "splits/val.jsonl", [label(mood, 3)])
    with pytest.raises(DataError, match="the parts share records"):
        read_split(mood, tmp_path / "splits")
    broken = label(mood, 300)
    del broken["mood_analysis"]["dimensions"]["joy"]
    write_lines(tmp_path / "splits/val.jsonl", [broken])
    with pytest.raises(DataError, match=r"val\.jsonl, line 1: missing_dimension joy"):
        read_split(mood, tmp_path / "splits")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--include-prompt", "an error of 1.36 with the prompt"),
        ("--resume-from out", "goes on after its last epoch"),
        ("--select-metric recall_at_20", "the report always holds"),
        ("--student forest", "'forest'"),
        ("--use-head-tail --max-length 100", "more than --max-length 100"),
    ],
)
def test_what_is_no_option_is_refused_with_the_reason(mood, ran, options, words):
    code, out, err = ran(f"{TRAIN} {options}")
    assert code in (1, 2)
    assert words in out + err


def test_the_options_of_the_public_command_reach_the_settings(mood):
    from stillroom.pipeline.filter_training.train_command import (
        _settings,
        train_faults,
        train_parser,
    )

    args = train_parser().parse_args(shlex.split(
        "--filter f --data-dir d --output-dir o --model-name m --epochs 5 --batch-size 4 "
        "--learning-rate 1e-5 --max-length 128 --warmup-steps 7 --seed 3 --use-head-tail "
        "--head-tokens 60 --tail-tokens 40 --sample-weight-scale 1.5 --looks 9"
    ))  # fmt: skip
    made = _settings(args, mood)
    assert made.decoder == "m"
    assert (made.cut.max_tokens, made.cut.tail_tokens) == (100, 40)
    one = made.tuning["lora"]
    assert (one.epochs, one.batch_size, one.learning_rate) == (5, 4, 1e-5)
    assert (one.warmup_steps, one.seed, one.most_examples) == (7, 3, 9)
    assert args.sample_weight_scale == 1.5
    shown = replace(mood.config, head_tail=HeadTail(True, 30, 10, " | "))
    args.use_head_tail = False
    assert _settings(args, mood).cut == TextCut(128)
    assert _settings(args, replace(mood, config=shown)).cut == TextCut(40, 10, " | ")
    args.filter = "nowhere"
    assert any("no folder" in fault for fault in train_faults(args))


def test_the_recipe_of_the_seed_has_its_numbers():
    made = RECIPES["seed-recipe"](FilterTraining())
    one = made.tuning["generative"]
    assert (one.rank, one.alpha, one.dropout, one.epochs) == (16, 16, 0.05, 3)
    assert one.four_bit
    assert one.gradient_checkpointing
    assert made.form.instruction


@pytest.mark.parametrize("form", ["vectors", "instructions"])
def test_labels_become_training_files_that_are_valid(mood, ran, tmp_path, form):
    write_lines(tmp_path / "all.jsonl", [label(mood, n) for n in range(60)])
    line = f"prepare --filter mood/v1 --data-source all.jsonl --output-dir made --form {form}"
    assert ran(line)[0] == 0
    record = json.loads((tmp_path / "made/train.jsonl").read_text().splitlines()[0])
    if form == "vectors":
        assert record["dimension_names"] == ["joy", "reach"]
        assert len(record["labels"]) == 2
        assert (
            ran("train --filter mood/v1 --data-dir made --output-dir out --student tfidf")[0] == 0
        )
    else:
        assert record["input"].startswith("Title: A day\nContent: ")
        assert set(json.loads(record["output"])) == {"joy", "reach"}
    code, out, _ = ran("validate --filter mood/v1 --data-dir made")
    assert (code, "no faults" in out) == (0, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": [1.0]}, "2 are needed"),
        ({"labels": [1.0, 11]}, "numbers from 0 to 10"),
        ({"labels": [1.0, True]}, "numbers from 0 to 10"),
        ({"dimension_names": ["reach", "joy"]}, "in this order"),
        ({"instruction": "x", "input": "y", "output": "{}", "labels": None}, "labels are None"),
    ],
)
def test_faults_of_training_files_are_listed(mood, ran, tmp_path, change, words):
    write_lines(tmp_path / "all.jsonl", [label(mood, n) for n in range(60)])
    ran("prepare --filter mood/v1 --input all.jsonl --output-dir made")
    path = tmp_path / "made/val.jsonl"
    records = [json.loads(one) for one in path.read_text().splitlines()]
    write_lines(path, [{**records[0], **change}, *records[1:]])
    code, out, err = ran("validate --filter mood/v1 --data-dir made")
    assert code == 1
    assert words in out + err
    assert "val.jsonl, line 1" in out + err


def test_weighted_kappa_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, 300)
    predicted = np.clip(true + rng.integers(-1, 2, 300), 0, 4)
    theirs = cohen_kappa_score(true, predicted, weights="quadratic")
    assert weighted_kappa(true.tolist(), predicted.tolist()) == pytest.approx(theirs)
    assert weighted_kappa([1, 1], [1, 1]) is None


def test_a_row_compares_scores_with_labels(mood):
    true = np.array([[8.0, 8.0], [2.0, 2.0], [5.0, 5.0]])
    row = score_row("x", true[:, ::1] + [[1, 0], [1, 0], [1, 0]], true, mood.config)
    assert row["mae"] == {"joy": 1.0, "reach": 0.0}
    assert (row["mean_mae"], row["spearman"]["joy"]) == (0.5, 1.0)
    flat = score_row("x", np.full((3, 2), 5.0), true, mood.config)
    assert flat["mean_spearman"] is None


def test_a_filter_of_classes_is_refused(tmp_path):
    package = load_filter(new_filter(tmp_path / "kind/v1", classes=["a", "b"]))
    with pytest.raises(ConfigError, match="chooses a class"):
        read_split(package, tmp_path)
