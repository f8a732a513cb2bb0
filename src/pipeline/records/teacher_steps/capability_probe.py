"""What a server can do, found out by asking it, and kept in a file for a while.

print(probe_capabilities(OpenAILLM(model="qwen3-32b", base_url="http://gateway.local/v1")))

The probe reads the list of models, asks once whether there is a batch endpoint, and sends three
short prompts, each with one feature: log probabilities, a JSON schema and a tool. A feature counts
as there if the answer shows it; a server that takes a field and ignores it does not have it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx

from ....errors import ConfigError, RemoteError
from ....files import read_json, write_json
from ....inference.remote.server_address import Server, transport_fault
from ....labeling.teachers.openai_http import RemoteTeacher
from .gateway import ProviderGateway
from .llms import LLM

REFRESH_S: Final = 3600.0
"""Default of how long a probe is believed."""
_SECONDS: Final = 30.0
_TOKENS: Final = 16
_SCHEMA: Final = {
    "type": "object", "properties": {"metal": {"type": "string", "enum": ["gold", "iron"]}},
    "required": ["metal"], "additionalProperties": False,
}  # fmt: skip
_TOOL: Final = {
    "type": "function",
    "function": {"name": "name_metal", "description": "Name a metal.", "parameters": _SCHEMA},
}


@dataclass(frozen=True)
class Capabilities:
    """What a server can do; null is not known."""

    model: str
    supports_batch: bool | None = None
    supports_logprobs: bool | None = None
    supports_json_schema: bool | None = None
    supports_tool_spec: bool | None = None
    max_concurrency: int | None = None
    """Most calls at once, if the server's list of models tells."""
    token_budget: int | None = None
    """Most tokens of prompt and answer of one call, if the server's list of models tells."""
    qps: float | None = None
    """Most calls per second, from the headers of an answer."""
    tpm: float | None = None
    """Most tokens per minute, from the headers of an answer."""
    probed_at: float = 0.0
    """Seconds since 1970."""

    def gateway(self, given: ProviderGateway) -> ProviderGateway:
        """Add the limits that were found to those that a gateway does not set."""
        return replace(
            given,
            qps=given.qps if given.qps is not None else self.qps,
            tpm=given.tpm if given.tpm is not None else self.tpm,
        )


def probe_capabilities(llm: LLM, *, cache_path: str | Path | None = None) -> Capabilities:
    """Find out what the server of a model can do.

    Args:
        llm: A model of a server.
        cache_path: File of the probes of all servers; None takes that of the gateway's
            `capability_probe`, or keeps nothing. A probe in it is believed for the gateway's
            `refresh_interval_s`, by default an hour.

    Raises:
        ConfigError: The model is not one of a server, or its key is missing.
        RemoteError: The server was not reached, or refuses the key.
    """
    teacher = llm.teacher()
    if not isinstance(teacher, RemoteTeacher):
        raise ConfigError([f"{type(llm).__name__} is no server; there is nothing to probe"])
    settings = llm.limits.capability_probe
    named = cache_path or settings.get("cache_path")
    path = None if named is None else Path(named)
    held = read_json(path) if path is not None and path.exists() else {}
    key = f"{teacher.server.base_url} {teacher.name}"
    known = _known(held.get(key), float(settings.get("refresh_interval_s", REFRESH_S)))
    if known is not None:
        return known
    with _Probe(teacher.server) as probe:
        found = probe.run()
    if path is not None:
        write_json(path, {**held, key: asdict(found)})
    return found


def _known(held: object, believed_s: float) -> Capabilities | None:
    if not isinstance(held, Mapping):
        return None
    try:
        found = Capabilities(**held)
    except TypeError:  # of another release
        return None
    return found if time.time() - found.probed_at < believed_s else None


class _Probe:
    """Asks one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._base = str(server.base_url).rstrip("/")
        self._key = server.key()
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = httpx.Client(
            timeout=_SECONDS, trust_env=not server.is_local, headers=headers
        )

    def __enter__(self) -> _Probe:
        return self

    def __exit__(self, *ended: object) -> None:
        self._client.close()

    def run(self) -> Capabilities:
        listed = self._listed()
        plain = self._ask({"logprobs": True})
        if plain is None:
            plain = self._ask({})
            logprobs: bool | None = None if plain is None else False
        else:
            logprobs = bool(_choice(plain).get("logprobs"))
        headers = {} if plain is None else plain.headers
        requests, tokens = (_limit(headers, what) for what in ("requests", "tokens"))
        return Capabilities(
            self._server.model,
            supports_batch=self._has_batches(),
            supports_logprobs=logprobs,
            supports_json_schema=self._follows_schema(),
            supports_tool_spec=self._calls_tool(),
            max_concurrency=_number(listed, "max_num_seqs", "max_concurrency"),
            token_budget=_number(listed, "max_model_len", "context_length", "context_window"),
            qps=None if requests is None else requests / 60,
            tpm=tokens,
            probed_at=time.time(),
        )

    def _listed(self) -> Mapping[str, Any]:
        """Return what the server's list of models says about this one."""
        response = self._send("GET", "/models")
        told = _object(response)
        models = told.get("data")
        for one in models if isinstance(models, list) else []:
            if isinstance(one, Mapping) and one.get("id") == self._server.model:
                return one
        return {}

    def _has_batches(self) -> bool | None:
        response = self._send("GET", "/batches?limit=1")
        if response.is_success:
            return isinstance(_object(response).get("data"), list)
        return False if response.status_code in (400, 404, 405, 501) else None

    def _follows_schema(self) -> bool | None:
        form = {
            "type": "json_schema",
            "json_schema": {"name": "metal", "strict": True, "schema": _SCHEMA},
        }
        response = self._ask({"response_format": form})
        if response is None:
            return False
        try:
            answer = json.loads(str(_message(response).get("content")))
        except ValueError:
            return False
        return isinstance(answer, dict) and answer.get("metal") in ("gold", "iron")

    def _calls_tool(self) -> bool | None:
        chosen = {"type": "function", "function": {"name": "name_metal"}}
        response = self._ask({"tools": [_TOOL], "tool_choice": chosen})
        return response is not None and bool(_message(response).get("tool_calls"))

    def _ask(self, more: Mapping[str, Any]) -> httpx.Response | None:
        """Send a short prompt; None if the server refuses the request."""
        body = {
            "model": self._server.model, "max_tokens": _TOKENS, "temperature": 0,
            "messages": [{"role": "user", "content": "Name a metal: gold or iron."}], **more,
        }  # fmt: skip
        response = self._send("POST", "/chat/completions", body)
        return response if response.is_success else None

    def _send(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            response = self._client.request(method, f"{self._base}{path}", json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            told = transport_fault(self._server, fault)
            raise RemoteError(f"{self._base}: {told}") from fault
        if response.status_code in (401, 402):
            raise RemoteError(
                f"{self._base} refuses the key (status {response.status_code})",
                status=response.status_code,
            )
        return response


def _object(response: httpx.Response) -> Mapping[str, Any]:
    try:
        told = response.json()
    except ValueError:
        return {}
    return told if isinstance(told, Mapping) else {}


def _choice(response: httpx.Response) -> Mapping[str, Any]:
    choices = _object(response).get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else {}


def _message(response: httpx.Response) -> Mapping[str, Any]:
    message = _choice(response).get("message")
    return message if isinstance(message, Mapping) else {}


def _number(told: Mapping[str, Any], *names: str) -> int | None:
    found = (told.get(name) for name in names)
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool)), None)


def _limit(headers: Mapping[str, str], what: str) -> float | None:
    """Read a limit per minute from the headers that OpenAI-shaped servers send."""
    told = headers.get(f"x-ratelimit-limit-{what}", "")
    try:
        return float(told) if float(told) > 0 else None
    except ValueError:
        return None
