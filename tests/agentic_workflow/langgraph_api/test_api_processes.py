"""Three API processes over one PostgreSQL, and two over one SQLite file."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import httpx
import pytest
from langgraph_sdk import get_client
from postgres_server import new_database

QUESTION = {"messages": [{"role": "user", "content": "What is the symbol of gold?"}]}
WAITING = {"messages": [{"role": "user", "content": "Please wait."}]}
_number = count()


@contextmanager
def processes(url, barrier, number):
    """Run processes; give each with its address."""
    folder = Path(__file__).parent
    command = [sys.executable, folder / "api_process.py", url, barrier]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), *sys.path]))}
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
            )
            for _ in range(number)
        ]
        try:
            yield [(one, f"http://127.0.0.1:{int(one.stdout.readline())}") for one in started]
        finally:
            for one in started:
                one.kill()


@pytest.fixture(params=["postgres", "sqlite"])
def shared(request, tmp_path):
    """Give a database URL and how many processes share it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/threads.db?power_safe=0", 2
    server = request.getfixturevalue("postgres_server")
    return new_database(server, f"api{next(_number)}"), 3


async def test_a_run_goes_on_elsewhere_when_its_process_is_killed(shared, tmp_path):
    url, number = shared
    barrier = tmp_path / "barrier"
    barrier.touch()
    with processes(url, barrier, number) as started:
        clients = [get_client(url=address, api_key="anna") for _, address in started]
        first, second, last = clients[0], clients[1], clients[-1]
        await first.threads.create(thread_id="t")
        await second.runs.wait("t", "qa", input=QUESTION)
        run = await first.runs.create("t", "qa", input=WAITING)
        seen = []
        async for part in second.runs.join_stream("t", run["run_id"]):
            seen.append(part)
            if part.event == "updates" and "finalize" in part.data:
                started[0][0].send_signal(signal.SIGKILL)
                break
        barrier.unlink()
        rest = [
            part
            async for part in second.runs.join_stream("t", run["run_id"], last_event_id=seen[-1].id)
        ]
        whole = [part async for part in last.runs.join_stream("t", run["run_id"])]
        assert seen + rest == whole
        attempts = [part.data["attempt"] for part in whole if part.event == "metadata"]
        assert attempts == [1, 2]
        assert whole[-1].data["status"] == "success"
        state = await last.runs.wait("t", "qa", input=QUESTION)
        assert len(state["messages"]) == 6
        for client in clients:
            await client.aclose()


async def test_twenty_turns_at_once_are_stored_or_refused(shared, tmp_path):
    url, number = shared
    draw = random.Random(3)
    with processes(url, tmp_path / "none", number) as started:
        clients = [get_client(url=address, api_key="anna") for _, address in started]
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
        state = await clients[-1].threads.get_state("t")
        runs = await clients[0].runs.list("t", limit=50)
        for client in clients:
            await client.aclose()
    told = json.dumps([run["status"] for run in runs])
    assert told.count("success") == len(runs) == stored
    kinds = [message["type"] for message in state["values"]["messages"]]
    assert kinds == ["human", "ai"] * stored
