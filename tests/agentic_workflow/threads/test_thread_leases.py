"""Leases: a dead holder's expires, a stalled holder stores nothing, and no turn waits forever."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stillroom.agentic_workflow.threads.checkpointer import TURN_KEY
from stillroom.agentic_workflow.threads.leases import Leases, ThreadLocks
from stillroom.agentic_workflow.threads.open_store import (
    as_checkpointer,
    delete_idle_threads,
    open_checkpointer,
)
from stillroom.errors import ConfigError, LeaseLostError, StoredStateError, ThreadBusyError

PARENT = {"configurable": {"thread_id": "one", "checkpoint_ns": ""}}


def checkpoint(number):
    return {
        "v": 4,
        "id": f"{number:032d}",
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": {"n": number},
        "channel_versions": {"n": number},
        "versions_seen": {},
        "updated_channels": None,
    }


def put(saver, number, config=PARENT):
    return saver.put(config, checkpoint(number), {"source": "loop", "step": number}, {})


def within(turn, config=PARENT):
    held = SimpleNamespace(turn=turn)
    return {"configurable": {**config["configurable"], TURN_KEY: held}}


def newest(saver):
    found = saver.get_tuple(PARENT)
    return None if found is None else found.checkpoint["channel_values"]["n"]


def test_a_holder_that_died_blocks_its_thread_only_until_its_lease_runs_out(
    threads_url, open_threads
):
    saver = open_threads(threads_url, lease_s=0.3, wait_s=10)
    assert saver.store.acquire("one", "a process that was killed", 0.3) == 1
    began = time.monotonic()
    turn = saver.begin("one")
    assert time.monotonic() - began < 5
    assert turn.lease.fence == 2
    saver.commit(turn)


@pytest.mark.parametrize("atomic", [True, False])
def test_a_holder_that_stood_still_stores_nothing(atomic, threads_url, open_threads):
    saver = open_threads(threads_url)
    put(saver, 1)
    stalled = saver.begin("one", atomic=atomic)
    saver.store.renew([stalled.lease], -1)  # it stood still: its lease has run out
    other = saver.store.acquire("one", "another process", 60)
    assert other == stalled.lease.fence + 1
    if atomic:
        put(saver, 2, within(stalled))
        with pytest.raises(LeaseLostError, match="nothing of the turn was stored"):
            saver.commit(stalled)
    else:
        with pytest.raises(LeaseLostError):
            put(saver, 2, within(stalled))
        saver.rollback(stalled)
    assert newest(saver) == 1


def test_a_lease_that_ran_out_is_still_good_while_nobody_took_it(threads_url, open_threads):
    saver = open_threads(threads_url)
    turn = saver.begin("one")
    saver.store.renew([turn.lease], -1)
    put(saver, 1, within(turn))
    saver.commit(turn)
    assert newest(saver) == 1


def test_a_write_outside_a_turn_is_refused_while_one_runs(threads_url, open_threads):
    saver = open_threads(threads_url)
    turn = saver.begin("one")
    with pytest.raises(ThreadBusyError):
        put(saver, 1)
    saver.store.renew([turn.lease], -1)
    put(saver, 2)  # the lease has run out, so this goes ahead, and ahead of the turn
    put(saver, 3, within(turn))
    with pytest.raises(LeaseLostError):
        saver.commit(turn)
    assert newest(saver) == 2


def test_a_thread_that_is_deleted_in_mid_turn_stays_deleted(threads_url, open_threads):
    saver = open_threads(threads_url)
    turn = saver.begin("one")
    put(saver, 1, within(turn))
    saver.delete_thread("one")
    with pytest.raises(LeaseLostError):
        saver.commit(turn)
    assert newest(saver) is None
    again = saver.begin("one")
    put(saver, 2, within(again))
    saver.commit(again)
    assert newest(saver) == 2


def test_pruning_waits_for_a_turn_and_holds_nothing_up_meanwhile(threads_url, open_threads):
    saver = open_threads(threads_url, wait_s=5)
    put(saver, 1)

    async def prune_in_mid_turn():
        async with saver.aturn("one") as turn:
            pruning = asyncio.create_task(saver.aprune(["one"]))
            await asyncio.sleep(0.05)
            assert not pruning.done()
            put(saver, 2, within(turn))
        await pruning

    asyncio.run(prune_in_mid_turn())
    assert [found.checkpoint["channel_values"]["n"] for found in saver.list(PARENT)] == [2]


def test_a_store_that_fails_does_not_hide_why_a_turn_ended(open_threads, monkeypatch, caplog):
    saver = open_threads("memory")

    def fails(thread_id, holder):
        raise OSError("no route to the store")

    monkeypatch.setattr(saver.store, "release", fails)
    with pytest.raises(KeyError, match="why"), saver.turn("one"):
        raise KeyError("why")
    assert "it will expire" in caplog.text
    monkeypatch.undo()
    saver.delete_thread("one")  # and with it the lease that could not be released
    with saver.turn("one"):
        pass  # the lock within the process is free


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_renews_its_leases_itself(tmp_path, open_threads):
    """The thread that renews leases in the parent does not exist in the child."""
    url = f"sqlite:///{tmp_path}/threads.db"
    saver, other = open_threads(url, lease_s=0.4), open_threads(url, wait_s=20)
    with saver.turn("before the fork"):
        pass
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            turn = saver.begin("one")
            time.sleep(1.2)  # three times the life of a lease that is not renewed
            put(saver, 1, within(turn))
            os.write(write, b"in time")
            saver.commit(turn)
        finally:
            os._exit(0)
    os.close(write)
    deadline = time.monotonic() + 20
    while other.store.threads() == ["before the fork"] and time.monotonic() < deadline:
        time.sleep(0.01)
    with other.turn("one"):
        assert newest(other) == 1, "the lease of the child was taken over"
    with os.fdopen(read) as pipe:
        assert pipe.read() == "in time"
    os.waitpid(child, 0)


def test_a_long_turn_keeps_its_lease(tmp_path, open_threads):
    url = f"sqlite:///{tmp_path}/threads.db"
    saver, other = open_threads(url, lease_s=0.2), open_threads(url, wait_s=0.6)
    turn = saver.begin("one")
    with pytest.raises(ThreadBusyError):
        other.begin("one")
    put(saver, 1, within(turn))
    saver.commit(turn)
    assert newest(other) == 1


def test_idle_threads_are_deleted_and_running_ones_are_not(threads_url, open_threads):
    saver = open_threads(threads_url)
    for name in ("old", "running"):
        put(saver, 1, {"configurable": {"thread_id": name, "checkpoint_ns": ""}})
    turn = saver.begin("running")
    assert delete_idle_threads(saver, 3600) == []
    assert delete_idle_threads(saver, 0) == ["old"]
    assert saver.store.threads() == ["running"]
    saver.rollback(turn)
    with pytest.raises(ValueError, match="-1"):
        delete_idle_threads(saver, -1)


PROCESS = """
import sys
from types import SimpleNamespace
from stillroom.agentic_workflow.threads.open_store import open_checkpointer
url, name = sys.argv[1:]
saver = open_checkpointer(url)
config = {"configurable": {"thread_id": "one", "checkpoint_ns": ""}}
for _ in range(20):
    turn = saver.begin("one")
    found = saver.get_tuple(config)
    count = 0 if found is None else found.checkpoint["channel_values"]["n"]
    checkpoint = {"v": 4, "id": f"{count + 1:08d}", "ts": "", "channel_values": {"n": count + 1},
                  "channel_versions": {}, "versions_seen": {}}
    held = SimpleNamespace(turn=turn)
    within = {"configurable": {**config["configurable"], "__stillroom_turn": held}}
    saver.put(within, checkpoint, {}, {})
    saver.commit(turn)
"""


@pytest.mark.parametrize("threads_url", ["sqlite", "postgres"], indirect=True)
def test_processes_on_one_thread_lose_no_count(threads_url, open_threads):
    run = [sys.executable, "-c", PROCESS, threads_url]
    processes = [subprocess.Popen([*run, str(i)], stderr=subprocess.PIPE) for i in range(2)]
    faults = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert faults == ["", ""]
    assert newest(open_threads(threads_url)) == 40


@pytest.mark.parametrize("threads_url", ["sqlite", "postgres"], indirect=True)
def test_a_lease_that_is_out_is_not_given_again(threads_url, open_threads):
    one, other = (open_threads(threads_url).store for _ in range(2))
    fence = one.acquire("t", "one", 60)
    assert other.acquire("t", "other", 60) is None
    other.release("t", "other")
    assert other.acquire("t", "other", 60) is None
    one.release("t", "one")
    assert other.acquire("t", "other", 60) > fence


class CountingStore:
    """A store that knows only leases, and checks that no two are out for a thread."""

    blocking = shared = False

    def __init__(self):
        self.held = {}
        self.acquired = 0

    def acquire(self, thread_id, holder, lease_s):
        assert thread_id not in self.held
        self.held[thread_id] = holder
        self.acquired += 1
        return self.acquired

    def release(self, thread_id, holder):
        assert self.held.pop(thread_id) == holder


PLAN = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.none() | st.integers(0, 3)), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(PLAN)
def test_any_interleaving_of_turns_and_cancels_leaves_no_one_waiting(plan):
    async def run():
        leases, done = Leases(store, wait_s=30, lease_s=30), []

        async def turn(thread_id, steps):
            lease = await leases.aacquire(thread_id)
            try:
                for _ in range(steps):
                    await asyncio.sleep(0)
                done.append(lease)
            finally:
                leases.release(lease)

        tasks = [(asyncio.create_task(turn(t, steps)), cancel) for t, steps, cancel in plan]
        for tick in range(4):
            for task, cancel in tasks:
                if cancel == tick:
                    task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait_for(
            asyncio.gather(*(task for task, _ in tasks), return_exceptions=True), 10
        )
        for thread_id in "ab":  # nothing is stuck
            leases.release(await leases.aacquire(thread_id))
        assert len(done) >= sum(cancel is None for _, _, cancel in plan)

    store = CountingStore()
    asyncio.run(run())
    assert store.held == {}


def test_a_lock_is_first_come_first_served():
    """For tasks of an event loop and OS threads in one queue."""

    async def run():
        locks, order = ThreadLocks(), []
        locks.acquire("one", 1)

        def hold(name):
            locks.acquire("one", 20)
            order.append(name)
            locks.release("one")

        async def ahold(name):
            await locks.aacquire("one", 20)
            order.append(name)
            locks.release("one")

        tasks = [asyncio.create_task(ahold(name)) for name in "abc"]
        await asyncio.sleep(0)  # now all three wait
        thread = threading.Thread(target=hold, args="d")
        thread.start()
        locks.release("one")
        await asyncio.gather(*tasks)
        await asyncio.to_thread(thread.join)
        locks.acquire("one", 0.01)  # free again
        return order

    assert asyncio.run(run()) == list("abcd")


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("threads.db", "'threads.db'"),
        ("sqlite://threads.db", "sqlite"),
        ("sqlite:///", "sqlite"),
        ("sqlite:///a.db?mode=ro", "mode=ro"),
        ("sqlite:///a.db?power_safe=yes", "power_safe"),
        ("mysql://user:secret@host/db", "mysql://..."),
    ],
)
def test_a_place_of_another_form_is_refused_without_showing_a_password(url, named):
    with pytest.raises(ConfigError) as caught:
        open_checkpointer(url)
    assert named in str(caught.value)
    assert "secret" not in str(caught.value)


def test_times_are_checked_all_at_once():
    with pytest.raises(ConfigError, match=r"wait_s is 0.*lease_s is -1"):
        open_checkpointer("memory", wait_s=0, lease_s=-1)


def test_a_url_or_a_checkpointer_may_be_given(open_threads):
    saver = open_threads("memory")
    assert as_checkpointer(saver) is saver
    assert as_checkpointer(None) is None
    as_checkpointer("memory").close()


def make_other_table(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE checkpoints (thread_id TEXT)")
    database.close()


@pytest.mark.parametrize(
    "make", [make_other_table, lambda path: path.write_bytes(b"no database" * 100), Path.mkdir]
)
def test_a_file_that_is_something_else_is_refused(make, tmp_path):
    make(tmp_path / "other.db")
    with pytest.raises(StoredStateError, match=r"other\.db.*not there yet"):
        open_checkpointer(f"sqlite:///{tmp_path}/other.db")


def test_a_file_of_threads_is_its_owners_alone(tmp_path, open_threads):
    put(open_threads(f"sqlite:///{tmp_path}/new/threads.db"), 1)
    files = list((tmp_path / "new").iterdir())
    assert {file.stat().st_mode & 0o077 for file in files} == {0}
