"""A service over a scripted student, and the app over it; no weights, no ports."""

import pytest
from fastapi.testclient import TestClient
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.http.keys import add_key
from stillroom.agentic_workflow.http.service import Service
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.agentic_workflow.serve_app import server_app
from stillroom.inference.chat.scripted_model import ScriptedModel


@pytest.fixture
def make_service(table):
    """Give a function that makes a service; every answer of its student is `Au`."""

    def make(reply="Au", settings=None, **options):
        model = ScriptedModel(reply if callable(reply) else lambda _: reply)
        workflows = {
            "multi": MultiAgentWorkflow(model, table=table, checkpointer="memory"),
            "single": AgenticWorkflow(model, table=table, checkpointer="memory"),
        }
        return Service(model, workflows, settings, model_name="elements", **options)

    return make


@pytest.fixture
def client(make_service):
    """Give a client of a server without keys."""
    with TestClient(server_app(make_service()), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def keyed(make_service, tmp_path):
    """Give a client of a server with keys, and the keys of two owners."""
    file = tmp_path / "keys.json"
    keys = {owner: add_key(file, owner) for owner in ("anna", "ben")}
    settings = ServerSettings(tokens=file, host="0.0.0.0")
    with TestClient(server_app(make_service(settings=settings))) as client:
        yield client, keys
