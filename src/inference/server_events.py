"""What servers that speak OpenAI's HTTP send, turned into token events.

Chat chunks hold `delta.content` and `logprobs.content`; completion chunks hold `text` and
`logprobs.tokens`. Both come as server-sent events that end with `[DONE]`.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ..errors import RemoteError
from .engine import Alternative, FinishReason, TokenEvent, Usage
from .finish_reasons import judge_choice
from .servers import error_text
from .tool_calls import CLOSE_TAG, OPEN_TAG

MOST_LINE_BYTES = 1 << 20


async def event_data(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Give the data of server-sent events.

    Args:
        chunks: The body as it comes, cut anywhere.

    Raises:
        RemoteError: A line is longer than 1 MiB.
    """
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    held = ""
    async for chunk in chunks:
        *lines, held = (held + decode(chunk)).split("\n")
        if max(map(len, [*lines, held])) > MOST_LINE_BYTES:
            raise RemoteError(
                f"the server sent a line of more than {MOST_LINE_BYTES} bytes", status=200
            )
        for line in lines:
            if line.startswith("data:"):  # other lines are comments, ids and names
                yield line[5:].strip()


class ServerAnswer:
    """Reads the chunks of one answer."""

    def __init__(self) -> None:
        """Start an answer."""
        self.finish_reason: FinishReason | None = None
        self.usage: Usage | None = None
        """As the server counts; None where it does not tell."""
        self._calls = _CallText()

    def read(self, data: str) -> list[TokenEvent]:
        """Read the data of one event; give the tokens in it.

        Raises:
            RemoteError: It is an error of the server, no JSON, or an answer that is not text.
        """
        try:
            chunk = json.loads(data)
        except ValueError as fault:
            raise RemoteError(
                f"the server sent what is no JSON: {data[:200]!r}", status=200
            ) from fault
        if not isinstance(chunk, dict) or chunk.get("error"):
            raise RemoteError(f"the server failed while answering: {error_text(data)}")
        self._read_usage(chunk.get("usage"))
        choices = chunk.get("choices") or [{}]
        return self._read_choice(choices[0])

    def _read_usage(self, usage: Any) -> None:  # noqa: ANN401
        if isinstance(usage, Mapping):
            asked, made = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if isinstance(asked, int) and isinstance(made, int):
                self.usage = Usage(asked, made)

    def _read_choice(self, choice: Mapping[str, Any]) -> list[TokenEvent]:
        message = choice.get("delta") or choice.get("message") or {}
        reason = choice.get("finish_reason")
        if reason or choice.get("error"):
            end = judge_choice(choice)
            if end.verdict == "fault":
                raise RemoteError(end.message, status=end.status or (None if end.again else 200))
            self.finish_reason = "length" if end.verdict == "cut" else "stop"
        text = choice.get("text") if "text" in choice else message.get("content")
        calls = "".join(self._calls.read(call) for call in message.get("tool_calls") or ())
        if self.finish_reason == "stop":  # a call that was cut stays open
            calls += self._calls.close()
        if calls:
            return [TokenEvent(None, None, (text or "") + calls)]
        return _events(text or "", choice.get("logprobs"))


class _CallText:
    """Writes tool calls that come in fields as the text that models here write
    (`tool_calls.tool_grammar` with tags), so that both are read alike."""

    def __init__(self) -> None:
        self._open = False
        self._has_arguments = False

    def read(self, call: Mapping[str, Any]) -> str:
        """Take a piece of a call: the first brings its name, the others its arguments."""
        function, text = call.get("function") or {}, ""
        if function.get("name"):
            text = self.close() + f'{OPEN_TAG}{{"name": {json.dumps(function["name"])}, '
            text += '"arguments": '
            self._open = True
        arguments = function.get("arguments") or ""
        self._has_arguments = self._has_arguments or bool(arguments.strip())
        return text + str(arguments)

    def close(self) -> str:
        """End the call that is open."""
        if not self._open:
            return ""
        end = ("" if self._has_arguments else "{}") + "}" + CLOSE_TAG
        self._open, self._has_arguments = False, False
        return end


def _events(text: str, logprobs: Any) -> list[TokenEvent]:  # noqa: ANN401
    tokens = _tokens(logprobs) if isinstance(logprobs, Mapping) else []
    if tokens and "".join(token.text or "" for token in tokens) == text:
        return tokens
    if not text:
        return []
    # Characters that span tokens, or a server that sends several at once: text and numbers do not
    # line up, and the text is what counts.
    return [TokenEvent(None, tokens[0].logprob if len(tokens) == 1 else None, text)]


def _tokens(logprobs: Mapping[str, Any]) -> list[TokenEvent]:
    if isinstance(logprobs.get("content"), list):
        return [
            TokenEvent(None, one.get("logprob"), one.get("token"), _alternatives(one))
            for one in logprobs["content"]
        ]
    best = logprobs.get("top_logprobs") or [None] * len(logprobs.get("tokens") or [])
    columns = (logprobs.get("tokens") or [], logprobs.get("token_logprobs") or [], best)
    return [
        TokenEvent(
            None,
            logprob,
            token,
            tuple(Alternative(None, value, name) for name, value in (likeliest or {}).items()),
        )
        for token, logprob, likeliest in zip(*columns, strict=False)
    ]


def _alternatives(token: Mapping[str, Any]) -> tuple[Alternative, ...]:
    likeliest = token.get("top_logprobs") or ()
    return tuple(Alternative(None, one["logprob"], one["token"]) for one in likeliest)
