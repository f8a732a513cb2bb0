"""LangGraph's own client for Python, unmodified, against the server."""

import asyncio
import time

import pytest
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError
from served_workflows import ANSWER
from stillroom.agentic_workflow.langgraph_api.settings import RunSettings

QUESTION = {"messages": [{"role": "user", "content": "What is the symbol of gold?"}]}
WAITING = {"messages": [{"role": "user", "content": "Please wait."}]}
APPROVED = {
    "approved": True,
    "proposal": {"action": "write the symbol", "details": {"symbol": "Au"}},
}


@pytest.fixture
async def client(server):
    async with get_client(url=server.url, api_key="anna") as made:
        yield made


async def new_thread(client):
    return (await client.threads.create())["thread_id"]


async def until_entered(gate):
    assert await asyncio.to_thread(gate.entered.wait, 10)


async def test_a_streamed_run_gives_tokens_updates_and_the_state(client):
    created = []
    thread = await new_thread(client)
    parts = [
        part
        async for part in client.runs.stream(
            thread,
            "qa",
            input=QUESTION,
            stream_mode=["values", "messages-tuple", "updates"],
            on_run_created=created.append,
        )
    ]
    assert [parts[0].event, parts[-1].event] == ["metadata", "end"]
    tokens = [part.data[0]["content"] for part in parts if part.event == "messages"]
    assert len(tokens) > 3
    assert "".join(tokens) == ANSWER
    assert [next(iter(p.data)) for p in parts if p.event == "updates"] == [
        "process_input", "generate_response", "finalize", "gate",
    ]  # fmt: skip
    state = [part.data for part in parts if part.event == "values"][-1]
    assert [m["content"] for m in state["messages"]] == [QUESTION["messages"][0]["content"], ANSWER]
    ids = [int(part.id) for part in parts]
    assert ids == sorted(set(ids))
    assert created[0]["thread_id"] == thread
    assert await client.runs.join(thread, created[0]["run_id"]) == state
    assert (await client.threads.get_state(thread))["values"] == state


async def test_several_agents_answer_from_the_table_with_citations(client):
    state = await client.runs.wait(await new_thread(client), "multi_agent", input=QUESTION)
    assert [cell["value"] for cell in state["citations"]] == ["Gold", "Au"]


async def test_a_thread_remembers_over_runs_and_a_new_client(server, client):
    thread = await new_thread(client)
    for _ in range(2):
        await client.runs.wait(thread, "qa", input=QUESTION)
    with get_sync_client(url=server.url, api_key="anna") as later:
        assert len(later.threads.get_state(thread)["values"]["messages"]) == 4
        assert [run["status"] for run in later.runs.list(thread)] == ["success", "success"]
        history = later.threads.get_history(thread, limit=10)
        (found,) = later.threads.search(metadata={"graph_id": "qa"})
    assert [len(one["values"]["messages"]) for one in history][:2] == [4, 2]
    assert found["thread_id"] == thread
    assert found["values"]["messages"][-1]["content"] == ANSWER


async def test_a_run_stops_for_a_person_and_goes_on(client, written):
    thread = await new_thread(client)
    stopped = await client.runs.wait(thread, "asking", input=QUESTION)
    (question,) = stopped["__interrupt__"]
    assert question["value"]["action"] == "write the symbol"
    assert (await client.threads.get(thread))["status"] == "interrupted"
    state = await client.threads.get_state(thread)
    assert [one["id"] for one in state["interrupts"]] == [question["id"]]
    assert written == []
    done = await client.runs.wait(thread, "asking", command={"resume": APPROVED})
    assert (done["context"], written) == ("written", [{"symbol": "Au"}])
    assert (await client.threads.get(thread))["status"] == "idle"


async def test_the_thread_stream_gives_messages_and_the_end(client):
    async with client.threads.stream(assistant_id="qa") as thread:
        await thread.run.start(input=QUESTION)
        streams = [message async for message in thread.messages]
        assert [await message.text for message in streams] == [ANSWER]
        assert (await thread.output.with_timeout(10))["context"] == "passed"


async def test_the_thread_stream_asks_and_is_answered(client, written):
    async with client.threads.stream(assistant_id="asking") as thread:
        await thread.run.start(input=QUESTION)
        deadline = time.monotonic() + 10
        while not thread.interrupted:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert [one["value"]["action"] for one in thread.interrupts] == ["write the symbol"]
        await thread.run.respond(APPROVED)
        assert (await thread.output.with_timeout(10))["context"] == "written"
    assert written == [{"symbol": "Au"}]


async def test_a_cancelled_run_stores_nothing(client, gate):
    thread = await new_thread(client)
    run = await client.runs.create(thread, "qa", input=WAITING)
    await until_entered(gate)
    assert (await client.threads.get(thread))["status"] == "busy"
    await client.runs.cancel(thread, run["run_id"], wait=True)
    assert (await client.runs.get(thread, run["run_id"]))["status"] == "interrupted"
    assert (await client.threads.get_state(thread))["values"] == {}
    assert "__error__" in await client.runs.join(thread, run["run_id"])
    gate.open.set()
    assert (await client.runs.wait(thread, "qa", input=QUESTION))["context"] == "passed"


async def test_a_second_run_is_rejected_or_takes_the_place_of_the_first(client, gate):
    thread = await new_thread(client)
    first = await client.runs.create(thread, "qa", input=WAITING)
    await until_entered(gate)
    with pytest.raises(ConflictError):
        await client.runs.create(thread, "qa", input=QUESTION)
    state = await client.runs.wait(thread, "qa", input=QUESTION, multitask_strategy="interrupt")
    assert len(state["messages"]) == 2
    assert (await client.runs.get(thread, first["run_id"]))["status"] == "interrupted"


def asked(text):
    return {"messages": [{"role": "user", "content": text}]}


async def test_runs_wait_for_the_one_in_progress_and_start_in_their_order(client, gate):
    thread = await new_thread(client)
    await client.runs.create(thread, "qa", input=WAITING)
    await until_entered(gate)
    later = [
        await client.runs.create(
            thread, "qa", input=asked(f"Question {number}"), multitask_strategy="enqueue"
        )
        for number in range(3)
    ]
    assert [run["status"] for run in later] == ["pending"] * 3
    await client.runs.cancel(thread, later[1]["run_id"], wait=True)
    assert "__error__" in await client.runs.join(thread, later[1]["run_id"])

    async def collect():
        options = {"input": asked("Question 3"), "multitask_strategy": "enqueue"}
        return [part async for part in client.runs.stream(thread, "qa", **options)]

    streaming = asyncio.create_task(collect())
    while len(await client.runs.list(thread, status="pending")) < 3:
        await asyncio.sleep(0.02)
    gate.open.set()
    parts = await streaming
    assert [parts[0].event, parts[-1].event] == ["metadata", "end"]
    state = await client.runs.join(thread, later[2]["run_id"])
    said = [m["content"] for m in (await client.threads.get_state(thread))["values"]["messages"]]
    assert said[::2] == ["Please wait.", "Question 0", "Question 2", "Question 3"]
    assert [m["content"] for m in state["messages"]] == said[:6]
    found = [run["status"] for run in await client.runs.list(thread)]
    assert found == ["success", "success", "interrupted", "success", "success"]
    assert (await client.threads.get(thread))["status"] == "idle"


async def test_as_many_runs_wait_as_may_and_all_are_cancelled(client, gate):
    thread = await new_thread(client)
    options = {"input": QUESTION, "multitask_strategy": "enqueue"}
    await client.runs.create(thread, "qa", input=WAITING)
    await until_entered(gate)
    for _ in range(RunSettings().most_waiting):
        await client.runs.create(thread, "qa", **options)
    with pytest.raises(ConflictError, match="20 runs of the thread wait already"):
        await client.runs.create(thread, "qa", **options)
    await client.runs.cancel_many(thread_id=thread, status="pending")
    statuses = [run["status"] for run in await client.runs.list(thread, limit=100)]
    assert statuses == ["interrupted"] * 20 + ["running"]
    await client.runs.create(thread, "qa", **options)
    await client.threads.delete(thread)
    assert await client.threads.count() == 0


async def test_a_stream_that_broke_goes_on_after_the_last_event(client, gate):
    thread = await new_thread(client)
    run = await client.runs.create(thread, "qa", input=WAITING)
    await until_entered(gate)
    before = []
    async for part in client.runs.join_stream(thread, run["run_id"]):
        before.append(part)
        if part.event == "tasks" and part.data["name"] == "gate":
            break
    gate.open.set()
    after = [
        part
        async for part in client.runs.join_stream(
            thread, run["run_id"], last_event_id=before[-1].id
        )
    ]
    whole = [part async for part in client.runs.join_stream(thread, run["run_id"])]
    assert before + after == whole
    assert whole[-1].event == "end"


async def test_two_subscribers_get_every_event_once(client, gate):
    thread = await new_thread(client)
    run = await client.runs.create(thread, "qa", input=WAITING)

    async def subscribe():
        return [part async for part in client.runs.join_stream(thread, run["run_id"])]

    both = [asyncio.create_task(subscribe()) for _ in range(2)]
    await until_entered(gate)
    gate.open.set()
    one, other = await asyncio.gather(*both)
    assert one == other
    assert len({part.id for part in one}) == len(one)
    assert "".join(p.data[0]["content"] for p in one if p.event == "messages") == ANSWER


async def test_a_run_without_a_thread_leaves_none(client):
    state = await client.runs.wait(None, "qa", input=QUESTION)
    assert state["messages"][-1]["content"] == ANSWER
    parts = [part async for part in client.runs.stream(None, "qa", input=QUESTION)]
    assert parts[-1].data["status"] == "success"
    deadline = time.monotonic() + 5
    while await client.threads.count():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_client_that_leaves_cancels_where_it_asked_to(client, gate):
    thread = await new_thread(client)
    stream = client.runs.stream(thread, "qa", input=WAITING, on_disconnect="cancel")
    async for part in stream:
        if part.event == "values" and "wait" in part.data.get("query", ""):
            break
    await until_entered(gate)
    await stream.aclose()
    run = (await client.runs.list(thread))[0]
    assert "__error__" in await client.runs.join(thread, run["run_id"])


async def test_state_can_be_changed_searched_copied_and_deleted(client):
    thread = await new_thread(client)
    await client.runs.wait(thread, "qa", input=QUESTION)
    await client.threads.update_state(thread, {"context": "changed"}, as_node="finalize")
    assert (await client.threads.get_state(thread))["values"]["context"] == "changed"
    assert (await client.threads.get(thread))["values"]["context"] == "changed"
    await client.threads.update(thread, metadata={"topic": "gold"})
    assert len(await client.threads.search(metadata={"topic": "gold"})) == 1
    assert await client.threads.search(values={"context": "another"}) == []
    copy = await client.threads.copy(thread)
    assert copy["values"]["context"] == "changed"
    await client.threads.delete(thread)
    with pytest.raises(NotFoundError):
        await client.threads.get_state(thread)
    assert (await client.threads.get_state(copy["thread_id"]))["values"]["context"] == "changed"


async def test_a_run_goes_on_from_an_earlier_state(client):
    thread = await new_thread(client)
    for _ in range(2):
        await client.runs.wait(thread, "qa", input=QUESTION)
    first = (await client.threads.get_history(thread))[-1]
    at = first["checkpoint"]["checkpoint_id"]
    state = await client.runs.wait(thread, "qa", input=QUESTION, checkpoint_id=at)
    assert len(state["messages"]) == len(first["values"]["messages"]) + 2


async def test_assistants_describe_the_workflows(client):
    found = await client.assistants.search()
    assert [one["graph_id"] for one in found] == ["asking", "multi_agent", "qa"]
    by_id = await client.assistants.get(found[2]["assistant_id"])
    assert by_id == await client.assistants.get("qa")
    graph = await client.assistants.get_graph("multi_agent")
    assert {"router", "qa_agent", "validator"} <= {node["id"] for node in graph["nodes"]}
    schemas = await client.assistants.get_schemas("qa")
    assert "messages" in schemas["input_schema"]["properties"]
    assert "deadline_s" in schemas["context_schema"]["properties"]
    with pytest.raises(NotFoundError):
        await client.assistants.get("no such")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("webhook", "https://example.org"),
        ("after_seconds", 5),
        ("feedback_keys", ["like"]),
        ("multitask_strategy", "later"),
        ("durability", "sync"),
        ("stream_mode", "events"),
        ("interrupt_before", ["no such node"]),
        ("strict_resume", True),
    ],
)
async def test_a_field_that_is_not_supported_is_named(client, field, value):
    thread = await new_thread(client)
    with pytest.raises(UnprocessableEntityError) as caught:
        async for _ in client.runs.stream(thread, "qa", input=QUESTION, **{field: value}):
            pass
    assert field in str(caught.value.body)
    assert await client.runs.list(thread) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("GET", "/threads/{}/history?limti=3", None, "limti"),
        ("GET", "/threads/{}?include=ttl", None, "include"),
        ("GET", "/assistants/qa/graph?xrays=1", None, "xrays"),
        ("POST", "/threads/{}/runs?waits=1", {"assistant_id": "qa"}, "waits"),
        ("POST", "/threads", {"ttls": 1}, "ttls"),
        ("POST", "/threads/search", {"metadata": {}, "values": {}, "extracts": {}}, "extracts"),
        ("PATCH", "/threads/{}", {"metadatas": {}}, "metadatas"),
        ("POST", "/threads/{}/state", {"values": {}, "as_nodes": "x"}, "as_nodes"),
        ("POST", "/threads/{}/state", {"values": {"no such key": 1}}, "no such key"),
        ("POST", "/threads/{}/runs", {"assistant_id": "qa", "input": {"x": 1}}, "x"),
        ("POST", "/threads/{}/runs", {"assistant_id": "qa", "config": {"max": 1}}, "max"),
        ("POST", "/threads/{}/runs", {"assistant_id": "qa", "command": {"go": 1}}, "go"),
        ("POST", "/threads/{}/commands", {"id": 1, "method": "x", "more": 1}, "more"),
        ("POST", "/threads/{}/stream/events", {"channels": [], "until": 1}, "until"),
        ("POST", "/assistants/search", {"graph": "qa"}, "graph"),
        ("POST", "/runs/cancel", {"thread_id": "{}", "state": "all"}, "state"),
    ],
)
def test_an_unknown_field_or_parameter_is_named(http, method, path, body, named):
    thread = http.post("/threads", json={}).json()["thread_id"]
    answer = http.request(method, path.format(thread), json=body)
    assert answer.status_code == 422, answer.text
    assert named in str(answer.json()["detail"])
    assert http.get(f"/threads/{thread}/runs").json() == []
