"""A teacher on a server that speaks OpenAI's HTTP: vLLM, SGLang, Ollama, llama-server, OpenRouter.

Answers are asked for whole, not as a stream: nobody reads along, and a stream of a thousand tokens
costs the processor more than all the rest of a call.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from ...errors import ConfigError, DeadlineError, GenerationError, RemoteError
from ...inference.no_real_models import check_models_allowed
from ...inference.remote.content_blocks import read_content
from ...inference.remote.finish_reasons import error_status, judge_choice
from ...inference.remote.server_address import Server, error_text, read_refusal, transport_fault
from .protocol import (
    DecodeProfile,
    Prompt,
    TeacherAnswer,
    count_tokens,
    prompt_bytes,
    prompt_turns,
)

_MOST_BODY_BYTES = 64 << 20
_CONNECT_S = 10.0
_UNSENDABLE = ("stream", "stream_options", "n", "messages", "prompt")
"""Fields of a request that would change what is sent or how the answer is read."""


class RemoteTeacher:
    """See `teachers.Teacher`."""

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
            base_url: Where it listens, with its version: `http://127.0.0.1:8000/v1`.
            endpoint: `chat`, or `completions`, which gets rendered prompts and no turns.
            api_key_env: Environment variable that holds the key; read at every call.
            api_key: The key itself; kept in memory only, and out of errors.
            timeout_s: Seconds until the whole answer is there.
            honours_idempotency: The server is known to charge once for calls with one
                `Idempotency-Key`.

        Raises:
            ConfigError: A setting is missing or out of range.
        """
        self._server = Server(model, base_url, endpoint, api_key_env, 0, timeout_s, 0.0, api_key)
        if not timeout_s > 0:
            raise ConfigError([f"timeout_s is {timeout_s!r}; allowed is above 0"])
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None
        self.honours_idempotency = honours_idempotency
        """Whether calls with one id are charged once; `BatchLabeler` reads it."""

    @property
    def name(self) -> str:
        """The model's name on the server."""
        return self._server.model

    @property
    def server(self) -> Server:
        """Where it is and how it is asked."""
        return self._server

    @property
    def revision(self) -> str | None:
        """Unknown: servers do not tell."""
        return None

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        """Send a prompt and wait for the whole answer; see `Teacher.ask`."""
        check_models_allowed(self.name)
        content = json.dumps(self._body(prompt, profile)).encode()
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
            # `ask` keeps the time, and `BatchLabeler` the number of calls at once.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            timeout = httpx.Timeout(None, connect=min(_CONNECT_S, self._timeout_s))
            # A proxy has no business between this machine and itself.
            proxies = not self._server.is_local
            self._client = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=proxies)
        return self._client

    def _body(self, prompt: Prompt, profile: DecodeProfile) -> dict[str, Any]:
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
        # Null takes a field away: some models want max_completion_tokens and no max_tokens.
        return {name: v for name, v in {**body, **profile.extra}.items() if v is not None}


def read_answer(body: bytes, prompt: Prompt) -> TeacherAnswer:
    """Read the body of a whole answer.

    Args:
        body: JSON, as the server sent it.
        prompt: What was asked; where the server does not count tokens, a byte counts as one, which
            is the most that it can be.

    Raises:
        RemoteError: It is no answer, or an error in the place of one.
        GenerationError: A filter withheld it, the server broke it off, or does not say whether it
            is whole (`inference.finish_reasons`).
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        told = json.loads(text)
    except ValueError as fault:
        raise RemoteError(f"the answer is no JSON: {text[:200]!r}", status=200) from fault
    if isinstance(told, dict) and told.get("error"):
        raise RemoteError(
            f"the server failed: {error_text(text)}", status=error_status(told["error"])
        )
    choices = told.get("choices") if isinstance(told, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise RemoteError(f"the answer has no choices: {text[:200]!r}", status=200)
    return _answer(told, choices[0], prompt)


def _answer(told: dict[str, Any], choice: dict[str, Any], prompt: Prompt) -> TeacherAnswer:
    end = judge_choice(choice)
    end.raise_fault()
    message = choice.get("message")
    if isinstance(message, dict) and (message.get("tool_calls") or message.get("function_call")):
        raise GenerationError("the teacher called a tool in place of an answer; a label is a text")
    said = message.get("content") if isinstance(message, dict) else choice.get("text")
    if said is None and isinstance(message, dict):
        said = ""  # a model that refuses, or only thinks
    if not isinstance(said, str | list | dict):
        raise RemoteError(f"the answer holds no text: {str(choice)[:200]!r}", status=200)
    content = read_content(said)
    if content.refusal and not content.text.strip():
        raise GenerationError(f"the model refused to answer: {content.refusal[:300]}")
    usage = told.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    made = len(content.text.encode("utf-8", "replace"))
    return TeacherAnswer(
        text=content.text.strip(),
        finish_reason="length" if end.verdict == "cut" else "stop",
        prompt_tokens=count_tokens(counts.get("prompt_tokens"), prompt_bytes(prompt)),
        completion_tokens=count_tokens(counts.get("completion_tokens"), made),
        model=str(told.get("model") or ""),
        thoughts=content.thoughts or _reasoning(message),
    )


def _reasoning(message: object) -> str:
    """Find the thoughts that servers put beside the content, each under a name of its own."""
    if not isinstance(message, dict):
        return ""
    found = (message.get(name) for name in ("reasoning_content", "reasoning", "thinking"))
    return next((one.strip() for one in found if isinstance(one, str) and one.strip()), "")
