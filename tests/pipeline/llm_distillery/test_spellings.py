"""Every command of LLM Distillery runs under its own name and options; secrets stay unwritten."""

import json
import re
import shlex
import subprocess
import sys
from typing import ClassVar

import pytest
from project_paths import ROOT
from stillroom.cli import main
from stillroom.labeling.teachers.protocol import TeacherAnswer
from stillroom.pipeline.llm_distillery.spellings import SPELLINGS, spelling_of
from stillroom.pipeline.options import Refused

FOLDER = ROOT / "examples/llm_distillery"
FILTER = "mine/v1"
SECRET = "sk-secret-0123456789abcdef"
OPTIONS = {
    "batch_labeler": "--filter --source --llm --target-count --output-dir --batch-size "
    "--max-batches --random-sample --seed --api-key --prompt --pre-filter",
    "batch_scorer": "--filter --source --llm --target-count --target-scored --output-dir "
    "--batch-size --max-batches --random-sample --seed --api-key --prompt --thinking-budget",
    "calibrate_oracle": "--filter --prompt --source --models --sample-size --output --seed",
    "merge_labels": "--filter --input --output",
    "analyze_distribution": "--filter --input",
    "create_splits": "--input --output-dir --train-ratio --val-ratio --test-ratio --seed "
    "--stratify-by",
    "merge_training_data": "--existing-dir --new-scored --output-dir --analysis-field "
    "--dimensions --seed",
    "near_dup_filter": "--pool --reference --output --threshold --batch-size",
    "embedding_screener": "--positives --corpus --output --top-k --batch-size --max-corpus "
    "--exclude-off-lens",
    "train_probe": "--filter --data-dir --embedding-model --objective --target-fn --wa-scale "
    "--aux-l1-weight --recall-check-file --device --output",
    "inference_hybrid": "--input --output --no-prefilter --batch-size --threshold --compare",
    "inference": "--input --output --no-prefilter --batch-size --threshold --compare",
    "inference_hub": "--input --output --no-prefilter --batch-size --threshold --compare",
    "fit_calibration": "--filter --data-dir --test-data --batch-size --output",
    "fit_normalization": "--filter --data-dir --n-bins --min-score --out --analysis-only "
    "--allow-thin-fit --allow-below-op-point --all-versions --filter-version",
    "ground_truth_gate": "--labels --model --config --threshold --gatekeeper-cap "
    "--recompute-model-wa --report",
    "prepare_data": "--filter --input --data-source --output-dir --train-ratio --val-ratio "
    "--test-ratio --seed",
    "validate_training_data": "--data-dir --filter",
    "train": "--filter --data-dir --output-dir --model-name --epochs --batch-size --learning-rate "
    "--max-length --warmup-steps --seed --use-head-tail --head-tokens --tail-tokens "
    "--sample-weight-scale",
    "verify_filter_package": "--filter --check-hub --token",
    "upload_to_huggingface": "--filter --repo-name --private --token",
}
"""Options of each command, as its users write them."""


@pytest.mark.parametrize("name", OPTIONS)
def test_each_command_has_its_options(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    flags = set(re.findall(r"--[a-z\d-]+", told))
    assert set(OPTIONS[name].split()) <= flags
    assert "usage: stillroom " in told


def test_no_command_is_without_its_row():
    assert set(OPTIONS) == set(SPELLINGS)


@pytest.mark.parametrize(
    ("option", "reason"),
    [("--resume-from x", "run the same command again"),
     ("--include-prompt", "title and content alone"),
     ("--select-metric recall_medium", "the report always holds")],
)  # fmt: skip
def test_options_of_training_that_are_decided_here_are_told_with_the_reason(option, reason, ran):
    code, _, err = ran(f"training/train.py --filter {FILTER} --data-dir . --output-dir o {option}")
    assert code in (1, 2)
    assert reason in err


@pytest.mark.parametrize("option", ["--ssh box", "--remote-dir /x"])
def test_copies_from_other_machines_are_refused_with_a_reason(option, ran):
    code, _, err = ran(f"fit_normalization --filter {FILTER} --data-dir raw.jsonl {option}")
    assert code == 2
    assert "copy the scored files to this machine first" in err


def test_each_command_has_a_file_of_its_old_path_and_no_other():
    wanted = {path for one in SPELLINGS.values() for path in one.paths}
    there = {
        path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert there == wanted
    for name, one in SPELLINGS.items():
        assert callable(one.load())
        for path in one.paths:
            assert spelling_of(path) is one
            assert f'main(["{name}"' in (FOLDER / path).read_text(encoding="utf-8")
    assert spelling_of("nothing.py") is None


@pytest.mark.parametrize(
    "words",
    [["batch_labeler.py"], ["-m", "ground_truth.batch_labeler"],
     ["scripts/deployment/verify_filter_package.py"]],
)  # fmt: skip
def test_old_command_lines_start(words):
    done = subprocess.run([sys.executable, "-W", "ignore", *words, "--help"], cwd=FOLDER,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "--filter" in done.stdout


class Oracle:
    """An oracle that rates by the number in an article."""

    revision, honours_idempotency = None, False

    def __init__(self, name):
        self.name, self.asked = name, 0

    async def ask(self, prompt, profile, *, call_id=""):
        self.asked += 1
        value = int(re.search(r"number (\d+)", prompt)[1]) % 11
        return TeacherAnswer(json.dumps({"a": value, "b": value, "reasoning": "r"}))

    async def close(self):
        pass


@pytest.fixture
def ran(capsys, tmp_path, monkeypatch):
    """Give a function that runs a command in a folder with a package and a corpus."""
    monkeypatch.chdir(tmp_path)
    main(["filter", "new", FILTER, "--dimensions", "a,b"])
    articles = [
        {"id": f"r{n}", "title": f"Title {n}", "content": f"This is number {n}. "
         + " ".join(f"w{(n + 1) * (k + 7) ** 2 % 997}." for k in range(80))}
        for n in range(40)
    ]  # fmt: skip
    write(tmp_path / "raw.jsonl", articles)
    opened = []

    def teacher(args):
        opened.append(args)
        return Oracle(args.model or args.teacher)

    monkeypatch.setattr(
        "stillroom.pipeline.commands.filters.oracle_options.chosen_teacher", teacher
    )
    monkeypatch.setenv("GEMINI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9/v1")
    capsys.readouterr()

    def run(line):
        try:
            code = main(shlex.split(line))
        except Refused as refused:
            code = refused.code
        told = capsys.readouterr()
        return code, told.out, told.err

    run.opened = opened
    return run


def write(path, records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")


def lines(path):
    return [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()]


def test_labels_splits_and_new_labels_by_the_old_commands(ran, tmp_path):
    code, out, err = ran(f"batch_labeler.py --filter {FILTER} --source raw.jsonl "
                         "--llm gemini-flash --target-count 30 --output-dir out "
                         "--batch-size 20")  # fmt: skip
    assert (code, err) == (0, "")
    assert (ran.opened[0].teacher, ran.opened[0].model) == ("gemini", "gemini-2.5-flash")
    assert "gemini-2.5-flash, twice about 30 articles" in out
    files = sorted(path.name for path in (tmp_path / "out/mine").glob("*batch*"))
    assert files == ["labeled_batch_001.jsonl", "labeled_batch_002.jsonl"]
    state = json.loads((tmp_path / "out/mine/.labeled_ids.json").read_text())
    assert (state["total_labeled"], state["batches_completed"]) == (30, 1)

    code, out, _ = ran(f"merge_labels --filter {FILTER} --input out/mine/labeled_batch_001.jsonl "
                       "out/mine/labeled_batch_002.jsonl --output all.jsonl")  # fmt: skip
    assert (code, len(lines(tmp_path / "all.jsonl"))) == (0, 30)
    assert ran(f"analyze_distribution --filter {FILTER} --input all.jsonl --plot t.png")[0] == 0
    assert (tmp_path / "t.png").exists()
    code, *_ = ran(f"create_splits --filter {FILTER} --input all.jsonl --output-dir splits")
    counts = json.loads((tmp_path / "splits/split.json").read_text())["counts"]
    assert (code, sum(counts.values())) == (0, 30)
    assert min(counts.values()) > 0

    code, *_ = ran(f"batch_scorer --filter {FILTER} --source raw.jsonl --llm gemini-pro "
                   "--target-scored 40 --output-dir more --skip-consistency-check")  # fmt: skip
    assert (code, len(lines(tmp_path / "more/mine/scored_batch_001.jsonl"))) == (0, 40)
    assert "total_scored" in (tmp_path / "more/mine/.scored_ids.json").read_text()
    code, out, _ = ran("scripts/merge_training_data.py --existing-dir splits --new-scored "
                       "more/mine/scored_batch_001.jsonl --output-dir splits2 "
                       "--analysis-field mine_analysis --dimensions a b")  # fmt: skip
    assert code == 0
    assert "30 new records that are in a part already" in out
    assert lines(tmp_path / "splits2/test.jsonl") == lines(tmp_path / "splits/test.jsonl")
    more = json.loads((tmp_path / "splits2/split.json").read_text())
    assert sum(more["counts"].values()) == 40
    assert more["strata"]["new"] == {"train": 9, "val": 1, "test": 0}


def test_several_oracles_and_their_comparison(ran, tmp_path):
    code, *_ = ran(f"batch_labeler --filter {FILTER} --source raw.jsonl --llm gemini-flash,claude "
                   "--target-count 3 --output-dir out --skip-consistency-check")  # fmt: skip
    assert code == 0
    told = lines(tmp_path / "out/mine/labeled_batch_001.jsonl")[0]["mine_analysis"]
    assert list(told["oracles"]) == ["gemini-2.5-flash", "claude-sonnet-4-5"]
    assert set(told["disagreement"].values()) == {0.0}
    code, out, _ = ran(f"calibrate_oracle --filter {FILTER} --source raw.jsonl --sample-size 12 "
                       "--output report.json")  # fmt: skip
    assert code == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["oracles"]) == ["gemini-2.5-flash", "gemini-2.5-pro"]
    assert report["pairs"][0]["compared"] == 12
    assert report["pairs"][0]["weighted_average_mae"] == 0
    assert "gemini-2.5-flash and gemini-2.5-pro: 12 articles" in out


def test_a_key_is_used_with_a_warning_and_never_written(ran, tmp_path):
    line = (f"batch_labeler --filter {FILTER} --source raw.jsonl --llm gemini --target-count 2 "
            f"--output-dir out --api-key {SECRET}")  # fmt: skip
    code, out, err = ran(line)
    assert code == 0
    assert "--api-key is seen by every user" in err
    assert ran.opened[0].api_key == SECRET
    assert SECRET not in out + err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    code, _, err = ran(line.replace("--llm gemini", "--llm gemini,claude"))
    assert code == 1
    assert "several oracles" in err
    assert SECRET not in err


def test_deprecated_options_are_accepted_with_a_note(ran, tmp_path):
    code, _, err = ran(f"batch_labeler --prompt {FILTER}/prompt-compressed.md "
                       "--source raw.jsonl --llm gemini --target-count 1 --output-dir o "
                       "--pre-filter seece")  # fmt: skip
    assert code == 0
    assert "--prompt is deprecated" in err
    assert "--pre-filter is deprecated" in err
    code, _, err = ran("batch_labeler --source raw.jsonl --llm gemini")
    assert code == 1
    assert "--filter is missing" in err


def test_reasoning_is_asked_of_the_providers_that_have_it(ran, tmp_path):
    line = f"batch_scorer --filter {FILTER} --source raw.jsonl --target-scored 1 --output-dir out"
    assert ran(f"{line} --llm gemini --thinking-budget 100")[0] == 0
    code, _, err = ran(f"{line} --llm gemini,claude --thinking-budget 100")
    assert code == 1
    assert "--thinking-budget is 100" in err


def vectors():
    def embed(texts):
        return [[text.lower().count(letter) for letter in "abcdefgh0123456789"] for text in texts]

    return embed


def test_screening_writes_candidates_and_drops_copies(ran, tmp_path, monkeypatch):
    monkeypatch.setattr("stillroom.data.identity.sentence_vectors.sentence_vectors", vectors)
    write(tmp_path / "good.jsonl", [{"id": "g", "title": "Title 77", "content": "number 77"}])
    code, *_ = ran("embedding_screener --positives good.jsonl --corpus raw.jsonl "
                       "--output found.jsonl --top-k 5 --batch-size 7")  # fmt: skip
    assert code == 0
    found = lines(tmp_path / "found.jsonl")
    assert len(found) == 5
    scores = [one["screen_score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    code, *_ = ran("near_dup_filter --pool raw.jsonl --reference found.jsonl "
                       "--output new.jsonl --threshold 1")  # fmt: skip
    assert code == 0
    kept = {one["id"] for one in lines(tmp_path / "new.jsonl")}
    assert kept
    assert not kept & {one["id"] for one in found}


class Hub:
    """The hub, as far as the commands use it."""

    calls: ClassVar[list] = []
    files: ClassVar[dict] = {}

    def __init__(self, token=None):
        self.token = token

    def create_repo(self, name, *, private, exist_ok):
        if self.token == "bad":
            raise OSError(f"401 for {self.token}")
        self.calls.append((name, private))

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
        self.files[repo_id] = list(allow_patterns)

    def model_info(self, repo, *, files_metadata):
        one = type("File", (), {"size": None})
        siblings = []
        for name in self.files[repo]:
            made = one()
            made.rfilename = name
            siblings.append(made)
        return type("Info", (), {"siblings": siblings})()


def test_a_package_is_verified_and_uploaded_to_the_hub(ran, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    monkeypatch.setenv("HF_TOKEN", "from-env")
    folder = tmp_path / FILTER
    (folder / "model").mkdir()
    (folder / "model/model.safetensors").write_bytes(b"x")
    (folder / "model/secret.pkl").write_bytes(b"x")
    (folder / ".env").write_text("KEY=1")
    (folder / "train.jsonl").write_text("{}\n")
    assert ran(f"verify_filter_package --filter {FILTER}")[0] == 0
    code, _, err = ran(f"upload_to_huggingface --filter {FILTER} --repo-name me/mine --private")
    assert (code, err) == (0, "")
    assert Hub.calls == [("me/mine", True)]
    assert Hub.files["me/mine"] == [
        "README.md", "config.yaml", "model/model.safetensors", "prefilter.yaml",
        "prompt-compressed.md",
    ]  # fmt: skip
    code, _, err = ran(f"verify_filter_package --filter {FILTER} --check-hub")
    assert code == 1
    assert "deployment.repo_name is missing" in err
    config = (folder / "config.yaml").read_text() + "\ndeployment: {repo_name: me/mine}\n"
    (folder / "config.yaml").write_text(config)
    assert "the hub has the same" in ran(f"verify_filter_package --filter {FILTER} --check-hub")[1]
    (folder / "training_metadata.json").write_text('{"dimension_names": ["a"]}')
    for line in (f"verify_filter_package --filter {FILTER}",
                 f"upload_to_huggingface --filter {FILTER} --repo-name me/mine"):  # fmt: skip
        code, _, err = ran(line)
        assert code == 1
        assert "training_metadata.json: dimension_names is ['a']" in err
    (folder / "training_metadata.json").unlink()
    code, _, err = ran(f"upload_to_huggingface --filter {FILTER} --repo-name me/x --token bad")
    assert code == 1
    assert "the hub refused: 401 for ***" in err
    assert "--token is seen by every user" in err
