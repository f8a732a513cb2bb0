"""Finding tool calls in the text of an answer: while it streams, or in a complete answer.

`CallReader` reads answers that a grammar constrains: text is passed on at once, calls in
LangChain's pieces, the first with name and id, the others with arguments. `calls_in_text` reads
complete answers without a grammar, from servers: they are calls only if all of the text is, so that
no tool is called with a part of what was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from json import JSONDecoder
from typing import Literal

from langchain_core.messages import ToolCallChunk
from langchain_core.messages.tool import tool_call_chunk

from .parse import OPEN_TAG, new_call_id
from .reassemble import SentCall, read_arguments

_START = '{"name":'
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\S)')
_NEXT = re.compile(r"\s*\}\s*(?:</tool_call>\s*)?(?:<tool_call>\s*)?(?=\{)")
_LAST = re.compile(r"\s*\}\s*(?:</tool_call>)?\s*")
_MOST_HEAD = 500
"""Most characters of a call before its arguments."""


class CallReader:
    """Reads one answer: call `feed` with its text, then `finish`."""

    def __init__(self, *, tagged: bool) -> None:
        """Start an answer.

        Args:
            tagged: Whether calls stand between `<tool_call>` tags.
        """
        self._tagged = tagged
        self._held = ""
        self._state: Literal["start", "text", "head", "arguments", "after"]
        self._state = "text" if tagged else "start"
        self._end = _ObjectEnd()
        self.calls = 0
        """Number of calls so far."""
        self.cut = False
        """The answer ended inside a call; set by `finish`."""

    def feed(self, text: str) -> list[str | ToolCallChunk]:
        """Take text; return what is certain by now."""
        self._held += text
        out: list[str | ToolCallChunk] = []
        while True:
            before = self._state, len(self._held)
            out += self._advance()
            if before == (self._state, len(self._held)):
                return out

    def finish(self) -> list[str | ToolCallChunk]:
        """Return what was held back; call it once, after the last text."""
        held, self._held = self._held, ""
        if self._state == "head" and not _is_json(held):
            self.cut = True
            return []
        if self._state == "after":
            closed = _LAST.match(held)
            self.cut = closed is None
            held = held[closed.end() :] if closed else ""
        self.cut = self.cut or self._state == "arguments"
        return [held] if held else []

    def _advance(self) -> list[str | ToolCallChunk]:
        if self._state == "start":
            return self._at_start()
        if self._state == "text":
            return self._in_text()
        if self._state == "head":
            return self._in_head()
        if self._state == "arguments":
            return self._in_arguments()
        if found := _NEXT.match(self._held):
            self._state, self._held = "head", self._held[found.end() :]
        return []

    def _at_start(self) -> list[str | ToolCallChunk]:
        """Without tags, an answer that begins like a call is one."""
        packed = "".join(self._held.split())
        if _START.startswith(packed[: len(_START)]):
            if len(packed) >= len(_START):
                self._state = "head"
            return []
        self._state = "text"
        return []

    def _in_text(self) -> list[str | ToolCallChunk]:
        place = self._held.find(OPEN_TAG) if self._tagged else -1
        if place >= 0:
            text, self._held = self._held[:place], self._held[place + len(OPEN_TAG) :]
            self._state = "head"
            return [text] if text.strip() else []
        keep = 0
        if self._tagged:  # hold back what may begin a tag
            sizes = range(min(len(OPEN_TAG) - 1, len(self._held)), 0, -1)
            keep = next((size for size in sizes if self._held.endswith(OPEN_TAG[:size])), 0)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return [text] if text else []

    def _in_head(self) -> list[str | ToolCallChunk]:
        found = _HEAD.match(self._held)
        if found is None:
            if len(self._held) > _MOST_HEAD and self.calls == 0:
                self._state, self._tagged = "text", False
            return []
        self._state, self._held, self._end = "arguments", self._held[found.end() :], _ObjectEnd()
        self.calls += 1
        return [
            tool_call_chunk(
                name=json.loads(found[1]), args="", id=new_call_id(), index=self.calls - 1
            )
        ]

    def _in_arguments(self) -> list[str | ToolCallChunk]:
        end = self._end.find(self._held)
        taken = self._held if end is None else self._held[:end]
        if end is not None:
            self._state = "after"
        self._held = self._held[len(taken) :]
        return [tool_call_chunk(args=taken, index=self.calls - 1)] if taken else []


class _ObjectEnd:
    """Finds the end of a JSON object that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_text = self._escaped = False

    def find(self, text: str) -> int | None:
        """Return the index after the end; None if the object goes on; 0 if there is no object."""
        for place, character in enumerate(text):
            if self._in_text:
                self._in_text = self._escaped or character != '"'
                self._escaped = character == "\\" and not self._escaped
            elif character == '"' and self._depth:
                self._in_text = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
            if self._depth <= 0:
                return place + 1 if character in "}]" else 0
        return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def begins_like_call(text: str) -> bool:
    """Return whether a text begins like a call, or is too short to tell.

    >>> begins_like_call('{ "name" : "add"'), begins_like_call("{x"), begins_like_call("")
    (True, False, True)
    """
    packed = "".join(text[:200].split())
    return packed.startswith(_START) or _START.startswith(packed)


def calls_in_text(text: str, names: Collection[str]) -> list[SentCall] | None:
    """Read the calls of a complete answer; None if it is text.

    Args:
        text: The answer.
        names: Tools that may be called.

    >>> [call.arguments for call in calls_in_text('{"name": "f", "arguments": {"a": 1}}', ["f"])]
    ['{"a": 1}']
    >>> calls_in_text('{"name": "f", "arguments": {"a": 1}} is how', ["f"])
    """
    calls, rest = [], text.strip()
    while rest:
        try:
            value, end = JSONDecoder(strict=False).raw_decode(rest)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict) or set(value) != {"name", "arguments"}:
            return None
        arguments = read_arguments(json.dumps(value["arguments"]))
        if value["name"] not in names or arguments is None:
            return None
        written = json.dumps(arguments, ensure_ascii=False)
        calls.append(SentCall(value["name"], written, new_call_id(), broken=False))
        rest = rest[end:].lstrip()
    return calls or None
