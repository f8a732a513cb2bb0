"""What a failed call means: what it is called, whether asking again has sense, and what it cost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ..errors import (
    BrokenAnswerError,
    ConfigError,
    DeadlineError,
    EngineBusyError,
    EngineClosedError,
    EngineFailedError,
    GenerationError,
    RemoteError,
    ScriptError,
)
from ..inference.retries import may_pass
from .label_values import FaultKind
from .teachers import TeacherAnswer

_MISTAKES = (ConfigError, ScriptError, EngineClosedError, TypeError)
"""Of the caller: every other record would fail in the same way, and nothing was sent."""
_MAY_HAVE_COST = frozenset({408, 502, 504})
"""A gateway gave up; what stands behind it may have answered."""
_LATER = frozenset({408, 425, 500, 502, 503, 504, 529})


@dataclass(frozen=True)
class CallFault:
    """A call that gave no label."""

    kind: FaultKind
    message: str
    again: bool
    """Another attempt may do better."""
    answered: bool
    """The whole response was seen, so the call has ended."""
    free: bool
    """It is known to have cost nothing."""
    ends_run: bool = False
    """All other records would fail in the same way; the record is not given up."""
    raises: bool = False
    """The caller has made a mistake and is to be told by the exception itself."""
    retry_after: str | None = None
    """What the server says of when to come back."""


def judge_fault(fault: Exception) -> CallFault:
    """Say what an exception of `Teacher.ask` means.

    Providers charge for answers, not for refusals; where it cannot be known, a call counts as paid.
    """
    message = readable(str(fault) or type(fault).__name__)
    if isinstance(fault, _MISTAKES):
        return CallFault("unknown", message, True, answered=True, free=True, raises=True)
    if isinstance(fault, BrokenAnswerError):  # what came before it broke off may be charged
        kind: FaultKind = "rate_limit" if fault.status == 429 else "llm_api_error"
        return CallFault(kind, message, again=may_pass(fault), answered=True, free=False)
    if isinstance(fault, RemoteError):
        return _judge_status(fault, message)
    if isinstance(fault, DeadlineError | TimeoutError | asyncio.TimeoutError):
        return CallFault("timeout", message, again=True, answered=False, free=False)
    if isinstance(fault, EngineBusyError | EngineFailedError):
        return CallFault("llm_api_error", message, again=True, answered=True, free=True)
    if isinstance(fault, GenerationError):  # too long, withheld, or not known to be whole
        return CallFault("bad_request", message, again=False, answered=True, free=False)
    told = f"{type(fault).__name__}: {message}"
    return CallFault("unknown", told, again=True, answered=True, free=False)


def _judge_status(fault: RemoteError, message: str) -> CallFault:
    status = fault.status
    if status is None:
        return CallFault("connection", message, again=True, answered=False, free=False)
    if status == 200:
        return CallFault("json_parse_error", message, again=True, answered=True, free=False)
    if status == 429:
        told = fault.retry_after
        return CallFault("rate_limit", message, True, answered=True, free=True, retry_after=told)
    if status in (401, 402):  # 402: nothing left on the account
        return CallFault("auth_error", message, False, answered=True, free=True, ends_run=True)
    if status == 403:  # may be about this prompt only: moderation
        return CallFault("auth_error", message, again=False, answered=True, free=True)
    if status in _LATER or status >= 500:
        doubtful = status in _MAY_HAVE_COST
        return CallFault(
            "llm_api_error",
            message,
            again=True,
            answered=not doubtful,
            free=not doubtful,
            retry_after=fault.retry_after,
        )
    return CallFault("bad_request", message, again=False, answered=True, free=True)


def judge_answer(answer: TeacherAnswer, verdict: str | None) -> CallFault | None:
    """Say why a whole answer is no label; None where it is one.

    Args:
        answer: What the teacher said.
        verdict: What the check said of it, None for good; not looked at for empty and cut answers.
    """
    if answer.finish_reason == "length":
        told = (
            f"the answer is cut off after {answer.completion_tokens} tokens; raise max_tokens, or "
            "shorten the prompt where the model's context is full"
        )
        return _no_label("truncated", told)
    if not answer.text.strip():
        return _no_label("empty_response", "the answer is empty")
    return None if verdict is None else _no_label("rejected", readable(verdict))


def readable(text: str) -> str:
    """Put a question mark in the place of half surrogate pairs, which no file can hold.

    >>> readable("a\\ud83d")
    'a?'
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _no_label(kind: FaultKind, message: str) -> CallFault:
    return CallFault(kind, message, again=True, answered=True, free=False)
