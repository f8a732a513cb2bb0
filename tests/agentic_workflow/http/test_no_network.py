"""No connection but to loopback, from the start of a server to its end; seen by an audit hook."""

import subprocess
import sys

CODE = """
import ipaddress, os, sys
sys.path[:0] = {path!r}
for name in ("HF_HUB_OFFLINE", "GRADIO_ANALYTICS_ENABLED", "LANGSMITH_TRACING"):
    os.environ.pop(name, None)
seen = []

def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not ipaddress.ip_address(address[0]).is_loopback:
            seen.append((event, address))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if arguments[0] not in (None, "", "localhost", "127.0.0.1", "::1", b"127.0.0.1"):
            seen.append((event, arguments[0]))

sys.addaudithook(hook)
import httpx
from http_server import running_server
from stillroom.agentic_workflow.agent import AgenticWorkflow, MultiAgentWorkflow
from stillroom.agentic_workflow.http.service import Service
from stillroom.agentic_workflow.http.spans import FileExporter, SpanRecorder
from stillroom.inference.chat.scripted_model import ScriptedModel

model = ScriptedModel(lambda prompt: "Au")
saver = "sqlite:///" + {folder!r} + "/threads.db"
workflows = {{"multi": MultiAgentWorkflow(model, checkpointer=saver),
             "single": AgenticWorkflow(model)}}
service = Service(model, workflows)
service.callbacks.append(SpanRecorder(FileExporter({folder!r} + "/spans.db")))
asked = {{"model": "single", "messages": [{{"role": "user", "content": "gold?"}}]}}
with running_server(service) as address:
    for path in ("/health", "/ready", "/metrics", "/openapi.json", "/v1/models", "/"):
        httpx.get(address + path)
    answer = httpx.post(address + "/v1/chat/completions", json=asked)
    assert answer.json()["choices"][0]["message"]["content"] == "Au", answer.text
service.close()
assert ("127.0.0.1" in address) and not seen, seen
try:  # the hook sees what it is to see
    import socket
    socket.create_connection(("192.0.2.1", 9), timeout=0.01)
except OSError:
    pass
assert seen
print("quiet")
"""


def test_a_server_connects_to_nobody(tmp_path):
    code = CODE.format(path=sys.path, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "quiet", done.stdout + done.stderr
