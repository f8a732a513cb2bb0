"""One request to a server that speaks OpenAI's HTTP: how it is answered, and when it is sent
again."""

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
    """Ask until there is an answer or no hope; its tokens go into the stream.

    Args:
        client: Carries the connections.
        server: Who is asked.
        request: What is asked.
        stream: Takes the answer.
        count: Requests sent, tokens and retries are counted here.

    Raises:
        RemoteError: The server refused, failed or was not reached.
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
                raise _told(server, fault, attempt) from fault
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
    # As ASCII: half a surrogate pair in a message has no bytes of its own.
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
    """Say how long to wait before asking again; None where that has no sense."""
    begun = stream.usage.completion_tokens > 0  # asking again would give the beginning twice
    if begun or attempt > server.max_retries or not may_pass(fault):
        return None
    told = fault.retry_after if isinstance(fault, RemoteError) else None
    return wait_s(attempt, server.backoff_s, told)


def _told(server: Server, fault: Exception, attempts: int) -> RemoteError:
    what = str(fault) if isinstance(fault, RemoteError) else transport_fault(server, fault)
    tries = "" if attempts == 1 else f" (asked {attempts} times)"
    status = fault.status if isinstance(fault, RemoteError) else None
    kind = BrokenAnswerError if isinstance(fault, BrokenAnswerError) else RemoteError
    return kind(f"{server.model} at {server.base_url}: {what}{tries}", status=status)


def _tool_names(request: GenerationRequest) -> list[str]:
    return [str(tool["function"]["name"]) for tool in request.extra.get("tools") or ()]
