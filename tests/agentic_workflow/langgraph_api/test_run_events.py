"""Events are stored, numbered without gaps for readers, and outlive silence and processes."""

import asyncio
import json
import threading
import time
from contextlib import aclosing

import httpx
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langgraph.types import Overwrite
from served_workflows import Gate, scripted, serving
from stillroom.agentic_workflow.langgraph_api.event_feed import EventFeed
from stillroom.agentic_workflow.langgraph_api.run_events import RunEvents, event
from stillroom.agentic_workflow.langgraph_api.run_store import RunLostError, RunRow, RunStore
from stillroom.agentic_workflow.langgraph_api.wire import to_json

WAITING = {"messages": [{"role": "user", "content": "Please wait."}]}
ANNA = {"x-api-key": "anna"}
NEW_RUN = {"assistant_id": "qa", "input": WAITING, "stream_mode": ["updates"]}


@pytest.fixture
def store(open_threads, threads_url):
    """Give a store of runs in each kind of database."""
    return RunStore(open_threads(threads_url).store.database)


def start_run(store, key="anna/t", run_id="r1", holder="one", lease_s=30.0):
    store.add_thread(key, "anna", {})
    request = to_json({"graph_id": "qa"})
    run = RunRow(run_id, key, 0, 0, "running", "qa", "{}", request, "null", 1, "")
    assert store.add_run(run, holder, lease_s, 2)[0] is None
    return run


def test_only_the_holder_of_a_run_adds_to_it(store):
    run = start_run(store, lease_s=-1)
    assert store.add_events(run, "one", [event("values", {"a": 1})] * 2) == 2
    (taken,) = store.take_over("two", 30, 5)
    assert (taken.run_id, taken.attempt) == ("r1", 2)
    assert store.take_over("three", 30, 5) == []
    with pytest.raises(RunLostError):
        store.add_events(run, "one", [event("values", {"a": 2})])
    with pytest.raises(RunLostError):
        store.end_run(run, "one", "success", "{}", [event("end", {})])
    assert store.renew("one", ["r1"], 30) == {}
    assert store.end_run(taken, "two", "success", "{}", [event("end", {})]) == 3
    assert [row.seq for row in store.events("anna/t", 0)] == [1, 2, 3]


def test_a_thread_has_one_run_in_progress_and_keeps_the_events_of_the_newest(store):
    for number in range(4):
        run = start_run(store, run_id=f"r{number}")
        other = RunRow("x", *run[1:])
        assert store.add_run(other, "two", 30, 2)[0].run_id == run.run_id
        store.end_run(run, "one", "success", "{}", [event("end", {"n": number})])
    assert [row.run_id for row in store.events("anna/t", 0)] == ["r2", "r3"]
    assert len(store.runs_of("anna/t")) == 4


def test_threads_of_many_writers_number_their_events_without_gaps(store):
    runs = [start_run(store, f"anna/t{n}", f"r{n}") for n in range(3)]

    def write(run):
        for _ in range(20):
            store.add_events(run, "one", [event("values", {})] * 3)

    writers = [threading.Thread(target=write, args=(run,)) for run in runs]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    for run in runs:
        assert [row.seq for row in store.events(run.key, 0, limit=100)] == list(range(1, 61))


async def test_a_slow_reader_holds_one_page_and_misses_nothing(store):
    run = start_run(store)
    feed = EventFeed(store, 0.05, 0.2)
    for _ in range(10):
        store.add_events(run, "one", [event("values", {})] * 100)
    seen = []
    async with aclosing(feed.follow("anna/t", 0)) as pages:
        async for rows in pages:
            assert len(rows) <= 200
            seen += [row.seq for row in rows]
            if len(seen) == 600:  # while it reads, more are stored
                store.add_events(run, "one", [event("values", {})] * 100)
            if len(seen) == 1100:
                break
    assert seen == list(range(1, 1101))


def test_texts_that_databases_or_json_refuse_are_stored(store):
    run = start_run(store)
    odd = {"nan": float("nan"), "nul": "\0", "lone": "\ud800", "set": {1}, "left": Overwrite([1])}
    store.add_events(run, "one", [event("values", odd)])
    (row,) = store.events("anna/t", 0)
    read = json.loads(row.body)
    assert (read["nan"], read["nul"], read["set"], read["left"]) == (None, "\0", [1], [1])


def test_tool_calls_are_told_whole_when_the_message_ends():
    events = RunEvents("anna/t")
    calls = [
        tool_call_chunk(name="find", args='{"a"', id="c", index=0),
        tool_call_chunk(args=": 1}", index=0),
    ]
    parts = [AIMessageChunk("", id="m", tool_call_chunks=[call]) for call in calls]
    parts[-1].chunk_position = "last"
    told = [
        json.loads(one.body)["data"]
        for part in parts
        for one in events.read((), "messages", (part, {"langgraph_node": "qa_agent"}))
        if one.method == "blocks"
    ]
    assert [one["event"] for one in told] == [
        "message-start", "content-block-start", "content-block-finish", "message-finish",
    ]  # fmt: skip
    assert told[2]["content"] == {"type": "tool_call", "id": "c", "name": "find", "args": {"a": 1}}


def test_a_node_that_is_silent_for_fifteen_minutes_loses_no_event(saver, gate):
    """The server's clock and the database's are moved on while the node waits."""
    with (
        serving({"qa": scripted(saver, gate)}) as server,
        httpx.Client(base_url=server.url, headers=ANNA, timeout=30) as client,
    ):
        client.post("/threads", json={"thread_id": "t"})
        with client.stream("POST", "/threads/t/runs/stream", json=NEW_RUN) as streamed:
            lines = streamed.iter_lines()
            assert gate.entered.wait(10)
            _move_clocks(server, saver, 900)
            beats = 0
            for line in lines:  # the connection lives, and says so
                beats += line == ": heartbeat"
                if beats == 3:
                    break
            gate.open.set()
            rest = list(lines)
        assert rest[-3:-2] == ["event: end"] or "event: end" in rest
        whole = client.get(f"/threads/t/runs/{_only_run(client)}/stream").text
        names = [line[7:] for line in whole.splitlines() if line.startswith("event: ")]
        assert names.count("end") == names.count("metadata") == 1  # no second attempt
        assert gate.passes == 1
        assert client.get("/threads/t/state").json()["values"]["context"] == "passed"


def _move_clocks(server, saver, seconds):
    real = server.loop.time
    server.loop.time = lambda: real() + seconds
    server.loop.call_soon_threadsafe(lambda: None)
    database = saver.store.database
    database.now = saver.store._now = f"({database.now} + {seconds})"


def _only_run(client):
    (run,) = client.get("/threads/t/runs").json()
    return run["run_id"]


def test_a_run_goes_on_after_the_server_was_started_again(open_threads, tmp_path):
    url = f"sqlite:///{tmp_path}/threads.db?power_safe=0"
    first_gate, second_gate = Gate(), Gate()
    second_gate.open.set()
    saver = open_threads(url)
    with (
        serving({"qa": scripted(saver, first_gate)}) as server,
        httpx.Client(base_url=server.url, headers=ANNA, timeout=30) as client,
    ):
        client.post("/threads", json={"thread_id": "t"})
        run = client.post("/threads/t/runs", json=NEW_RUN).json()["run_id"]
        assert first_gate.entered.wait(10)
        threading.Timer(1.5, first_gate.open.set).start()  # the old node ends when nobody waits
    again = open_threads(url)
    with (
        serving({"qa": scripted(again, second_gate)}) as server,
        httpx.Client(base_url=server.url, headers=ANNA, timeout=30) as client,
    ):
        state = client.get(f"/threads/t/runs/{run}/join").json()
        told = client.get(f"/threads/t/runs/{run}/stream").text
    assert (state["context"], len(state["messages"])) == ("passed", 2)
    assert '"attempt":1' in told
    assert '"attempt":2' in told
    assert (first_gate.passes, second_gate.passes) == (1, 1)


def test_as_many_runs_as_allowed_are_in_progress(saver, gate):
    with (
        serving({"qa": scripted(saver, gate)}, max_turns=2) as server,
        httpx.Client(base_url=server.url, headers=ANNA, timeout=30) as client,
    ):
        answers = []
        for name in ("a", "b", "c"):
            client.post("/threads", json={"thread_id": name})
            answers.append(client.post(f"/threads/{name}/runs", json=NEW_RUN))
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert int(answers[2].headers["retry-after"]) >= 1
        gate.open.set()
        client.get(f"/threads/a/runs/{answers[0].json()['run_id']}/join")
        deadline = time.monotonic() + 10
        while client.post("/threads/c/runs", json=NEW_RUN).status_code == 429:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_error_inside_a_node_is_told_by_its_class_alone(saver):
    def breaks(state):
        raise RuntimeError("password=secret")

    workflow = scripted(saver)
    workflow.add_node("breaks", breaks)
    with (
        serving({"qa": workflow}) as server,
        httpx.Client(base_url=server.url, headers=ANNA, timeout=30) as client,
    ):
        client.post("/threads", json={"thread_id": "t"})
        answer = client.post("/threads/t/runs/wait", json=NEW_RUN)
        told = answer.text + client.get(f"/threads/t/runs/{_only_run(client)}/stream").text
    assert answer.json()["__error__"]["error"] == "RuntimeError"
    assert "secret" not in told


async def test_cancelling_in_another_process_reaches_the_one_that_runs(saver, gate):
    """Two servers over one database stand for two processes."""
    with (
        serving({"qa": scripted(saver, gate)}) as one,
        serving({"qa": scripted(saver, gate)}) as other,
    ):
        async with (
            httpx.AsyncClient(base_url=one.url, headers=ANNA, timeout=30) as client,
            httpx.AsyncClient(base_url=other.url, headers=ANNA, timeout=30) as elsewhere,
        ):
            await client.post("/threads", json={"thread_id": "t"})
            run = (await client.post("/threads/t/runs", json=NEW_RUN)).json()["run_id"]
            assert await asyncio.to_thread(gate.entered.wait, 10)
            path = f"/threads/t/runs/{run}"
            streams = [asyncio.create_task(c.get(f"{path}/stream")) for c in (client, elsewhere)]
            answer = await elsewhere.post(f"{path}/cancel", params={"wait": True})
            assert answer.status_code == 204
            told = [(await stream).text.replace(": heartbeat\n\n", "") for stream in streams]
            gate.open.set()
            assert told[0] == told[1]
            assert "UserInterrupt" in told[0]
