"""LangGraph's own client for JavaScript, unmodified, against the server; `make npm` installs it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from served_workflows import ANSWER

FOLDER = Path(__file__).parent / "npm"


def run_flow(server, flow):
    """Run one flow of `client.mjs`; give what it found."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed: apt-get install nodejs npm, then make npm")
    if not (FOLDER / "node_modules" / "@langchain" / "langgraph-sdk").is_dir():
        pytest.skip("the client for JavaScript is not installed: make npm")
    done = subprocess.run(
        [node, "client.mjs", server.url, flow],
        cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_run_is_streamed_joined_and_remembered(server):
    found = run_flow(server, "stream")
    assert found["text"] == ANSWER
    assert found["last"] == "end"
    assert found["tokens"] == found["again"] > 3
    assert found["messages"] == ["human", "ai"]
    assert (found["found"], found["history"], found["joined"]) == (1, 2, "passed")


def test_a_run_stops_for_a_person_and_goes_on(server, written):
    found = run_flow(server, "interrupt")
    assert found == {
        "asked": "write the symbol",
        "status": "interrupted",
        "waiting": 1,
        "context": "written",
    }
    assert written == [{"symbol": "Au"}]


def test_a_run_is_cancelled_and_a_second_one_rejected(server, gate):
    found = run_flow(server, "cancel")
    assert "another run of the thread is in progress" in found["rejected"]
    assert found["status"] == "interrupted"


def test_two_subscribers_get_every_event_once(server):
    assert run_flow(server, "subscribers") == {"same": True, "once": True, "text": ANSWER}


def test_the_thread_stream_is_followed_answered_and_reconnected(server, written):
    found = run_flow(server, "thread")
    assert found["texts"] == [ANSWER]
    assert found["asked"] == ["write the symbol"]
    assert found["context"] == "written"
    assert found["lifecycle"] == ["running", "interrupted", "running", "completed"]
    assert found["resumed"]
    assert found["once"]
