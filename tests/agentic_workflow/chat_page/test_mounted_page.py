"""The chat page as a part of the server: every route asks for a key, and owners are kept apart."""

import re

import pytest
from stillroom.agentic_workflow.agent import MultiAgentWorkflow
from stillroom.inference.chat.scripted_model import ScriptedModel

pytest.importorskip("gradio", reason="pip install 'stillroom[chat]'")
testclient = pytest.importorskip("fastapi.testclient", reason="pip install 'stillroom[serve]'")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:gradio.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def served(table, tmp_path):
    """Give the app of a server with keys, the keys, and its chat service."""
    from stillroom.agentic_workflow.conversations.open_chat import chat_over
    from stillroom.agentic_workflow.http.keys import add_key
    from stillroom.agentic_workflow.http.service import Service
    from stillroom.agentic_workflow.http.settings import ServerSettings
    from stillroom.agentic_workflow.serve_app import server_app

    file = tmp_path / "keys.json"
    keys = {owner: add_key(file, owner) for owner in ("anna", "ben")}
    model = ScriptedModel(lambda _: "Au")
    workflows = {"multi": MultiAgentWorkflow(model, table=table, checkpointer="memory")}
    service = Service(
        model, workflows, ServerSettings(tokens=file, host="0.0.0.0"), model_name="elements"
    )
    chat = chat_over(service, workflows, tmp_path, tmp_path / "chat")
    yield server_app(service, chat=chat), keys, chat
    chat.close()


def paths_of(router, prefix=""):
    """Yield path and methods of every route of an app, those of its mounts included."""
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from paths_of(route.original_router, prefix)
        elif hasattr(getattr(route, "app", None), "routes"):
            yield from paths_of(route.app, prefix + route.path)
        else:
            path = re.sub(r"{[^}]*}", "x", prefix + route.path)
            yield path, getattr(route, "methods", None) or {"GET"}


def test_every_route_of_the_page_asks_for_a_key(served):
    app, _, _ = served
    with testclient.TestClient(app) as client:
        pages = [(path, methods) for path, methods in paths_of(app) if path.startswith("/chat")]
        assert any("gradio_api/queue/join" in path for path, _ in pages)
        assert len(pages) > 20
        for path, methods in pages:
            for method in methods - {"HEAD"}:
                answer = client.request(method, path, follow_redirects=False)
                assert answer.status_code == 401, (method, path)


def ask(client, key, session, config, event, data):
    """Send an event as the page's script does, and wait for its end."""
    headers = {"x-api-key": key}
    body = {"data": data, "fn_index": event, "session_hash": session}
    joined = client.post("/chat/gradio_api/queue/join", json=body, headers=headers)
    assert joined.status_code == 200, joined.text
    where = f"/chat/gradio_api/queue/data?session_hash={session}"
    with client.stream("GET", where, headers=headers) as stream:
        for line in stream.iter_lines():
            if "process_completed" in line:
                return line
    raise AssertionError("the event has no end")


def test_conversations_belong_to_the_owner_of_the_key(served):
    app, keys, chat = served
    with testclient.TestClient(app) as client:
        page = client.get("/chat/", headers={"x-api-key": keys["anna"]})
        assert page.status_code == 200
        assert "img-src 'self' data:" in page.headers["content-security-policy"]
        config = client.get("/chat/config", headers={"x-api-key": keys["anna"]}).json()
        boxes = {one["props"].get("elem_id"): one["id"] for one in config["components"]}
        (send,) = [
            one["id"] for one in config["dependencies"] if [boxes["question"], "submit"] in
            [list(target) for target in one["targets"]]
        ]  # fmt: skip
        (load,) = [one["id"] for one in config["dependencies"]
                   if any(target[1] == "load" for target in one["targets"])]  # fmt: skip
        for session, owner in (("s1", "anna"), ("s2", "ben")):
            ask(client, keys[owner], session, config, load, [])
        done = ask(client, keys["anna"], "s1", config, send,
                   ["What is the symbol of Gold?", "multi", None])  # fmt: skip
        assert '"success":true' in done.replace(" ", "")
    (thread,) = chat.threads("anna")
    assert thread.title == "What is the symbol of Gold?"
    assert chat.threads("ben") == chat.threads("local") == []
