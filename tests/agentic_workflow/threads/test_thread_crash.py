"""A process that is killed at any point loses no acknowledged turn and leaves no half one."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

KILLED_RUN = Path(__file__).parents[1] / "thread_killed_run.py"


def kill(url, points, seed, timeout):
    command = [sys.executable, str(KILLED_RUN), url, str(points), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_nothing_lost(report, points):
    assert report["points"] == points
    assert report["killed"] >= points * 0.5
    assert (report["lost"], report["faults"]) == ([], [])
    # A turn may be stored and its process killed before it could say so: one for each kill.
    assert 0 <= report["stored"] - report["acknowledged"] <= report["killed"]


@pytest.mark.parametrize(
    "points", [16, pytest.param(200, marks=pytest.mark.slow)], ids=["16", "200"]
)
def test_sqlite_threads_survive_kill_9(points, tmp_path):
    path = tmp_path / "threads.db"
    report = kill(f"sqlite:///{path}", points, seed=points, timeout=60 * 20)
    assert_nothing_lost(report, points)
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("points", [4, pytest.param(200, marks=pytest.mark.slow)], ids=["4", "200"])
@pytest.mark.parametrize("threads_url", ["postgres"], indirect=True)
def test_postgres_threads_survive_kill_9(points, threads_url):
    assert_nothing_lost(kill(threads_url, points, seed=points, timeout=60 * 20), points)
