"""OpenTelemetry spans of turns (run -> node -> model call), kept in a local file; no user text.

    stillroom serve ... --traces traces.db        SQLite, table `spans`
    stillroom serve ... --traces traces.jsonl     JSON Lines

Spans carry names, times, decisions and token counts. Questions, answers and records are in them
only with `with_text`. Nothing is sent anywhere: another exporter is added to `provider` by hand.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

_COLUMNS = "trace_id, span_id, parent_id, name, start_ns, end_ns, status, attributes"
_DECISIONS = ("task_type", "verdict", "exit", "confidence", "answered_by", "attempts")
"""Fields of the state that say what was decided."""
_MOST_TEXT = 4000


class FileExporter(SpanExporter):
    """Writes spans to a SQLite file (`.db`, `.sqlite`) or as JSON Lines (any other ending)."""

    def __init__(self, path: str | Path) -> None:
        """Open the file, readable by its owner only."""
        self._path = Path(path)
        self._lock = threading.Lock()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._connection: sqlite3.Connection | None = None
        if self._path.suffix in (".db", ".sqlite"):
            self._connection = sqlite3.connect(self._path, check_same_thread=False)
            with self._connection as connection:
                connection.execute(f"CREATE TABLE IF NOT EXISTS spans ({_COLUMNS})")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write spans."""
        rows = [_row(span) for span in spans]
        with self._lock:
            if self._connection is not None:
                marks = ", ".join("?" * 8)
                with self._connection as connection:
                    connection.executemany(f"INSERT INTO spans VALUES ({marks})", rows)
            else:
                names = _COLUMNS.split(", ")
                with self._path.open("a", encoding="utf-8") as file:
                    for row in rows:
                        told = dict(zip(names, row, strict=True))
                        told["attributes"] = json.loads(row[-1])
                        file.write(json.dumps(told, ensure_ascii=False) + "\n")
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _row(span: ReadableSpan) -> tuple[Any, ...]:
    context = span.get_span_context()
    assert context is not None
    return (
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
        None if span.parent is None else f"{span.parent.span_id:016x}",
        span.name,
        span.start_time,
        span.end_time,
        span.status.status_code.name,
        json.dumps(dict(span.attributes or {}), ensure_ascii=False, default=str),
    )


class SpanRecorder(BaseCallbackHandler):
    """Records LangChain's runs as spans.

    Args:
        exporter: Where spans go.
        with_text: Put questions and answers into them.
    """

    run_inline = True
    """Called in the event loop: it only notes times, and a thread for each event costs more."""

    def __init__(self, exporter: SpanExporter, *, with_text: bool = False) -> None:
        """Start a tracer of its own; the process's global one is left alone."""
        self.provider = TracerProvider(resource=Resource.create({"service.name": "stillroom"}))
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self.provider.get_tracer("stillroom")
        self._with_text = with_text
        self._open: dict[UUID, Span] = {}
        self._within: dict[UUID, UUID] = {}
        """Runs without a span of their own -> the run whose span they belong to."""

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,  # noqa: ANN401
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Begin the span of a run or node; helpers within a node get none."""
        known, name = metadata or {}, str(kwargs.get("name") or "run")
        node = known.get("langgraph_node")
        if parent_run_id is not None and name != node:
            self._within[run_id] = self._within.get(parent_run_id, parent_run_id)
            return
        told = {"gen_ai.operation.name": "invoke_agent" if parent_run_id is None else "node"}
        if parent_run_id is None:
            told |= {f"stillroom.{key}": str(known[key]) for key in ("model",) if key in known}
            told["stillroom.run_id"] = str(run_id)
        self._begin(run_id, parent_run_id, name if node else "run", told)
        self._say(run_id, "stillroom.input", inputs)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ANN401
        """End the span of a run or node."""
        span = self._open.get(run_id)
        if span is not None and isinstance(outputs, Mapping):
            for name in _DECISIONS:
                value = outputs.get(name)
                if isinstance(value, str | int | float) and value != "":
                    span.set_attribute(f"stillroom.{name}", value)
        self._say(run_id, "stillroom.output", outputs)
        self._end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ANN401
        """End the span of a run or node that failed."""
        self._end(run_id, error)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Begin the span of a model call."""
        self._begin(run_id, parent_run_id, "chat", {"gen_ai.operation.name": "chat"})
        self._say(run_id, "gen_ai.input.messages", [m.text for row in messages for m in row])

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ANN401
        """End the span of a model call."""
        span = self._open.get(run_id)
        first = response.generations[0][0] if response.generations else None
        if span is not None and isinstance(first, ChatGeneration):
            usage = getattr(first.message, "usage_metadata", None) or {}
            known = first.message.response_metadata
            for name, value in (
                ("gen_ai.response.model", known.get("model_name")),
                ("gen_ai.response.finish_reasons", known.get("finish_reason")),
                ("gen_ai.usage.input_tokens", usage.get("input_tokens")),
                ("gen_ai.usage.output_tokens", usage.get("output_tokens")),
            ):
                if value is not None:
                    span.set_attribute(name, value)
            self._say(run_id, "gen_ai.output.messages", str(first.message.text))
        self._end(run_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ANN401
        """End the span of a model call that failed."""
        self._end(run_id, error)

    def close(self) -> None:
        """Write what is left and close the exporter."""
        self.provider.shutdown()

    def _begin(
        self, run_id: UUID, parent_run_id: UUID | None, name: str, told: Mapping[str, str]
    ) -> None:
        owner = None if parent_run_id is None else self._within.get(parent_run_id, parent_run_id)
        parent = None if owner is None else self._open.get(owner)
        context = None if parent is None else set_span_in_context(parent)
        self._open[run_id] = self._tracer.start_span(name, context, attributes=dict(told))

    def _say(self, run_id: UUID, name: str, value: Any) -> None:  # noqa: ANN401
        if self._with_text and run_id in self._open:
            text = json.dumps(value, ensure_ascii=False, default=str)[:_MOST_TEXT]
            self._open[run_id].set_attribute(name, text)

    def _end(self, run_id: UUID, error: BaseException | None = None) -> None:
        self._within.pop(run_id, None)
        span = self._open.pop(run_id, None)
        if span is None:
            return
        if error is not None:  # the class alone: a message may quote the user
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        span.end()
