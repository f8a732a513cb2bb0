"""The main job on a small table: whole, repeatable, resumable; and the command around it."""

import csv
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from project_paths import ROOT
from stillroom.cli import main
from stillroom.console import Console
from stillroom.errors import LabelingStoppedError
from stillroom.files import file_sha256, read_json
from stillroom.labeling.tasks.main_job_labels import propose_own_answers
from stillroom.pipeline import MainJob, Recipe
from stillroom.pipeline.commands.run import job_parser
from stillroom.pipeline.main_job.load_table import make_questions, read_source
from stillroom.pipeline.main_job.teacher import plan_teacher
from stillroom.pipeline.main_job.teacher_knowledge import require_knowledge
from stillroom.records import Example
from stillroom.run_folder import RunFolder

SMALL = Recipe(
    teacher_exposures=1, student_exposures=1, teacher_least_steps=12, student_least_steps=12
)
PROGRAM = """
import sys
from stillroom.pipeline import MainJob, Recipe, run_main_job
run_main_job(MainJob(data=sys.argv[1], output_dir=sys.argv[2], controls=False, threads=1,
    recipe=Recipe(teacher_exposures=1, student_exposures=1,
        teacher_least_steps=12, student_least_steps=12)))
"""
QUALITY = ("exact_match", "token_f1", "agreement", "perplexity", "parameters", "by_task")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "stars.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["name", "colour", "distance"])
        for i in range(14):
            writer.writerow([f"Star {chr(65 + i)}", ("red", "blue", "white")[i % 3], 4 + 3 * i])
    return path


def start(table, folder):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(table), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "stars"
    process = start(table, folder)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return folder, output


def test_a_seed_of_its_own_for_the_trainings_keeps_the_questions(table):
    console = Console()
    plain, other, all_other = (
        MainJob(data=table, **seeds)
        for seeds in ({"seed": 3}, {"seed": 3, "training_seed": 8}, {"seed": 8})
    )
    assert [job.seed_of_trainings for job in (plain, other, all_other)] == [3, 8, 8]
    asked = [
        [e.id for e in make_questions(job, read_source(job, console), console).questions.held_out]
        for job in (plain, other, all_other)
    ]
    assert asked[0] == asked[1] != asked[2]


def test_everything_is_written(finished):
    folder, output = finished
    for name in (
        "metrics.json",
        "report.html",
        "report.json",
        "report.md",
        "int8.json",
        "timing.json",
        "predictions/lookup.jsonl",
        "predictions/nearest_question.jsonl",
        "data/train.jsonl",
        "predictions/teacher.jsonl",
        "predictions/student.jsonl",
        "teacher/README.md",
        "student/model.safetensors",
        "student/run.json",
        "student/table.json",
        "student/loss.png",
        "student/README.md",
    ):
        assert (folder / name).is_file(), name
    assert read_json(folder / "progress.json")["status"] == "complete"
    metrics = read_json(folder / "metrics.json")
    assert set(metrics) == {"teacher", "student"}
    for row in metrics.values():
        assert {*QUALITY, "bytes_on_disk", "peak_memory_bytes", "tokens_per_second"} <= set(row)
        assert set(row["by_task"]) == {"qa", "summarize", "validate"}
    assert "trained from scratch" in (folder / "teacher/README.md").read_text(encoding="utf-8")
    assert "I don't know" in output
    assert "calibrated" in output  # so few questions are said to be too few
    assert "next" in output


def test_kill_and_the_same_command_end_with_the_same_weights(table, finished, tmp_path):
    """Killed after the teacher; its stage is kept, the rest is as in a run without a break."""
    folder, _ = finished
    again = tmp_path / "stars"
    process = start(table, again)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            if "teacher" in read_json(again / "progress.json")["done"]:
                break
        except (FileNotFoundError, json.JSONDecodeError):
            pass
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process = start(table, again)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "going on" in output
    assert "finished before the interruption" in output
    for part in ("teacher", "student"):
        weights = f"{part}/model.safetensors"
        assert file_sha256(folder / weights) == file_sha256(again / weights), part
    first, second = read_json(folder / "metrics.json"), read_json(again / "metrics.json")
    for row in first:
        assert {k: first[row][k] for k in QUALITY} == {k: second[row][k] for k in QUALITY}


def test_a_finished_run_starts_anew_and_an_interrupted_one_goes_on(tmp_path):
    run = RunFolder(tmp_path, "same")
    assert not run.begin()
    run.done("teacher")
    again = RunFolder(tmp_path, "same")
    assert again.begin()
    assert again.is_done("teacher")
    assert not again.is_done("student")
    assert not RunFolder(tmp_path, "other settings").begin()
    last = RunFolder(tmp_path, "other settings")
    last.begin()
    last.finish()
    assert not RunFolder(tmp_path, "other settings").begin()


def test_the_plan_grows_with_facts_and_shrinks_batches_of_long_texts():
    short = [Example(str(i), "p" * 60, "t" * 6, fact=str(i)) for i in range(2000)]
    long = [Example(str(i), "p" * 60, "t" * 3000, fact=str(i)) for i in range(2000)]
    assert plan_teacher(short, Recipe()).batch == 64
    assert plan_teacher(long, Recipe()).batch == 8
    assert plan_teacher(short, Recipe(teacher_exposures=50)).steps == round(2000 * 50 / 64)
    assert plan_teacher(short[:3], Recipe()).steps == Recipe().teacher_least_steps


def test_the_time_is_told_before_and_changes_nothing(table):
    import torch
    from stillroom.pipeline.main_job.estimate import estimate_job

    small = MainJob(data=str(table), controls=False)
    before = torch.random.get_rng_state()
    estimate = estimate_job(small, read_source(small, Console()))
    assert torch.equal(before, torch.random.get_rng_state())
    assert 0.0 < estimate.minutes() < estimate.minutes(effort=10.0)
    assert estimate.minutes() < estimate.minutes(100 * estimate.records)
    assert estimate.bytes() < estimate.bytes(100 * estimate.records)


def test_the_estimate_of_a_part_is_that_of_the_whole(tmp_path, monkeypatch):
    """Facts, questions and steps are those that the job then has."""
    from stillroom.pipeline.main_job import estimate as estimating
    from stillroom.pipeline.main_job.teacher import plan_student

    path = tmp_path / "parts.csv"
    rows = [f"Part {i},{i % 7},{'' if i % 3 else i * 11}" for i in range(400)]
    path.write_text("\n".join(["name,size,price", *rows]), encoding="utf-8")
    monkeypatch.setattr(estimating, "SAMPLED_RECORDS", 50)
    job = MainJob(data=str(path))
    source = read_source(job, Console())
    estimate = estimating.estimate_job(job, source)
    questions = make_questions(job, source, Console()).questions
    made = len(questions.train) + len(questions.held_out)
    assert estimate.examples_per_record * estimate.records == pytest.approx(made, rel=0.1)
    steps = plan_student(questions.train, job.recipe).steps
    assert estimate.steps(job.recipe)[1] == pytest.approx(steps, rel=0.1)


@pytest.fixture
def large(tmp_path):
    """A table that takes minutes of work for the step that is timed, whatever the machine."""
    path = tmp_path / "large.csv"
    rows = [f"Part {i},{i % 7},{i * 11},{i % 5}" for i in range(3000)]
    path.write_text("\n".join(["name,size,price,unit weight", *rows]), encoding="utf-8")
    return path


def test_a_job_beyond_its_minutes_is_refused_with_options_that_fit(large, capsys, tmp_path,
                                                                    monkeypatch):  # fmt: skip
    from stillroom.pipeline.main_job import estimate as estimating

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(estimating, "_seconds_per_step", lambda *_: 1.0)
    assert main(["run", "--data", str(large), "--max-minutes", "300"]) == 1
    error = capsys.readouterr().err
    assert "more than 300 min" in error
    assert "--yes" in error
    assert not (tmp_path / "outputs").exists()
    advised = re.findall(r"--(?:rows|columns|effort) (?:'[^']*'|\S+)", error)
    assert len(advised) == 3
    for option in advised:
        args = job_parser("run").parse_args(["--data", str(large), *shlex.split(option)])
        recipe = Recipe().scaled(args.effort)
        job = MainJob(data=args.data, rows=args.rows, recipe=recipe, columns=args.columns)
        source = read_source(job, Console())
        assert estimating.estimate_job(job, source).minutes() <= 325, option


def test_a_job_that_needs_more_memory_than_there_is_is_refused(large, monkeypatch):
    from stillroom.errors import ConfigError
    from stillroom.pipeline.main_job import estimate as estimating

    monkeypatch.setattr(estimating, "_seconds_per_step", lambda *_: 0.0)
    monkeypatch.setattr(estimating, "machine_memory", lambda: 3e8)
    job = MainJob(data=str(large), max_minutes=None)
    with pytest.raises(ConfigError, match=r"GB of memory.*--rows \d+"):
        estimating.require_affordable(job, read_source(job, Console()), Console())


@pytest.mark.parametrize(("answer", "trains"), [("y", True), ("no", False), ("", False)])
def test_at_a_terminal_a_long_job_is_asked_for(large, answer, trains, monkeypatch):
    from stillroom.errors import ConfigError
    from stillroom.pipeline.main_job import estimate as estimating

    monkeypatch.setattr(estimating, "_seconds_per_step", lambda *_: 1.0)
    monkeypatch.setattr(Console, "asks", lambda self: True)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    job = MainJob(data=str(large))
    source = read_source(job, Console())
    with nullcontext() if trains else pytest.raises(ConfigError, match="nothing was trained"):
        estimating.require_affordable(job, source, Console())


def test_only_the_first_rows_are_read(table, capsys):
    job = MainJob(data=str(table), rows=3)
    assert [r["name"] for r in read_source(job, Console()).records] == [
        "Star A",
        "Star B",
        "Star C",
    ]
    assert "the first 3 records" in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--rows", "0"], ["--rows", "x"], ["--max-minutes", "nan"]])
def test_sizes_out_of_range_are_refused(option, capsys):
    assert main(["run", *option]) == 2
    assert f"{option[0]} is {option[1]!r}; allowed is" in capsys.readouterr().err


def test_a_run_that_starts_anew_leaves_no_numbers_of_other_models(tmp_path):
    run = RunFolder(tmp_path, "one")
    run.begin()
    (tmp_path / "controls" / "student_untrained").mkdir(parents=True)
    for name in ("metrics.json", "report.html", "notes.txt"):
        (tmp_path / name).write_text("{}")
    assert RunFolder(tmp_path, "one").begin()  # broken off: everything stays
    assert (tmp_path / "metrics.json").is_file()
    RunFolder(tmp_path, "two").begin()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "progress.json"]


@pytest.mark.parametrize(
    ("right", "recipe", "teacher", "words"),
    [
        (0.0, Recipe().scaled(0.1), "starter", ("learned nothing", "--effort 1;")),
        (0.005, Recipe(), "starter", ("almost nothing: 0.5 %", "--columns")),
        (0.0, Recipe(), "some/model", ("learned nothing", "--teacher starter")),
        (0.9, Recipe(), "starter", ("stillroom chat run/student",)),
    ],
)
def test_a_student_that_learned_nothing_is_called_that(right, recipe, teacher, words, capsys):
    from stillroom.pipeline.main_job.run import say_goodbye

    job = MainJob(recipe=recipe, teacher=teacher)
    say_goodbye(job, Path("run"), SimpleNamespace(exact_match=right), Console())
    told = capsys.readouterr().out
    assert all(word in told for word in words)
    assert ("stillroom chat" in told) == (right > 0.5)


def test_without_gold_the_teachers_own_answers_are_proposed():
    fields = {"text": "Q?", "context": None, "verdict": "yes", "proposed": "gold", "right": "gold"}
    asked = Example("1", "p", "x, so yes", "validate", "f", fields=fields)
    answered = Example("2", "p", "silver", "qa", "f", fields={"text": "Q?"})
    (made,) = propose_own_answers([asked], [answered])
    assert made.fields["proposed"] == "silver"
    assert "Answer: silver" in made.prompt
    assert propose_own_answers([asked], []) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--data", "nothing.csv"], "nothing.csv"),
        (["run", "--data", "{table}", "--key", "nome"], "name, colour, distance"),
        (["run", "--data", "{table}", "--question", "name"], "answer column"),
        (["run", "--data", "{table}", "--also-called", "size=big"], "names 'size'"),
    ],
)
def test_users_mistakes_are_one_sentence(arguments, message, table, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = main([a.replace("{table}", str(table)) for a in arguments])
    error = capsys.readouterr().err
    assert code == 1
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize("effort", ["0", "-1"])
def test_an_effort_without_steps_is_refused(effort, capsys):
    assert main(["run", "--effort", effort]) == 2
    assert "above 0" in capsys.readouterr().err


def test_what_people_say_for_columns_is_kept_with_the_table(table, capsys):
    job = MainJob(data=str(table), also_called={"distance": ("how far",)})
    loaded = make_questions(job, read_source(job, Console()), Console())
    assert loaded.questions.table.columns[1].also == ("how far",)
    parsed = job_parser("run").parse_args(["--also-called", " distance = how far, away ,"])
    assert parsed.also_called == [("distance", ("how far", "away"))]
    with pytest.raises(SystemExit):
        job_parser("run").parse_args(["--also-called", "distance="])
    assert "write COLUMN=WORDS" in capsys.readouterr().err


def test_the_commands_of_the_readme_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test", "chat"):
        assert f"make {target}" in readme
        assert f"\n{target}: " in makefile
    for program in ("examples/complete_pipeline.py", "examples/embed_workflow.py"):
        assert program in readme
        assert (ROOT / program).is_file()


def test_a_run_folder_is_named_after_its_data():
    assert MainJob().run_dir().as_posix() == "outputs/elements"
    assert MainJob(data="sqlite:///shop.db", table="tracks").run_dir().name == "tracks"


@pytest.mark.parametrize(("score", "least", "stops"), [
    (0.79, 0.8, True), (0.8, 0.8, False), (0.0, 0.0, False), (1.0, 1.0, False),
])  # fmt: skip
def test_a_teacher_that_knows_less_than_the_least_stops_the_job(score, least, stops):
    job = MainJob(teacher="ollama", teacher_least=least)
    with pytest.raises(LabelingStoppedError, match=r"79.0 %.*80 %.*Look") if stops else (
        nullcontext()
    ):  # fmt: skip
        require_knowledge(score, 40, job, "Look.")
