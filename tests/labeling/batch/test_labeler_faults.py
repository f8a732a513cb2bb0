"""Labelling against a server that fails in every way, and labellers that are killed on the way."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from labeling_server import FAULTS, ODD, ODD_LABELS
from stillroom.files import read_json_lines
from stillroom.labeling.batch.label_run import LabelSettings, Prices
from stillroom.labeling.batch.labeler import BatchLabeler, LabelTask
from stillroom.labeling.teachers.openai_http import RemoteTeacher

CHILD = Path(__file__).parents[1] / "labeler_child.py"


def tasks(count):
    return [LabelTask(str(n), f"record {n}", {"n": n}) for n in range(count)]


def teacher(server, **settings):
    return RemoteTeacher("tiny", base_url=server.base_url, **{"timeout_s": 0.3, **settings})


def test_every_record_ends_labelled_or_dead(tmp_path, serve):
    stubborn = frozenset({"record 7", "record 70"})
    server = serve(fault_share=0.4, hang_s=0.5, stubborn=stubborn)
    settings = LabelSettings(concurrency=32, backoff_s=0.002, max_rejections=3)
    run = BatchLabeler(teacher(server), tmp_path, settings=settings).run(tasks(300))
    assert set(server.injected) == {"", *FAULTS}
    assert [one.task.id for one in run.results] == [str(n) for n in range(300)]
    for one in run.results:
        assert (one.answer is None) != (one.fault is None)
        if one.answer is not None:
            assert one.answer.text == f"label of record {one.task.id}"
    dead = {one.task.prompt: one.fault for one in run.failed}
    assert stubborn <= dead.keys()
    assert {dead[name].kind for name in stubborn} == {"llm_api_error"}
    letters = read_json_lines(tmp_path / "dead_letter.jsonl")
    assert len(letters) == len(run.failed) < 15
    assert all(letter["error_message"] for letter in letters)
    assert max(server.good.values()) == 1  # by its key, an answer is made once
    expected = {"timeout", "connection", "rate_limit", "llm_api_error", "json_parse_error",
                "empty_response"}  # fmt: skip
    assert set(run.numbers.faults) == expected


def label_of(task_id):
    """Give what a whole answer may be; half a surrogate pair is replaced."""
    return f"label of record {task_id}", f"label of record {task_id}\ufffd"


ANSWERED = tuple(kind for kind in ODD if kind != "client raises")  # that is for the benchmark


def test_odd_answers_lose_and_double_nothing_and_no_part_is_a_label(tmp_path, serve):
    server = serve(fault_share=0.2, odd_share=0.4, odds=ANSWERED, hang_s=0.5)
    settings = LabelSettings(concurrency=32, backoff_s=0.002, max_rejections=3, max_attempts=8)
    run = BatchLabeler(teacher(server), tmp_path, settings=settings).run(tasks(400))
    assert run.stopped is None
    assert set(server.injected) == {"", *FAULTS, *ANSWERED}
    for one in run.results:
        assert (one.answer is None) != (one.fault is None)
        assert one.answer is None or one.answer.text in label_of(one.task.id)
    assert run.numbers.labelled > 300
    assert 0 < run.numbers.repaired <= server.injected["half a pair"]
    assert all(one.fault.message for one in run.failed)
    assert max(server.good.values()) == 1


@pytest.mark.parametrize("kind", ODD)
def test_each_odd_answer_is_a_whole_label_or_none(tmp_path, serve, kind):
    server = serve(odd_share=1.0, odds=(kind,))
    settings = LabelSettings(backoff_s=0.002, max_attempts=2)
    run = BatchLabeler(teacher(server), tmp_path, settings=settings).run(tasks(1))
    (one,) = run.results
    if kind in ODD_LABELS:
        assert one.answer.text in label_of("0")
        assert server.asked.total() == 1
    elif kind != "client raises":
        assert one.fault.message


def test_a_faulty_server_is_never_paid_beyond_the_budget(tmp_path, serve):
    """Without keys, every answer that is made is charged, seen or not."""
    server = serve(fault_share=0.4, hang_s=0.5, honours_keys=False)
    prices = Prices(1e6, 1e6)  # a token costs 1
    for budget in (1500.0, 4000.0):
        settings = LabelSettings(concurrency=16, backoff_s=0.002, prices=prices, budget=budget)
        run = BatchLabeler(teacher(server), tmp_path, settings=settings).run(tasks(300))
        assert run.stopped == "budget"
        assert server.tokens <= run.numbers.spent <= budget
    assert run.numbers.labelled > 0


def test_a_budget_is_used_up_where_the_server_honours_keys(tmp_path, serve):
    server = serve(fault_share=0.2, faults=("reset", "half", "hang"), hang_s=0.5)
    settings = LabelSettings(
        concurrency=8, backoff_s=0.002, prices=Prices(1e6, 1e6), budget=20_000.0
    )
    asked = teacher(server, honours_idempotency=True)
    run = BatchLabeler(asked, tmp_path, settings=settings).run(tasks(100))
    assert run.stopped is None
    assert run.numbers.spent == run.numbers.cost == server.tokens == 100 * 30


def killed_runs(folder, server, kills, count, *arguments, seed=0):
    """Start labellers and kill them after some calls; the last one ends by itself."""
    chance = random.Random(seed)
    died = 0
    for number in range(kills + 1):
        command = [sys.executable, CHILD, folder, server.base_url, str(count), *arguments]
        process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        if number < kills:
            calls = server.asked.total() + chance.randint(1, 40)
            while server.asked.total() < calls and process.poll() is None:
                time.sleep(0.0005)
            process.send_signal(signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), said.decode()
        died += process.returncode != 0
    return died


def outcome(folder):
    return json.loads((folder / "outcome.json").read_text())


def test_killed_labellers_pay_for_no_answer_twice(tmp_path, serve):
    server = serve(latency_s=0.02, fault_share=0.15, hang_s=0.4)
    assert killed_runs(tmp_path, server, 4, 150) == 4
    found = outcome(tmp_path)
    assert [one["id"] for one in found] == [str(n) for n in range(150)]
    labelled = {f"record {one['id']}" for one in found if one["text"]}
    assert all((one["text"] is None) != (one["fault"] is None) for one in found)
    assert len(labelled) >= 130
    assert all(server.good[prompt] == 1 for prompt in labelled)
    assert max(server.good.values()) == 1
    keys = [key for _, _, key, _ in server.charged]
    assert len(keys) == len(set(keys))


def test_killed_labellers_of_a_server_with_habits(tmp_path, serve):
    server = serve(latency_s=0.02, fault_share=0.1, odd_share=0.2, odds=ANSWERED, hang_s=0.4)
    assert killed_runs(tmp_path, server, 2, 100, seed=2) == 2
    found = outcome(tmp_path)
    assert [one["id"] for one in found] == [str(n) for n in range(100)]
    for one in found:
        assert (one["text"] is None) != (one["fault"] is None)
        assert one["text"] is None or one["text"] in label_of(one["id"])
        assert one["text"] is None or server.good[f"record {one['id']}"] == 1


@pytest.mark.parametrize("in_doubt", ["ask", "dead_letter"])
def test_killed_labellers_of_a_server_without_keys(tmp_path, serve, in_doubt):
    """Asked again, calls under way may be paid twice; as dead letters, never."""
    server = serve(latency_s=0.02, honours_keys=False)
    died = killed_runs(tmp_path, server, 2, 100, in_doubt, seed=1)
    assert died == 2
    found = outcome(tmp_path)
    dead = [one for one in found if one["fault"]]
    twice = sum(count - 1 for count in server.good.values())
    if in_doubt == "ask":
        assert dead == []
        assert 0 < twice <= 8 * died  # those that were under way: as many as there are slots
    else:
        assert twice == 0
        assert {one["fault"] for one in dead} <= {"in_doubt"}
        assert 0 < len(dead) <= 8 * died
    assert all(server.good[f"record {one['id']}"] >= 1 for one in found if one["text"])
