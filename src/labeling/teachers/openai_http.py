"""A teacher on a server with OpenAI's HTTP API: vLLM, SGLang, Ollama, llama-server, OpenRouter.

Answers are requested without streaming, because parsing a stream of a thousand tokens takes more
processor time than the rest of the call. Servers that stream anyway are supported.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx

from ...errors import BrokenAnswerError, ConfigError, DeadlineError, RemoteError
from ...inference.no_real_models import check_models_allowed
from ...inference.remote.finish_reasons import error_status, judge_choice
from ...inference.remote.server_address import Server, error_text, read_refusal, transport_fault
from ...inference.remote.sse import body_events, first_choice
from .answer_parts import make_answer
from .protocol import DecodeProfile, Prompt, TeacherAnswer, prompt_turns

_MOST_BODY_BYTES = 64 << 20
_CONNECT_S = 10.0
_UNSENDABLE = ("stream", "stream_options", "n", "messages", "prompt")
"""Fields of a request that the labeler sets itself."""


class RemoteTeacher:
    """Implements `protocol.Teacher` over HTTP."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        endpoint: str = "chat",
        api_key_env: str | None = None,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        honours_idempotency: bool = False,
    ) -> None:
        """Describe the server; nothing is sent yet.

        Args:
            model: Name of the model on the server.
            base_url: Address with the version: `http://127.0.0.1:8000/v1`.
            endpoint: `chat`, or `completions`, which gets rendered prompts instead of turns.
            api_key_env: Environment variable that holds the key; it is read at every call.
            api_key: The key itself; it is kept in memory only, and never part of an error.
            timeout_s: Timeout of a whole answer in seconds.
            honours_idempotency: Whether the server charges calls with the same `Idempotency-Key`
                only once.

        Raises:
            ConfigError: A setting is missing or out of range.
        """
        self._server = Server(model, base_url, endpoint, api_key_env, 0, timeout_s, 0.0, api_key)
        if not timeout_s > 0:
            raise ConfigError([f"timeout_s is {timeout_s!r}; allowed is above 0"])
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None
        self.honours_idempotency = honours_idempotency
        """Whether calls with the same id are charged only once; `BatchLabeler` reads it."""

    @property
    def name(self) -> str:
        """The model's name on the server."""
        return self._server.model

    @property
    def server(self) -> Server:
        """Address and settings."""
        return self._server

    @property
    def revision(self) -> str | None:
        """Always None: servers do not report a revision."""
        return None

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        """Send a prompt and wait for the whole answer; see `Teacher.ask`."""
        check_models_allowed(self.name)
        content = json.dumps(self.request_body(prompt, profile)).encode()
        key = self._server.key()
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if call_id:
            headers["Idempotency-Key"] = call_id
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._send(content, headers, key)
        except TimeoutError as fault:
            raise DeadlineError(
                f"{self.name}: no whole answer in {self._timeout_s:g} s; allow more, or ask for "
                "less"
            ) from fault
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            told = transport_fault(self._server, fault)
            raise RemoteError(f"{self.name} at {self._server.base_url}: {told}") from fault
        if key:  # what comes from here may be written to files
            body = body.replace(key.encode(), b"***")
        return read_answer(body, prompt)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _send(self, content: bytes, headers: dict[str, str], key: str | None) -> bytes:
        client = self._open()
        async with client.stream(
            "POST", self._server.url, content=content, headers=headers
        ) as response:
            if not response.is_success:
                raise await read_refusal(response, key)
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MOST_BODY_BYTES:
                    raise RemoteError(
                        f"{self.name}: the answer is longer than {_MOST_BODY_BYTES} bytes",
                        status=200,
                    )
        return bytes(body)

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            # `ask` limits the time, and `BatchLabeler` the number of calls at once.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            timeout = httpx.Timeout(None, connect=min(_CONNECT_S, self._timeout_s))
            self._client = httpx.AsyncClient(
                timeout=timeout,
                limits=limits,
                trust_env=not self._server.is_local,  # no proxy between this machine and itself
            )
        return self._client

    def request_body(self, prompt: Prompt, profile: DecodeProfile) -> dict[str, Any]:
        """Write the body of a request.

        Raises:
            ConfigError: The profile or the endpoint does not fit.
        """
        wrong = [name for name in _UNSENDABLE if name in profile.extra]
        if wrong:
            raise ConfigError([f"extra holds {wrong}; these are set by the labeler"])
        body: dict[str, Any] = {
            "model": self.name,
            "max_tokens": profile.max_tokens,
            "temperature": profile.temperature,
            "top_p": profile.top_p,
            "seed": profile.seed % (1 << 31),  # more bits are refused by some servers
        }
        if profile.stop:
            body["stop"] = list(profile.stop)
        if self._server.endpoint == "chat":
            body["messages"] = prompt_turns(prompt)
        elif isinstance(prompt, str):
            body["prompt"] = prompt
        else:
            raise ConfigError(["endpoint 'completions' gets rendered prompts; give texts"])
        # None removes a field: some models want max_completion_tokens instead of max_tokens.
        return {name: v for name, v in {**body, **profile.extra}.items() if v is not None}


def read_answer(body: bytes, prompt: Prompt) -> TeacherAnswer:
    """Read an answer from the body of a response.

    Args:
        body: JSON as the server sent it, or a stream of chunks that was not requested.
        prompt: The prompt of the call.

    Raises:
        RemoteError: The body is no answer, or contains an error.
        GenerationError: A filter withheld the answer, the server broke it off, or does not report
            whether it is complete (`inference.remote.finish_reasons`).
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    told = _parse_body(text)
    if isinstance(told, dict) and told.get("error"):
        raise RemoteError(
            f"the server failed: {error_text(json.dumps(told))}", status=error_status(told["error"])
        )
    choices = told.get("choices") if isinstance(told, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise RemoteError(f"the answer has no choices: {text[:200]!r}", status=200)
    return _answer(told, choices[0], prompt)


def _parse_body(text: str) -> Any:  # noqa: ANN401 - any JSON value
    with suppress(ValueError):
        told = json.loads(text)
        # Ollama's own form, one object or one a line, is read as a stream.
        if not isinstance(told, dict) or "choices" in told or "done" not in told:
            return told
    try:
        return _join_chunks(text)
    except (AttributeError, TypeError) as fault:
        raise RemoteError(f"the server sent no answer: {text[:200]!r}", status=200) from fault


def _join_chunks(text: str) -> dict[str, Any]:
    """Merge the chunks of a stream into the object that a server sends when it does not stream.

    Raises:
        RemoteError: The text is no stream.
        BrokenAnswerError: The stream ends before the answer does.
    """
    answer: dict[str, Any] = {}
    choice: dict[str, Any] = {}
    parts: dict[str, list[Any]] = {}
    for event in body_events(text):
        if event.kind == "done":
            if parts:
                choice.setdefault("finish_reason", "stop")
            break
        if event.kind == "error" or not isinstance(event.value, dict) or event.value.get("error"):
            told = event.value if isinstance(event.value, dict) else {"error": event.value}
            return told if told.get("error") else {"error": told}
        answer |= {name: value for name, value in event.value.items() if value is not None}
        chunk = first_choice(event.value) or {}
        choice |= {name: chunk[name] for name in ("finish_reason", "error") if chunk.get(name)}
        # Some servers repeat the whole message in their last chunk.
        message = chunk.get("delta") or ({} if parts else chunk.get("message"))
        for name, part in (message or {"content": chunk.get("text")}).items():
            if part and name != "role":
                parts.setdefault(name, []).extend(part if isinstance(part, list) else [part])
    if not answer:
        raise RemoteError(f"the answer is no JSON: {text[:200]!r}", status=200)
    if not choice:
        raise BrokenAnswerError(f"the server's answer broke off before its end: {text[:200]!r}")
    choice["message"] = {
        name: "".join(found) if all(isinstance(one, str) for one in found) else found
        for name, found in parts.items()
    }
    return {**answer, "choices": [choice]}


def _answer(told: dict[str, Any], choice: dict[str, Any], prompt: Prompt) -> TeacherAnswer:
    end = judge_choice(choice)
    end.raise_fault()  # first: a withheld answer need not hold a text
    given = choice.get("message")
    message = given if isinstance(given, dict) else {}
    # A model that refuses or only reasons has no content.
    said = (message.get("content") or "") if isinstance(given, dict) else choice.get("text")
    if not isinstance(said, str | list | dict):
        raise RemoteError(f"the answer holds no text: {str(choice)[:200]!r}", status=200)
    # Servers put reasoning beside the content under different names.
    beside = (message.get(name) for name in ("reasoning_content", "reasoning", "thinking"))
    usage = told.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return make_answer(
        said,
        end,
        prompt,
        tool_calls=message.get("tool_calls") or message.get("function_call"),
        thoughts=next((t.strip() for t in beside if isinstance(t, str) and t.strip()), ""),
        prompt_tokens=counts.get("prompt_tokens", told.get("prompt_eval_count")),
        completion_tokens=counts.get("completion_tokens", told.get("eval_count")),
        model=str(told.get("model") or ""),
    )
