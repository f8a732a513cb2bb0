"""`stillroom sweep`: a plan that is checked, a table that survives kills, fronts, and an advice."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from project_paths import ROOT
from stillroom.cli import main
from stillroom.errors import ConfigError
from stillroom.evaluation.predictions import Prediction, write_predictions
from stillroom.files import read_json
from stillroom.pipeline.main_job.settings import MainJob, StudentForm
from stillroom.pipeline.main_job.train_student import _some
from stillroom.pipeline.sweeps.command import write_result
from stillroom.pipeline.sweeps.plan import job_of, read_plan
from stillroom.pipeline.sweeps.result import SIZE, SPEED, judge_sweep
from stillroom.pipeline.sweeps.search import Found, Trial, TrialStore, name_of, run_trials
from stillroom.records import Example

pytest.importorskip("optuna", reason="optuna is not installed: pip install 'stillroom[sweep]'")

SPACE = """
vary:
  temperature: [1, 2, 4]
  alpha: {low: 0.1, high: 0.9}
  initialisation: [every_second_layer, from_scratch]
  layers: [null, 1, 2]
method: sampled
trials: 12
seed: 3
"""
GRID = """
vary:
  initialisation: [every_second_layer, from_teacher]
  layers: [null, 1, 2]
  temperature: [1, 2, 4]
"""


def plan_of(tmp_path, text):
    path = tmp_path / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return read_plan(path)


def cheap(params):
    """Stand in for a training: larger students are better, and so is a middling temperature."""
    layers = params["layers"] or 3
    right = 0.5 + 0.1 * layers - 0.02 * abs(params["temperature"] - 2)
    return Found(min(1.0, right + 0.01 * params.get("alpha", 0.0)), 200, 1000 * (1 + layers), 10,
                 500.0 / layers, "")  # fmt: skip


def test_the_file_becomes_jobs_of_one_student_without_controls(tmp_path):
    (tmp_path / "mine.csv").write_text("name,a\nx,1\n", encoding="utf-8")
    plan = plan_of(tmp_path, "job: {data: mine.csv, columns: [a], effort: 0.5}\n" + GRID)
    assert (plan.trials, plan.left_out) == (12, 6)
    every = list(plan.grid())
    assert {"initialisation": "every_second_layer", "layers": 1, "temperature": 1} not in every
    job = job_of(plan, every[-1])
    assert job.form == StudentForm(initialisation="from_teacher", layers=2)
    assert (job.recipe.temperature, job.columns, job.controls) == (4, ("a",), False)
    assert job.recipe.student_least_steps == 200
    assert Path(job.data) == tmp_path / "mine.csv"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("job: {dta: x}\nvary: {temprature: [1]}\nmethod: gird", [
            "job: unknown key 'dta'; the nearest known key is 'data'",
            "vary: unknown key 'temprature'; the nearest known key is 'temperature'",
            "method is 'gird'",
        ]),
        ("vary: {alpha: [0.5, 2], temperature: [0]}", ["alpha is 2", "temperature is 0"]),
        ("vary: {alpha: {low: 0.1, high: 0.9}}", ["a grid needs lists; alpha is a range"]),
        ("vary: {alpha: {low: 0.9, high: 0.1}}", ["alpha is {'low': 0.9"]),
        ("vary: {alpha: [0.5, 0.5]}", ["alpha holds a value twice"]),
        ("vary: {alpha: [0.1, 0.5]}\nmethod: sampled\ntrials: 3", ["there are 2 combinations"]),
        ("vary: {alpha: [0.1]}\ntrials: 3", ["trials belongs to method: sampled"]),
        ("vary: {layers: [1, 2]}", ["no combination has a meaning: layers is 1; it is for"]),
        ("{}", ["vary is None"]),
        ("- 1", ["holds a list"]),
    ],
)  # fmt: skip
def test_faults_of_the_file_are_told_at_once(tmp_path, text, told):
    with pytest.raises(ConfigError) as caught:
        plan_of(tmp_path, text)
    for part in told:
        assert any(part in fault for fault in caught.value.faults), caught.value.faults


def killed_during(plan, folder, number):
    """Run the sweep in a process of its own that is killed in the middle of its n-th trial."""
    pid = os.fork()
    if pid == 0:
        calls = []

        def objective(params):
            calls.append(params)
            if len(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return cheap(params)

        try:
            run_trials(TrialStore(folder, plan), objective, lambda *_: None)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


@pytest.mark.parametrize("text", [SPACE, GRID], ids=["sampled", "grid"])
def test_a_sweep_of_twelve_that_is_killed_three_times_ends_with_the_same_table(tmp_path, text):
    plan = plan_of(tmp_path, text)
    assert plan.trials == 12
    tables = {}
    for name in ("whole", "killed"):
        folder = tmp_path / name
        for number in (1, 4, 5) if name == "killed" else ():
            killed_during(plan, folder, number)
        store, there = TrialStore(folder, plan), len(TrialStore(folder, plan).trials())
        assert there == (7 if name == "killed" else 0)
        trials = run_trials(store, cheap, lambda *_: None)
        assert store.next() is None
        write_result(judge_sweep(trials, list(plan.vary), plan.margin), folder, "made")
        tables[name] = (folder / "sweep.csv").read_bytes()
        assert read_json(folder / "sweep.json")["trials"][0]["student"] == 1
    assert tables["whole"] == tables["killed"]
    assert len({tuple(row) for row in csv.reader(tables["whole"].decode().splitlines())}) == 13
    with pytest.raises(ConfigError, match="holds a sweep of another file"):
        TrialStore(tmp_path / "whole", plan_of(tmp_path, SPACE if text == GRID else GRID))


def made_trials(seed, count=12):
    draw = random.Random(seed)
    return [
        Trial(n, {"temperature": n, "layers": None},
              Found(draw.randint(0, 20) / 20, 100, draw.randint(1, 8) * 1000, 5,
                    draw.randint(1, 9) * 100.0))
        for n in range(1, count + 1)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_no_student_beats_one_on_the_front_and_each_other_is_beaten(seed):
    trials = made_trials(seed)
    fronts = judge_sweep(trials, ["temperature"], 0.02).fronts
    for name, cost in ((SIZE, lambda t: t.found.bytes),
                       (SPEED, lambda t: -t.found.tokens_per_second)):  # fmt: skip

        def beats(a, b, cost=cost):
            one, other = ((-t.found.right, cost(t)) for t in (a, b))
            return one != other and all(x <= y for x, y in zip(one, other, strict=True))

        best = {b.number for b in trials if not any(beats(a, b) for a in trials)}
        assert set(fronts[name]) == best


def test_the_pictures_and_the_page_name_the_students_on_the_front(tmp_path):
    result = judge_sweep(made_trials(1), ["temperature"], 0.02)
    write_result(result, tmp_path, "Students of <made>")
    page, text, picture = (
        (tmp_path / name).read_text(encoding="utf-8")
        for name in ("sweep.html", "sweep.md", "pareto.svg")
    )
    for number in result.named:
        words = name_of(result.trial(number).params)
        assert f"student {number}, front of" in page
        assert f"student {number}: {words}" in text
        assert f"{number}: {words}" in picture
    assert "<made>" not in page
    assert result.advice() in text
    assert (tmp_path / "pareto.png").stat().st_size > 5000
    rows = list(csv.DictReader((tmp_path / "sweep.csv").read_text("utf-8").splitlines()))
    assert {int(row["student"]) for row in rows if row["front"]} == set(result.named)


def test_the_smallest_student_that_is_not_worse_than_the_best_is_taken(tmp_path):
    def trial(number, wrong, size):
        folder = f"trials/{number}"
        made = [Prediction(f"q{n}", "?", "1", "1", n not in wrong) for n in range(600)]
        write_predictions(tmp_path / folder / "predictions" / "student.jsonl", made)
        return Trial(number, {"temperature": number},
                     Found(1 - len(wrong) / 600, 600, size, 1, None, folder))  # fmt: skip

    best = trial(1, range(6), 3000)
    alike = trial(2, range(8), 2000)
    few = trial(3, range(300, 318), 1000)  # 2 points below, of which too little is known
    result = judge_sweep([best, alike, few], ["temperature"], 0.03, tmp_path)
    assert (result.best, result.taken) == (1, 2)
    assert result.against_best.verdict == "not_worse"
    assert result.advice().startswith("Take student 2 (temperature 2): 98.7 % right")
    assert "at 67 % of its size" in result.advice()
    assert judge_sweep([best, few], ["temperature"], 0.01, tmp_path).taken == 1


def test_a_smaller_share_of_the_data_is_a_part_of_a_larger_one():
    examples = [Example(f"{n}:{i}", "", "x", fact=str(n)) for n in range(400) for i in range(2)]
    small, large = ({e.id for e in _some(examples, share)} for share in (0.25, 0.5))
    assert small < large
    assert 150 < len(small) < 250
    assert {e.split(":")[0] + ":1" for e in small} <= small  # all wordings of a fact
    assert _some(examples, 1.0) == examples


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"objective": "universal_logit"}, "objective is 'universal_logit'"),
        ({"initialisation": "zero"}, "initialisation is 'zero'"),
        ({"layers": 1}, "layers is 1; it is for the initialisations"),
        ({"initialisation": "from_scratch", "layers": 0}, "layers is 0"),
        ({"data_share": 0}, "data_share is 0"),
    ],
)
def test_forms_that_make_no_student_are_refused(form, told):
    with pytest.raises(ConfigError, match=told):
        StudentForm(**form)
    with pytest.raises(ConfigError, match="initialisation is 'from_scratch'"):
        MainJob(student="x", form=StudentForm(initialisation="from_scratch"))


STARS = "name,colour,distance\n" + "".join(
    f"Star {chr(65 + n)},{('red', 'blue', 'white')[n % 3]},{4 + 3 * n}\n" for n in range(14)
)


def test_trials_share_the_teacher_and_each_is_a_run_that_can_be_compared(tmp_path, capsys):
    (tmp_path / "stars.csv").write_text(STARS, encoding="utf-8")
    path, folder = tmp_path / "mine.yaml", tmp_path / "out"
    path.write_text(
        "job: {data: stars.csv, effort: 0.005, threads: 1}\n"
        "vary: {initialisation: [every_second_layer, from_scratch]}\n",
        encoding="utf-8",
    )
    assert main(["sweep", str(path), "--output-dir", str(folder)]) == 0
    assert "advice" in capsys.readouterr().out
    assert len(list((folder / "shared").iterdir())) == 1
    runs = sorted((folder / "trials").iterdir())
    assert len(runs) == 2
    before = (folder / "sweep.csv").read_bytes()
    # What is there is kept: nothing is trained, and the speeds stay.
    assert main(["sweep", str(path), "--output-dir", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["advice"].startswith(f"Take student {told['taken']}")
    assert [one["folder"] for one in told["trials"]] == [
        row["folder"] for row in csv.DictReader(before.decode().splitlines())
    ]
    assert (folder / "sweep.csv").read_bytes() == before
    assert main(["compare", *map(str, runs)]) == 0


@pytest.mark.slow
def test_twelve_trainings_killed_three_times_give_the_same_students(tmp_path):
    (tmp_path / "stars.csv").write_text(STARS, encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text("job: {data: stars.csv, effort: 0.01, threads: 1}\n" + GRID, "utf-8")
    tables = {}
    for name in ("whole", "killed"):
        command = [sys.executable, "-W", "ignore", "-m", "stillroom", "sweep", str(path), "--yes",
                   "--output-dir", str(tmp_path / name)]  # fmt: skip
        for wanted in (2, 5, 9) if name == "killed" else ():
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
            trials = tmp_path / name / "trials"
            while process.poll() is None and (
                not trials.is_dir() or len(list(trials.iterdir())) < wanted
            ):
                time.sleep(0.05)
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        table = (tmp_path / name / "sweep.csv").read_text(encoding="utf-8")
        rows = list(csv.DictReader(table.splitlines()))
        # Speeds are measured anew in each run, and so are the front and the choice that need them.
        kept = ("student", "initialisation", "layers", "temperature", "right", "bytes", "folder")
        tables[name] = [[row[column] for column in kept] for row in rows]
    assert len(tables["whole"]) == 12
    assert tables["whole"] == tables["killed"]
