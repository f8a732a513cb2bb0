"""Classify failed calls: their kind, whether a retry makes sense, and whether they cost money."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...errors import (
    BrokenAnswerError,
    ConfigError,
    DeadlineError,
    EngineBusyError,
    EngineClosedError,
    EngineFailedError,
    GenerationError,
    MissingDependencyError,
    RemoteError,
    ScriptError,
)
from ...inference.remote.backoff import may_pass
from ...inference.remote.finish_reasons import judge_end
from ...inference.remote.sse import whole_characters
from ..teachers.client_faults import fault_place, fault_text, first_fault, translate_fault
from ..teachers.protocol import Prompt, TeacherAnswer, count_tokens, prompt_bytes
from .label_run import FaultKind

_MISTAKES = (ConfigError, ScriptError, EngineClosedError, MissingDependencyError)
"""Mistakes of the caller, found by our own checks before anything was sent: all other records would
fail in the same way. Any other error that a client raises, even a TypeError, concerns one
answer."""
_MAY_HAVE_COST = frozenset({408, 502, 504})
"""Statuses of a gateway that gave up; the server behind it may have answered and charged."""
_LATER = frozenset({408, 425, 500, 502, 503, 504, 529})


@dataclass(frozen=True)
class CallFault:
    """A call that produced no label."""

    kind: FaultKind
    message: str
    again: bool
    """Whether a retry may succeed."""
    answered: bool
    """Whether the whole response arrived, so that the call has ended."""
    free: bool
    """Whether the call is known to have cost nothing."""
    ends_run: bool = False
    """Whether all other records would fail too: the run stops, without a dead letter."""
    raises: bool = False
    """Whether the exception is a mistake of the caller and is raised to the caller."""
    retry_after: str | None = None
    """The server's Retry-After header."""
    shared_cause: str | None = None
    """Name of a cause that does not depend on the record; ten successive records with the same
    cause stop the run. None if the record itself may be the cause."""


def judge_fault(fault: BaseException) -> CallFault:
    """Classify an exception of `Teacher.ask`.

    Providers charge for answers, not for refusals. If it is unknown which it was, the call counts
    as paid.
    """
    fault = first_fault(fault)
    message = whole_characters(fault_text(fault))
    if isinstance(fault, _MISTAKES):
        return CallFault("unknown", message, True, answered=True, free=True, raises=True)
    if isinstance(fault, BrokenAnswerError):  # the part that arrived may be charged
        kind: FaultKind = "rate_limit" if fault.status == 429 else "llm_api_error"
        return CallFault(kind, message, again=may_pass(fault), answered=True, free=False)
    if isinstance(fault, RemoteError):
        return _judge_status(fault, message)
    if isinstance(fault, DeadlineError):
        return CallFault("timeout", message, again=True, answered=False, free=False)
    if isinstance(fault, EngineBusyError | EngineFailedError):
        return CallFault("llm_api_error", message, again=True, answered=True, free=True)
    if isinstance(fault, GenerationError):  # too long, withheld, or not known to be whole
        return CallFault("bad_request", message, again=False, answered=True, free=False)
    if (told := translate_fault(fault)) is not None:
        return judge_fault(told)
    message, name = f"{fault_place(fault)}: {message}", type(fault).__name__
    return CallFault("unknown", message, again=True, answered=True, free=False, shared_cause=name)


def _judge_status(fault: RemoteError, message: str) -> CallFault:
    status = fault.status
    if status is None:
        kind: FaultKind = "connection"
        return CallFault(kind, message, True, answered=False, free=False, shared_cause="connection")
    if status == 200:
        return CallFault("json_parse_error", message, again=True, answered=True, free=False)
    if status == 429:
        told = fault.retry_after
        return CallFault("rate_limit", message, True, answered=True, free=True, retry_after=told)
    if status in (401, 402):  # 402: no credit left
        return CallFault("auth_error", message, False, answered=True, free=True, ends_run=True)
    if status == 403:  # may concern this prompt only: moderation
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
    missing = "no such model or address" if status == 404 else None
    return CallFault("bad_request", message, False, answered=True, free=True, shared_cause=missing)


def judge_answer(answer: TeacherAnswer, verdict: str | None) -> CallFault | None:
    """Return why a complete answer is no label; None if it is one.

    Args:
        answer: The teacher's answer.
        verdict: Objection of the check, or None; ignored for empty and truncated answers.
    """
    if answer.finish_reason == "length":
        told = (
            f"the answer is cut off after {answer.completion_tokens} tokens; raise max_tokens, or "
            "shorten the prompt where the model's context is full"
        )
        return _no_label("truncated", told)
    reason: object = answer.finish_reason  # a teacher of the user's own may return any word
    if reason != "stop" and (end := judge_end(reason)).verdict != "good":
        return _no_label("bad_request", whole_characters(end.message))
    if not answer.text.strip():
        told = "the answer is empty"
        if answer.thoughts:
            told = "the answer holds thoughts alone; raise max_tokens, or let the model think less"
        return _no_label("empty_response", told)
    return None if verdict is None else _no_label("rejected", whole_characters(verdict))


def whole_answer(said: object, prompt: Prompt) -> TeacherAnswer:
    """Check the return value of `Teacher.ask`, and repair half characters and missing counts.

    Args:
        said: The return value; a user's own teacher may return anything.
        prompt: The prompt; if the teacher does not count tokens, every byte counts as one.

    Raises:
        TypeError: The value is no answer.
    """
    if not isinstance(said, TeacherAnswer) or not isinstance(said.text, str):
        given = said.text if isinstance(said, TeacherAnswer) else said
        raise TypeError(
            f"the teacher gave a {type(given).__name__}; a TeacherAnswer with a text is needed"
        )
    text = whole_characters(said.text)
    return replace(
        said,
        text=text,
        thoughts=whole_characters(str(said.thoughts or "")),
        prompt_tokens=count_tokens(said.prompt_tokens, prompt_bytes(prompt)),
        completion_tokens=count_tokens(said.completion_tokens, len(text.encode())),
        model=whole_characters(str(said.model or "")),
    )


def _no_label(kind: FaultKind, message: str) -> CallFault:
    return CallFault(kind, message, again=True, answered=True, free=False)
