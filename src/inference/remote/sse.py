"""Parsing the responses of OpenAI-compatible servers into token events.

Chat chunks have `delta.content` and `logprobs.content`; completion chunks have `text` and
`logprobs.tokens`. They come as server-sent events that end with `[DONE]`; one JSON object, or one
line of JSON per chunk, is read as well.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Literal, NamedTuple

from ...errors import BrokenAnswerError, RemoteError, TruncatedAnswerError
from ..engine.protocol import Alternative, FinishReason, TokenEvent, Usage
from ..tool_calls.reassemble import CallPieces
from .content_blocks import TEXT_BLOCKS, read_content
from .finish_reasons import AnswerEnd, error_status, judge_choice, refusal_end
from .server_address import error_text

MOST_LINE_BYTES = 1 << 20
MOST_BODY_BYTES = 16 << 20
"""Limit of an answer that is one JSON object over several lines."""
_MOST_TOLD = 200
"""Characters of a response that errors quote."""
_DONE = "[DONE]"
_CALLING = ("tool_calls", "function_call")


class ServerEvent(NamedTuple):
    """One event of an answer."""

    kind: Literal["data", "error", "done"]
    value: Any
    """Its parsed JSON; of errors also text that is not JSON."""


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[ServerEvent]:
    """Parse the events of a response body.

    Args:
        chunks: The body in chunks of any size.

    Raises:
        RemoteError: A line is longer than 1 MiB, or the body is neither events nor JSON.
    """
    reader, held = _EventReader(), ""
    # Lines end with LF, CR LF or CR alone.
    decoder = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder("utf-8")("replace"), translate=True
    )
    async for chunk in chunks:
        *lines, held = (held + decoder.decode(chunk)).split("\n")
        if max(map(len, [*lines, held])) > MOST_LINE_BYTES:
            raise RemoteError(
                f"the server sent a line of more than {MOST_LINE_BYTES} bytes", status=200
            )
        for line in lines:
            for event in reader.read(line):
                yield event
    for event in reader.end(held + decoder.decode(b"", final=True)):
        yield event


def body_events(body: str) -> list[ServerEvent]:
    """Return the events of a whole body; see `read_events`."""
    reader = _EventReader()
    *lines, last = re.split(r"\r\n|\r|\n", body)
    return [event for line in lines for event in reader.read(line)] + reader.end(last)


class _EventReader:
    """Joins lines to events (WHATWG HTML, "9.2.6 Interpreting an event stream"); tolerates missing
    blank lines, a missing last line end, and bare JSON."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []
        self._body: list[str] | None = None
        """Lines of bare JSON; None if there are events."""
        self._size = 0
        self._any = False
        self._other = ""

    def read(self, line: str) -> list[ServerEvent]:
        """Take a line; return the events that are complete now."""
        line = line.lstrip("\ufeff")
        if self._body is not None:
            return self._read_body(line)
        if not line.strip():
            return self._flush()
        name, colon, value = line.partition(":")
        if name == "data":
            return self._read_data(value.strip())
        if name == "event":
            events, self._name = self._flush(), value.strip()
            return events
        if name == "error" and colon:  # llama.cpp
            return [ServerEvent("error", _parsed(value.strip(), value.strip()))]
        if line.lstrip()[0] in "{[" and not self._any:
            self._body = []
            return self._read_body(line)
        if name not in ("id", "retry", "") and len(self._other) < _MOST_TOLD:
            self._other += line.strip() + " "
        return []

    def end(self, line: str) -> list[ServerEvent]:
        """Take the last, unterminated line; return the remaining events."""
        events = [*self.read(line), *self._flush()]
        if self._body:
            events.append(_sure_event("\n".join(self._body)))
        if self._other and not (events or self._any or self._body is not None):
            what = "a page" if self._other.startswith("<") else "text"
            raise RemoteError(
                f"the server sent {what} in place of an answer, correct base_url if it is another "
                f"kind of server: {self._other[:_MOST_TOLD]!r}",
                status=200,
            )
        return events

    def _read_data(self, value: str) -> list[ServerEvent]:
        if not self._data:
            if not value:  # keep-alive
                return []
            event = _event(value)
            if event is not None:
                return [self._named(event)]
        self._data.append(value)
        self._count(value)
        return []

    def _flush(self) -> list[ServerEvent]:
        parts, self._data = self._data, []
        text = "\n".join(parts)
        if not text.strip():
            self._name = ""
            return []
        event = _event(text)
        if event is not None or self._name == "error":
            return [self._named(event or ServerEvent("error", text))]
        # Events without blank lines between them.
        return [self._named(_sure_event(part)) for part in parts if part]

    def _named(self, event: ServerEvent) -> ServerEvent:
        name, self._name, self._any = self._name, "", True
        return ServerEvent("error", event.value) if name == "error" else event

    def _read_body(self, line: str) -> list[ServerEvent]:
        """Take a line of bare JSON: a whole chunk (Ollama), or a part of one object."""
        if not self._body:
            event = _event(line) if line.strip() else None
            if event is not None or not line.strip():
                return [event] if event else []
        self._body = [] if self._body is None else self._body
        self._body.append(line)
        self._count(line)
        return []

    def _count(self, line: str) -> None:
        self._size += len(line)
        if self._size > MOST_BODY_BYTES:
            raise RemoteError(
                f"the server sent an answer of more than {MOST_BODY_BYTES} bytes", status=200
            )


class ServerAnswer:
    """Parses the events of one answer into tokens."""

    def __init__(self, tools: Collection[str] = ()) -> None:
        """Start an answer.

        Args:
            tools: Names of the tools that were offered.
        """
        self.usage: Usage | None = None
        """The server's own count; None without one."""
        self._finish_reason: FinishReason | None = None
        self._done = self._any = self._calling = False
        self._refusal = self._refused_part = ""
        """Refusal of the whole answer, and in blocks beside its text."""
        self._said = False
        self._half = ""
        """First half of a surrogate pair that is split between chunks."""
        self._calls = CallPieces(tools)

    @property
    def ended(self) -> bool:
        """A finish reason was sent."""
        return self._finish_reason is not None

    def read(self, event: ServerEvent) -> list[TokenEvent]:
        """Parse one event; return its tokens.

        Raises:
            RemoteError: It is a server error, not part of an answer, or withholds the answer.
        """
        if event.kind == "done":
            self._done = True
            return []
        try:
            if event.kind == "error" or _is_error(event.value):
                raise _failed(event.value)
            return self._read_chunk(event.value)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as fault:
            told = json.dumps(event.value, ensure_ascii=False)[:_MOST_TOLD]
            raise RemoteError(f"the server sent what is no answer: {told}", status=200) from fault

    def finish(self) -> list[TokenEvent]:
        """Return the last event, with tool calls and the finish reason.

        A stream that ends with `[DONE]` is complete even without a finish reason.

        Raises:
            RemoteError: The answer is incomplete, or the model refused.
            TruncatedAnswerError: A tool call was cut off.
        """
        reason = self._finish_reason or ("stop" if self._done and self._any else None)
        if reason is None:
            what = "broke off before its end" if self._any else "is empty"
            raise BrokenAnswerError(f"the server's answer {what}")
        # Refusal blocks beside a text are ignored, like thinking blocks.
        if refused := refusal_end(self._refusal or ("" if self._said else self._refused_part)):
            _check(refused)
        if self._calling and not self._said and not self._calls.calls():
            raise BrokenAnswerError("the server said that a tool is called, and sent no call")
        if reason == "length" and self._calls.cut():
            raise TruncatedAnswerError(
                "the answer ended before its form was complete, in a call of a tool; allow more "
                "max_tokens",
                partial="".join(call.arguments for call in self._calls.calls()),
            )
        rest = whole_characters(self._half)
        return [TokenEvent(None, None, rest, (), reason, tuple(self._calls.calls()))]

    def _read_chunk(self, chunk: Mapping[str, Any]) -> list[TokenEvent]:
        self._read_usage(chunk)
        choice = first_choice(chunk)
        if choice is None:
            return []
        reason = choice.get("finish_reason")
        if reason not in (None, "", "null") or choice.get("error"):
            end = judge_choice(choice)
            self._calling = self._calling or reason in _CALLING
            _check(end)
            if end.verdict == "cut":
                self._finish_reason = "length"
            else:
                self._finish_reason = self._finish_reason or "stop"
        message = choice.get("delta") or {}
        if not message and not self._any:  # some servers repeat the whole answer in the last chunk
            message = choice.get("message") or {}
        pieces = message.get("tool_calls") or ()
        for piece in [pieces] if isinstance(pieces, Mapping) else pieces:
            self._calls.add(piece)
        if message.get("function_call"):
            self._calls.add_old(message["function_call"])
        content = choice["text"] if "text" in choice else message.get("content")
        if not _is_content(content):
            raise ValueError("content is neither text nor blocks")
        read = read_content(content)
        said, refused = read.text, read.refusal
        self._refusal += message.get("refusal") or ""
        self._refused_part += refused
        self._said = self._said or bool(said.strip())
        self._any = self._any or bool(said or self._calls or self._refusal or refused)
        return _events(self._whole(said), choice.get("logprobs"))

    def _whole(self, said: str) -> str:
        """Join surrogate pairs that a server split between chunks."""
        if not self._half and said.isascii():
            return said
        said, self._half = self._half + said, ""
        if said and "\ud800" <= said[-1] <= "\udbff":
            said, self._half = said[:-1], said[-1]
        return whole_characters(said)

    def _read_usage(self, chunk: Mapping[str, Any]) -> None:
        usage = chunk.get("usage")
        counts: Mapping[str, Any] = usage if isinstance(usage, Mapping) else {}
        asked = counts.get("prompt_tokens", chunk.get("prompt_eval_count"))
        made = counts.get("completion_tokens", chunk.get("eval_count"))
        if isinstance(asked, int) and isinstance(made, int):
            self.usage = Usage(asked, made)


def _check(end: AnswerEnd) -> None:
    if end.again:
        raise BrokenAnswerError(end.message, status=end.status)
    if end.verdict == "fault":
        raise RemoteError(end.message, status=200)


def _is_content(content: object) -> bool:
    blocks = content if isinstance(content, list) else [content]
    return all(
        isinstance(one, str | Mapping | None)
        and not (
            isinstance(one, Mapping)
            and one.get("type", "text") in TEXT_BLOCKS
            and not isinstance(one.get("text"), str)
        )
        for one in blocks
    )


def whole_characters(text: str) -> str:
    """Join surrogate pairs, and replace unpaired ones by U+FFFD.

    >>> whole_characters("\\ud83d\\ude00") == "\\U0001f600", whole_characters("a\\ud83d")
    (True, 'a\ufffd')
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def first_choice(chunk: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Find the first choice of a chunk; None where it holds none, such as one with counts only."""
    choices = chunk.get("choices")
    if choices:
        first: list[Mapping[str, Any]] = [one for one in choices if one.get("index") in (None, 0)]
        return first[0] if first else None
    if "choices" in chunk or "done" not in chunk:
        return None
    # Ollama's native format.
    reason = (chunk.get("done_reason") or "stop") if chunk["done"] else None
    message = chunk.get("message") or {"content": chunk.get("response")}
    return {"delta": message, "finish_reason": reason}


def _is_error(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether a chunk reports an error, in any of the known formats."""
    if isinstance(value, list):
        value = value[0]
    if value.get("error") or value.get("object") == "error" or value.get("type") == "error":
        return True
    told = value.get("message"), value.get("detail")
    return not value.get("choices") and any(isinstance(one, str | list) and one for one in told)


def _failed(value: Any) -> BrokenAnswerError:  # noqa: ANN401 - any JSON value
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    inner = value[0] if isinstance(value, list) and value else value
    error = inner.get("error", inner) if isinstance(inner, Mapping) else inner
    if isinstance(error, str) and isinstance(inner, Mapping):
        error = inner
    return BrokenAnswerError(
        f"the server failed while answering: {error_text(told)}", status=error_status(error)
    )


_NOTHING = object()


def _parsed(text: str, otherwise: object = _NOTHING) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return otherwise


def _event(text: str) -> ServerEvent | None:
    """Parse the data of an event; None if it is not JSON."""
    if text.strip() == _DONE:
        return ServerEvent("done", None)
    value = _parsed(text)
    return None if value is _NOTHING else ServerEvent("data", value)


def _sure_event(text: str) -> ServerEvent:
    event = _event(text)
    if event is None:
        raise RemoteError(f"the server sent what is no JSON: {text[:200]!r}", status=200)
    return event


def _events(text: str, logprobs: Any) -> list[TokenEvent]:  # noqa: ANN401
    tokens = _tokens(logprobs) if isinstance(logprobs, Mapping) else []
    if tokens and "".join(token.text or "" for token in tokens) == text:
        return tokens
    if not text:
        return []
    # Characters that span tokens, or several tokens in one chunk: text and log-probabilities do not
    # align, so only the text is kept.
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
