"""`stillroom filter probe` and `filter score`: from labels to scored files."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from stillroom.cli import main
from stillroom.distillation.score_students.score_examples import ScoreExamples
from stillroom.distillation.score_students.train_tfidf import train_tfidf
from stillroom.inference.score_students.base_model import BaseName, TextCut
from stillroom.inference.score_students.protocol import StudentFacts
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.scored_record import Analysis, scored_record

sys.path.append(str(Path(__file__).parents[1] / "inference"))
from fake_server import serving

FOLDER = "mine/v1"
WORDS = ("good", "bad", "warm", "cold")


def article(n):
    rng = np.random.default_rng(n)
    words = [str(one) for one in rng.choice(WORDS, 60, p=rng.dirichlet([1, 1, 1, 1]))]
    return {"id": f"a{n}", "title": f"Title {n}", "content": " ".join(words) + " and the rest " * 9}


def true_scores(one):
    words = one["content"].split()
    return {name: 10 * words.count(word) / 60 for name, word in (("a", "good"), ("b", "warm"))}


class Vectors:
    """Shares of words."""

    base, cut, width = BaseName("made", ""), TextCut(), 4

    def vectors(self, texts):
        return np.array([[t.split().count(w) / 60 for w in WORDS] for t in texts], dtype=np.float32)


@pytest.fixture
def ran(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["filter", "new", FOLDER, "--dimensions", "a,b"])
    package = load_filter(FOLDER)
    for part, numbers in (("train", range(200)), ("val", range(200, 300))):
        lines = [
            json.dumps(
                scored_record(
                    article(n), Analysis(true_scores(article(n))), package.config,
                    prompt_hash=package.prompt.prompt_hash, oracle="rule",
                    view_hash=package.view.sha256,
                )
            )
            for n in numbers
        ]  # fmt: skip
        Path("splits").mkdir(exist_ok=True)
        Path(f"splits/{part}.jsonl").write_text("\n".join(lines) + "\n")
    Path("articles.jsonl").write_text(
        "".join(json.dumps(article(n)) + "\n" for n in range(300, 360)) + "no JSON\n"
    )
    texts = [package.view.student_text(package.view.read(article(n))) for n in range(200)]
    targets = np.array([list(true_scores(article(n)).values()) for n in range(200)])
    examples = ScoreExamples(texts, targets, np.ones(200))
    facts = StudentFacts(("a", "b"), package.view.sha256, prompt_hash=package.prompt.prompt_hash)
    train_tfidf(examples, examples, facts).save(f"{FOLDER}/model")
    for home in (
        "inference.score_students.probe_student",
        "distillation.score_students.train_probe",
    ):
        monkeypatch.setattr(f"stillroom.{home}.TextReader", lambda *_, **__: Vectors())
    monkeypatch.setattr(
        "stillroom.distillation.score_students.train_probe.name_base", lambda n: BaseName(n, "")
    )
    capsys.readouterr()

    def run(line):
        code = main(shlex.split(line))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def rows(path="out.jsonl"):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_student_scores_a_file_and_a_cascade_says_what_it_saves(ran):
    code, out, err = ran(f"filter score {FOLDER} -i articles.jsonl -o out.jsonl")
    assert (code, err) == (0, "")
    assert "60 articles in out.jsonl" in out
    assert "1 lines, the first: articles.jsonl, line 61: is no JSON" in out
    found = [row["mine_scores"] for row in rows()]
    truth = [true_scores(article(n)) for n in range(300, 360)]
    assert np.mean([abs(f["scores"]["a"] - t["a"]) for f, t in zip(found, truth, strict=True)]) < 1
    assert "stage_used" not in found[0]

    code, out, err = ran(
        f"filter probe --filter {FOLDER} --data-dir splits --objective recall --epochs 30 "
        "--recall-check-file splits/val.jsonl"
    )
    assert (code, err) == (0, ""), err
    assert "check" in out
    assert Path(f"{FOLDER}/probe/student.json").is_file()
    code, out, err = ran(
        f"inference --filter {FOLDER} -i articles.jsonl -o two.jsonl --compare --report report.json"
    )
    assert (code, err) == (0, "")
    assert "cascade" in out
    assert "compare" in out
    told = json.loads(Path("report.json").read_text())["filters"]["mine"]
    stages = [row["mine_scores"]["stage_used"] for row in rows("two.jsonl")]
    assert told["compare"]["dropped"] == stages.count("stage1_low") > 0
    assert told["compare"]["missed"] <= told["compare"]["dropped"]
    code, out, err = ran(
        f"filter score --filter {FOLDER} -i articles.jsonl -o all.jsonl --threshold 0"
    )
    assert {row["mine_scores"]["stage_used"] for row in rows("all.jsonl")} == {"stage2"}


def test_several_filters_share_a_stream_and_names_must_differ(ran):
    main(["filter", "new", "other/v1", "--dimensions", "a,b"])
    code, _, err = ran(
        f"filter score --filter {FOLDER} --filter other/v1 -i articles.jsonl -o o.jsonl"
    )
    assert code == 1
    assert "there is no student in other/v1/model" in err
    code, _, err = ran(
        f"filter score --filter {FOLDER} --filter {FOLDER} -i articles.jsonl -o o.jsonl"
    )
    assert code == 1
    assert "one scorer of each name is needed" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("-i nothing.jsonl -o o.jsonl", "--input: there is no file 'nothing.jsonl'"),
        (
            "-i articles.jsonl -o o.jsonl --server http://x/v1",
            "--server and --model belong together",
        ),
        ("-i articles.jsonl -o o.jsonl --threshold 3", "there is no probe in mine/v1/probe"),
        ("-i articles.jsonl -o o.jsonl --int8", "a student of the kind 'tfidf' has no encoder"),
        ("-i articles.jsonl -o o.jsonl --student empty", "there is no student in empty"),
    ],
)
def test_faults_are_named(options, words, ran):
    code = None
    try:
        code, _, err = ran(f"filter score --filter {FOLDER} {options}")
    except SystemExit as ended:
        code, err = ended.code, None
    assert code in (1, 2)
    assert err is None or words in err


def test_labels_and_students_of_another_prompt_are_refused(ran):
    prompt = next(Path(FOLDER).glob("prompt*.md"))
    prompt.write_text(prompt.read_text().replace("e", "E", 1), encoding="utf-8")
    changed = load_filter(FOLDER).prompt.prompt_hash
    code, _, err = ran(f"filter probe --filter {FOLDER} --data-dir splits")
    if changed == json.loads(Path(f"{FOLDER}/model/student.json").read_text())["prompt_hash"]:
        pytest.fail("the first e is not in the template; change another letter")
    assert code == 1
    assert "splits/train.jsonl, line 1: the prompt has changed since" in err
    code, _, err = ran(f"filter score --filter {FOLDER} -i articles.jsonl -o out.jsonl")
    assert code == 1
    assert "mine/v1/model: the prompt has changed since" in err
    assert not Path("out.jsonl").exists()


def test_a_model_on_a_server_scores_too(ran, monkeypatch):
    monkeypatch.setattr("stillroom.inference.remote.engine.check_models_allowed", lambda _: None)
    Path("few.jsonl").write_text("".join(json.dumps(article(n)) + "\n" for n in range(3)))

    def reply(handler):
        handler.start()
        delta = {"content": '{"a": 8, "b": 6.5}'}
        handler.event({"choices": [{"index": 0, "delta": delta}]})
        handler.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        handler.event("[DONE]")

    with serving(reply) as server:
        code, _, err = ran(
            f"filter score --filter {FOLDER} -i few.jsonl -o out.jsonl --server {server.base_url} "
            "--model mine --structured"
        )
        assert (code, err) == (0, ""), err
        assert [row["mine_scores"]["scores"] for row in rows()] == [{"a": 8.0, "b": 6.5}] * 3
        assert len(server.requests) == 3
        body = server.requests[0][2]
        assert body["response_format"]["type"] == "json_schema"
        assert "Title" in body["messages"][0]["content"]
