"""The protocol's own client, unmodified: in this process, over stdio and over HTTP."""

import json
import os
import sys
from pathlib import Path

import httpx
import httpx2
import pytest
from fastapi.testclient import TestClient
from mcp import MCPError
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from stillroom.agentic_workflow.http.app import build_app
from stillroom.agentic_workflow.http.keys import add_key
from stillroom.agentic_workflow.http.settings import ServerSettings
from stillroom.agentic_workflow.mcp_server.server import mcp_routes, mcp_server

TOOLS = ["ask", "compare_records", "describe_table", "find_records", "look_up", "query_table"]
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@pytest.fixture
def connect(make_service):
    """Give a function that connects a client; each test enters and leaves it in one task."""
    return lambda: Client(mcp_server(make_service()))


async def call(client, tool, **given):
    result = await client.call_tool(tool, given)
    assert not result.is_error, result.content
    return result.structured_content or result.content[0].text


async def test_tools_are_listed_with_their_schemas(connect):
    async with connect() as client:
        listed = (await client.list_tools()).tools
        assert sorted(tool.name for tool in listed) == TOOLS
        by_name = {tool.name: tool for tool in listed}
        assert by_name["ask"].input_schema["required"] == ["question"]
        assert by_name["look_up"].input_schema["properties"]["record"]["enum"][:2] == [
            "Hydrogen",
            "Helium",
        ]
        assert all(tool.annotations.read_only_hint for tool in listed)


async def test_without_a_table_there_is_only_the_workflow(make_service):
    async with Client(mcp_server(make_service(with_table=False))) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["ask"]


async def test_an_answer_comes_with_its_cells_and_identity(connect):
    async with connect() as client:
        reply = await call(client, "ask", question="What is the symbol of gold?")
        assert reply["response"] == "Au"
        assert [cell["value"] for cell in reply["citations"]] == ["Gold", "Au"]
        assert reply["verdict"] == "agrees"
        assert len(reply["run_id"]) == 36
        assert len(reply["prompt_sha256"]) == 64


async def test_a_conversation_goes_on(connect):
    async with connect() as client:
        await call(client, "ask", question="What is the symbol of gold?", thread_id="t")
        reply = await call(client, "ask", question="And its atomic number?", thread_id="t")
        assert "atomic number = 79" in reply["response"]


async def test_the_table_is_described_searched_and_queried(connect):
    async with connect() as client:
        about = await call(client, "describe_table")
        assert (about["key"], about["records"]) == ("element", 5)
        found = await call(client, "find_records", text="metal", limit=2)
        assert (len(found["records"]), found["found"]) == (2, 4)
        assert (await call(client, "find_records", text="gold"))["records"][0]["symbol"] == "Au"
        assert await call(client, "look_up", record="Gold", column="symbol") == "Au"
        compared = await call(
            client, "compare_records", first="Gold", second="Silver", column="number"
        )
        assert "Gold has more, by 32" in compared
        rows = await call(client, "query_table", sql="select count(*) as n from records")
        assert rows["rows"] == [[5]]


@pytest.mark.parametrize(
    ("tool", "given", "told"),
    [
        ("ask", {}, "question"),
        ("ask", {"question": "x", "extra": 1}, "extra"),
        ("ask", {"question": ""}, "question"),
        ("look_up", {"record": "Unobtainium", "column": "symbol"}, "record"),
        ("find_records", {"text": "x", "limit": 1000}, "limit"),
        ("query_table", {"sql": "drop table records"}, "SELECT"),
        ("query_table", {"sql": "select * from read_csv('/etc/passwd')"}, "not allowed"),
    ],
)
async def test_a_wrong_call_is_told_as_an_error_of_the_tool(connect, tool, given, told):
    async with connect() as client:
        result = await client.call_tool(tool, given)
        assert result.is_error
        assert told.lower() in result.content[0].text.lower()


async def test_an_unknown_tool_is_an_error_of_the_protocol(connect):
    async with connect() as client:
        with pytest.raises(MCPError, match="there is no tool 'delete_all'"):
            await client.call_tool("delete_all", {})


async def test_a_process_is_served_over_its_standard_streams():
    folder = Path(__file__).parent
    paths = os.pathsep.join(filter(None, sys.path))
    process = StdioServerParameters(
        command=sys.executable,
        args=[str(folder / "mcp_process.py")],
        env={**os.environ, "PYTHONPATH": paths},
    )
    for mode in ("legacy", "auto"):
        async with Client(process, mode=mode) as client:
            assert sorted(tool.name for tool in (await client.list_tools()).tools) == TOOLS
            reply = await call(client, "ask", question="What is the symbol of gold?")
            assert reply["citations"][-1]["value"] == "Au"


@pytest.fixture
def keyed(make_service, tmp_path):
    """Give an app with keys, and the keys of two owners."""
    keys = tmp_path / "keys.json"
    made = {owner: add_key(keys, owner) for owner in ("anna", "bert")}
    settings = ServerSettings(tokens=keys)
    service = make_service(settings)
    return build_app(service, settings, routers=[mcp_routes(service)]), made


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_http_needs_a_key_and_keeps_conversations_apart(keyed, mode):
    app, keys = keyed
    transport = httpx2.ASGITransport(app)
    url = "http://127.0.0.1/mcp"
    asked = {}
    async with app.router.lifespan_context(app):
        for owner, question in (
            ("anna", "What is the symbol of gold?"),
            ("bert", "And its atomic number?"),
        ):
            headers = {"authorization": f"Bearer {keys[owner]}"}
            async with (
                httpx2.AsyncClient(transport=transport, headers=headers) as http,
                Client(streamable_http_client(url, http_client=http), mode=mode) as client,
            ):
                asked[owner] = await call(client, "ask", question=question, thread_id="t")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as nobody:
            assert (await nobody.post(url, json={})).status_code == 401
    assert asked["anna"]["response"] == "Au"
    assert "79" not in asked["bert"]["response"]  # anna's conversation is not bert's


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"[]", 400, -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "no/such"}', 200, -32601),
    ],
)
def test_broken_messages_over_http_are_errors_of_the_protocol(keyed, body, status, code):
    app, keys = keyed
    headers = {**ACCEPT, "x-api-key": keys["anna"]}
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.post("/mcp", content=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert json.loads(answer.text)["error"]["code"] == code
