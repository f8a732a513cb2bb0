"""`POST /v1/chat/completions`, whole and as a stream."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import Request
from langchain_core.messages.tool import ToolCallChunk
from starlette.responses import JSONResponse, Response

from ..http.replies import fault_of
from ..http.service import Service
from ..http.streams import Pumped, first_of, sse_lines, sse_response, while_connected
from .answers import AnswerEnd, Piece, answer_pieces, collect
from .chat_requests import ChatRequest


async def chat_completion(service: Service, request: Request, body: ChatRequest) -> Response:
    """Answer a request."""
    owner, asked = request.state.owner, body.asked()
    head = {
        "id": f"chatcmpl-{request.state.request_id}",
        "created": int(time.time()),
        "model": body.model,
        "system_fingerprint": service.checkpoint_sha256[:16] or None,
    }
    if not body.stream:
        pieces = answer_pieces(service, owner, asked, streamed=False)
        whole = await while_connected(request, lambda: collect(pieces))
        return JSONResponse(_completion(head, *whole))
    counts = body.stream_options is not None and bool(body.stream_options.include_usage)
    stream = Pumped(
        lambda: _events(head, answer_pieces(service, owner, asked, streamed=True), counts)
    )
    first = await first_of(stream)
    lines = sse_lines(first, stream, _error_event, "data: [DONE]\n\n")
    return sse_response(lines)


def _completion(
    head: dict[str, Any], text: str, calls: Sequence[ToolCallChunk], end: AnswerEnd
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["args"] or "{}"},
            }
            for call in calls
        ]
    else:
        message["content"] = text
    return {
        **head,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": _logprobs(end),
                "finish_reason": end.finish_reason,
            }
        ],
        "usage": _usage(end),
        "stillroom": end.extra,
    }


async def _events(
    head: dict[str, Any], pieces: AsyncIterator[Piece], counts: bool
) -> AsyncIterator[str]:
    """Write an answer as events: role, deltas, finish reason, and usage where it is asked for."""

    def event(delta: dict[str, Any], end: AnswerEnd | None = None) -> str:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": None if end is None else _logprobs(end),
            "finish_reason": None if end is None else end.finish_reason,
        }
        chunk = {**head, "object": "chat.completion.chunk", "choices": [choice]}
        if counts:
            chunk["usage"] = None
        if end is not None:
            chunk["stillroom"] = end.extra
        return _data(chunk)

    begun = False
    async with aclosing(pieces) as stream:  # type: ignore[type-var]
        async for piece in stream:
            if not begun:
                begun = True
                yield event({"role": "assistant", "content": ""})
            if piece.text:
                yield event({"content": piece.text})
            if piece.calls:
                yield event({"tool_calls": [_call_delta(call) for call in piece.calls]})
            if piece.end is not None:
                yield event({}, piece.end)
                if counts:
                    yield _data({
                        **head,
                        "object": "chat.completion.chunk",
                        "choices": [],
                        "usage": _usage(piece.end),
                    })  # fmt: skip


def _call_delta(call: ToolCallChunk) -> dict[str, Any]:
    delta: dict[str, Any] = {
        "index": call["index"] or 0,
        "function": {"arguments": call["args"] or ""},
    }
    if call["name"]:
        delta |= {"id": call["id"], "type": "function"}
        delta["function"]["name"] = call["name"]
    return delta


def _usage(end: AnswerEnd) -> dict[str, int]:
    asked, made = end.input_tokens, end.output_tokens
    return {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made}


def _logprobs(end: AnswerEnd) -> dict[str, Any] | None:
    return None if end.logprobs is None else {"content": list(end.logprobs), "refusal": None}


def _error_event(error: Exception) -> str:
    return _data(fault_of(error).body("/v1/"))


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"
