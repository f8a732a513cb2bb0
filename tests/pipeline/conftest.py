"""A teacher of some twenty instructions, trained once in a few seconds."""

from __future__ import annotations

import pytest
from small_records import SECRET, instructions, write_json


@pytest.fixture(scope="session")
def starter(tmp_path_factory):
    """Give the folder of the teacher, which knows most of its records by heart."""
    from stillroom import train_starter_teacher
    from stillroom.distillation.starter_student import StarterSize

    folder = str(tmp_path_factory.mktemp("starter") / "teacher")
    size = StarterSize(layers=2, width=32, heads=1, vocabulary=300, positions=512)
    return train_starter_teacher(instructions(), folder, num_epochs=400, size=size)


@pytest.fixture
def job_folder(tmp_path, monkeypatch):
    """Stand in a folder with the data of the jobs, and a key in the environment."""
    monkeypatch.chdir(tmp_path)
    records = instructions()
    write_json(tmp_path / "data/asked.json", [{**r, "output": ""} for r in records])
    write_json(tmp_path / "data/labelled.json", records)
    write_json(tmp_path / "data/texts.json", [{"data": f"text {n}"} for n in range(3)])
    talk = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "gold"}]
    write_json(tmp_path / "data/talks.json", [{"conversations": [*talk, *talk]}])
    monkeypatch.setenv("TEACHER_KEY", SECRET)
    return tmp_path
