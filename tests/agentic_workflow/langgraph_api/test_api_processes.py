"""Three API processes over one PostgreSQL, and two over one SQLite file; long forms are slow."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import AsyncExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from langgraph_sdk import get_client
from postgres_server import new_database

QUESTION = {"messages": [{"role": "user", "content": "What is the symbol of gold?"}]}
WAITING = {"messages": [{"role": "user", "content": "Please wait."}]}
_number = count()


class Process(NamedTuple):
    """An API process."""

    pid: int
    url: str

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


@contextmanager
def started_by(url, barrier="none"):
    """Give a function that starts an API process."""
    folder = Path(__file__).parent
    command = [sys.executable, folder / "api_process.py", url, barrier]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), *sys.path]))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env=env) as forks:

        def start():
            forks.stdin.write("start\n")
            forks.stdin.flush()
            pid, port = forks.stdout.readline().split()
            return Process(int(pid), f"http://127.0.0.1:{port}")

        yield start
        forks.stdin.close()


@pytest.fixture(params=["postgres", "sqlite"])
def shared(request, tmp_path):
    """Give a database URL and how many processes share it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/threads.db?power_safe=0", 2
    server = request.getfixturevalue("postgres_server")
    return new_database(server, f"api{next(_number)}"), 3


async def clients_of(stack, processes):
    """Open a client of each process, all of the same owner."""
    clients = [get_client(url=one.url, api_key="anna") for one in processes]
    return [await stack.enter_async_context(client) for client in clients]


async def test_a_run_goes_on_elsewhere_when_its_process_is_killed(shared, tmp_path):
    url, number = shared
    barrier = tmp_path / "barrier"
    barrier.touch()
    with started_by(url, barrier) as start:
        started = [start() for _ in range(number)]
        async with AsyncExitStack() as stack:
            clients = await clients_of(stack, started)
            first, second, last = clients[0], clients[1], clients[-1]
            await first.threads.create(thread_id="t")
            await second.runs.wait("t", "qa", input=QUESTION)
            run = await first.runs.create("t", "qa", input=WAITING)
            seen = []
            async for part in second.runs.join_stream("t", run["run_id"]):
                seen.append(part)
                if part.event == "updates" and "finalize" in part.data:
                    started[0].kill()
                    break
            barrier.unlink()
            after = second.runs.join_stream("t", run["run_id"], last_event_id=seen[-1].id)
            rest = [part async for part in after]
            whole = [part async for part in last.runs.join_stream("t", run["run_id"])]
            assert seen + rest == whole
            attempts = [part.data["attempt"] for part in whole if part.event == "metadata"]
            assert attempts == [1, 2]
            assert whole[-1].data["status"] == "success"
            state = await last.runs.wait("t", "qa", input=QUESTION)
            assert len(state["messages"]) == 6


async def test_twenty_turns_at_once_are_stored_or_refused(shared):
    url, number = shared
    draw = random.Random(3)
    with started_by(url) as start:
        async with AsyncExitStack() as stack:
            clients = await clients_of(stack, [start() for _ in range(number)])
            await clients[0].threads.create(thread_id="t")

            async def turn():
                try:
                    await draw.choice(clients).runs.wait("t", "qa", input=QUESTION)
                except httpx.HTTPStatusError as refused:
                    return refused.response.status_code
                return 200

            answers = await asyncio.gather(*(turn() for _ in range(20)))
            assert set(answers) <= {200, 409}
            stored = answers.count(200)
            assert stored >= 1
            runs = await assert_whole(clients, "t")
    told = json.dumps([run["status"] for run in runs])
    assert told.count("success") == len(runs) == stored


async def assert_whole(clients, thread):
    """Check that a thread holds each of its turns once, and no fork; give its runs."""
    state = await clients[-1].threads.get_state(thread)
    runs = await clients[0].runs.list(thread, limit=1000)
    stored = sum(run["status"] == "success" for run in runs)
    kinds = [message["type"] for message in (state["values"] or {}).get("messages", [])]
    assert kinds == ["human", "ai"] * stored
    history = await clients[0].threads.get_history(thread, limit=1000)
    parents = [
        one["parent_checkpoint"]["checkpoint_id"] for one in history if one["parent_checkpoint"]
    ]
    assert len(parents) == len(set(parents)), "two states have one parent"
    return runs


@pytest.mark.parametrize("rounds", [20, pytest.param(1000, marks=pytest.mark.slow)])
async def test_requests_in_any_order_leave_whole_turns(shared, rounds):
    """Each round sends four requests to one thread, through any process, a moment apart."""
    url, number = shared
    draw = random.Random(rounds)

    async def wait(client, thread):
        given = {"input": QUESTION, "multitask_strategy": strategy()}
        await client.runs.wait(thread, "qa", **given, raise_error=False)  # it may be cancelled

    async def stream(client, thread):
        given = {"input": QUESTION, "multitask_strategy": strategy()}
        async for _ in client.runs.stream(thread, "qa", **given):
            if draw.random() < 0.02:
                return  # leaves; the run goes on

    async def cancel(client, thread):
        run = await client.runs.create(thread, "qa", input=QUESTION)
        await asyncio.sleep(draw.uniform(0, 0.02))
        action = draw.choice(["interrupt", "rollback"])
        await draw.choice(clients).runs.cancel(thread, run["run_id"], wait=True, action=action)

    async def join(client, thread):
        run = await client.runs.create(thread, "qa", input=QUESTION)
        await draw.choice(clients).runs.join(thread, run["run_id"])

    async def look(client, thread):
        await client.threads.get_state(thread)

    def strategy():
        return draw.choice(["reject", "reject", "interrupt", "rollback"])

    async def one(thread):
        await asyncio.sleep(draw.uniform(0, 0.03))
        way = draw.choice([wait, wait, stream, cancel, join, look])
        try:
            await way(draw.choice(clients), thread)
        except httpx.HTTPStatusError as refused:
            # 404: it was deleted by a request that took its place
            return refused.response.status_code
        return 200

    seen = set()
    with started_by(url) as start:
        async with AsyncExitStack() as stack:
            clients = await clients_of(stack, [start() for _ in range(number)])
            for done in range(rounds):
                thread = f"t{done // 20}"
                if done % 20 == 0:
                    await clients[0].threads.create(thread_id=thread)
                seen.update(await asyncio.gather(*(one(thread) for _ in range(4))))
                if done % 20 == 19:
                    await idle(clients, thread)
                    await assert_whole(clients, thread)
    assert seen <= {200, 404, 409}


async def idle(clients, thread):
    """Wait until no run of a thread is in progress."""
    while any(
        run["status"] in ("pending", "running")
        for run in await clients[0].runs.list(thread, limit=1000)
    ):
        await asyncio.sleep(0.05)


@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect")  # the client says so
@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=pytest.mark.slow)])
async def test_no_acknowledged_turn_is_lost_when_processes_are_killed(shared, kills):
    """Conversations go on over all processes, one of which is killed and replaced at a time."""
    url, number = shared
    draw = random.Random(kills)
    acknowledged = {f"t{place}": [] for place in range(4)}
    refusals, over = set(), False

    async def converse(thread):
        for turn in count():
            question = f"{thread}: question {turn}"
            given = {"messages": [{"role": "user", "content": question}]}
            try:
                run = await at(draw.choice(live)).runs.create(thread, "qa", input=given)
                while True:  # the run goes on when its process or that of its reader is killed
                    try:
                        state = await at(draw.choice(live)).runs.join(thread, run["run_id"])
                        break
                    except httpx.TransportError:
                        await asyncio.sleep(0.05)
                assert "__error__" not in state, state
                acknowledged[thread].append(question)
            except httpx.TransportError:  # nobody knows whether the run was taken
                await asyncio.sleep(0.05)
            except httpx.HTTPStatusError as refused:
                refusals.add(refused.response.status_code)
                await asyncio.sleep(0.1)
            if over and acknowledged[thread]:
                return

    with started_by(url) as start:
        live = [start() for _ in range(number)]
        async with AsyncExitStack() as stack:
            known = {}

            def at(process):
                return known[process]

            async def meet(process):
                (known[process],) = await clients_of(stack, [process])

            for process in live:
                await meet(process)
            for thread in acknowledged:
                await at(live[0]).threads.create(thread_id=thread)
            talks = [asyncio.create_task(converse(thread)) for thread in acknowledged]
            for _ in range(kills):
                await asyncio.sleep(draw.uniform(0.1, 0.8))
                place = draw.randrange(number)
                live[place].kill()
                process = await asyncio.to_thread(start)
                await meet(process)
                live[place] = process
            over = True
            await asyncio.gather(*talks)
            clients = [at(process) for process in live]
            for thread, turns in acknowledged.items():
                await idle(clients, thread)
                await assert_whole(clients, thread)
                state = await clients[0].threads.get_state(thread)
                asked = [one["content"] for one in state["values"]["messages"][::2]]
                assert len(asked) == len(set(asked)), "a turn is there twice"
                assert [one for one in asked if one in turns] == turns
    print({thread: len(turns) for thread, turns in acknowledged.items()})
    assert refusals <= {409}
