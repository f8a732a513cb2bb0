"""Which ends of an answer are good."""

from __future__ import annotations

import itertools
from enum import Enum, IntEnum

import pytest
from stillroom.errors import BrokenAnswerError, GenerationError
from stillroom.inference.remote.finish_reasons import (
    PROTOCOLS,
    error_status,
    judge_choice,
    judge_end,
    judge_metadata,
    refusal_end,
)


class Numbered(IntEnum):
    STOP = 1
    MAX_TOKENS = 2
    OTHER = 5


class Named(Enum):
    END_TURN = "end_turn"


GOOD = ["stop", "STOP", "end_turn", "stop_sequence", "eos_token", "tool_calls", "tool_use",
        "function_call", "COMPLETE", "TOOL_CALL", "completed", "FINISH", "eos", "word", "endTurn",
        "FinishReason.STOP", "<FinishReason.STOP: 1>", "REASON_STOP", Numbered.STOP,
        Named.END_TURN, 1, {"type": "stop", "matched": 3}, "stopstop", " Stop "]  # fmt: skip
CUT = ["length", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens", "limit",
       "model_context_window_exceeded", "token_limit", "ERROR_LIMIT", "contextLengthReached",
       "FinishReason.MAX_TOKENS", Numbered.MAX_TOKENS, 2, {"type": "length"}]  # fmt: skip
WITHHELD = ["content_filter", "CONTENT_FILTER", "refusal", "SAFETY", "RECITATION", "BLOCKLIST",
            "PROHIBITED_CONTENT", "SPII", "guardrail_intervened", "sensitive", 3]  # fmt: skip
BROKEN = ["error", "abort", "insufficient_system_resource", "network_error", "pause_turn",
          "cancelled", "incomplete", "failed", "ERROR", "load", "MALFORMED_FUNCTION_CALL",
          {"type": "abort", "message": "gone"}]  # fmt: skip
UNKNOWN = ["eureka", "not stop", "stopped?", True, 99, 1.0, [], {}, None, "", "null", "None", " ",
           "FINISH_REASON_UNSPECIFIED"]  # fmt: skip


@pytest.mark.parametrize(
    ("reasons", "verdict", "again"),
    [
        (GOOD, "good", False),
        (CUT, "cut", False),
        (WITHHELD, "fault", False),
        (BROKEN, "fault", True),
        (UNKNOWN, "fault", False),
    ],
)
def test_ends(reasons, verdict, again):
    for reason in reasons:
        end = judge_end(reason)
        assert (end.verdict, end.again) == (verdict, again), reason
        assert bool(end.message) == (verdict != "good")


def test_no_word_means_two_things():
    kinds = [
        {word for ends in PROTOCOLS.values() for word in getattr(ends, kind).split()}
        for kind in ("good", "cut", "withheld", "broken")
    ]
    for one, other in itertools.combinations(kinds, 2):
        assert not one & other


def test_an_error_or_a_refusal_in_a_choice_comes_before_its_reason():
    broken = judge_choice({"finish_reason": "stop", "error": {"message": "gone", "code": 502}})
    assert (broken.verdict, broken.again, broken.status) == ("fault", True, 502)
    refused = judge_choice({"finish_reason": "stop", "message": {"refusal": "I cannot\nhelp"}})
    assert "I cannot help" in refused.message
    vllm = {
        "finish_reason": "stop",
        "stop_reason": "###",
        "error": None,
        "message": {"refusal": None},
    }
    assert judge_choice(vllm).verdict == "good"
    assert refusal_end(None) is refusal_end("") is None


def test_the_worst_of_what_a_message_tells_counts():
    assert judge_metadata({"finish_reason": "stop", "status": "failed"}).verdict == "fault"
    assert judge_metadata({"finish_reason": None, "stop_reason": "max_tokens"}).verdict == "cut"
    assert judge_metadata({"status": "ok", "finish_reason": "stop"}).verdict == "good"
    assert judge_metadata({"error": {"message": "no"}, "finish_reason": "stop"}).verdict == "fault"


def test_faults_are_raised():
    judge_end("length").raise_fault()
    judge_end("stop").raise_fault()
    with pytest.raises(BrokenAnswerError):
        judge_end("abort").raise_fault()
    with pytest.raises(GenerationError, match="withheld") as told:
        judge_end("SAFETY").raise_fault()
    assert not isinstance(told.value, BrokenAnswerError)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429}, 429),
        ({"code": "503"}, 503),
        ({"code": "context_length_exceeded", "status": 400}, 400),
        ({"code": 40303}, 500),
        ({"code": True}, 500),
        ("gone", 500),
    ],
)
def test_the_status_of_an_error_in_a_body(error, status):
    assert error_status(error) == status
