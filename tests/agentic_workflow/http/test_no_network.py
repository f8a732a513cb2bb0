"""No connection but to loopback, from the start of a server and its page to their end.

Every test is watched so (`tests/conftest.py`); here nothing is set that keeps libraries quiet.
"""

import json
import os
import subprocess
import sys

import loopback_hook
import pytest

SERVER = """
import sys
sys.path[:0] = {path!r}
import httpx
from http_server import running_server
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.conversations.answerers import ServiceAnswerer
from stillroom.agentic_workflow.conversations.chat_service import ChatService
from stillroom.agentic_workflow.http.service import Service
from stillroom.agentic_workflow.http.spans import FileExporter, SpanRecorder
from stillroom.agentic_workflow.serve_app import server_app
from stillroom.inference.chat.scripted_model import ScriptedModel

model = ScriptedModel(lambda prompt: "Au")
saver = "sqlite:///" + {folder!r} + "/threads.db"
workflows = {{"multi": MultiAgentWorkflow(model, checkpointer=saver),
             "single": AgenticWorkflow(model)}}
service = Service(model, workflows)
service.callbacks.append(SpanRecorder(FileExporter({folder!r} + "/spans.db")))
chat = ChatService({{"multi": ServiceAnswerer(service, "multi", "checked")}})
asked = {{"model": "single", "messages": [{{"role": "user", "content": "gold?"}}]}}
with running_server(service, app=server_app(service, service.settings, chat)) as address:
    for path in ("/health", "/ready", "/metrics", "/openapi.json", "/v1/models", "/chat/"):
        assert httpx.get(address + path).status_code == 200, path
    answer = httpx.post(address + "/v1/chat/completions", json=asked)
    assert answer.json()["choices"][0]["message"]["content"] == "Au", answer.text
service.close()
print("done")
"""

TRIES = """
import socket
here = socket.create_server(("127.0.0.1", 0))
socket.create_connection(("localhost", here.getsockname()[1]))
for reach in (
    lambda: socket.socket().connect(("192.0.2.1", 9)),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9)),
    lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 9)),
    lambda: socket.getaddrinfo("example.org", 80),
):
    try:
        reach()
    except ConnectionRefusedError:
        print("refused")
"""


def tried_by(code, tmp_path):
    """Run a program without the settings that keep libraries quiet; give what it reached for."""
    file = tmp_path / "tried.jsonl"
    file.touch()
    loud = {"HF_HUB_OFFLINE", "GRADIO_ANALYTICS_ENABLED", "LANGSMITH_TRACING", "DO_NOT_TRACK"}
    env = {name: value for name, value in os.environ.items() if name not in loud}
    env[loopback_hook.FILE] = str(file)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done, [json.loads(line) for line in file.read_text().splitlines()]


def test_a_server_with_its_page_connects_to_nobody(tmp_path):
    pytest.importorskip("gradio")
    done, tried = tried_by(SERVER.format(path=sys.path, folder=str(tmp_path)), tmp_path)
    assert done.stdout.strip() == "done", done.stdout + done.stderr
    assert tried == []


def test_a_program_that_reaches_for_another_machine_is_noticed(tmp_path):
    done, tried = tried_by(TRIES, tmp_path)
    assert done.stdout.split() == ["refused"] * 4, done.stderr
    hosts = [one["host"] for one in tried]
    assert hosts == ["192.0.2.1", "192.0.2.1", "2001:db8::1", "example.org"]
