"""The main job with a teacher on a server: measured, then labelling, then a student from it."""

import re
import sys
from contextlib import ExitStack

import pytest
from project_paths import ROOT
from stillroom.cli import main
from stillroom.console import Console
from stillroom.errors import ConfigError, LabelingStoppedError
from stillroom.files import read_json, read_json_lines
from stillroom.labeling.batch.label_run import LabelSettings, Prices
from stillroom.pipeline import MainJob, Recipe, run_main_job
from stillroom.pipeline.main_job.served_teacher import KNOWLEDGE_QUESTIONS
from stillroom.pipeline.main_job.settings import ServerOptions

sys.path.insert(0, str(ROOT / "benchmarks"))

from labeling_server import LabelServer, serving

SHORT = Recipe(
    teacher_exposures=1, student_exposures=1, teacher_least_steps=12, student_least_steps=12
)
STARS = 30


@pytest.fixture
def serve():
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(LabelServer(**settings)))


@pytest.fixture
def table(tmp_path):
    rows = [f"Star {n},{('red', 'blue', 'white')[n % 3]},{4 + 3 * n}" for n in range(STARS)]
    path = tmp_path / "stars.csv"
    path.write_text("\n".join(["name,colour,distance", *rows]) + "\n")
    return path


def read_record(prompt):
    """Answer as a model that can read does: by the last record of the prompt."""
    record = dict(
        line.split(": ", 1)
        for line in prompt.rsplit("Record:\n", 1)[1].split("\n\n")[0].split("\n")
    )
    asked = prompt.rsplit("\n\n", 1)[1].lower()
    if asked.startswith("summarize"):
        return f"{record['name']}: colour {record['colour']}, distance {record['distance']}."
    column = next(c for c in ("colour", "distance") if c in asked)
    said = f'"{record[column].title()}".'
    return said if len(prompt) % 2 else f"The {column} of {record['name']} is {said}"


def job_of(table, served, **given):
    settings = {"controls": False, "recipe": SHORT, "max_minutes": None}
    settings["output_dir"] = table.parent / "run"
    return MainJob(data=table, teacher=served.base_url, **settings | given)


def test_a_served_teacher_ends_in_a_student_with_table_agents_and_chat(table, serve, capsys):
    server = serve(answer=read_record, fault_share=0.2, faults=("429", "500", "reset"))
    limits = LabelSettings(backoff_s=0.01, max_attempts=20)
    job = job_of(table, server, controls=True, server=ServerOptions(limits=limits))
    folder = run_main_job(job, Console())
    told = capsys.readouterr().out
    assert "40 of 40 held-out questions right" in told
    assert "'teacher text': a server gives text alone" in told
    # Asked once per fact and summary without gold, and once per measured fact.
    labels = read_json_lines(folder / "data" / "teacher_labels.jsonl")
    facts = {one["fact"] for one in labels}
    assert len(server.good) == len(server.charged) == KNOWLEDGE_QUESTIONS + len(facts)
    # Its labels are the cells, in all wordings, with verdicts that follow from them.
    by_task = {task: [one for one in labels if one["task"] == task]
               for task in ("qa", "summarize", "validate")}  # fmt: skip
    assert all(one["target"] == one["fields"]["right"] for one in by_task["qa"])
    assert {one["target"].rsplit(": ", 1)[1] for one in by_task["validate"]} == {"yes", "no"}
    assert all(
        one["target"].endswith("yes") == (one["fields"]["proposed"] == one["fields"]["right"])
        for one in by_task["validate"]
    )
    assert all("colour" in one["target"] for one in by_task["summarize"])
    assert len(by_task["qa"]) > 2 * len({one["fact"] for one in by_task["qa"]})
    # The student never reads the record, and has all that students of other teachers have.
    assert not any("Record:" in one["prompt"] for one in labels)
    for name in ("model.safetensors", "tokenizer.json", "table.json", "run.json", "README.md"):
        assert (folder / "student" / name).is_file(), name
    scores = read_json(folder / "metrics.json")
    assert set(scores) == {
        "student", "student_untrained", "student_without_teacher", "student_all_gold",
    }  # fmt: skip
    assert scores["student"]["agreement"] is None
    assert (folder / "report.html").is_file()
    from stillroom.agentic_workflow.agent import MultiAgentWorkflow
    from stillroom.agentic_workflow.chat_page.page import build_chat_page
    from stillroom.agentic_workflow.conversations.open_chat import open_chat_service

    workflow = MultiAgentWorkflow(str(folder / "student"))
    assert workflow.invoke("What is the colour of Star 3?")["response"]
    service = open_chat_service(folder / "student")
    assert service.comparison.models == ["Student", "Student without teacher"]
    assert build_chat_page(service) is not None
    service.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [("I do not know that.", r" 0.0 % of 40 .* 80 % are needed"), ("", "mostly: empty_response")],
)
def test_a_teacher_that_knows_nothing_is_stopped_before_the_student(answer, words, table, serve):
    server = serve(answer=lambda _: answer)
    with pytest.raises(LabelingStoppedError, match=words):
        run_main_job(job_of(table, server), Console())
    assert len(server.charged) <= KNOWLEDGE_QUESTIONS < 2 * STARS
    folder = table.parent / "run"
    assert not (folder / "student").exists()
    assert not (folder / "work" / "start").exists()
    # The answers are kept: the same command asks nothing again, and goes on with another least.
    paid = len(server.charged)
    if answer:
        with pytest.raises(LabelingStoppedError):
            run_main_job(job_of(table, server), Console())
        assert len(server.charged) == paid


def test_a_budget_stops_the_labels_and_a_larger_one_goes_on(table, serve):
    server = serve(answer=read_record)
    prices, cost = Prices(1e6, 1e6), 30.0  # of an answer of 20 + 10 tokens

    def run(answers):
        # Each call must fit by the most that it may cost: its bytes and all allowed tokens.
        limits = LabelSettings(concurrency=1, prices=prices, budget=answers * cost + 1000)
        options = ServerOptions(limits=limits, max_tokens=10)
        return run_main_job(job_of(table, server, server=options), Console())

    with pytest.raises(LabelingStoppedError, match="budget"):
        run(KNOWLEDGE_QUESTIONS + 5)
    paid = len(server.charged)
    assert KNOWLEDGE_QUESTIONS < paid < KNOWLEDGE_QUESTIONS + 40
    assert not (table.parent / "run" / "student").exists()
    run(10_000)
    assert len(server.charged) == len(server.good)  # nothing was paid for twice
    assert (table.parent / "run" / "student" / "table.json").is_file()


def test_a_named_student_is_tuned_on_the_labels(table, serve, tmp_path):
    server = serve(answer=read_record)
    first = run_main_job(job_of(table, server, output_dir=tmp_path / "first"), Console())
    job = job_of(table, server, student=first / "student", output_dir=tmp_path / "second")
    second = run_main_job(job, Console())
    assert (second / "student" / "table.json").is_file()
    assert not (first / "data" / "wordings.jsonl").exists()  # a small one learns the templates
    assert read_json_lines(second / "data" / "wordings.jsonl")
    before, after = (read_json(f / "student" / "config.json") for f in (first, second))
    assert before["vocab_size"] == after["vocab_size"]


def test_of_a_table_of_questions_it_gets_the_question_and_the_labels_alone(serve, tmp_path):
    words = {"refund": "money back", "delivery": "parcel is late"}
    rows = [f"Case {n}: the {words[label]}?,{label}" for n in range(12) for label in words]
    (tmp_path / "cases.csv").write_text("\n".join(["question,answer", *rows]) + "\n")
    prompts = []

    def answer(prompt):
        prompts.append(prompt)
        asked = prompt.rsplit("Question: ", 1)[1]
        return next(label for label, said in words.items() if said in asked)

    server = serve(answer=answer)
    job = job_of(tmp_path / "cases.csv", server)
    folder = run_main_job(job, Console())
    assert prompts
    for prompt in prompts:
        last = prompt.rsplit("Question: ", 1)[1]
        assert "Record:" not in prompt
        assert last.split("\n")[1:] == [
            "Reply with one of these alone: delivery, refund.",
            "Answer:",
        ]
    labels = read_json_lines(folder / "data" / "teacher_labels.jsonl")
    asked = [one for one in labels if one["task"] == "qa"]
    assert asked
    assert all(words[one["target"]] in one["prompt"] for one in asked)


def test_an_encoder_is_refused_with_what_to_do(serve, table, real_model):
    server = serve()
    job = job_of(table, server, student=str(real_model("minilm")))
    with pytest.raises(ConfigError, match="stillroom label"):
        run_main_job(job, Console())
    assert not server.charged


def test_a_server_that_is_not_there_is_one_sentence(table, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["run", "--data", str(table), "--teacher", "http://127.0.0.1:9/v1", "--yes"]
    assert main(command) == 1
    assert re.search(r"no server was reached at http://127.0.0.1:9/v1", capsys.readouterr().err)


def test_an_unknown_address_and_a_budget_without_prices_are_refused(table, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL"):
        run_main_job(MainJob(data=table, teacher="openai"), Console())
    assert main(["run", "--data", str(table), "--teacher", "ollama", "--budget", "1"]) == 1
    assert "needs prices" in capsys.readouterr().err
