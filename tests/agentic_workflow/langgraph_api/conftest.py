"""A server of scripted workflows for each test."""

import httpx
import pytest
from served_workflows import Gate, asking, scripted, serving
from stillroom.agentic_workflow.agent import MultiAgentWorkflow


@pytest.fixture
def gate():
    """Give a gate that is opened when the test ends, whatever happened."""
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def written():
    """Give the list of what the asking workflow wrote."""
    return []


@pytest.fixture
def saver(open_threads, tmp_path):
    return open_threads(f"sqlite:///{tmp_path}/threads.db?power_safe=0")


@pytest.fixture
def server(saver, gate, written, table):
    """Give a server with three assistants: one that answers, one that asks, one of several."""
    workflows = {
        "qa": scripted(saver, gate),
        "asking": asking(saver, written),
        "multi_agent": scripted(saver, kind=MultiAgentWorkflow, table=table),
    }
    with serving(workflows) as running:
        yield running
        gate.open.set()  # before the server stops, which waits for nodes


@pytest.fixture
def http(server):
    """Give a client of the owner `anna`, without any SDK."""
    with httpx.Client(base_url=server.url, headers={"x-api-key": "anna"}, timeout=20) as client:
        yield client
