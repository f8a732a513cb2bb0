"""OpenAI-compatible servers: address and key, request bodies, and error responses."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from ...errors import ConfigError, RemoteError
from ..engine.protocol import GenerationRequest
from .backoff import retry_after_of

_PATHS = {"chat": "/chat/completions", "completions": "/completions"}
_LOCAL = ("127.0.0.1", "localhost", "::1")
_MOST_ERROR_BYTES = 1 << 16


@dataclass(frozen=True)
class Server:
    """Address and settings of a served model; `engine.RemoteEngine` describes the fields."""

    model: str
    base_url: str | None
    endpoint: str
    api_key_env: str | None
    max_retries: int
    read_timeout_s: float
    backoff_s: float
    api_key: str | None = field(default=None, repr=False)
    """The key itself; goes before `api_key_env`."""

    def __post_init__(self) -> None:
        """Refuse wrong settings, all at once."""
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
        """The URL of requests."""
        return str(self.base_url).rstrip("/") + _PATHS[self.endpoint]

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return urlsplit(str(self.base_url)).hostname in _LOCAL

    def check(self, request: GenerationRequest) -> None:
        """Refuse requests that a server cannot serve.

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
        """Return the given key, else read it from the environment.

        Raises:
            ConfigError: The variable is not set.
        """
        if self.api_key is not None:
            return self.api_key
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ConfigError([f"the environment variable {self.api_key_env} holds no key; set it"])
        return key

    def body(self, request: GenerationRequest) -> dict[str, Any]:
        """Make the request body for the endpoint; defaults are not sent."""
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


async def read_refusal(response: httpx.Response, key: str | None) -> RemoteError:
    """Make an error of an error response, without the key in it."""
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
        retry_after=retry_after_of(response.headers),
    )


def transport_fault(server: Server, fault: Exception) -> str:
    """Describe a connection error."""
    if isinstance(fault, httpx.ConnectTimeout | httpx.ConnectError):
        return f"no server was reached ({fault}); start it or correct base_url"
    if isinstance(fault, httpx.ReadTimeout):
        return f"nothing came for {server.read_timeout_s:g} s; allow more, or ask for less"
    return f"the connection failed ({type(fault).__name__}: {fault})"


def error_text(body: str) -> str:
    """Extract the error message from a response body, shortened to one line."""
    try:
        told = json.loads(body)
    except ValueError:
        told = body
    if isinstance(told, list) and told:
        told = told[0]
    for key in ("error", "message", "detail"):
        if isinstance(told, Mapping) and told.get(key):
            told = told[key]
    return " ".join(str(told).split())[:300]
