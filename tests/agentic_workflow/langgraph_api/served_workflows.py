"""A server of scripted workflows on a port of this machine, whose callers are named by a header."""

import asyncio
import threading
import time
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Request
from stillroom.agentic_workflow.agent import AgenticWorkflow
from stillroom.agentic_workflow.http.replies import add_error_handlers
from stillroom.agentic_workflow.http.service import Service
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.agentic_workflow.langgraph_api.router import langgraph_routes
from stillroom.agentic_workflow.langgraph_api.settings import RunSettings
from stillroom.agentic_workflow.nodes.human_approval import with_approval
from stillroom.inference.chat.scripted_model import ScriptedModel

FAST = RunSettings(heartbeat_s=0.2, poll_s=0.05, lease_s=1.0, drain_s=0.5)
ANSWER = "The symbol of gold is Au , as the table says ."
"""Of several tokens, since a scripted model streams word by word."""


class Gate:
    """A node that waits until the test opens it."""

    def __init__(self):
        self.entered, self.open = threading.Event(), threading.Event()
        self.passes = 0

    def __call__(self, state):
        if "wait" in state["query"]:
            self.entered.set()
            assert self.open.wait(30)
            self.passes += 1
        return {"context": "passed"}


def scripted(saver, gate=None, kind=AgenticWorkflow, **options):
    """Make a workflow that answers every question alike."""
    model = ScriptedModel(lambda prompt: ANSWER)
    workflow = kind(model, checkpointer=saver, **options)
    if gate is not None:
        workflow.add_node("gate", gate)
    return workflow


def asking(saver, written, **options):
    """Make a workflow that asks a person before it writes."""
    workflow = scripted(saver)

    def write(state, proposal):
        written.append(proposal["details"])
        return {"context": "written"}

    def propose(state):
        return {"action": "write the symbol", "details": {"symbol": "Au"}}

    workflow.add_node("correct", with_approval(write, propose, "correct", **options))
    return workflow


def application(workflows, settings=FAST, **limits):
    """Make an app that takes `X-Api-Key`, which stock clients send, for the owner's name."""
    model = ScriptedModel(lambda prompt: ANSWER)
    service = Service(model, workflows, ServerSettings(**limits))
    app = FastAPI()
    add_error_handlers(app)

    @app.middleware("http")
    async def name_owner(request: Request, call_next):
        request.state.owner = request.headers.get("x-api-key")
        return await call_next(request)

    app.include_router(langgraph_routes(service, settings))
    return app


class Server:
    """A server in a thread of its own."""

    def __init__(self, app):
        config = uvicorn.Config(app, "127.0.0.1", 0, log_level="warning", lifespan="on")
        self.uvicorn = uvicorn.Server(config)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self.uvicorn.serve())
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    def __enter__(self):
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self.uvicorn.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = self.uvicorn.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *fault):
        self.uvicorn.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


@contextmanager
def serving(workflows, settings=FAST, **limits):
    """Run a server; give it."""
    with Server(application(workflows, settings, **limits)) as server:
        yield server
