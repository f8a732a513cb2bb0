"""Cases of the Open Responses specification (openresponses.org, 2026-04-24), without any client.

They are those of its compliance suite, and what its text says of items, events, errors and tools,
written anew. Left out is what the specification leaves to a server and this one does not have:
stored responses, compaction, WebSockets, pictures and files; these are refused by name.
"""

import json
import re

import httpx
import pytest
from test_openai_client import GOLD, TOOL, server

__all__ = ["server"]

WEIGH = {"type": "function", **TOOL["function"]}
OTHER = {**WEIGH, "name": "melt", "description": "melts"}
NUMBER, TEXT, OBJECT = (int, float), str, dict
FIELDS = {
    "id": TEXT, "object": TEXT, "created_at": int, "status": TEXT, "model": TEXT, "output": list,
    "tools": list, "tool_choice": (str, dict), "truncation": TEXT, "parallel_tool_calls": bool,
    "text": OBJECT, "top_p": NUMBER, "presence_penalty": NUMBER, "frequency_penalty": NUMBER,
    "top_logprobs": int, "temperature": NUMBER, "store": bool, "background": bool,
    "service_tier": TEXT, "metadata": OBJECT,
}  # fmt: skip
"""Fields that every response has, with the types of their values."""
NULLABLE = {
    "completed_at": int, "incomplete_details": OBJECT, "previous_response_id": TEXT,
    "instructions": TEXT, "error": OBJECT, "reasoning": OBJECT, "usage": OBJECT,
    "max_output_tokens": int, "max_tool_calls": int, "safety_identifier": TEXT,
    "prompt_cache_key": TEXT,
}  # fmt: skip
"""Fields that every response has, and that may be null."""
OF_ITEM = {"output_index": int, "item_id": str}
OF_PART = {**OF_ITEM, "content_index": int}
EVENTS = {
    "response.created": {"response": dict},
    "response.in_progress": {"response": dict},
    "response.output_item.added": {"output_index": int, "item": dict},
    "response.content_part.added": {**OF_PART, "part": dict},
    "response.output_text.delta": {**OF_PART, "delta": str},
    "response.output_text.done": {**OF_PART, "text": str},
    "response.content_part.done": {**OF_PART, "part": dict},
    "response.function_call_arguments.delta": {**OF_ITEM, "delta": str},
    "response.function_call_arguments.done": {**OF_ITEM, "arguments": str},
    "response.output_item.done": {"output_index": int, "item": dict},
    "response.completed": {"response": dict},
    "response.incomplete": {"response": dict},
    "response.failed": {"response": dict},
}
"""Fields of each kind of event, beside `type` and `sequence_number`."""


def check_fields(found, fields, nullable=()):
    for name, kind in fields.items():
        assert name in found, name
        if found[name] is not None or name not in nullable:
            assert isinstance(found[name], kind), (name, found[name])


def check_response(found):
    """Check a response against the specification's resource."""
    check_fields(found, {**FIELDS, **NULLABLE}, NULLABLE)
    assert found["object"] == "response"
    assert found["text"]["format"]["type"] in ("text", "json_object", "json_schema")
    for item in found["output"]:
        check_item(item)
    if found["usage"] is not None:
        used = found["usage"]
        assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"]
        assert isinstance(used["input_tokens_details"]["cached_tokens"], int)
        assert isinstance(used["output_tokens_details"]["reasoning_tokens"], int)
    for tool in found["tools"]:
        assert {"type", "name", "description", "parameters", "strict"} <= tool.keys()
    ended = {"completed": "completed_at", "failed": "error", "incomplete": "incomplete_details"}
    for status, field in ended.items():
        assert (found[field] is not None) == (found["status"] == status), (field, found["status"])


def check_item(item):
    """Check a message or a call against the specification's items."""
    check_fields(item, {"type": str, "id": str, "status": str})
    assert item["status"] in ("in_progress", "incomplete", "completed")
    if item["type"] == "function_call":
        check_fields(item, {"call_id": str, "name": str, "arguments": str})
    else:
        assert (item["type"], item["role"]) == ("message", "assistant")
        for part in item["content"]:
            check_part(part)


def check_part(part):
    assert part["type"] == "output_text"
    check_fields(part, {"text": str, "annotations": list, "logprobs": list})


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server, timeout=60) as client:
        yield client


def respond(http, given, model="elements", **fields):
    """Ask for a response; give it checked."""
    items = [{"type": "message", "role": "user", "content": given}]
    body = {"model": model, "input": items if isinstance(given, str) else given, **fields}
    answer = http.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    check_response(answer.json())
    return answer.json()


def stream(http, given, model="elements", **fields):
    """Ask for a stream; give its events, each checked."""
    body = {"model": model, "input": given, "stream": True, **fields}
    answer = http.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [block for block in answer.text.split("\n\n") if block and block[0] != ":"]
    assert blocks.pop() == "data: [DONE]"
    events = []
    for block in blocks:
        name, data = re.fullmatch(r"event: (.*)\ndata: (.*)", block).groups()
        event = json.loads(data)
        assert event["type"] == name
        check_fields(event, EVENTS[name])
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    check_stream(events)
    return events


def check_stream(events):
    """Check that the events, in their order, build the response that the last one has."""
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] in ("response.completed", "response.incomplete")
    for event in (events[0], events[1], events[-1]):
        check_response(event["response"])
    assert events[0]["response"]["status"] == "in_progress"
    assert events[-1]["response"]["status"] == kinds[-1].partition(".")[2]
    items, parts, texts, closed = [], {}, {}, set()
    for event in events[2:-1]:
        kind, place = event["type"], event["output_index"]
        if kind == "response.output_item.added":
            assert (place, event["item"]["status"]) == (len(items), "in_progress")
            assert len(closed) == len(items)  # the item before has ended
            check_item(event["item"])
            items.append(event["item"])
            texts[place] = ""
            continue
        assert place not in closed
        assert event.get("item_id", items[place]["id"]) == items[place]["id"]
        if kind == "response.content_part.added":
            check_part(event["part"])
            parts[place] = event["part"]
        elif kind.endswith(".delta"):
            assert place in parts or items[place]["type"] == "function_call"
            texts[place] += event["delta"]
        elif kind == "response.output_item.done":
            check_item(event["item"])
            assert event["item"]["id"] == items[place]["id"]
            closed.add(place)
        else:
            part = event.get("part", {})
            told = event.get("text", event.get("arguments", part.get("text")))
            assert told == texts[place]
    assert len(closed) == len(items)
    last = events[-1]["response"]["output"]
    assert [item["id"] for item in last] == [item["id"] for item in items]
    for place, item in enumerate(last):
        whole = item.get("arguments") or "".join(part["text"] for part in item.get("content", []))
        assert whole == texts[place]


ASKED = f"Question: {GOLD}\n\nAnswer:"


@pytest.mark.parametrize("model", ["elements", "multi", "single"])
def test_a_text_is_answered(http, model):
    given = ASKED if model == "elements" else GOLD
    found = respond(http, given, model)
    assert (found["status"], found["model"]) == ("completed", model)
    assert found["output"][0]["content"][0]["text"] == "Au"
    plain = http.post("/v1/responses", json={"model": model, "input": given}).json()
    assert plain["output"][0]["content"] == found["output"][0]["content"]


@pytest.mark.parametrize("model", ["elements", "multi", "single"])
def test_a_stream_has_its_events_in_order(http, model):
    events = stream(http, ASKED if model == "elements" else GOLD, model)
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Au"
    kinds = [event["type"] for event in events if "delta" not in event["type"]]
    assert kinds[2:-1] == [
        "response.output_item.added", "response.content_part.added", "response.output_text.done",
        "response.content_part.done", "response.output_item.done",
    ]  # fmt: skip


@pytest.mark.parametrize("role", ["system", "developer", "instructions"])
def test_a_system_prompt_comes_before_the_question(http, role):
    prompt = "You write the symbols of elements."
    if role == "instructions":
        found = respond(http, ASKED, instructions=prompt, metadata={"case": "7"})
        assert (found["instructions"], found["metadata"]) == (prompt, {"case": "7"})
    else:
        told = {"type": "message", "role": role, "content": prompt}
        asked = {"role": "user", "content": [{"type": "input_text", "text": ASKED}]}
        found = respond(http, [told, asked])
    without = respond(http, ASKED)["usage"]["input_tokens"]
    assert found["usage"]["input_tokens"] > without
    assert found["status"] == "completed"


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "name": "weigh"},
               {"type": "allowed_tools", "mode": "required",
                "tools": [{"type": "function", "name": "weigh"}]}],
    ids=["required", "named", "allowed"],
)  # fmt: skip
def test_a_tool_is_called_and_its_result_answered(http, choice):
    tools = [WEIGH] if choice == "required" else [OTHER, WEIGH]
    found = respond(http, "weigh", tools=tools, tool_choice=choice)
    (call,) = found["output"]
    assert (call["type"], call["name"], call["status"]) == ("function_call", "weigh", "completed")
    assert json.loads(call["arguments"])["kind"] in ("gold", "silver")
    assert found["tool_choice"] == choice
    assert [tool["name"] for tool in found["tools"]] == [tool["name"] for tool in tools]
    events = stream(http, "weigh", tools=tools, tool_choice=choice)
    kinds = [event["type"] for event in events]
    assert kinds.count("response.function_call_arguments.done") == 1
    assert "response.function_call_arguments.delta" in kinds
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "19.3 g"}
    items = [{"type": "message", "role": "user", "content": "weigh"}, call, result]
    after = respond(http, items, max_output_tokens=16)
    assert after["output"][0]["type"] == "message"


def test_no_tool_is_called_where_none_may_be(http):
    for choice in ("none", {"type": "allowed_tools", "mode": "none",
                            "tools": [{"type": "function", "name": "weigh"}]}):  # fmt: skip
        found = respond(http, ASKED, tools=[WEIGH], tool_choice=choice, max_output_tokens=16)
        assert [item["type"] for item in found["output"]] == ["message"]


@pytest.mark.parametrize("model", ["elements", "multi"])
def test_a_conversation_is_sent_with_its_earlier_items(http, model):
    earlier = respond(http, ASKED if model == "elements" else GOLD, model)["output"]
    items = [
        {"type": "message", "role": "user", "content": GOLD},
        *earlier,
        {"type": "message", "role": "assistant", "phase": "commentary", "content": "Au is gold."},
        {"type": "message", "role": "assistant", "phase": "final_answer",
         "content": [{"type": "output_text", "text": "So it is."}]},
        {"type": "message", "role": "user", "content": "What is the symbol of silver?"},
    ]  # fmt: skip
    found = respond(http, items, model, max_output_tokens=16 if model == "elements" else None)
    assert found["output"][0]["content"][0]["text"]
    if model == "multi":
        assert found["output"][0]["content"][0]["text"] == "Ag"


def test_an_answer_has_the_form_of_a_schema(http):
    schema = {"type": "object", "properties": {"symbol": {"enum": ["Au", "Ag"]}},
              "required": ["symbol"], "additionalProperties": False}  # fmt: skip
    form = {"type": "json_schema", "name": "metal", "schema": schema, "strict": True}
    found = respond(http, ASKED, text={"format": form})
    assert json.loads(found["output"][0]["content"][0]["text"])["symbol"] in ("Au", "Ag")
    assert found["text"]["format"] == form
    events = stream(http, ASKED, text={"format": form})
    assert json.loads(events[-1]["response"]["output"][0]["content"][0]["text"])


def test_an_answer_that_is_cut_is_incomplete_and_its_last_item_too(http):
    counted = "Question: Count.\n\nAnswer:"
    found = respond(http, counted, max_output_tokens=2)
    events = stream(http, counted, max_output_tokens=2)
    for one in (found, events[-1]["response"]):
        assert one["status"] == one["output"][-1]["status"] == "incomplete"
        assert one["incomplete_details"] == {"reason": "max_output_tokens"}


PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
FILE = {"type": "input_file", "filename": "a.txt", "file_data": "AA=="}


@pytest.mark.parametrize(
    ("fields", "status", "named"),
    [
        ({"model": "gpt-5"}, 404, "there is no model 'gpt-5'"),
        ({"model": None}, 400, "model"),
        ({"input": []}, 400, "input"),
        ({"input": [{"role": "user", "content": [PICTURE]}]}, 400, "input_image"),
        ({"input": [{"role": "user", "content": [FILE]}]}, 400, "input_file"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, 400, "item_reference"),
        ({"input": [{"type": "reasoning", "summary": []}]}, 400, "reasoning"),
        ({"previous_response_id": "resp_1"}, 400, "not stored here; send the earlier items"),
        ({"store": True}, 400, "store"),
        ({"background": True}, 400, "background"),
        ({"temperature": 3}, 400, "temperature"),
        ({"top_logprobs": 2}, 400, "top_logprobs"),
        ({"stream_options": {"include_obfuscation": True}}, 400, "include_obfuscation"),
        ({"tools": [{"type": "web_search"}]}, 400, "tools.0.type"),
        ({"tools": [WEIGH], "tool_choice": {"type": "function", "name": "melt"}}, 400, "melt"),
        ({"tools": [WEIGH], "tool_choice": {"type": "allowed_tools", "tools": [
            {"type": "function", "name": "melt"}]}}, 400, "melt"),
        ({"max_tool_calls": 1}, 400, "max_tool_calls: is not supported here"),
        ({"no_such_field": 1}, 400, "no_such_field: is not supported here"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_an_error_that_names_it(http, fields, status, named):
    for streamed in (False, True):
        body = {"model": "elements", "input": ASKED, "stream": streamed, **fields}
        answer = http.post("/v1/responses", json=body)
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert error.keys() >= {"message", "type", "param", "code"}
        assert named in error["message"], error
        assert error["type"] == ("not_found_error" if status == 404 else "invalid_request_error")


def test_an_error_while_streaming_is_followed_by_a_failed_response(make_service):
    from fastapi.testclient import TestClient
    from stillroom.agentic_workflow.serve_app import server_app
    from stillroom.errors import EngineFailedError

    service = make_service()

    class Breaks:
        """A model whose stream ends with a fault after its first piece."""

        async def astream(self, *_, **__):
            from langchain_core.messages import AIMessageChunk

            yield AIMessageChunk("A")
            raise EngineFailedError("the engine has stopped")

    service.chat_model = Breaks()
    with TestClient(server_app(service), base_url="http://127.0.0.1") as client:
        body = {"model": "elements", "input": "gold", "stream": True}
        lines = client.post("/v1/responses", json=body).text.strip().split("\n\n")
    assert lines[-1] == "data: [DONE]"
    last = json.loads(lines[-2].partition("data: ")[2])
    assert [item["status"] for item in last["response"]["output"]] == ["incomplete"]
    assert last["type"] == "response.failed"
    check_response(last["response"])
    assert last["response"]["error"]["message"] == "the engine has stopped"
