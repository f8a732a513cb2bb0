"""`POST /v1/responses`, whole and as a stream of events."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from ..http.replies import fault_of
from ..http.service import Service
from ..http.streams import Pumped, first_of, sse_lines, sse_response, while_connected
from .answers import AnswerEnd, Piece, answer_pieces, collect
from .response_requests import AllowedTools, ChosenFunctionTool, ResponseRequest

Json = dict[str, Any]
DONE = "data: [DONE]\n\n"
"""The end of every stream."""


async def create_response(service: Service, request: Request, body: ResponseRequest) -> Response:
    """Answer a request."""
    owner, asked = request.state.owner, body.asked()
    resource = _resource(f"resp_{request.state.request_id}", body)
    if not body.stream:
        pieces = answer_pieces(service, owner, asked, streamed=False)
        text, calls, end = await while_connected(request, lambda: collect(pieces))
        items = [] if calls and not text else [_message_item(resource["id"], text)]
        items += [
            _call_item(resource["id"], place, call["name"] or "", call["args"] or "{}", call["id"])
            for place, call in enumerate(calls)
        ]
        return JSONResponse(_finished(resource, items, end))
    writer = _EventWriter(resource)
    stream = Pumped(lambda: writer.events(answer_pieces(service, owner, asked, streamed=True)))
    first = await first_of(stream)
    lines = sse_lines(first, stream, writer.failed, DONE)
    return sse_response(lines)


def _resource(response_id: str, body: ResponseRequest) -> Json:
    """Make the response before it is answered."""
    form = body.text.format if body.text is not None else None
    choice = body.tool_choice
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "incomplete_details": None,
        "model": body.model,
        "previous_response_id": None,
        "instructions": body.instructions,
        "output": [],
        "error": None,
        "tools": [
            {"description": None, "parameters": None, "strict": None, **tool.model_dump()}
            for tool in body.tools or []
        ],
        "tool_choice": choice.model_dump()
        if isinstance(choice, (ChosenFunctionTool, AllowedTools))
        else choice or "auto",
        "truncation": "disabled",
        "parallel_tool_calls": bool(body.parallel_tool_calls),
        "text": {
            "format": {"type": "text"}
            if form is None
            else form.model_dump(by_alias=True, exclude_none=True)
        },
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "top_logprobs": 0,
        "temperature": 0.0 if body.temperature is None else body.temperature,
        "reasoning": None,
        "usage": None,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "store": False,
        "background": False,
        "service_tier": "default",
        "metadata": body.metadata or {},
        "safety_identifier": None,
        "prompt_cache_key": None,
    }


def _message_item(
    response_id: str, text: str | None, status: str = "completed", place: int = 0
) -> Json:
    content = [] if text is None else [_text_part(text)]
    return {
        "type": "message",
        "id": f"msg_{response_id[5:]}_{place}",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call_item(
    response_id: str,
    place: int,
    name: str,
    arguments: str,
    call_id: str | None,
    status: str = "completed",
) -> Json:
    return {
        "type": "function_call",
        "id": f"fc_{response_id[5:]}_{place}",
        "call_id": call_id or f"call_{response_id[5:]}_{place}",
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def _finished(resource: Json, items: list[Json], end: AnswerEnd) -> Json:
    """Make the response after its last piece."""
    short = end.finish_reason == "length"
    if short:
        items = [{**item, "status": "incomplete"} for item in items]
    asked, made = end.input_tokens, end.output_tokens
    return {
        **resource,
        "status": "incomplete" if short else "completed",
        "completed_at": None if short else int(time.time()),
        "incomplete_details": {"reason": "max_output_tokens"} if short else None,
        "output": items,
        "usage": {
            "input_tokens": asked,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": made,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": asked + made,
        },
        "stillroom": end.extra,
    }


class _EventWriter:
    """Writes the events of one streamed response, numbered from 0."""

    def __init__(self, resource: Json) -> None:
        self._resource = resource
        self._number = 0
        self._items: list[Json] = []
        self._calls: dict[int, int] = {}
        """Index of a call -> its place among the items."""

    async def events(self, pieces: AsyncIterator[Piece]) -> AsyncIterator[str]:
        """Write the answer's pieces as events; the first one waits for the first piece."""
        begun = False
        async with aclosing(pieces) as stream:  # type: ignore[type-var]
            async for piece in stream:
                if not begun:
                    begun = True
                    yield self._event("response.created", response=self._resource)
                    yield self._event("response.in_progress", response=self._resource)
                for event in self._of_piece(piece):
                    yield event

    def failed(self, error: Exception) -> str:
        """Write the event of an error that ends the stream, and the stream's end."""
        told = fault_of(error).body("/v1/")["error"]
        cut = {"in_progress": "incomplete"}
        failed = {
            **self._resource,
            "status": "failed",
            "output": [{**one, "status": cut.get(one["status"], one["status"])}
                       for one in self._items],
            "error": {"code": told["code"], "message": told["message"]},
        }  # fmt: skip
        return self._event("response.failed", response=failed) + DONE

    def _of_piece(self, piece: Piece) -> list[str]:
        events: list[str] = []
        if piece.text or (piece.end is not None and not self._items):
            events += self._of_text(piece.text)
        for call in piece.calls:
            events += self._of_call(
                call["index"] or 0, call["name"] or "", call["id"], call["args"] or ""
            )
        if piece.end is not None:
            events += self._close_last()
            done = _finished(self._resource, self._items, piece.end)
            events.append(self._event(f"response.{done['status']}", response=done))
        return events

    def _of_text(self, text: str) -> list[str]:
        events: list[str] = []
        if not self._items or self._items[-1]["type"] != "message":
            events += self._close_last()
            place = len(self._items)
            item = _message_item(self._resource["id"], None, "in_progress", place)
            events.append(self._event("response.output_item.added", output_index=place, item=item))
            events.append(self._event(
                "response.content_part.added", item_id=item["id"], output_index=place,
                content_index=0, part=_text_part(""),
            ))  # fmt: skip
            self._items.append({**item, "content": [_text_part("")]})
        item = self._items[-1]
        item["content"][0]["text"] += text
        if text:
            events.append(self._event(
                "response.output_text.delta", item_id=item["id"],
                output_index=len(self._items) - 1, content_index=0, delta=text, logprobs=[],
            ))  # fmt: skip
        return events

    def _of_call(self, index: int, name: str, call_id: str | None, arguments: str) -> list[str]:
        events: list[str] = []
        if index not in self._calls:
            events += self._close_last()
            place = self._calls[index] = len(self._items)
            item = _call_item(self._resource["id"], place, name, "", call_id, "in_progress")
            events.append(
                self._event("response.output_item.added", output_index=place, item=dict(item))
            )
            self._items.append(item)
        place = self._calls[index]
        self._items[place]["arguments"] += arguments
        if arguments:
            events.append(self._event(
                "response.function_call_arguments.delta", item_id=self._items[place]["id"],
                output_index=place, delta=arguments,
            ))  # fmt: skip
        return events

    def _close_last(self) -> list[str]:
        """Write the end of the item that is open, if one is."""
        if not self._items or self._items[-1]["status"] != "in_progress":
            return []
        place, item = len(self._items) - 1, self._items[-1]
        item["status"] = "completed"
        at = {"item_id": item["id"], "output_index": place}
        if item["type"] == "message":
            part = item["content"][0]
            events = [
                self._event("response.output_text.done", **at, content_index=0,
                            text=part["text"], logprobs=[]),
                self._event("response.content_part.done", **at, content_index=0, part=part),
            ]  # fmt: skip
        else:
            events = [
                self._event("response.function_call_arguments.done", **at, name=item["name"],
                            arguments=item["arguments"]),
            ]  # fmt: skip
        return [*events, self._event("response.output_item.done", output_index=place, item=item)]

    def _event(self, kind: str, **fields: Any) -> str:  # noqa: ANN401
        value = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return f"event: {kind}\ndata: {data}\n\n"
