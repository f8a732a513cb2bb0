"""The model card of a run in the hub's form, and its upload with the hub mocked."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
import yaml
from made_runs import make_answer_run
from stillroom.cli import main
from stillroom.files import read_json, write_json
from stillroom.pipeline.run_report.answer_report import answer_report
from stillroom.pipeline.run_report.public_tasks import TASKS_FILE, measure_tasks, task_rows
from stillroom.pipeline.run_report.push_to_hub import push_to_hub
from stillroom.pipeline.run_report.run_card import write_run_card

HARNESS = {
    "results": {"hellaswag": {"alias": "hellaswag", "acc,none": 0.25, "acc_stderr,none": 0.01}},
    "versions": {"hellaswag": 1.0},
    "configs": {"hellaswag": {"dataset_path": "Rowan/hellaswag"}},
}


@pytest.fixture
def run(tmp_path):
    folder = make_answer_run(tmp_path / "stars")
    write_json(folder / TASKS_FILE, {"results": task_rows(HARNESS)})
    write_run_card(folder, answer_report(folder))
    return folder


def test_the_hub_reads_the_card_and_its_numbers_are_the_stored_ones(run):
    card = huggingface_hub.ModelCard.load(run / "student" / "README.md")
    found = {one.task_name: one for one in card.data.eval_results}
    numbers = answer_report(run).numbers
    assert found["all"].metric_value == numbers["quality"]["student"]["rate"]
    assert found["all"].metric_type == "exact_match"
    assert found["qa"].metric_value == numbers["parts"]["category"]["qa"]["student"]["rate"]
    assert found["hellaswag"].dataset_type == "Rowan/hellaswag"
    assert card.data.library_name == "transformers"
    assert "stillroom" in card.data.tags
    assert numbers["difference"]["teacher"]["words"][1:40] in card.text
    assert "With int8 weights 133 of 150" in card.text
    assert "d" * 64 in card.text


def test_eval_results_have_the_form_that_the_hub_writes(run):
    files = sorted((run / "student" / ".eval_results").iterdir())
    assert [path.name for path in files] == [
        "held-out-questions-of-stars-csv.yaml", "rowan-hellaswag.yaml",
    ]  # fmt: skip
    held_out, public = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in files)
    assert held_out[0]["value"] == answer_report(run).numbers["quality"]["student"]["rate"]
    assert held_out[0]["date"] == "2026-01-01T00:00:00Z"
    entry = huggingface_hub.EvalResultEntry(
        dataset_id="Rowan/hellaswag", task_id="hellaswag", value=0.25, notes="acc"
    )
    assert public == huggingface_hub.eval_result_entries_to_yaml([entry])


class Hub:
    """Stands for the hub; keeps what is uploaded."""

    def __init__(self, token=None):
        Hub.token, Hub.calls = token, []

    def create_repo(self, name, **settings):
        Hub.calls.append((name, settings))

    def upload_folder(self, **settings):
        Hub.calls.append((settings["repo_id"], settings))
        return SimpleNamespace(commit_url="https://huggingface.co/me/stars/commit/1")


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    return Hub


def test_a_push_takes_the_token_of_the_environment_and_leaves_the_table_here(run, hub):
    address = push_to_hub(run / "student", "me/stars")
    assert address.endswith("/commit/1")
    assert hub.token == "hf_secret"
    (name, made), (_, sent) = hub.calls
    assert (name, made["private"]) == ("me/stars", True)
    allowed = list(huggingface_hub.utils.filter_repo_objects(
        [
            "model.safetensors", "README.md", "table.json", "run.json", "tokenizer.json",
            ".eval_results/a.yaml", "checkpoint-4/optimizer.pt", "feedback.jsonl", ".env",
        ],
        allow_patterns=sent["allow_patterns"],
    ))  # fmt: skip
    assert allowed == [
        "model.safetensors", "README.md", "run.json", "tokenizer.json", ".eval_results/a.yaml",
    ]  # fmt: skip
    push_to_hub(run / "student", "me/stars", public=True, with_table=True)
    assert hub.calls[0][1]["private"] is False
    assert "table.json" in hub.calls[1][1]["allow_patterns"]
    kept = "".join(path.read_text("utf-8", "replace") for path in run.rglob("*") if path.is_file())
    assert "hf_secret" not in kept


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("stars", ("HF_TOKEN", "hf_secret"), "write OWNER/NAME"),
        ("me/stars", ("HF_TOKEN", ""), "needs a token of the hub in the environment: HF_TOKEN"),
        ("me/stars", ("HF_HUB_OFFLINE", "1"), "HF_HUB_OFFLINE forbids it"),
    ],
)
def test_a_push_that_cannot_be_is_refused_before_anything_is_sent(
    run, hub, monkeypatch, name, setting, words, capsys
):
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setenv(*setting)
    monkeypatch.setattr(hub, "calls", [])
    write_json(run / "student" / "config.json", {"model_type": "llama"})
    with pytest.raises(SystemExit) as stopped:
        raise SystemExit(main(["export", str(run / "student"), "--push", name]))
    assert stopped.value.code == 1
    assert words in capsys.readouterr().err
    assert hub.calls == []


def test_public_tasks_go_through_the_harness_where_it_is_installed(monkeypatch, tmp_path):
    asked = {}

    def simple_evaluate(**settings):
        asked.update(settings)
        return HARNESS

    harness = SimpleNamespace(simple_evaluate=simple_evaluate, __version__="0.4.9")
    monkeypatch.setitem(sys.modules, "lm_eval", harness)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: harness)
    found = measure_tasks(tmp_path, ["hellaswag"], limit=10)
    assert asked["model_args"] == {"pretrained": str(tmp_path)}
    assert (asked["tasks"], asked["limit"]) == (["hellaswag"], 10)
    (row,) = found["results"]
    assert (row["value"], row["stderr"], row["dataset"]) == (0.25, 0.01, "Rowan/hellaswag")


def test_public_tasks_without_the_harness_are_refused_with_the_command(run, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    write_json(run / "student" / "config.json", {"model_type": "llama"})
    assert main(["evaluate", str(run), "--tasks", "hellaswag"]) == 1
    assert "pip install 'stillroom[tasks]'" in capsys.readouterr().err
    assert not (run / "evaluation").exists()


def test_evaluate_reads_a_table_and_writes_predictions(folder, tmp_path, capsys):
    """The tiny student of `tests/evaluation` knows the symbols of gold and silver."""
    data = tmp_path / "asked.csv"
    data.write_text(
        "id,question,answer,kind\n1,What is the symbol of gold?,Au,metal\n"
        "2,What is the symbol of silver?,Silver,metal\n3,Who greets?,nobody,other\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    assert main(["evaluate", str(folder), "--data", str(data), "--category", "kind",
                 "--output", str(out), "--json"]) == 0  # fmt: skip
    capsys.readouterr()
    found = read_json(out / "metrics.json")
    lines = (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert (found["n"], len(lines)) == (3, 3)
    assert found["by_category"]["metal"]["n"] == 2
    assert found["right"] == sum('"right": true' in line for line in lines)


def test_evaluate_names_the_column_that_is_missing(folder, tmp_path, capsys):
    data = tmp_path / "asked.csv"
    data.write_text("words,answer\nWhat?,Au\n", encoding="utf-8")
    assert main(["evaluate", str(folder), "--data", str(data), "--output", str(tmp_path)]) == 1
    assert "name one with --question" in capsys.readouterr().err
    assert main(["evaluate", str(folder), "--output", str(tmp_path)]) == 1
    assert "give --data FILE" in capsys.readouterr().err
