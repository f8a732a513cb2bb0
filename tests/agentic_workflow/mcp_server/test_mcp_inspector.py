"""The protocol's inspector, unmodified, by its command line; `make npm` installs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from http_server import running_server
from stillroom.agentic_workflow.http.app import build_app
from stillroom.agentic_workflow.http.keys import add_key
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.agentic_workflow.mcp_server.server import mcp_routes

HERE = Path(__file__).parent
INSPECTOR = HERE / "npm" / "node_modules" / "@modelcontextprotocol" / "inspector" / "cli" / "build"
TOOLS = ["ask", "compare_records", "describe_table", "find_records", "look_up", "query_table"]


def inspect(target, method, *options):
    """Run the inspector; give its exit status, and its result or what it says of an error."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed: apt-get install nodejs npm, then make npm")
    if not INSPECTOR.is_dir():
        pytest.skip("the inspector is not installed: make npm")
    done = subprocess.run(
        [node, str(INSPECTOR / "cli.js"), "--cli", *target, "--method", method, *options],
        capture_output=True, text=True, timeout=120, check=False, cwd=HERE,
    )  # fmt: skip
    return (0, json.loads(done.stdout)) if done.returncode == 0 else (1, done.stderr)


def given(**arguments):
    return [word for name, value in arguments.items() for word in ("--tool-arg", f"{name}={value}")]


def called(target, tool, **arguments):
    """Call a tool; give whether it was an error, and its text."""
    status, result = inspect(target, "tools/call", "--tool-name", tool, *given(**arguments))
    assert status == 0, result
    return result.get("isError", False), result["content"][0]["text"]


@pytest.fixture(scope="module")
def stdio():
    """Give the options that start a server and speak over its standard streams."""
    paths = os.pathsep.join(filter(None, sys.path))
    return ["-e", f"PYTHONPATH={paths}", sys.executable, str(HERE / "mcp_process.py")]


@pytest.fixture
def http(make_service, tmp_path):
    """Serve HTTP with keys; give the options that reach the server."""
    key = add_key(tmp_path / "keys.json", "anna")
    settings = ServerSettings(tokens=tmp_path / "keys.json")
    service = make_service(settings)
    app = build_app(service, settings, routers=[mcp_routes(service)])
    with running_server(service, app=app) as address:
        url = [f"{address}/mcp", "--transport", "http"]
        yield [*url, "--header", f"X-Api-Key: {key}"]


def check_tools(target):
    status, listed = inspect(target, "tools/list")
    assert status == 0, listed
    by_name = {tool["name"]: tool for tool in listed["tools"]}
    assert sorted(by_name) == TOOLS
    assert by_name["ask"]["inputSchema"]["required"] == ["question"]
    assert by_name["ask"]["outputSchema"]["properties"]["citations"]
    assert all(tool["annotations"]["readOnlyHint"] for tool in by_name.values())


def test_tools_are_listed_and_called_over_http(http):
    check_tools(http)
    arguments = given(question="What is the symbol of Gold?")
    status, reply = inspect(http, "tools/call", "--tool-name", "ask", *arguments)
    assert status == 0, reply
    assert not reply["isError"]
    assert reply["structuredContent"]["response"] == "Au"
    assert [cell["value"] for cell in reply["structuredContent"]["citations"]] == ["Gold", "Au"]
    assert json.loads(reply["content"][0]["text"]) == reply["structuredContent"]


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("look_up", {"record": "Unobtainium", "column": "symbol"}, "record: Input should be"),
        ("ask", {"question": "gold?", "extra": "1"}, "extra: Extra inputs are not permitted"),
        ("query_table", {"sql": "drop table records"}, "SELECT"),
    ],
)
def test_wrong_arguments_are_told_as_errors_of_the_tool(http, tool, arguments, told):
    is_error, text = called(http, tool, **arguments)
    assert is_error
    assert told in text


def test_what_is_not_there_is_an_error_of_the_protocol(http):
    for method in ("resources/list", "prompts/list", "resources/templates/list"):
        status, told = inspect(http, method)
        assert status == 1
        assert "-32601" in told  # the server has tools alone, and says so when it is connected to
    status, told = inspect(http, "tools/call", "--tool-name", "delete_all")
    assert status == 1
    assert "there is no tool 'delete_all'" in told


def test_nothing_is_told_without_a_key(http):
    url = http[:3]
    for target in (url, [*url, "--header", "X-Api-Key: sr-wrong"]):
        status, told = inspect(target, "tools/list")
        assert status == 1
        assert "invalid_api_key" in told
        assert "look_up" not in told


@pytest.mark.slow
def test_tools_are_listed_and_called_over_standard_streams(stdio):
    check_tools(stdio)
    assert called(stdio, "look_up", record="Gold", column="symbol") == (False, "Au")
    is_error, text = called(stdio, "look_up", record="Xx", column="symbol")
    assert is_error
    assert "record: Input should be 'Gold' or 'Silver'" in text
    status, told = inspect(stdio, "prompts/list")
    assert (status, "-32601" in told) == (1, True)
