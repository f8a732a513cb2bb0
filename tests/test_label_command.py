"""`stillroom label` and `stillroom expand`: from a file to one that `stillroom distill` reads."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from project_paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from labeling_server import LabelServer, serving
from stillroom.cli import main
from stillroom.distillation.training_data import training_examples
from stillroom.errors import ConfigError, DataError
from stillroom.files import read_json, read_json_lines
from stillroom.labeling.batch.records import label_tasks
from stillroom.pipeline import MainJob
from stillroom.prompts import render


@pytest.fixture
def server():
    with serving(LabelServer()) as running:
        yield running


def run(command, server, tmp_path, *options):
    given = ["--teacher", server.base_url, "--output", str(tmp_path / "out"), *options]
    return main([command, *given])


def table(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return ["--data", str(path)]


def test_a_table_of_questions_becomes_training_records(server, tmp_path, capsys):
    data = table(tmp_path, "question,context,answer\nWhich?,a metal,\nWho?,,old\n")
    assert run("label", server, tmp_path, *data, "--prices", "1,2", "--budget", "1") == 0
    labelled = read_json_lines(tmp_path / "out" / "labels.jsonl")
    prompts = [render("s2-qa", "Which?", context="a metal"), render("s2-qa", "Who?")]
    assert [record["answer"] for record in labelled] == [f"label of {p}" for p in prompts]
    assert labelled[0]["label"]["teacher"] == "tiny"
    examples = {e.prompt: e.target for e in training_examples(labelled)}
    assert examples == {prompt: f"label of {prompt}" for prompt in prompts}
    report = read_json(tmp_path / "out" / "report.json")
    assert report["labelled"] == 2
    assert report["cost"] == pytest.approx(2 * (20 * 1 + 10 * 2) / 1e6)
    assert "2 of 2 labelled" in capsys.readouterr().out
    assert run("label", server, tmp_path, *data) == 0
    assert server.asked.total() == 2
    assert "2 of them known" in capsys.readouterr().out


def test_other_shapes(server, tmp_path):
    turns = [{"role": "user", "content": "Hello"}]
    records = [
        {"instruction": "Do", "input": "it"}, {"prompt": "As it is"}, {"messages": turns},
    ]  # fmt: skip
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert run("label", server, tmp_path, "--data", str(path), "--format", "system1") == 0
    first, second, third = read_json_lines(tmp_path / "out" / "labels.jsonl")
    assert first["output"] == "label of User: Do\nInput: it\nAssistant:"
    assert (second["prompt"], second["completion"]) == ("As it is", "label of As it is")
    assert third["messages"] == [*turns, {"role": "assistant", "content": "label of Hello"}]


def test_a_template_and_columns_of_other_names(server, tmp_path):
    data = table(tmp_path, "metal,n\ngold,79\n")
    template = 'Describe {metal} as {"a": 1}.'
    assert run("label", server, tmp_path, *data, "--template", template) == 0
    (record,) = read_json_lines(tmp_path / "out" / "labels.jsonl")
    assert record["prompt"] == 'Describe gold as {"a": 1}.'
    assert record["completion"] == f"label of {record['prompt']}"
    assert run("label", server, tmp_path, *data, "--question", "metal") == 0
    (record,) = read_json_lines(tmp_path / "out" / "labels.jsonl")
    assert record["answer"] == f"label of {render('s2-qa', 'gold')}"
    assert record["metal"] == "gold"


def test_columns_of_the_table_stay_and_what_makes_room_is_told(server, tmp_path, capsys):
    text = "metal,question,answer,label,about\ngold,Own?,Yes,noble,old\ntin,,,base,\n"
    data = [*table(tmp_path, text), "--question", "metal", "--context", "about"]
    assert run("label", server, tmp_path, *data) == 0
    first, second = labelled = read_json_lines(tmp_path / "out" / "labels.jsonl")
    asked = render("s2-qa", "gold", context="old"), render("s2-qa", "tin")
    found = {e.prompt: e.target for e in training_examples(labelled)}
    assert found == {prompt: f"label of {prompt}" for prompt in asked}
    assert (first["question_before"], first["answer_before"]) == ("Own?", "Yes")
    assert [one["label"] for one in labelled] == ["noble", "base"]
    assert second["stillroom_label"]["teacher"] == "tiny"
    told = capsys.readouterr().out
    assert told.count("'answer_before' keeps its values") == 1
    assert told.count("'stillroom_label' holds the marks of the labels") == 1


def test_a_context_goes_to_what_is_asked(server, tmp_path, capsys):
    data = table(tmp_path, "instruction,about\nDo,it\n")
    assert run("label", server, tmp_path, *data, "--context", "about") == 0
    (record,) = read_json_lines(tmp_path / "out" / "labels.jsonl")
    assert record["output"] == f"label of {render('s2-qa', 'Do', context='it')}"
    data = table(tmp_path, "prompt,about\nDo,it\n")
    assert run("label", server, tmp_path, *data, "--context", "about") == 1
    assert "--question" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 1, "(--question), or give a template"),
        (["--question", "metals"], 1, "there is no column ['metals']"),
        (["--template", "{iron}"], 1, "names no column"),
        (["--template", "nowhere.txt"], 1, "no file"),
        (["--question", "metal", "--budget", "1"], 1, "a budget needs prices"),
        (["--question", "metal", "--bits", "8"], 1, "bits: a server decides"),
    ],
)
def test_mistakes_get_one_sentence_and_nothing_is_sent(
    server, tmp_path, capsys, options, code, words
):
    data = table(tmp_path, "metal,n\ngold,79\n")
    assert run("label", server, tmp_path, *data, *options) == code
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
    assert server.asked.total() == 0


def test_a_run_that_stops_early_fails_and_goes_on(server, tmp_path, capsys):
    data = table(tmp_path, "question\n" + "".join(f"Which {n}?\n" for n in range(20)))
    money = ["--prices", "1000000,1000000", "--max-tokens", "64", "--budget"]
    assert run("label", server, tmp_path, *data, *money, "500") == 1
    assert "stopped early (budget)" in capsys.readouterr().err
    kept = len(read_json_lines(tmp_path / "out" / "labels.jsonl"))
    assert 0 < kept < 20
    assert run("label", server, tmp_path, *data, *money, "2000") == 0
    assert len(read_json_lines(tmp_path / "out" / "labels.jsonl")) == 20
    assert server.asked.total() == 20


def test_a_teacher_that_always_fails_is_a_failure(tmp_path, capsys):
    with serving(LabelServer(fault_share=1.0, faults=("500",))) as server:
        data = table(tmp_path, "question\nWhich?\n")
        assert run("label", server, tmp_path, *data, "--max-attempts", "1") == 1
    assert "no record has a label" in capsys.readouterr().err
    (letter,) = read_json_lines(tmp_path / "out" / "dead_letter.jsonl")
    assert letter["record"]["question"] == "Which?"


def test_few_records_are_expanded(tmp_path, capsys, monkeypatch):
    with serving(LabelServer()) as server:
        answers = iter(range(1000))
        whole = server._answer

        def tagged(prompt, key, fault):
            text = f"<answer>Is it {next(answers)}?</answer>"
            return whole(prompt, key, fault).replace(
                json.dumps(f"label of {prompt}").encode(), json.dumps(text).encode()
            )

        monkeypatch.setattr(server, "_answer", tagged)
        data = table(tmp_path, "question,answer\nWhich metal is yellow?,gold\nWho?,me\n")
        assert run("expand", server, tmp_path, *data, "--target", "9") == 0
    grown = read_json_lines(tmp_path / "out" / "records.jsonl")
    assert len(grown) == 9
    assert "7 new" in capsys.readouterr().out


def test_tasks_of_records():
    same = [{"question": "Which?"}] * 2
    assert len({task.id for task in label_tasks(same)}) == 2
    assert [task.id for task in label_tasks([{"id": 7, "question": "Which?"}])] == ["7"]
    for record, words in (({"question": ""}, "a text is needed"),):
        with pytest.raises(DataError, match=words):
            label_tasks([record])
    with pytest.raises(DataError, match="template needs it"):
        label_tasks([{"a": "x"}, {"a": None}], template="{a}")
    with pytest.raises(ConfigError, match="names no column"):
        label_tasks([{"a": "x"}], template="{ a }")


@pytest.mark.parametrize("teacher", ["http://127.0.0.1:8000/v1", "ollama"])
def test_a_run_may_be_labelled_by_a_server(teacher):
    assert MainJob(teacher=teacher).faults() == []
    assert MainJob(teacher=teacher).is_served()


NOWHERE = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (NOWHERE, "start it, or give another address: --teacher"),
        ("ollama", "start it (ollama serve)"),
        ("vllm", "start it (vllm serve MODEL)"),
        ("openai", "start it, or"),
    ],
)
@pytest.mark.parametrize("model", [[], ["--model", "m"]])
@pytest.mark.parametrize("command", ["label", "expand"])
def test_a_server_that_is_down_gets_one_sentence_and_no_call(
    tmp_path, capsys, monkeypatch, teacher, words, model, command
):
    for name in ("OLLAMA_HOST", "VLLM_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    options = [*table(tmp_path, "question\nWhich?\n"), "--output", str(tmp_path / "out"), *model]
    options += ["--target", "5"] if command == "expand" else []
    assert main([command, "--teacher", teacher, *options]) == 1
    told = capsys.readouterr()
    assert "no server was reached at http://127.0.0.1:9/v1" in told.err
    assert words in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "out" / "calls.jsonl").exists()


def test_a_model_that_a_server_lacks_is_told_before_it_is_asked(
    server, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("OLLAMA_HOST", server.base_url)
    options = [*table(tmp_path, "question\nWhich?\n"), "--output", str(tmp_path / "out")]
    assert main(["label", "--teacher", "ollama", "--model", "other", *options]) == 1
    told = capsys.readouterr().err
    assert "it lists tiny" in told
    assert "ollama pull other" in told
    assert main(["label", "--teacher", "ollama", "--model", "tiny", *options]) == 0


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        ("Ollama", "the nearest is --teacher ollama"),
        ("opennai", "the nearest is --teacher openai"),
        ("localhost:8000/v1", "--teacher http://localhost:8000/v1"),
        ("192.168.1.7:11434", "--teacher http://192.168.1.7:11434"),
    ],
)
def test_names_that_are_nearly_servers_are_told_the_server(tmp_path, capsys, teacher, words):
    options = [*table(tmp_path, "question\nWhich?\n"), "--output", str(tmp_path / "out")]
    assert main(["label", "--teacher", teacher, *options]) == 1
    assert words in capsys.readouterr().err


class Deeper(BaseHTTPRequestHandler):
    """Lists models below /v1 alone."""

    def do_GET(self):
        found = self.path == "/v1/models"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(b'{"data": [{"id": "tiny"}]}' if found else b"<html>")

    def log_message(self, *_):
        """Say nothing."""


def test_an_address_without_its_version_is_told_the_whole_one(tmp_path, capsys):
    options = [*table(tmp_path, "question\nWhich?\n"), "--output", str(tmp_path / "out")]
    with HTTPServer(("127.0.0.1", 0), Deeper) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        for model in ([], ["--model", "tiny"]):
            assert main(["label", "--teacher", base, *options, *model]) == 1
            assert f"--teacher {base}/v1" in capsys.readouterr().err
        server.shutdown()
        thread.join()


def test_dead_letters_are_asked_again_where_it_is_said(tmp_path, capsys):
    data = table(tmp_path, "question\n" + "".join(f"Which {n}?\n" for n in range(40)))
    options = [*data, "--max-attempts", "1", "--concurrency", "1", "--max-error-rate", "0.3"]
    with serving(LabelServer(fault_share=1.0, faults=("500",))) as server:
        assert run("label", server, tmp_path, *options) == 1
        told = capsys.readouterr()
        assert "stopped early (error_rate)" in told.err
        assert "the same command goes on with them, and the same command with --retry" in told.err
        dead = len(read_json_lines(tmp_path / "out" / "dead_letter.jsonl"))
        assert f"with the {dead} dead letters as well" in told.err
        assert "the same command with --retry-failed asks for these again" in told.out
        server.fault_share = 0.0
        assert run("label", server, tmp_path, *options, "--max-error-rate", "1") == 0
        assert len(read_json_lines(tmp_path / "out" / "labels.jsonl")) == 40 - dead
        assert run("label", server, tmp_path, *options, "--retry-failed") == 0
        assert len(read_json_lines(tmp_path / "out" / "labels.jsonl")) == 40
        assert read_json_lines(tmp_path / "out" / "dead_letter.jsonl") == []


def test_what_cannot_be_written_is_told_before_anything_is_asked(server, tmp_path, capsys):
    data = table(tmp_path, "question\nWhich?\n")
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "labels.jsonl").mkdir(parents=True)
    for folder, words in (("file", "is a file"), ("file/x", "is a file"), ("taken", "is a folder")):
        given = ["--teacher", server.base_url, *data, "--output", str(tmp_path / folder)]
        assert main(["label", *given]) == 1
        told = capsys.readouterr().err
        assert words in told
        assert "Traceback" not in told
    assert server.asked == {}


def test_braces_that_name_no_column_are_told(server, tmp_path, capsys):
    data = table(tmp_path, "metal\ngold\n")
    template = 'About {metal} and {metall}: {"a": 1}, {{x}}'
    assert run("label", server, tmp_path, *data, "--template", template) == 0
    assert capsys.readouterr().out.count("is no column and stays as it is") == 1


def test_thoughts_are_left_off_unless_they_are_wanted(tmp_path, monkeypatch, capsys):
    with serving(LabelServer()) as server:
        whole = server._answer
        monkeypatch.setattr(
            server, "_answer", lambda *a: whole(*a).replace(b'"label of', b'"<think>Hm.</think>la')
        )
        data = table(tmp_path, "question\nWhich?\n")
        for options, thinks in (([], False), (["--keep-thoughts"], True), ([], False)):
            assert run("label", server, tmp_path, *data, *options) == 0
            (record,) = read_json_lines(tmp_path / "out" / "labels.jsonl")
            assert record["answer"].startswith("<think>Hm.</think>") is thinks
            assert "1 with thoughts" in capsys.readouterr().out
        assert server.asked.total() == 1
        assert run("label", server, tmp_path, *data, "--format", "system2") == 0
        (record,) = read_json_lines(tmp_path / "out" / "labels.jsonl")
        assert record["answer"].startswith("<think>Hm.</think>")
