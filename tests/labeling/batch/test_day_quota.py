"""The quota per day: never more calls in 24 hours, over kills and runs; a pause says its end."""

import asyncio
import logging
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_teacher import Scripted
from stillroom.errors import ConfigError
from stillroom.labeling.batch.day_quota import DAY_S, DayQuota
from stillroom.labeling.batch.label_run import LabelSettings, LabelTask
from stillroom.labeling.batch.labeler import BatchLabeler

NOON = 1_764_590_400.0
"""2025-12-01T12:00:00+00:00"""


class Clock:
    """A clock that tests move."""

    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now


@given(st.lists(st.floats(0, 50_000), max_size=60), st.integers(1, 5), st.data())
def test_no_24_hours_hold_more_calls_than_the_quota(tmp_path_factory, pauses, per_day, data):
    clock, sent = Clock(), []
    folder = tmp_path_factory.mktemp("quota")
    quota = DayQuota(folder, "m", per_day, clock)
    for pause in pauses:
        clock.now += pause
        if data.draw(st.booleans()):  # the process dies and starts again
            quota = DayQuota(folder, "m", per_day, clock)
        if quota.wait_s() == 0:
            quota.take()
            sent.append(clock.now)
    for moment in sent:
        assert sum(moment - DAY_S + 0.01 < one <= moment for one in sent) <= per_day


def test_a_call_is_free_again_24_hours_after_the_oldest(tmp_path):
    clock = Clock()
    quota = DayQuota(tmp_path, "m", 2, clock)
    quota.take()
    clock.now += 3600
    quota.take()
    assert quota.wait_s() == pytest.approx(DAY_S - 3600, abs=0.01)
    clock.now = NOON + DAY_S
    assert DayQuota(tmp_path, "m", 2, clock).wait_s() == 0
    assert DayQuota(tmp_path, "other", 1, clock).wait_s() == 0, "another model has its own quota"


def test_a_clock_that_was_set_back_holds_nothing_up_for_longer_than_a_day(tmp_path):
    clock = Clock()
    DayQuota(tmp_path, "m", 1, clock).take()
    clock.now -= 40 * DAY_S
    assert DayQuota(tmp_path, "m", 1, clock).wait_s() <= DAY_S


def test_a_run_pauses_says_until_when_and_goes_on(tmp_path, caplog):
    clock, tasks = Clock(), [LabelTask(str(n), f"record {n}") for n in range(5)]
    settings = LabelSettings(concurrency=4, requests_per_day=3)
    teacher = Scripted(lambda prompt, number: "yes")
    labeler = BatchLabeler(teacher, tmp_path, settings=settings, clock=clock)

    async def label():
        run = asyncio.create_task(labeler.arun(tasks))
        while len(teacher.asked) < 3 or not caplog.records:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert len(teacher.asked) == 3
        clock.now += DAY_S
        return await run

    with caplog.at_level(logging.WARNING):
        run = asyncio.run(label())
    assert len(run.labelled) == len(teacher.asked) == 5
    assert "quota of 3 calls a day is used; waiting until 2025-12-02T12:00:00+00:00" in caplog.text
    assert len(caplog.records) == 1, "a pause is told once"


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from scripted_teacher import Scripted
from stillroom.labeling.batch.label_run import LabelSettings, LabelTask
from stillroom.labeling.batch.labeler import BatchLabeler
tasks = [LabelTask(str(n), f"record {{n}}") for n in range(5)]
settings = LabelSettings(concurrency=1, requests_per_day=3)
BatchLabeler(Scripted(lambda prompt, number: "yes"), {folder!r}, settings=settings,
             clock=lambda: {now!r}).run(tasks)
"""


def test_a_killed_run_knows_its_quota_when_it_starts_again(tmp_path):
    code = CHILD.format(tests=os.path.dirname(os.path.dirname(__file__)), folder=str(tmp_path),
                        now=NOON)  # fmt: skip
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert "waiting until" in child.stderr.readline()
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    teacher = Scripted(lambda prompt, number: "yes")
    tasks = [LabelTask(str(n), f"record {n}") for n in range(5)]
    settings = LabelSettings(concurrency=1, requests_per_day=3)
    clock = Clock(NOON + 60)

    async def label(labeler):
        run = asyncio.create_task(labeler.arun(tasks))
        await asyncio.sleep(0.3)
        assert teacher.asked == [], "the calls of the killed process count"
        clock.now = NOON + DAY_S
        return await run

    run = asyncio.run(label(BatchLabeler(teacher, tmp_path, settings=settings, clock=clock)))
    assert len(run.labelled) == 5
    assert sorted(teacher.asked) == ["record 3", "record 4"], "no answer is paid for twice"


def test_a_quota_below_one_is_refused():
    with pytest.raises(ConfigError, match="requests_per_day is 0"):
        LabelSettings(requests_per_day=0)
