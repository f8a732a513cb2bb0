"""Finish reasons of servers and providers, and whether the answer is complete.

    judge_end("end_turn").verdict        # 'good'
    judge_end("MAX_TOKENS").verdict      # 'cut'
    judge_end("SAFETY").verdict          # 'fault'

Used by labelling and the remote engine. An unknown reason is a fault: an answer counts as complete
only if that is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from ...errors import BrokenAnswerError, GenerationError

Verdict = Literal["good", "cut", "fault"]


class _Ends(NamedTuple):
    """The reasons of one protocol in lower snake case, without those of the protocols above it."""

    good: str
    """The answer is complete; a tool call is an answer, too."""
    cut: str = ""
    """A limit of tokens ended it: `max_tokens`, or the model's context."""
    withheld: str = ""
    """A filter or the model refused; another attempt would be refused as well."""
    broken: str = ""
    """The server failed in the middle; another attempt may succeed."""


PROTOCOLS: Final[Mapping[str, _Ends]] = {
    "OpenAI chat": _Ends(
        "stop tool_calls function_call", "length", "content_filter refusal", "error"
    ),
    "OpenAI responses": _Ends(
        "completed", "max_output_tokens", "", "failed cancelled incomplete in_progress queued"
    ),
    "Anthropic": _Ends(
        "end_turn stop_sequence tool_use",
        "max_tokens model_context_window_exceeded",
        "refusal",
        "pause_turn",
    ),
    "Gemini": _Ends(
        "stop",
        "max_tokens",
        "safety recitation language blocklist prohibited_content spii image_safety "
        "image_prohibited_content image_recitation model_armor",
        "other image_other no_image malformed_function_call unexpected_tool_call "
        "too_many_tool_calls missing_thought_signature malformed_response",
    ),
    "Bedrock": _Ends(
        "finish",
        "",
        "guardrail_intervened content_filtered",
        "malformed_model_output malformed_tool_use",
    ),
    "Mistral": _Ends("stop", "model_length"),
    "Cohere": _Ends("complete tool_call", "error_limit", "error_toxic", "timeout user_cancel"),
    "Ollama": _Ends("stop", "length", "", "load unload"),
    "vLLM and SGLang": _Ends("stop", "length", "", "abort"),
    "text-generation-inference": _Ends("eos_token"),
    "llama.cpp": _Ends("eos word", "limit"),
    "LM Studio": _Ends(
        "eos_found stop_string_found",
        "max_predicted_tokens_reached context_length_reached",
        "",
        "user_stopped model_unloaded",
    ),
    "watsonx": _Ends("eos_token", "token_limit", "", "time_limit not_finished"),
    "DeepSeek": _Ends("stop", "", "", "insufficient_system_resource"),
    "Z.ai": _Ends("stop", "", "sensitive", "network_error"),
    "AI21": _Ends("endoftext"),
    "xAI": _Ends("stop", "max_len max_context", "", "time_limit"),
    "others": _Ends("", "max_completion_tokens", "blacklist", "canceled aborted"),
}
"""Documented reasons by protocol. OpenAI-compatible servers often pass on reasons of their own or
of
another provider, so a reason is looked up in all protocols."""

_GEMINI_NUMBERS = {1: "stop", 2: "max_tokens", 3: "safety", 4: "recitation"}
"""Values of the enum in google.ai.generativelanguage, which some packages send as numbers."""
_STATUSES = ("completed", "failed", "cancelled", "incomplete", "in_progress", "queued")
"""Statuses of OpenAI's responses."""
_KEYS = ("finish_reason", "stop_reason", "stopReason", "done_reason", "completionReason")
"""Keys of the reason in LangChain's packages: OpenAI, Gemini, Mistral, Cohere; Anthropic; Bedrock;
Ollama; Titan."""


def _words(kind: str) -> frozenset[str]:
    return frozenset(word for ends in PROTOCOLS.values() for word in getattr(ends, kind).split())


_GOOD, _CUT, _WITHHELD, _BROKEN = map(_words, _Ends._fields)


@dataclass(frozen=True)
class AnswerEnd:
    """How an answer ended."""

    verdict: Verdict
    message: str = ""
    """Error message; empty for good ends."""
    again: bool = False
    """Another attempt may succeed; for faults only."""
    status: int | None = None
    """HTTP status that the server sent inside the answer."""

    def raise_fault(self) -> None:
        """Raise an error for a fault; a cut answer is not a fault.

        Raises:
            BrokenAnswerError: The server failed in the middle; another attempt may succeed.
            GenerationError: The answer was withheld, or it is unknown whether it is complete.
        """
        if self.again:
            raise BrokenAnswerError(self.message, status=self.status)
        if self.verdict == "fault":
            raise GenerationError(self.message)


_WHOLE = AnswerEnd("good")


def judge_end(reason: object) -> AnswerEnd:
    """Judge whether an answer that ended for this reason is complete.

    Args:
        reason: A text in any case, an enum or its name (`FinishReason.STOP`), one of Gemini's
            numbers, or SGLang's `{"type": "stop"}`.

    >>> judge_end("FinishReason.STOP").verdict, judge_end("").verdict, judge_end("eureka").verdict
    ('good', 'fault', 'fault')
    """
    word = _word(reason)
    if word in _GOOD:
        return _WHOLE
    told = f"finish reason {reason!r}"
    if word in _CUT:
        return AnswerEnd("cut", f"a limit of tokens cut the answer off ({told})")
    if word in _WITHHELD:
        return AnswerEnd("fault", f"the server withheld its answer ({told})")
    if word in _BROKEN:
        return AnswerEnd("fault", f"the server broke its answer off ({told})", again=True)
    if not word:
        return AnswerEnd(
            "fault",
            f"the server did not say why its answer ended ({told}), so it may not be whole; ask a "
            "server that says so",
        )
    return AnswerEnd(
        "fault", f"the answer ended for a reason that is not known as a whole end ({told})"
    )


def judge_choice(choice: Mapping[str, Any]) -> AnswerEnd:
    """Judge a choice of OpenAI's HTTP; an error or a refusal in it goes before its reason.

    `stop_reason` is ignored: vLLM puts the found stop text there.

    >>> judge_choice({"finish_reason": "stop", "error": {"message": "gone", "code": 502}}).status
    502
    """
    message = choice.get("message")
    refusal = message.get("refusal") if isinstance(message, Mapping) else None
    return (
        _error_end(choice.get("error"))
        or refusal_end(refusal)
        or judge_end(choice.get("finish_reason"))
    )


def judge_metadata(told: Mapping[str, Any]) -> AnswerEnd:
    """Judge the `response_metadata` of a LangChain message.

    A message without any of the keys is complete, because packages that send no reason raise errors
    instead. A message with an empty key is not.

    >>> judge_metadata({"stopReason": "max_tokens"}).verdict, judge_metadata({}).verdict
    ('cut', 'good')
    """
    if found := _error_end(told.get("error")):
        return found
    ends = [judge_end(told[key]) for key in _KEYS if told.get(key) not in (None, "")]
    status = _word(told.get("status"))
    if status in _STATUSES:
        details = told.get("incomplete_details")
        why = details.get("reason") if isinstance(details, Mapping) else None
        ends.append(judge_end(why if status == "incomplete" and why else status))
    if told.get("done") is False:
        ends.append(AnswerEnd("fault", "the server broke its answer off (done: false)", again=True))
    if not ends and any(key in told for key in _KEYS):
        return judge_end(None)
    order = ("fault", "cut", "good")
    return min(ends, key=lambda end: order.index(end.verdict), default=_WHOLE)


def refusal_end(refusal: object) -> AnswerEnd | None:
    """Judge the `refusal` of a message; None without one."""
    if not refusal:
        return None
    return AnswerEnd(
        "fault", f"the model refused to answer: {' '.join(str(refusal).split())[:300]}"
    )


def error_status(error: object) -> int:
    """Return the HTTP status inside an error body; 500 without one.

    >>> error_status({"code": "429"}), error_status("gone")
    (429, 500)
    """
    found = []
    if isinstance(error, Mapping):
        found = [error.get(key) for key in ("code", "status", "status_code")]
    numbers = [int(one) for one in found if isinstance(one, int | str) and str(one).isdecimal()]
    return next((number for number in numbers if 400 <= number < 600), 500)


def _error_end(error: object) -> AnswerEnd | None:
    if not error:
        return None
    said: object = error
    while isinstance(said, Mapping):
        said = next(
            (said[key] for key in ("message", "detail", "error") if said.get(key)), str(said)
        )
    told = " ".join(str(said).split())[:300]
    return AnswerEnd(
        "fault",
        f"the server failed while answering: {told}",
        again=True,
        status=error_status(error),
    )


def _word(reason: object) -> str:
    """Normalise a reason to the spelling of `PROTOCOLS`; empty without a reason."""
    if isinstance(reason, Mapping):
        reason = reason.get("type")
    if isinstance(reason, Enum):
        reason = reason.value if isinstance(reason.value, str) else reason.name
    if isinstance(reason, int) and not isinstance(reason, bool):
        return _GEMINI_NUMBERS.get(reason, str(reason))
    if not isinstance(reason, str):
        return "" if reason is None else str(reason)
    word = re.sub(r"^<?(?:\w+\.)+(\w+)(?:: .*>)?$", r"\1", reason.strip())
    word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word)
    word = re.sub(r"[\s-]+", "_", word).lower()
    word = re.sub(r"^(?:finish_reason|stop_reason|reason)_(?=.)", "", word)
    # LangChain concatenates reasons that are sent in several chunks: "stopstop".
    word = re.sub(r"^(.+?)\1+$", r"\1", word)
    return "" if word in ("null", "none", "unspecified") else word
