"""Labels through a provider's batch endpoint: half the price, nothing paid twice."""

import functools
import json
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from batch_server import serving_batches
from scripted_teacher import Scripted
from stillroom.cli import main
from stillroom.errors import ConfigError
from stillroom.files import read_json
from stillroom.labeling.batch.batch_loop import BatchEndpoint
from stillroom.labeling.batch.label_run import LabelSettings, Prices
from stillroom.labeling.batch.labeler import BatchLabeler, LabelTask
from stillroom.labeling.batch.open_folder import OpenFolder
from stillroom.labeling.teachers.openai_http import RemoteTeacher
from stillroom.labeling.teachers.protocol import DecodeProfile

CHILD = Path(__file__).parents[1] / "batch_child.py"
PAID = Prices(1e6, 1e6)
"""So that a token costs 1, or a half in a batch."""


@pytest.fixture
def provide():
    """Give a function that starts providers; they end with the test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving_batches(**settings))


def tasks(count):
    return [LabelTask(str(n), f"record {n}") for n in range(count)]


def label(
    provider, folder, asked, *, endpoint=None, check=None, key=None, batch=True, profile=None,
    **settings,
):  # fmt: skip
    chosen = LabelSettings(**{"backoff_s": 0.001, **settings})
    teacher = RemoteTeacher("tiny", base_url=provider.base_url, api_key=key)
    labeler = BatchLabeler(
        teacher, folder, settings=chosen, check=check, profile=profile,
        batch_endpoint=BatchEndpoint(**{"poll_s": 0.01, **(endpoint or {})}) if batch else None,
    )  # fmt: skip
    return labeler.run(asked)


def texts(run):
    return [one.answer and one.answer.text for one in run.results]


def test_labels_come_in_batches_at_half_the_price(tmp_path, provide):
    provider = provide()
    asked = [*tasks(10), LabelTask("again", "record 3")]
    run = label(provider, tmp_path, asked, prices=PAID, endpoint={"most_requests": 4})
    assert texts(run) == [f"label of record {n}" for n in range(10)] + ["label of record 3"]
    assert len(provider.batches) == 3
    assert provider.asked.total() == 10
    assert run.numbers.cost == run.numbers.spent == 10 * 30 / 2
    assert (run.numbers.prompt_tokens, run.numbers.completion_tokens) == (200, 100)
    body = provider.bodies[0]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("tiny", 512, 0.0)


def test_answers_of_batches_and_of_single_calls_are_the_same_cache(tmp_path, provide):
    provider = provide()
    label(provider, tmp_path, tasks(5))
    assert texts(label(provider, tmp_path, tasks(5), batch=False)) == [
        f"label of record {n}" for n in range(5)
    ]
    label(provider, tmp_path, tasks(6))
    assert provider.asked.total() == 6


def test_files_are_cut_by_their_size(tmp_path, provide):
    provider = provide()
    run = label(provider, tmp_path, tasks(6), endpoint={"most_bytes": 700})
    assert all(texts(run))
    assert len(provider.batches) == 3
    assert max(map(len, list(provider.files.values())[:3])) <= 700


@pytest.mark.parametrize("odd", ["expired", "lost", "empty"])
def test_a_request_without_an_answer_is_asked_again(tmp_path, provide, odd):
    provider = provide(odd={"record 1": odd})
    run = label(provider, tmp_path, tasks(3), prices=PAID)
    assert all(texts(run))
    assert (provider.asked["record 1"], provider.asked.total()) == (2, 4)
    assert run.numbers.cost == (4 if odd == "empty" else 3) * 15


def test_a_request_that_is_refused_is_a_dead_letter(tmp_path, provide):
    provider = provide(refused=frozenset({"record 1"}))
    run = label(provider, tmp_path, tasks(3), prices=PAID)
    assert [one.fault and one.fault.kind for one in run.results] == [None, "bad_request", None]
    assert "no such parameter" in run.failed[0].fault.message
    assert (provider.asked.total(), run.numbers.cost) == (3, 2 * 15)


def test_rejected_answers_are_asked_again_up_to_the_limit(tmp_path, provide):
    provider = provide()
    run = label(provider, tmp_path, tasks(2), check=lambda task, answer: "no", max_rejections=2)
    assert [one.fault.message for one in run.failed] == ["no", "no"]
    assert provider.asked.total() == 4


def test_a_creation_whose_reply_was_lost_is_found_again(tmp_path, provide):
    provider = provide(lost_replies=1)
    assert all(texts(label(provider, tmp_path, tasks(4))))
    assert (len(provider.batches), provider.asked.total()) == (1, 4)


def test_an_endpoint_that_fails_for_a_while_is_asked_again(tmp_path, provide):
    provider = provide(failures=5)
    assert all(texts(label(provider, tmp_path, tasks(4))))
    assert len(provider.batches) == 1


def test_an_endpoint_that_keeps_failing_stops_the_run_which_goes_on_later(tmp_path, provide):
    provider = provide(failures=5)
    run = label(provider, tmp_path, tasks(4), endpoint={"patience": 2})
    assert (run.stopped, run.failed) == ("same_fault", [])
    provider.failures = 0
    assert all(texts(label(provider, tmp_path, tasks(4))))
    assert provider.asked.total() == 4


def test_a_refused_key_stops_the_run(tmp_path, provide):
    provider = provide(key="right")
    run = label(provider, tmp_path, tasks(2), key="wrong")
    assert (run.stopped, run.failed) == ("auth_error", [])
    assert all(texts(label(provider, tmp_path, tasks(2), key="right")))
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "right" not in written
    assert "wrong" not in written


def test_a_batch_that_fails_as_a_whole_stops_the_run_and_no_label_is_lost(tmp_path, provide):
    provider = provide(status="failed")
    for _ in range(8):  # more often than a record may be tried
        run = label(provider, tmp_path, tasks(2), prices=PAID, budget=1e6)
        assert (run.stopped, run.failed, run.numbers.spent) == ("same_fault", [], 0.0)
        assert "too many tokens queued" in run.message
    provider.status = "completed"
    assert all(texts(label(provider, tmp_path, tasks(2))))


def test_the_budget_is_kept_and_a_larger_one_goes_on(tmp_path, provide):
    provider = provide()
    told = {"prices": Prices(0, 1e6), "profile": DecodeProfile(max_tokens=12)}  # 6, costs 5
    run = label(provider, tmp_path, tasks(90), budget=60, **told)
    assert (run.stopped, run.numbers.spent, len(provider.batches)) == ("budget", 50, 1)
    assert provider.asked.total() == run.numbers.labelled == 10
    again = label(provider, tmp_path, tasks(90), budget=1e6, **told)
    assert again.numbers.labelled == provider.asked.total() == 90


def test_a_waiting_batch_is_not_asked_for_by_single_calls(tmp_path, provide):
    provider = provide(polls=10**9)
    child = start(tmp_path, provider, 5)
    wait_for(lambda: provider.looked.total() > 0)
    child.kill()
    child.wait()
    with pytest.raises(ConfigError, match="batch-0 holds 5 of these calls"):
        label(provider, tmp_path, tasks(5), batch=False)
    provider.polls = 0
    other = [LabelTask("x", "another")]
    assert texts(label(provider, tmp_path, other)) == ["label of another"]
    assert all(texts(label(provider, tmp_path, tasks(5), batch=False)))
    assert provider.asked.total() == 6, "answers for other records than these were kept"


def test_killed_at_any_moment_a_run_pays_for_nothing_twice(tmp_path, provide):
    provider, chance = provide(polls=2, lost_replies=1), random.Random(0)
    for _ in range(4):
        child = start(tmp_path, provider, 30)
        before = sum(provider.calls.values())
        moment = chance.randint(1, 12)
        while child.poll() is None and sum(provider.calls.values()) < before + moment:
            time.sleep(0.001)
        child.kill()
        child.wait()
    assert start(tmp_path, provider, 30).wait() == 0
    told = json.loads((tmp_path / "outcome.json").read_text())
    assert told == [{"id": str(n), "text": f"label of record {n}"} for n in range(30)]
    assert provider.asked.total() == 30


def test_an_open_folder_asks_in_batches_too(tmp_path, provide):
    provider = provide()
    teacher = RemoteTeacher("tiny", base_url=provider.base_url)
    endpoint = BatchEndpoint(poll_s=0.01)
    with OpenFolder(tmp_path) as folder:
        for count in (3, 5):
            labeler = BatchLabeler(teacher, folder, batch_endpoint=endpoint)
            assert all(texts(labeler.run(tasks(count))))
    assert (len(provider.batches), provider.asked.total()) == (2, 5)


def test_settings_and_teachers_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"price_factor.*poll_s"):
        BatchEndpoint(price_factor=2, poll_s=0)
    labeler = BatchLabeler(Scripted(str), tmp_path, batch_endpoint=BatchEndpoint())
    with pytest.raises(ConfigError, match="this teacher is none"):
        labeler.run(tasks(1))


def start(folder, provider, count):
    command = [sys.executable, str(CHILD), str(folder), provider.base_url, str(count)]
    return subprocess.Popen(command)


def wait_for(done, seconds=60.0):
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.002)


def test_the_label_command_asks_in_batches_and_reports_half_the_price(
    tmp_path, provide, monkeypatch, capsys
):
    quick = functools.partial(BatchEndpoint, poll_s=0.01)
    monkeypatch.setattr("stillroom.labeling.batch.batch_loop.BatchEndpoint", quick)
    provider = provide()
    table, folder = tmp_path / "asked.csv", tmp_path / "labels"
    table.write_text("question\n" + "".join(f"What is {n}?\n" for n in range(6)))
    command = [
        "label", "--data", str(table), "--teacher", provider.base_url, "--model", "tiny",
        "--output", str(folder), "--prices", "1000000,1000000", "--batch-endpoint",
    ]  # fmt: skip
    assert main(command) == 0, capsys.readouterr().err
    report = read_json(folder / "report.json")
    assert (report["labelled"], len(provider.batches), len(provider.bodies)) == (6, 1, 6)
    assert report["cost"] == 6 * (20 + 10) / 2, "a token costs 1, in a batch the half"
    assert main(command) == 0
    assert len(provider.bodies) == 6, "answered records are not asked again"
