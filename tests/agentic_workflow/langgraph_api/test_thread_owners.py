"""Threads, runs and events belong to their owner: for anybody else they are not there."""

import itertools
import random
from uuid import UUID

import httpx
import pytest
from fastapi.testclient import TestClient
from served_workflows import application, scripted
from stillroom.agentic_workflow.http.keys import add_key
from stillroom.agentic_workflow.http.service import Service
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.agentic_workflow.serve_app import server_app
from stillroom.inference.chat.scripted_model import ScriptedModel

QUESTION = {"messages": [{"role": "user", "content": "What is the symbol of gold?"}]}
ANNA, BERT = {"x-api-key": "anna"}, {"x-api-key": "bert"}


@pytest.fixture
def api(saver):
    with TestClient(application({"qa": scripted(saver)})) as client:
        yield client


def every_way(thread, run):
    """List all requests that name a thread, as (method, path, body)."""
    at = f"/threads/{thread}"
    new_run = {"assistant_id": "qa", "input": QUESTION}
    events = {"channels": ["values", "lifecycle"]}
    respond = {"interrupt_id": "x", "namespace": [], "response": "yes"}
    return [
        ("GET", at, None),
        ("PATCH", at, {"metadata": {"a": 1}}),
        ("DELETE", at, None),
        ("POST", f"{at}/copy", None),
        ("GET", f"{at}/state", None),
        ("POST", f"{at}/state", {"values": {"context": "x"}, "as_node": "finalize"}),
        ("GET", f"{at}/state/1ef4a9b8-d7da-679a-a45a-872054341df2", None),
        ("POST", f"{at}/state/checkpoint", {"checkpoint": {"checkpoint_id": "1"}}),
        ("GET", f"{at}/history", None),
        ("POST", f"{at}/history", {"limit": 1}),
        ("POST", f"{at}/stream/events", events),
        ("POST", f"{at}/commands", {"id": 1, "method": "input.respond", "params": respond}),
        ("POST", f"{at}/commands", {"id": 1, "method": "state.get", "params": {}}),
        ("GET", f"{at}/runs", None),
        ("POST", f"{at}/runs", new_run),
        ("POST", f"{at}/runs/stream", new_run),
        ("POST", f"{at}/runs/wait", new_run),
        ("GET", f"{at}/runs/{run}", None),
        ("DELETE", f"{at}/runs/{run}", None),
        ("GET", f"{at}/runs/{run}/join", None),
        ("GET", f"{at}/runs/{run}/stream", None),
        ("POST", f"{at}/runs/{run}/cancel", None),
    ]


def is_refused(answer):
    if answer.request.url.path.endswith("/commands"):
        return answer.status_code == 200 and answer.json()["error"] == "no_such_run"
    return answer.status_code == 404


def test_every_way_to_a_thread_of_another_owner_is_404(api):
    thread = api.post("/threads", json={}, headers=ANNA).json()["thread_id"]
    new_run = {"assistant_id": "qa", "input": QUESTION}
    state = api.post(f"/threads/{thread}/runs/wait", json=new_run, headers=ANNA).json()
    (run,) = api.get(f"/threads/{thread}/runs", headers=ANNA).json()
    ways = every_way(thread, run["run_id"])
    paths = {path for _, path, _ in ways}
    served = {path for path in api.app.openapi()["paths"] if "{thread_id}" in path}
    assert len(served) >= 15
    shown = {p.format(thread_id=thread, run_id=run["run_id"], checkpoint_id="*") for p in served}
    assert {p for p in shown if "*" not in p} <= paths, "a route is not among those tried"
    for method, path, body in ways:
        answer = api.request(method, path, json=body, headers=BERT)
        assert is_refused(answer), (method, path, answer.text)
    assert api.post("/threads/search", json={}, headers=BERT).json() == []
    assert api.post("/threads/count", json={}, headers=BERT).json() == 0
    assert api.get(f"/threads/{thread}/state", headers=ANNA).json()["values"] == state


def test_two_owners_may_have_threads_of_one_name(api):
    for headers in (ANNA, BERT):
        assert api.post("/threads", json={"thread_id": "t"}, headers=headers).status_code == 200
    assert api.post("/threads", json={"thread_id": "t"}, headers=ANNA).status_code == 409
    new_run = {"assistant_id": "qa", "input": QUESTION}
    api.post("/threads/t/runs/wait", json=new_run, headers=ANNA)
    assert api.get("/threads/t/state", headers=BERT).json()["values"] == {}
    api.delete("/threads/t", headers=BERT)
    assert len(api.get("/threads/t/state", headers=ANNA).json()["values"]["messages"]) == 2


def test_names_that_look_like_paths_to_anothers_thread_lead_nowhere(api):
    api.post("/threads", json={"thread_id": "t"}, headers=ANNA)
    for owner in ("an", "anna/t", "anna%2Ft", "an/na", ".."):
        for name in ("t", "na/t", "../anna/t", "%2e%2e/anna/t", "anna/t", "t%00", "t'--"):
            answer = api.get(f"/threads/{name}", headers={"x-api-key": owner})
            assert answer.status_code == 404, (owner, name)
            answer = api.post("/threads", json={"thread_id": f"/{name}"}, headers=ANNA)
            assert answer.status_code == 422


def test_without_a_key_no_route_is_answered(saver, tmp_path):
    keys = tmp_path / "keys.json"
    key = add_key(keys, "anna")
    model = ScriptedModel(lambda prompt: "Au")
    settings = ServerSettings(tokens=keys)
    service = Service(model, {"qa": scripted(saver)}, settings)
    with TestClient(server_app(service), base_url="http://127.0.0.1") as client:
        names = {"thread_id": "t", "run_id": "r", "checkpoint_id": "c", "assistant_id": "qa"}
        tried = 0
        for path, methods in application({"qa": scripted(saver)}).openapi()["paths"].items():
            for method in methods:
                answer = client.request(method, path.format(**names), json={})
                assert answer.status_code == 401, (method, path)
                tried += 1
        assert tried > 30
        headers = {"x-api-key": key}
        assert client.get("/info", headers=headers).json()["flags"]["assistants"]
        new_run = {"assistant_id": "qa", "input": QUESTION}
        state = client.post("/runs/wait", json=new_run, headers=headers).json()
        assert len(state["messages"]) == 2


async def test_ten_thousand_guessed_ids_give_nothing(saver):
    app = application({"qa": scripted(saver)})
    transport = httpx.ASGITransport(app)
    draw = random.Random(7)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        known = (await client.post("/threads", json={}, headers=ANNA)).json()["thread_id"]
        near = [UUID(int=UUID(known).int ^ (1 << bit)) for bit in range(128)]
        wild = (UUID(int=draw.getrandbits(128), version=4) for _ in itertools.count())
        guesses = itertools.islice(itertools.chain([known], near, wild), 10_000)
        parts = itertools.cycle(["", "/state", "/history", "/runs", "/runs/1/join"])
        tried = 0
        for guess, part in zip(guesses, parts, strict=False):
            answer = await client.get(f"/threads/{guess}{part}", headers=BERT)
            assert answer.status_code == 404
            tried += 1
        assert tried == 10_000
        assert (await client.get(f"/threads/{known}", headers=ANNA)).status_code == 200
