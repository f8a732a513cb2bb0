"""One request to a server that speaks OpenAI's HTTP: what is sent, and when it is sent again."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from ..errors import ConfigError, RemoteError
from .engine import GenerationRequest, TokenEvent
from .retries import may_pass, wait_s
from .server_events import ServerAnswer, error_text, event_data
from .token_stream import AnswerStream, wake

_PATHS = {"chat": "/chat/completions", "completions": "/completions"}
_LOCAL = ("127.0.0.1", "localhost", "::1")
_MOST_ERROR_BYTES = 1 << 16


@dataclass(frozen=True)
class Server:
    """Where a model is served and how it is asked; `remote.RemoteEngine` says what is what."""

    model: str
    base_url: str | None
    endpoint: str
    api_key_env: str | None
    max_retries: int
    read_timeout_s: float
    backoff_s: float

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, all at once."""
        faults = []
        parts = urlsplit(self.base_url or "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            faults.append(
                "base_url is missing or no address; give one like 'http://127.0.0.1:8000/v1'"
            )
        if parts.username or parts.password or parts.query:
            faults.append("base_url holds a name, a key or a query; keys come by api_key_env")
        if self.endpoint not in _PATHS:
            faults.append(f"endpoint is {self.endpoint!r}; allowed are {sorted(_PATHS)}")
        if self.max_retries < 0:
            faults.append(f"max_retries is {self.max_retries!r}; allowed is 0 or more")
        if faults:
            raise ConfigError(faults)

    @property
    def url(self) -> str:
        """The address that requests go to."""
        return str(self.base_url).rstrip("/") + _PATHS[self.endpoint]

    @property
    def is_local(self) -> bool:
        """Say whether the server is on this machine."""
        return urlsplit(str(self.base_url)).hostname in _LOCAL

    def check(self, request: GenerationRequest) -> None:
        """Refuse what a server cannot do.

        Raises:
            ConfigError: The request has a constraint object or end tokens of its own.
        """
        faults = []
        if request.constraint is not None:
            faults.append(
                "a constraint works on an engine in this process only; give the server a schema by "
                "extra={'response_format': ...}"
            )
        if request.stop_ids:
            faults.append("stop_ids work on an engine in this process only; give stop texts")
        if faults:
            raise ConfigError(faults)

    def key(self) -> str | None:
        """Read the key from the environment.

        Raises:
            ConfigError: The variable is not set.
        """
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ConfigError([f"the environment variable {self.api_key_env} holds no key; set it"])
        return key

    def body(self, request: GenerationRequest) -> dict[str, Any]:
        """Write a request as the endpoint wants it; settings left alone are not sent."""
        chat = self.endpoint == "chat"
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed % (1 << 31),  # more bits are refused by some servers
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if chat:
            body["messages"] = [dict(message) for message in request.messages]
            body["logprobs"] = True
        else:
            body["prompt"] = request.prompt
            body["logprobs"] = request.top_logprobs
        if chat and request.top_logprobs:
            body["top_logprobs"] = request.top_logprobs
        if request.stop:
            body["stop"] = list(request.stop)
        if request.top_k is not None:
            body["top_k"] = request.top_k
        if request.ignore_end:
            body["ignore_eos"] = True
        return {**body, **request.extra}


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
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer, body = ServerAnswer(), server.body(request)
    async with client.stream("POST", server.url, json=body, headers=headers) as response:
        if response.status_code != httpx.codes.OK:
            raise await _refusal(response, key)
        async for data in event_data(response.aiter_bytes()):
            if data == "[DONE]":
                break
            events = answer.read(data)
            count["tokens"] += len(events)
            for event in events:
                stream.put(event)
            if events:
                wake([stream])
    if answer.finish_reason is None:
        raise RemoteError("the server's answer broke off before its end")
    last = TokenEvent(None, None, "", (), answer.finish_reason)
    stream.put(last, answer.usage or stream.usage)


async def _refusal(response: httpx.Response, key: str | None) -> RemoteError:
    told = b""
    async for chunk in response.aiter_bytes():
        told += chunk
        if len(told) > _MOST_ERROR_BYTES:
            break
    text = error_text(told.decode("utf-8", "replace"))
    if key:
        text = text.replace(key, "***")
    return RemoteError(
        f"status {response.status_code}: {text}",
        status=response.status_code,
        retry_after=response.headers.get("retry-after"),
    )


def _wait(server: Server, fault: Exception, attempt: int, stream: AnswerStream) -> float | None:
    """Say how long to wait before asking again; None where that has no sense."""
    begun = stream.usage.completion_tokens > 0  # asking again would give the beginning twice
    if begun or attempt > server.max_retries or not may_pass(fault):
        return None
    told = fault.retry_after if isinstance(fault, RemoteError) else None
    return wait_s(attempt, server.backoff_s, told)


def _told(server: Server, fault: Exception, attempts: int) -> RemoteError:
    what = str(fault) if isinstance(fault, RemoteError) else _transport_fault(server, fault)
    tries = "" if attempts == 1 else f" (asked {attempts} times)"
    status = fault.status if isinstance(fault, RemoteError) else None
    return RemoteError(f"{server.model} at {server.base_url}: {what}{tries}", status=status)


def _transport_fault(server: Server, fault: Exception) -> str:
    if isinstance(fault, httpx.ConnectTimeout | httpx.ConnectError):
        return f"no server was reached ({fault}); start it or correct base_url"
    if isinstance(fault, httpx.ReadTimeout):
        return f"nothing came for {server.read_timeout_s:g} s; allow more, or ask for less"
    return f"the connection failed ({type(fault).__name__}: {fault})"
