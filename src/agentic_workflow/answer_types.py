"""The result of a run as a type: an answer, or an abstention with its reason.

match workflow.answer("What is the symbol of gold?"):
    case Answer(text=text, confidence=sure):
        show(text, sure)
    case Abstention(exit="low_confidence" | "deadline"):
        ask_a_person()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .state import Citation, SourceRecord, Verdict


@dataclass(frozen=True)
class Answer:
    """An answer that was given."""

    query: str
    text: str
    verdict: Verdict | None
    """The validator's finding; None in a workflow without one."""
    reason: str
    """The reason for the verdict, in one sentence."""
    confidence: float | None
    """Probability that the student's answer is right, 0 to 1; None where it is not known."""
    answered_by: str
    """`student`, `teacher`, or `table` for what was computed."""
    sources: tuple[SourceRecord, ...] = ()
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True)
class Abstention:
    """No answer was given."""

    query: str
    exit: str
    """How the run ended: `abstained` (the table does not hold it), `ask_back`, `low_confidence`,
    `rejected`, `validator_failed`, `clarify`, `deadline`, `tool_limit`, `too_long` or
    `step_limit`."""
    reason: str
    """The reason, in one sentence."""
    said: str
    """The response that the user was given instead; empty at the step limit."""
    confidence: float | None = None
    """Confidence of the withheld answer, where there was one."""
    choices: tuple[str, ...] = ()
    """The readings that were asked back about; asked in the same thread, one of them is chosen."""


def typed_answer(final: Mapping[str, Any]) -> Answer | Abstention:
    """Read the last event of a run."""
    query, confidence = final["query"], final["confidence"]
    if final["verdict"] == "abstained" or final["exit"] == "step_limit":
        reason = final["reason"] or "the limit of steps"
        return Abstention(
            query,
            final["exit"],
            reason,
            final["response"],
            confidence,
            tuple(final.get("choices") or ()),
        )
    return Answer(
        query,
        final["response"],
        final["verdict"],
        final["reason"],
        confidence,
        final["answered_by"],
        tuple(final["sources"]),
        tuple(final.get("citations") or ()),
    )
