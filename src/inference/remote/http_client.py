"""One request to an OpenAI-compatible server, with retries."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx

from ...errors import BrokenAnswerError, RemoteError
from ..engine.protocol import GenerationRequest
from ..engine.token_stream import AnswerStream, wake
from .backoff import may_pass, wait_s
from .server_address import Server, read_refusal, transport_fault
from .sse import ServerAnswer, read_events


async def ask_server(
    client: httpx.AsyncClient,
    server: Server,
    request: GenerationRequest,
    stream: AnswerStream,
    count: Counter[str],
) -> None:
    """Send a request, with retries, and put the tokens of its answer into a stream.

    Args:
        client: HTTP client.
        server: The server.
        request: The request.
        stream: Receives the tokens.
        count: Receives the numbers of requests sent, tokens and retries.

    Raises:
        RemoteError: The server refused, failed or could not be reached.
        ConfigError: The key is missing.
    """
    attempt = 1
    while True:
        count["sent"] += 1
        try:
            await _ask_once(client, server, request, stream, count)
        except (RemoteError, httpx.HTTPError, httpx.InvalidURL) as fault:
            wait = _wait(server, fault, attempt, stream)
            if wait is None:
                raise _final_error(server, fault, attempt) from fault
        else:
            return
        count["retries"] += 1
        attempt += 1
        await asyncio.sleep(wait)


async def _ask_once(
    client: httpx.AsyncClient,
    server: Server,
    request: GenerationRequest,
    stream: AnswerStream,
    count: Counter[str],
) -> None:
    key = server.key()
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    # ASCII, because half a surrogate pair in a message cannot be encoded as UTF-8.
    body = json.dumps(server.body(request)).encode()
    answer = ServerAnswer(_tool_names(request))
    async with client.stream("POST", server.url, content=body, headers=headers) as response:
        if response.status_code != httpx.codes.OK:
            raise await read_refusal(response, key)
        try:
            await _read_events(response, answer, stream, count)
        except httpx.TransportError:
            if not answer.ended:  # else only [DONE] and the counts are missing
                raise
    for last in answer.finish():
        stream.put(last, answer.usage or stream.usage)


async def _read_events(
    response: httpx.Response, answer: ServerAnswer, stream: AnswerStream, count: Counter[str]
) -> None:
    async for event in read_events(response.aiter_bytes()):
        events = answer.read(event)
        count["tokens"] += len(events)
        for token in events:
            stream.put(token)
        if events:
            wake([stream])
        if event.kind == "done":
            return


def _wait(server: Server, fault: Exception, attempt: int, stream: AnswerStream) -> float | None:
    """Return the seconds to wait before a retry; None for no retry."""
    begun = stream.usage.completion_tokens > 0  # a retry would repeat the beginning
    if begun or attempt > server.max_retries or not may_pass(fault):
        return None
    told = fault.retry_after if isinstance(fault, RemoteError) else None
    return wait_s(attempt, server.backoff_s, told)


def _final_error(server: Server, fault: Exception, attempts: int) -> RemoteError:
    what = str(fault) if isinstance(fault, RemoteError) else transport_fault(server, fault)
    tries = "" if attempts == 1 else f" (asked {attempts} times)"
    status = fault.status if isinstance(fault, RemoteError) else None
    kind = BrokenAnswerError if isinstance(fault, BrokenAnswerError) else RemoteError
    return kind(f"{server.model} at {server.base_url}: {what}{tries}", status=status)


def _tool_names(request: GenerationRequest) -> list[str]:
    return [str(tool["function"]["name"]) for tool in request.extra.get("tools") or ()]
