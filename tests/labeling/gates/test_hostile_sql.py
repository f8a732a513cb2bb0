"""SQL that must not be run: nothing is written, nothing runs on, every verdict has a reason."""

import hashlib
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostile_sql import NEVER_RUN, hostile_statements
from stillroom.labeling.gates.sql_execution import ExecutionGate, SqlExecution
from stillroom.labeling.gates.sql_sandbox import SqlLimits, SqlSandbox

MOST_SECONDS = 1.0
MOST_MEMORY_KIB = 64 * 1024


@contextmanager
def memory_of(sandbox):
    """Sample the peak memory of the processes that run SQL, in KiB, also of those killed."""
    peaks, ended = {}, threading.Event()

    def sample():
        while not ended.wait(0.005):
            try:
                status = Path(f"/proc/{sandbox.pid}/status").read_text()
                peaks[sandbox.pid] = int(status.split("VmHWM:")[1].split()[0])
            except (OSError, IndexError):  # it has just ended
                continue

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    yield peaks
    ended.set()
    sampler.join()


def timed(gate, sandbox, sql):
    """Judge a statement; up to three times if it takes long, as others use the machine as well."""
    fastest = 1e9
    for _ in range(3):
        sandbox.run("SELECT 1")  # so that the start of a process is not measured
        begin = time.monotonic()
        verdict = gate.judge({"generation": sql})
        fastest = min(fastest, time.monotonic() - begin)
        if fastest < MOST_SECONDS:
            break
    return verdict, fastest


def run_hostile(tmp_path, count, seed):
    home = tmp_path / "home"
    home.mkdir()
    database = home / "users.sqlite"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE users(id INTEGER, name TEXT)")
    connection.execute("CREATE TABLE big(x INTEGER)")
    connection.executemany("INSERT INTO users VALUES (?, ?)", enumerate(["Alice", "Bob", "Chloe"]))
    connection.executemany("INSERT INTO big VALUES (?)", [(n,) for n in range(3000)])
    connection.commit()
    connection.close()
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    reasons, slowest = Counter(), 0.0
    target = str(home / "written.sqlite")
    with SqlSandbox(database, SqlLimits(timeout_s=0.3)) as sandbox, memory_of(sandbox) as peaks:
        gate = ExecutionGate(SqlExecution(sandbox))
        for family, sql in hostile_statements(count, seed, target):
            verdict, seconds = timed(gate, sandbox, sql)
            slowest = max(slowest, seconds)
            shown = sql[:200]
            assert verdict.reason, shown
            assert verdict.passed is (verdict.reason == "ok"), shown
            assert seconds < MOST_SECONDS, (seconds, shown)
            assert not (verdict.passed and family in NEVER_RUN), (family, shown)
            if family == "empty":
                assert verdict.reason == "empty_sql", shown
            reasons[family, verdict.reason.partition(":")[0]] += 1
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before
    assert [path.name for path in home.iterdir()] == ["users.sqlite"]
    if sys.platform == "linux":
        assert peaks
        assert max(peaks.values()) <= MOST_MEMORY_KIB
    print(f"\n{count} statements, slowest {slowest:.2f} s, most memory "
          f"{max(peaks.values(), default=0) / 1024:.1f} MiB, processes {len(peaks)}")  # fmt: skip
    for (family, reason), number in sorted(reasons.items()):
        print(f"{family:18}{reason:22}{number:5}")
    return reasons


def test_a_sample_of_hostile_sql(tmp_path):
    reasons = run_hostile(tmp_path, 60, seed=1)
    assert {reason for _, reason in reasons} >= {
        "empty_sql", "multiple_statements", "not_read_only", "timeout", "sql_error",
    }  # fmt: skip


@pytest.mark.slow
def test_all_hostile_sql(tmp_path):
    reasons = run_hostile(tmp_path, 2500, seed=2)
    assert sum(reasons.values()) == 2500
    assert {reason for _, reason in reasons} >= {
        "empty_sql", "multiple_statements", "not_read_only", "timeout", "sql_error", "too_large",
    }  # fmt: skip
