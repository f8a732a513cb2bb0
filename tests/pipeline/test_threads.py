"""Threads of a job: as many as cores are idle, unless the user decides."""

import os

import pytest
import torch
from stillroom.console import Console
from stillroom.errors import ConfigError
from stillroom.files import write_json
from stillroom.pipeline import MainJob, run_main_job, threads
from stillroom.pipeline.main_job import estimate, run
from stillroom.pipeline.threads import idle_cores, job_threads

MOST = 4


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(MOST)
    yield
    torch.set_num_threads(before)


def stat(monkeypatch, tmp_path, *lines):
    """Let /proc/stat hold one line after the other, one for each reading."""
    left = list(lines)

    class Stat:
        def read_text(self, encoding):
            return left.pop(0) + "\ncpu0 1 2 3\n"

    monkeypatch.setattr(threads, "_STAT", Stat())
    monkeypatch.setattr(threads, "MEASURED_S", 0.0)
    monkeypatch.setattr(os, "cpu_count", lambda: MOST)


# user nice system idle iowait irq softirq steal guest guest_nice
@pytest.mark.parametrize(
    ("after", "idle"),
    [
        ("cpu 100 0 0 180 0 0 0 0 0 0", 4.0),
        ("cpu 120 0 0 160 0 0 0 0 20 0", 3.0),
        ("cpu 120 20 20 110 10 0 0 0 0 0", 1.0),
        ("cpu 160 0 0 100 0 0 0 20 0 0", 0.0),
    ],
)
def test_idle_cores_are_those_of_the_time_between(after, idle, monkeypatch, tmp_path):
    stat(monkeypatch, tmp_path, "cpu 100 0 0 100 0 0 0 0 0 0", after)
    assert idle_cores() == pytest.approx(idle)


def test_without_proc_the_load_tells_and_without_both_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "_STAT", tmp_path / "nothing")
    monkeypatch.setattr(os, "cpu_count", lambda: MOST)
    monkeypatch.setattr(os, "getloadavg", lambda: (2.5, 0.0, 0.0))
    assert idle_cores() == 1.5
    monkeypatch.delattr(os, "getloadavg")
    assert idle_cores() is None
    with job_threads(None, Console()) as chosen:
        assert chosen == torch.get_num_threads() == MOST


@pytest.mark.parametrize(
    ("asked", "kept", "idle", "chosen"),
    [
        (None, None, 4.0, 4), (None, None, 2.4, 2), (None, None, 0.1, 1), (None, None, 16.0, 4),
        (3, None, 0.1, 3), (3, 2, 0.1, 3), (None, 2, 4.0, 2),
    ],
)  # fmt: skip
def test_the_choice_is_said_once_and_undone(asked, kept, idle, chosen, monkeypatch, capsys):
    monkeypatch.setattr(threads, "idle_cores", lambda: idle)
    with job_threads(asked, Console(), kept=kept) as found:
        assert found == torch.get_num_threads() == chosen
    assert torch.get_num_threads() == MOST
    told = [line for line in capsys.readouterr().out.splitlines() if "threads" in line]
    assert len(told) == (chosen != MOST)
    if told and asked is None and kept is None:
        assert f"{chosen} instead of {MOST}" in told[0]
        assert "--threads or OMP_NUM_THREADS" in told[0]


def test_the_variable_decides_before_what_is_idle(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", str(MOST))
    monkeypatch.setattr(threads, "idle_cores", lambda: pytest.fail("it was measured"))
    with job_threads(None, Console(), kept=1) as chosen:
        assert chosen == MOST
    with job_threads(2, Console()) as chosen:
        assert chosen == 2


def test_the_time_of_a_job_is_estimated_with_its_threads(monkeypatch, tmp_path):
    """And a job that goes on keeps the number of its start."""
    data = tmp_path / "stars.csv"
    rows = [f"Star {n},{('red', 'blue')[n % 2]},{n + 3}" for n in range(12)]
    data.write_text("\n".join(["name,colour,age", *rows]) + "\n")
    seen = []

    def stop(*_):
        seen.append(torch.get_num_threads())
        raise ConfigError(["stopped here"])

    job = MainJob(data=data, output_dir=tmp_path / "run")
    monkeypatch.setattr(threads, "idle_cores", lambda: 2.0)
    monkeypatch.setattr(estimate, "time_steps", stop)
    monkeypatch.setattr(estimate, "_seconds_per_step", stop)
    with pytest.raises(ConfigError, match="stopped here"):
        run_main_job(job, Console())
    assert seen == [2]
    monkeypatch.setattr(estimate, "require_affordable", lambda *_: None)
    monkeypatch.setattr(run, "teach", stop)
    for idle in (1.0, 3.0):  # broken off, then gone on with when other cores are idle
        monkeypatch.setattr(threads, "idle_cores", lambda idle=idle: idle)
        with pytest.raises(ConfigError, match="stopped here"):
            run_main_job(job, Console())
    assert seen == [2, 1, 1]
    write_json(tmp_path / "run" / run.THREADS_FILE, 3)
    with pytest.raises(ConfigError, match="stopped here"):
        run_main_job(job, Console())
    assert seen == [2, 1, 1, 3]
    assert torch.get_num_threads() == MOST


def test_threads_are_at_least_one():
    with pytest.raises(ConfigError, match="threads is 0"):
        MainJob(threads=0)
