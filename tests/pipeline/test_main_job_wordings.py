"""Wordings in the main job: what is printed, written and read again."""

import dataclasses
import re

import pytest
from stillroom.console import Console
from stillroom.data.questions.profile import profile_table
from stillroom.data.questions.questions import build_question_set, training_stream
from stillroom.labeling.teachers.protocol import TeacherAnswer
from stillroom.labeling.wordings.outcome import WordingPlan, Wordings
from stillroom.pipeline import MainJob
from stillroom.pipeline.main_job.load_table import Loaded
from stillroom.pipeline.main_job.wordings import get_wordings, wordings_of_job
from stillroom.run_folder import open_run_folder

RECORDS = [
    {"name": name, "price": price, "maker": maker}
    for name, price, maker in [("Otter", "24", "Holm"), ("Heron", "18", "Tarn"),
                               ("Badger", "95", "Bryce"), ("Stoat", "31", "Ferrum")]
]  # fmt: skip


class Teacher:
    """Knows the table when a question names the column."""

    name, revision = "knower", None

    def __init__(self):
        self.asked = []

    async def ask(self, prompt, profile, *, call_id=""):
        self.asked.append(prompt)
        record = next(one for one in RECORDS if one["name"] in prompt)
        column = next(name for name in ("price", "maker") if name in prompt.lower())
        return TeacherAnswer(record[column])

    async def close(self):
        pass


@pytest.fixture
def loaded():
    profile = profile_table(RECORDS, source="tools.csv", key="name")
    return Loaded(RECORDS, profile, build_question_set(RECORDS, profile, gold_share=1.0))


def test_wordings_are_told_written_and_read_again(loaded, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STILLROOM_MODELS", str(tmp_path / "no models"))
    run = open_run_folder(tmp_path / "run", "identity", {}, Console(), is_named=True)
    run.begin()
    teacher, plan = Teacher(), WordingPlan(wanted=6, records=2, calls=0)
    found = get_wordings(loaded, teacher, run, Console(), plan=plan)
    assert {name: len(texts) for name, texts in found.items()} == {"price": 6, "maker": 6}
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert f"at most {2 * 2 * (3 + 12):,} short questions, 10 min" in said
    assert "12 wordings of 2 columns, 6 each" in said
    assert "stillroom models add minilm" in said
    written = Wordings.read(run.path / "data" / "wordings.jsonl")
    assert written.templates == found
    count = len(teacher.asked)
    assert get_wordings(loaded, teacher, run, Console(), plan=plan) == found
    assert len(teacher.asked) == count
    stream = training_stream(
        loaded.questions.train, loaded.questions.table, 400, wordings=found, wording_share=1.0
    )
    texts = {e.fields["text"] for e in stream if e.task == "qa"}
    every = {w.replace("{key}", r["name"]) for ws in found.values() for w in ws for r in RECORDS}
    assert texts <= every
    assert len(texts) > 24


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("STILLROOM_MODELS", str(tmp_path / "no models"))
    run = open_run_folder(tmp_path / "run", "identity", {}, Console(), is_named=True)
    run.begin()
    return run


def test_without_gold_no_cell_is_compared(loaded, run):
    bare = dataclasses.replace(loaded.questions, gold_facts=frozenset())
    teacher = Teacher()
    plan = WordingPlan(wanted=6, calls=0)
    found = get_wordings(
        dataclasses.replace(loaded, questions=bare), teacher, run, Console(), plan=plan
    )
    assert not teacher.asked
    assert {len(texts) for texts in found.values()} == {6}


def test_a_job_with_a_named_teacher_has_wordings_but_for_those_it_is_measured_on(
    loaded, run, tmp_path
):
    job = MainJob(teacher=str(tmp_path), wordings=200)
    every = wordings_of_job(job, loaded, run, Console())["price"]
    asked = tmp_path / "asked.csv"
    asked.write_text("column,question\n" + "".join(f'price,"{w}"\n' for w in every[::2]))
    other = open_run_folder(tmp_path / "other", "identity", {}, Console(), is_named=True)
    other.begin()
    left = wordings_of_job(dataclasses.replace(job, asked=asked), loaded, other, Console())["price"]
    assert left
    assert not set(left) & set(every[::2])
    templates = {t for c in loaded.questions.table.columns for t in c.templates}
    assert not templates & set(every), "the held-out template is one of these"


def test_starters_and_jobs_without_wordings_have_none(loaded, run, tmp_path):
    for job in (MainJob(), MainJob(teacher=str(tmp_path), wordings=0)):
        assert wordings_of_job(job, loaded, run, Console()) == {}
    assert not (run.path / "data" / "wordings.jsonl").exists()
