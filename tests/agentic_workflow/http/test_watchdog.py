"""The watchdog: a hung engine is noticed, its turns end, and it may come back."""

import asyncio

import pytest
from http_server import running_server
from stillroom.agentic_workflow.http.service import Service
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.agentic_workflow.http.watchdog import check_engine
from stillroom.errors import EngineFailedError


class Engine:
    stuck_s = 0.0

    def pass_s(self):
        return self.stuck_s

    def ready(self):
        return True


@pytest.fixture
def engine(monkeypatch):
    engine = Engine()
    monkeypatch.setattr(Service, "engine", property(lambda _: engine))
    return engine


async def test_a_hung_engine_ends_its_turns_and_is_told(make_service, engine):
    settings = ServerSettings(stall_s=4.0, hung_s=60.0)
    service = make_service(settings=settings)

    async def wait():
        async with service.turn("multi", "anna"):
            await asyncio.sleep(60)

    turn = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    engine.stuck_s = 3.9
    check_engine(service, settings)
    assert service.ready()
    assert not turn.done()
    engine.stuck_s = 4.1
    check_engine(service, settings)
    assert not service.ready()
    assert not service.must_restart
    with pytest.raises(EngineFailedError):
        await turn
    with pytest.raises(EngineFailedError):
        async with service.turn("multi", "anna"):
            pass
    engine.stuck_s = 61.0
    check_engine(service, settings)
    assert service.must_restart
    engine.stuck_s = 0.0
    check_engine(service, settings)
    assert service.ready()
    assert not service.must_restart


def test_a_running_server_answers_503_within_seconds(make_service, engine):
    """The engine hangs during a turn; the client is told, while the pass goes on."""
    import threading
    import time

    import httpx

    hangs, goes_on = threading.Event(), threading.Event()

    def hang(_):
        hangs.set()
        goes_on.wait(30)
        return "Au"

    service = make_service(hang, ServerSettings(stall_s=1.0))
    asked = {"model": "single", "messages": [{"role": "user", "content": "gold?"}]}
    with running_server(service) as address:

        def stall():
            hangs.wait(10)
            engine.stuck_s = 5.0

        threading.Thread(target=stall).start()
        began = time.monotonic()
        answer = httpx.post(f"{address}/v1/chat/completions", json=asked, timeout=30)
        took = time.monotonic() - began
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_failed")
        assert httpx.get(f"{address}/ready").json() == {"status": "hung"}
        assert httpx.get(f"{address}/health").status_code == 200
        engine.stuck_s = 0.0
        goes_on.set()
    assert took < 5
