"""Exact duplicates within and across runs: every record accounted for, whatever happens."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom.data.identity.deduplicate import Deduplicator, DedupSettings, deduplicate
from stillroom.data.identity.duplicate_state import DedupVerdict, Occurrence
from stillroom.errors import ConfigError, DataError

POISON = [{}, {"sample_id": None}, {"sample_id": float("nan")}, {"sample_id": b"x"}]
VALUES = st.sampled_from([0, 0.0, 1, 1.0, True, "1", "", "a", "A", [1], {"a": None}])


def run(path, records, run_id="run", settings=None, batch_size=3, **more):
    with Deduplicator(path, run_id, settings, **more) as deduplicator:
        verdicts = [v for _, v in deduplicate(records, deduplicator, batch_size=batch_size)]
        counts = deduplicator.accounting()
        assert sum(counts.values()) == len(records) == len(verdicts)
        assert counts.get("ok", 0) == sum(v.kept for v in verdicts)
        listed = dict(deduplicator.state.dropped())
    assert listed == {i: v for i, v in enumerate(verdicts) if not v.kept}
    return verdicts


@given(st.lists(VALUES, max_size=20), st.integers(1, 7))
def test_the_first_of_equal_records_is_kept(tmp_path_factory, values, batch_size):
    path = tmp_path_factory.mktemp("dedup") / "state.sqlite"
    records = [{"sample_id": v} for v in values]
    exact = DedupSettings(normalize=False)
    verdicts = run(path, records, settings=exact, batch_size=batch_size)
    first = {}
    for place, (value, verdict) in enumerate(zip(values, verdicts, strict=True)):
        known = first.setdefault(repr(value), place)
        if known == place:
            assert verdict == DedupVerdict("ok")
        else:
            owner = Occurrence("run", known, str(value))
            assert verdict == DedupVerdict("exact_duplicate", owner)
    assert run(path, records, settings=exact, batch_size=8 - batch_size) == verdicts


def test_the_key_normalises_texts_unless_told_not_to(tmp_path):
    records = [{"sample_id": t} for t in ("Caf\u00e9 noir", "cafe\u0301  NOIR", "cafe noir")]
    assert [v.kept for v in run(tmp_path / "a", records)] == [True, False, True]
    exact = DedupSettings(normalize=False)
    assert all(v.kept for v in run(tmp_path / "b", records, settings=exact))


def test_a_record_of_an_earlier_run_is_dropped_and_named(tmp_path):
    path = tmp_path / "state.sqlite"
    assert all(v.kept for v in run(path, [{"sample_id": "a"}, {"sample_id": "b"}], "monday"))
    tuesday = run(path, [{"sample_id": "c"}, {"sample_id": "b"}], "tuesday")
    assert [v.reason for v in tuesday] == ["ok", "exact_duplicate"]
    assert tuesday[1].duplicate_of == Occurrence("monday", 1, "b")
    with Deduplicator(path, "tuesday") as deduplicator:
        assert deduplicator.accounting() == {"ok": 1, "exact_duplicate": 1}


def test_one_poisonous_record_costs_one_record(tmp_path):
    records = [{"sample_id": "a"}, *POISON, {"sample_id": "a"}, {"sample_id": "b"}]
    reasons = [v.reason for v in run(tmp_path / "s", records)]
    assert reasons == ["ok", "missing_field", "missing_field", "not_finite", "not_json",
                       "exact_duplicate", "ok"]  # fmt: skip


def test_a_resumed_run_does_not_drop_its_own_records(tmp_path):
    path, records = tmp_path / "s", [{"sample_id": i % 7} for i in range(20)]
    with Deduplicator(path, "run") as deduplicator:
        begun = deduplicator.judge(records[:9], 0)
        assert deduplicator.judge(records[5:9], 5) == begun[5:]
    verdicts = run(path, records, batch_size=4)
    assert verdicts[:9] == begun
    assert verdicts == run(tmp_path / "undisturbed", records)


def test_a_fault_in_a_batch_leaves_nothing_of_it(tmp_path):
    with Deduplicator(tmp_path / "s", "run") as deduplicator:
        deduplicator.judge([{"sample_id": "a"}], 0)
        keep, deduplicator.state.keep = deduplicator.state.keep, failing_at_third(deduplicator)
        with pytest.raises(OSError, match="third"):
            deduplicator.judge([{"sample_id": i} for i in range(5)], 1)
        assert deduplicator.accounting() == {"ok": 1}
        deduplicator.state.keep = keep
        assert all(v.kept for v in deduplicator.judge([{"sample_id": i} for i in range(5)], 1))


def failing_at_third(deduplicator):
    keep, calls = deduplicator.state.keep, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError("third")
        return keep(*arguments)

    return failing


CHILD = """
import sys, json
from stillroom.data.identity.deduplicate import *
path, begin, step, count = sys.argv[1], *map(int, sys.argv[2:])
with Deduplicator(path, "run") as d:
    print("ready", flush=True)
    for place in range(begin, count, step):
        d.judge([{"sample_id": place * 7919 % (count // 2)}], place)
"""


def child(path, begin, step, count):
    command = [sys.executable, "-c", CHILD, str(path), *map(str, (begin, step, count))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_at_any_moment_and_resumed(tmp_path):
    count, moments = 600, random.Random(0)
    records = [{"sample_id": i * 7919 % (count // 2)} for i in range(count)]
    for _ in range(3):
        process = child(tmp_path / "killed", 0, 1, count)
        time.sleep(moments.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert run(tmp_path / "killed", records) == run(tmp_path / "undisturbed", records)


def test_two_processes_on_one_file_keep_each_record_once(tmp_path):
    count = 200
    processes = [child(tmp_path / "s", begin, 2, count) for begin in (0, 1)]
    assert [p.wait() for p in processes] == [0, 0]
    for process in processes:
        process.communicate()
    with Deduplicator(tmp_path / "s", "run") as deduplicator:
        assert deduplicator.accounting() == {"ok": count // 2, "exact_duplicate": count // 2}


def test_other_records_under_the_same_run_id_are_refused(tmp_path):
    path = tmp_path / "s"
    run(path, [{"sample_id": "a"}, {"sample_id": "a"}, {}])
    for changed in ([{"sample_id": "b"}], [{"sample_id": "a"}, {"sample_id": "c"}],
                    [{"sample_id": "a"}, {"sample_id": "a"}, {"sample_id": "a"}]):  # fmt: skip
        with pytest.raises(DataError, match="is not the one that was there before"):
            run(path, changed)
    with Deduplicator(path, "run") as deduplicator:
        deduplicator.state.forget_run("run")
        assert deduplicator.accounting() == {}
        assert deduplicator.judge([{"sample_id": "b"}], 0) == [DedupVerdict("ok")]


def test_a_run_whose_records_stand_for_those_of_others_is_not_forgotten(tmp_path):
    path = tmp_path / "s"
    run(path, [{"sample_id": "a"}], "first")
    run(path, [{"sample_id": "a"}], "second")
    with Deduplicator(path, "third") as deduplicator:
        with pytest.raises(DataError, match="duplicates in 'second'; forget those runs first"):
            deduplicator.state.forget_run("first")
        with pytest.raises(DataError, match="there is no run 'fourth'"):
            deduplicator.state.forget_run("fourth")
        deduplicator.state.forget_run("second")
        deduplicator.state.forget_run("first")
        assert deduplicator.judge([{"sample_id": "a"}], 0) == [DedupVerdict("ok")]


def test_a_state_of_other_settings_is_refused(tmp_path):
    run(tmp_path / "s", [{"sample_id": "a"}])
    settings = DedupSettings(key_fields=("question",))
    with pytest.raises(ConfigError, match=r"key_fields is \['question'\], but .* \['sample_id'\]"):
        run(tmp_path / "s", [{"question": "a"}], settings=settings)
    with pytest.raises(ConfigError, match=r"sample_id_version is 'v2', but .* 'v1'"):
        run(tmp_path / "s", [], settings=DedupSettings(sample_id_version="v2"))


def test_other_files_are_refused_and_left_alone(tmp_path):
    text = tmp_path / "text"
    text.write_text("not a database " * 100)
    with pytest.raises(DataError, match=r"not a state of deduplication|cannot be used"):
        Deduplicator(text, "run")
    assert text.read_text() == "not a database " * 100
    users = tmp_path / "users.db"
    with sqlite3.connect(users) as db:
        db.execute("CREATE TABLE users(id)")
    db.close()
    with pytest.raises(DataError, match="holds other tables"):
        Deduplicator(users, "run")
    with sqlite3.connect(users) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("users",)]
    db.close()


def test_settings_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="key_fields is empty"):
        DedupSettings(key_fields=())
    with Deduplicator(tmp_path / "s", "run") as deduplicator:
        with pytest.raises(ConfigError, match="batch_size is 0"):
            list(deduplicate([], deduplicator, batch_size=0))
        assert list(deduplicate([], deduplicator)) == []
    with pytest.raises(DataError, match="closed"):
        deduplicator.judge([{"sample_id": "a"}], 0)


def test_memory_does_not_grow_with_the_records(tmp_path):
    def peak(count):
        tracemalloc.start()
        with Deduplicator(tmp_path / f"{count}", "run") as deduplicator:
            records = ({"sample_id": f"{i % (count // 2)}"} for i in range(count))
            kept = sum(v.kept for _, v in deduplicate(records, deduplicator, batch_size=200))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept == count // 2
        return most

    small = peak(1000)
    assert peak(8000) < 1.5 * small


def test_keys_that_begin_alike_are_different_records(tmp_path):
    first, other = b"8 bytes." + bytes(24), b"8 bytes." + b"x" * 24
    with Deduplicator(tmp_path / "seen.sqlite", "run") as deduplicator:
        state = deduplicator.state
        item = state.keep(0, first, "a")
        assert state.owners([other]) == {}
        another = state.keep(1, other, "b")
        assert state.owners([first, other]) == {first: item, other: another}


def test_more_keys_than_one_statement_takes(tmp_path):
    records = [{"sample_id": n % 1500} for n in range(3000)]
    verdicts = run(tmp_path / "seen.sqlite", records, batch_size=3000)
    assert [v.kept for v in verdicts] == [True] * 1500 + [False] * 1500
    again = run(tmp_path / "seen.sqlite", records, run_id="later", batch_size=3000)
    assert {v.reason for v in again} == {"exact_duplicate"}
