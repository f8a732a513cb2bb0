"""What a failed call means: what it is called, whether asking again has sense, and what it cost."""

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
from ..teachers.client_faults import fault_place, fault_text, first_fault, translate_fault
from ..teachers.protocol import Prompt, TeacherAnswer, count_tokens, prompt_bytes
from .label_run import FaultKind

_MISTAKES = (ConfigError, ScriptError, EngineClosedError, MissingDependencyError)
"""Of the caller, told by checks of our own: every other record would fail in the same way, and
nothing was sent. What a client raises by itself, a TypeError too, concerns one answer."""
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
    alike: str | None = None
    """What tells that many records fail for one reason, which is not theirs: ten in a row end the
    run. None for faults that may well be of the records."""


def judge_fault(fault: BaseException) -> CallFault:
    """Say what an exception of `Teacher.ask` means.

    Providers charge for answers, not for refusals; where it cannot be known, a call counts as paid.
    """
    fault = first_fault(fault)
    message = readable(fault_text(fault))
    if isinstance(fault, _MISTAKES):
        return CallFault("unknown", message, True, answered=True, free=True, raises=True)
    if isinstance(fault, BrokenAnswerError):  # what came before it broke off may be charged
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
    told = translate_fault(fault)
    if told is not None:
        return judge_fault(told)
    message, name = f"{fault_place(fault)}: {message}", type(fault).__name__
    return CallFault("unknown", message, again=True, answered=True, free=False, alike=name)


def _judge_status(fault: RemoteError, message: str) -> CallFault:
    status = fault.status
    if status is None:
        return CallFault(
            "connection", message, again=True, answered=False, free=False, alike="connection"
        )
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
    missing = "no such model or address" if status == 404 else None
    return CallFault("bad_request", message, False, answered=True, free=True, alike=missing)


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
    end = judge_end(answer.finish_reason)
    if end.verdict != "good":
        return _no_label("bad_request", readable(end.message))
    if not answer.text.strip():
        told = "the answer is empty"
        if answer.thoughts:
            told = "the answer holds thoughts alone; raise max_tokens, or let the model think less"
        return _no_label("empty_response", told)
    return None if verdict is None else _no_label("rejected", readable(verdict))


def whole_answer(said: object, prompt: Prompt) -> TeacherAnswer:
    """Check what a teacher gave, and mend what can be mended.

    Args:
        said: What `Teacher.ask` returned; teachers of others may give anything.
        prompt: What was asked; a byte counts as a token where the teacher does not count.

    Raises:
        TypeError: It is no answer.
    """
    if not isinstance(said, TeacherAnswer) or not isinstance(said.text, str):
        given = said.text if isinstance(said, TeacherAnswer) else said
        raise TypeError(
            f"the teacher gave a {type(given).__name__}; a TeacherAnswer with a text is needed"
        )
    text = readable(said.text)
    return replace(
        said,
        text=text,
        thoughts=readable(str(said.thoughts or "")),
        prompt_tokens=count_tokens(said.prompt_tokens, prompt_bytes(prompt)),
        completion_tokens=count_tokens(said.completion_tokens, len(text.encode())),
        model=readable(str(said.model or "")),
    )


def readable(text: str) -> str:
    """Put U+FFFD in the place of half surrogate pairs, which no file can hold; join whole ones.

    >>> readable("a\\ud83d"), readable("\\ud83d\\ude00") == "\\U0001f600"
    ('a\ufffd', True)
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _no_label(kind: FaultKind, message: str) -> CallFault:
    return CallFault(kind, message, again=True, answered=True, free=False)
