"""Tool calls in a whole answer of a model that is not held to a form: one that a server completes
from a prompt.

The answer calls tools where all of it is calls, one after the other, as `tool_calls` says they are
written. Anything else is text: a tool is never called with a part of what was written.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from json import JSONDecoder

from .parse import new_call_id
from .reassemble import SentCall, read_arguments

_START = '{"name":'


def begins_like_call(text: str) -> bool:
    """Say whether a text begins like a call, or is too short to tell.

    >>> begins_like_call('{ "name" : "add"'), begins_like_call("{x"), begins_like_call("")
    (True, False, True)
    """
    packed = "".join(text[:200].split())
    return packed.startswith(_START) or _START.startswith(packed)


def calls_in_text(text: str, names: Collection[str]) -> list[SentCall] | None:
    """Read the calls of an answer; None where it is text.

    Args:
        text: All of the answer.
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
