"""The chat page inside the app: no route of Gradio's answers without a key, and owners are kept."""

import re
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from gradio_loops import close_what_gradio_leaves_open
from http_server import running_server
from stillroom.agentic_workflow.chat_page.page import _owner
from stillroom.agentic_workflow.conversations.answerers import ServiceAnswerer
from stillroom.agentic_workflow.conversations.chat_service import ChatService
from stillroom.agentic_workflow.http.app import build_app
from stillroom.agentic_workflow.http.keys import add_key
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.agentic_workflow.serve_app import server_app
from test_app import routes_of

__all__ = ["close_what_gradio_leaves_open"]

gradio = pytest.importorskip("gradio")
pytestmark = pytest.mark.filterwarnings("ignore")  # Gradio warns of itself


@pytest.fixture
def keys(tmp_path):
    return {owner: add_key(tmp_path / "keys.json", owner) for owner in ("anna", "ben")}


def test_every_route_of_the_page_needs_a_key(make_service, tmp_path, keys):
    settings = ServerSettings(
        tokens=tmp_path / "keys.json", address_rate=10**6, failed_key_rate=10**6
    )
    service = make_service(settings=settings)
    chat = ChatService({"multi": ServiceAnswerer(service, "multi", "checked")})
    app = server_app(service, settings, chat)
    seen = set()
    with TestClient(app) as client:
        for path, methods in routes_of(app):
            if path in {"/health", "/ready", "/login"}:
                continue
            given = re.sub(r"\{[^}]*\}", "x", path)
            for method in methods - {"HEAD"}:
                for headers in ({}, {"x-api-key": "sr-wrong"}):
                    status = client.request(method, given, headers=headers).status_code
                    assert status == 401, (method, path, status)
            seen.add(path)
        page = client.get("/chat/", headers={"x-api-key": keys["anna"]})
    assert page.status_code == 200
    assert "frame-ancestors" in page.headers["content-security-policy"]
    assert {"/openapi.json", "/metrics", "/v1/responses", "/chat/gradio_api/upload"} <= seen
    assert len([path for path in seen if "gradio_api" in path]) > 10


def test_an_event_of_the_page_belongs_to_the_owner_of_its_key(make_service, tmp_path, keys):
    client_of = pytest.importorskip("gradio_client").Client

    def whose(request):
        return _owner(request)

    whose.__annotations__["request"] = gradio.Request

    def mount_page(app, _):
        with gradio.Blocks() as page:
            out = gradio.Textbox()
            gradio.Button().click(whose, None, out, api_name="whose")
        gradio.mount_gradio_app(app, page, path="/chat")
        return app

    service = make_service(settings=ServerSettings(tokens=tmp_path / "keys.json"))
    app = build_app(service, replace(service.settings, port=0), mount_page=mount_page)
    with running_server(service, app=app) as address:
        for owner, key in keys.items():
            client = client_of(f"{address}/chat/", headers={"x-api-key": key}, verbose=False)
            assert client.predict(api_name="/whose") == owner
            client.close()
