"""A folder that stays open: one journal, one pace, one teacher over many runs; and turns."""

import signal
import threading
import time

import pytest
from scripted_teacher import Scripted
from stillroom.errors import RemoteError
from stillroom.labeling.batch.label_run import LabelSettings, Prices
from stillroom.labeling.batch.labeler import BatchLabeler, LabelTask
from stillroom.labeling.batch.open_folder import OpenFolder


def tasks(first, count):
    return [LabelTask(str(n), f"prompt {n}") for n in range(first, first + count)]


def label(folder, teacher, asked, **settings):
    chosen = LabelSettings(**{"backoff_s": 0.001, **settings})
    return BatchLabeler(teacher, folder, settings=chosen).run(asked)


def echo(prompt, number):
    return f"to {prompt}"


def test_runs_share_answers_and_the_teacher_is_closed_with_the_folder(tmp_path):
    teacher = Scripted(echo)
    with OpenFolder(tmp_path) as folder:
        for count in (3, 5, 5):
            run = label(folder, teacher, tasks(0, count))
            assert [one.answer.text for one in run.labelled] == [
                f"to prompt {n}" for n in range(count)
            ]
        assert (len(teacher.asked), teacher.closed) == (5, 0)
    assert teacher.closed == 1
    other = Scripted(echo)
    label(tmp_path, other, tasks(0, 5))
    assert other.asked == []


def test_limits_per_minute_hold_across_runs(tmp_path):
    teacher = Scripted(echo)
    began = time.monotonic()
    with OpenFolder(tmp_path) as folder:
        for start in range(0, 20, 4):
            label(folder, teacher, tasks(start, 4), requests_per_minute=600)
    assert time.monotonic() - began >= (20 - 6 - 1) / 10  # ten a second after a burst of six


def test_failures_with_one_cause_are_counted_across_runs_and_then_forgiven(tmp_path):
    away = Scripted(lambda prompt, number: RemoteError("gone"))
    stopped = []
    with OpenFolder(tmp_path) as folder:
        for start in range(0, 12, 2):
            run = label(folder, away, tasks(start, 2), max_attempts=1)
            stopped.append(run.stopped)
    assert stopped[:5] == [None] * 4 + ["same_fault"]
    back = Scripted(echo)
    run = label(tmp_path, back, tasks(0, 10))
    assert len(run.labelled) == 10


def test_faults_of_records_are_not_forgiven(tmp_path):
    def refuse(prompt, number):
        return RemoteError("bad", status=400) if number <= 20 else RemoteError("gone")

    with OpenFolder(tmp_path) as folder:
        run = label(folder, Scripted(refuse), tasks(0, 40), max_attempts=1, concurrency=1)
    assert run.stopped is not None
    back = Scripted(echo)
    healed = label(tmp_path, back, tasks(0, 40))
    assert {one.fault.kind for one in healed.failed} == {"bad_request"}


def test_folders_open_twice_take_turns_and_find_each_others_answers_and_costs(tmp_path):
    first, second = Scripted(echo, pause_s=0.002), Scripted(echo, pause_s=0.002)
    paid = {"prices": Prices(1e6, 1e6), "budget": 1e9}
    with OpenFolder(tmp_path) as one, OpenFolder(tmp_path) as two:

        def ask(folder, teacher):
            for start in range(0, 60, 6):
                label(folder, teacher, tasks(start, 6), **paid)

        threads = [
            threading.Thread(target=ask, args=pair) for pair in ((one, first), (two, second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted([*first.asked, *second.asked]) == sorted(f"prompt {n}" for n in range(60))
        label(one, first, tasks(0, 60), **paid)
        label(two, second, tasks(0, 60), **paid)
        assert one.journal.ledger.known == two.journal.ledger.known == 60 * 15
    assert len(first.asked) + len(second.asked) == 60


def test_an_interrupt_cancels_the_run_and_the_folder_goes_on(tmp_path):
    slow, quick = Scripted(echo, pause_s=30), Scripted(echo)
    with OpenFolder(tmp_path) as folder:
        main = threading.main_thread().ident
        timer = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            label(folder, slow, tasks(0, 3))
        timer.join()
        assert time.monotonic() - began < 10
        assert slow.now == 0
        assert len(label(folder, quick, tasks(0, 3)).labelled) == 3
