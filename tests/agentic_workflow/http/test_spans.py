"""Spans: run -> node -> model call, in SQLite and JSON Lines, without user text unless asked."""

import json
import sqlite3

import pytest
from stillroom.agentic_workflow.http.spans import FileExporter, SpanRecorder

QUESTION = "Tell me of the canary"


async def run(service):
    return [e async for e in service.stream_events("single", "anna", QUESTION)][-1]


def read(path):
    if path.suffix == ".db":
        connection = sqlite3.connect(path)
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM spans")]
        connection.close()
        return [{**row, "attributes": json.loads(row["attributes"])} for row in rows]
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["spans.db", "spans.jsonl"])
@pytest.mark.parametrize("with_text", [False, True])
async def test_a_turn_is_a_tree_of_spans(make_service, tmp_path, name, with_text):
    path = tmp_path / name
    service = make_service("a shiny answer")
    service.callbacks.append(SpanRecorder(FileExporter(path), with_text=with_text))
    events = [e async for e in service.stream_events("single", "anna", QUESTION)]
    run_id = events[0]["run_id"]
    service.close()
    spans = read(path)
    assert path.stat().st_mode & 0o777 == 0o600
    by_id = {span["span_id"]: span for span in spans}
    (root,) = [span for span in spans if span["parent_id"] is None]
    assert root["attributes"]["stillroom.run_id"] == run_id
    names = {span["name"] for span in spans if span["parent_id"] == root["span_id"]}
    assert {"process_input", "generate_response", "finalize"} <= names
    calls = [span for span in spans if span["name"] == "chat"]
    assert calls
    for call in calls:
        assert by_id[call["parent_id"]]["name"] in names
        assert call["attributes"]["gen_ai.usage.output_tokens"] > 0
        assert call["end_ns"] >= call["start_ns"]
    assert ("canary" in json.dumps(spans)) is with_text
    assert ("shiny" in json.dumps(spans)) is with_text


async def test_an_error_is_told_by_its_class_alone(make_service, tmp_path):
    path = tmp_path / "spans.jsonl"
    service = make_service(RuntimeError("the canary is in the message"))
    service.callbacks.append(SpanRecorder(FileExporter(path)))
    with pytest.raises(RuntimeError):
        await run(service)
    service.close()
    spans = read(path)
    assert {span["status"] for span in spans if span["name"] == "chat"} == {"ERROR"}
    assert "canary" not in path.read_text()
