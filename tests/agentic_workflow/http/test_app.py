"""The app: owners, keys, limits, headers and errors, for every route in it."""

import asyncio

import pytest
from fastapi import APIRouter, Request
from fastapi.testclient import TestClient
from starlette.routing import Mount
from stillroom.agentic_workflow.http.app import build_app
from stillroom.agentic_workflow.http.keys import KeyFile, add_key, read_keys, remove_keys
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.errors import ConfigError, EngineBusyError


def owner_router():
    router = APIRouter()

    @router.get("/owner")
    async def owner(request: Request):
        return request.state.owner

    @router.get("/broken")
    async def broken():
        raise RuntimeError("secret of the inside")

    @router.post("/size")
    async def size(request: Request):
        return len(await request.body())

    return router


def test_without_keys_every_request_is_local_and_names_this_machine(make_service):
    app = build_app(make_service(), routers=[owner_router()])
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/owner").json() == "local"
        rebound = client.get("/owner", headers={"host": "evil.example"})
        assert (rebound.status_code, rebound.json()["code"]) == (421, "host_not_allowed")
        foreign = client.get("/owner", headers={"origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert client.get("/owner", headers={"origin": "http://127.0.0.1"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        lambda key: {"authorization": f"Bearer {key}"},
        lambda key: {"x-api-key": key},
        lambda key: {"cookie": f"stillroom_key={key}"},
    ],
    ids=["bearer", "x-api-key", "cookie"],
)
def test_a_key_names_its_owner(make_service, tmp_path, headers):
    file = tmp_path / "keys.json"
    keys = {owner: add_key(file, owner) for owner in ("anna", "ben")}
    app = build_app(make_service(), ServerSettings(tokens=file), routers=[owner_router()])
    with TestClient(app) as client:
        for owner, key in keys.items():
            assert client.get("/owner", headers=headers(key)).json() == owner
        assert client.get("/owner", headers=headers("sr-wrong")).status_code == 401
        assert client.get("/owner").status_code == 401
        remove_keys(file, "ben")
        assert client.get("/owner", headers=headers(keys["ben"])).status_code == 401
        assert client.get("/owner", headers=headers(keys["anna"])).json() == "anna"


def test_two_keys_of_different_owners_are_refused(keyed):
    client, keys = keyed
    both = {"authorization": f"Bearer {keys['anna']}", "x-api-key": keys["ben"]}
    assert client.get("/v1/models", headers=both).status_code == 401


def routes_of(router, prefix=""):
    """Give path and methods of every route of an app, those of its mounts included."""
    for route in router.routes:
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        if hasattr(route, "original_router"):
            yield from routes_of(inner, prefix)
        elif isinstance(route, Mount):
            yield prefix + route.path + "/", {"GET", "POST"}
            if hasattr(inner, "routes"):
                yield from routes_of(inner, prefix + route.path)
        else:
            yield prefix + route.path, getattr(route, "methods", None) or {"GET"}


def test_every_route_but_the_written_list_needs_a_key(keyed):
    client, _ = keyed
    seen = set()
    for path, methods in routes_of(client.app):
        seen.add(path)
        for method in methods - {"HEAD"}:
            given = path.replace("{", "").replace("}", "")
            status = client.request(method, given, follow_redirects=False).status_code
            if path in {"/health", "/ready", "/login"}:
                assert status == (401 if method == "POST" else 200), (method, path, status)
            else:
                assert status == 401, (method, path, status)
    assert {"/health", "/ready", "/login", "/v1/models", "/openapi.json"} < seen


def test_the_file_of_keys_holds_no_key(tmp_path):
    file = tmp_path / "keys.json"
    key = add_key(file, "anna")
    assert key not in file.read_text()
    assert list(read_keys(file).values()) == ["anna"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert KeyFile(file).owner_of(key) == "anna"
    with pytest.raises(ConfigError, match="owner is 'a/b'"):
        add_key(file, "a/b")


def test_other_machines_are_served_with_keys_only():
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0.*there are no keys"):
        ServerSettings(host="0.0.0.0")


def test_wrong_keys_are_limited_and_right_ones_too(make_service, tmp_path):
    file = tmp_path / "keys.json"
    key = add_key(file, "anna")
    settings = ServerSettings(tokens=file, failed_key_rate=3, owner_rate=5)
    with TestClient(build_app(make_service(), settings, routers=[owner_router()])) as client:
        good = {"x-api-key": key}
        answers = [client.get("/owner", headers=good) for _ in range(6)]
        assert [a.status_code for a in answers] == [200] * 5 + [429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        codes = [
            client.get("/owner", headers={"x-api-key": f"no{n}"}).status_code for n in range(5)
        ]
        assert codes == [401] * 3 + [429] * 2


def test_wrong_keys_at_the_login_are_limited(make_service, tmp_path):
    key = add_key(tmp_path / "keys.json", "anna")
    settings = ServerSettings(tokens=tmp_path / "keys.json", failed_key_rate=3)
    with TestClient(build_app(make_service(), settings)) as client:
        codes = [client.post("/login", data={"key": f"no{n}"}).status_code for n in range(4)]
        assert codes == [401] * 3 + [429]
        assert client.post("/login", data={"key": key}).status_code == 429


@pytest.mark.parametrize("origin", ["null", "", "http://evil.example", "https://127.0.0.1.evil"])
def test_foreign_origins_are_refused(client, origin):
    assert client.get("/v1/models", headers={"origin": origin}).status_code == 403


def test_an_allowed_origin_may_read_the_answer(make_service):
    settings = ServerSettings(allowed_origins=["https://chat.example.org"])
    with TestClient(build_app(make_service(), settings), base_url="http://127.0.0.1") as client:
        origin = {"origin": "https://chat.example.org"}
        answer = client.get("/ready", headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://chat.example.org"
        asked = {**origin, "access-control-request-method": "POST",
                 "access-control-request-headers": "x-api-key"}  # fmt: skip
        assert client.options("/v1/models", headers=asked).status_code == 200
        other = {**asked, "origin": "https://evil.example"}
        assert "access-control-allow-origin" not in client.options("/x", headers=other).headers


def test_bodies_and_headers_beyond_the_limits_are_refused(make_service):
    settings = ServerSettings(max_body_bytes=1000, max_header_bytes=2000)
    app = build_app(make_service(), settings, routers=[owner_router()])
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.post("/size", content=b"x" * 1000).json() == 1000
        assert client.post("/size", content=b"x" * 1001).status_code == 413
        chunks = (b"x" * 300 for _ in range(4))
        assert client.post("/size", content=chunks).status_code == 413
        assert client.get("/owner", headers={"x-long": "y" * 2000}).status_code == 431


def test_an_error_that_nobody_expects_tells_nothing(make_service, caplog):
    app = build_app(make_service(), routers=[owner_router()])
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.get("/broken", headers={"x-request-id": "r-1"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "r-1" in answer.json()["detail"]
    assert answer.headers["x-request-id"] == "r-1"
    assert "secret of the inside" in caplog.text


def test_every_answer_has_the_security_headers(client):
    for path in ("/health", "/v1/models", "/nowhere", "/login"):
        headers = client.get(path, follow_redirects=False).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_errors_below_v1_have_the_shape_of_openai(client):
    answer = client.get("/v1/nowhere")
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert client.get("/nowhere").json() == {"detail": "Not Found", "code": "not_found"}


def test_a_page_in_a_browser_is_sent_to_the_login(keyed):
    client, keys = keyed
    page = client.get("/chat", headers={"accept": "text/html"}, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/chat")
    wrong = client.post("/login?next=/v1/models", data={"key": "no"})
    assert (wrong.status_code, "not known" in wrong.text) == (401, True)
    right = client.post("/login?next=/v1/models", data={"key": keys["anna"]})
    assert right.json()["object"] == "list"
    cookie = right.history[0].headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    away = client.post("/login?next=//evil.example/", data={"key": keys["anna"]})
    assert away.history[0].headers["location"] == "/"


async def test_turns_of_one_owner_leave_room_for_others(make_service):
    service = make_service(settings=ServerSettings(max_turns=3, max_turns_per_owner=2))
    async with service.turn("multi", "anna"), service.turn("multi", "anna"):
        with pytest.raises(EngineBusyError, match="2 turns of anna"):
            async with service.turn("multi", "anna"):
                pass
        async with service.turn("multi", "ben"):
            with pytest.raises(EngineBusyError, match="3 turns are in progress"):
                async with service.turn("multi", "carla"):
                    pass
    assert service.turns == []


async def test_a_thread_belongs_to_its_owner(make_service):
    service = make_service()
    for owner in ("anna", "ben"):
        events = service.stream_events("single", owner, f"I am {owner}", thread_id="t")
        assert [e async for e in events][-1]["type"] == "final"
    graph = service.workflow("single").graph
    for owner in ("anna", "ben"):
        key = service.thread_key(owner, "t")
        state = await graph.aget_state({"configurable": {"thread_id": key}})
        assert state.values["messages"][0].text == f"I am {owner}"


async def test_turns_end_when_the_engine_hangs(make_service):
    from stillroom.errors import EngineFailedError

    service = make_service()

    async def wait():
        async with service.turn("multi", "anna"):
            await asyncio.sleep(60)

    turn = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    service.fail_turns()
    with pytest.raises(EngineFailedError, match="hung during this turn"):
        await turn
    assert service.turns == []


async def test_a_cancelled_turn_is_cancelled(make_service):
    service = make_service()

    async def wait():
        async with service.turn("multi", "anna"):
            await asyncio.sleep(60)

    turn = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert service.turns == []


def test_readiness_follows_draining_and_hanging(make_service):
    service = make_service()
    with TestClient(build_app(service), base_url="http://127.0.0.1") as client:
        assert client.get("/ready").status_code == 200
        service.draining = True
        assert client.get("/ready").json() == {"status": "draining"}
        service.must_restart = True
        assert client.get("/health").status_code == 503


def test_metrics_count_turns_without_a_word_of_their_users(client):
    for _ in range(2):
        asked = {"model": "multi", "messages": [{"role": "user", "content": "Symbol of Gold?"}]}
        assert client.post("/v1/chat/completions", json=asked).status_code == 200
    text = client.get("/metrics").text
    label = 'finished_reason="answered",model_name="multi"'
    assert f"stillroom:request_success_total{{{label}}} 2.0" in text
    assert 'stillroom:e2e_request_latency_seconds_count{model_name="multi"} 2.0' in text
    assert "stillroom:num_turns_running 0.0" in text
    assert "Gold" not in text
