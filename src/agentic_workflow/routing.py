"""Which agent a request goes to, and whether an answer goes back: plain rules, no model."""

from __future__ import annotations

import re
from typing import Literal

from .state import MAX_ATTEMPTS, AgentState, TaskType, query_of

ROUTE_WORDS: tuple[tuple[str, TaskType], ...] = (
    ("summarize", "summarize"),
    ("summarise", "summarize"),
    ("summary", "summarize"),
    ("validate", "validate"),
    ("check", "validate"),
)
"""Whole words that choose an agent; summaries are looked for first."""

_OTHER_MEANINGS = re.compile(
    r"\bsummary\s+(?:judge?ments?|statistics|execution|offen[cs]es?|dismissals?|tables?)\b"
    r"|\bcheck\s+(?:lists?|mates?|points?|box(?:es)?|books?|sums?|digits?|marks?)\b"
    r"|\bcheck-\w+"
    r"|\b(?:blank|pay|rain|bank|background|sound|spell|health|security|gut)[\s-]+check\b"
    r"|\bwhat\s+(?:is|are|does|do)\s+(?:an?\s+|the\s+|to\s+)?"
    r"(?:summary|check|summarize|summarise|validate)\b(?!\s+of\b)",
    re.IGNORECASE,
)
"""Other uses of those words: "summary judgment", "check list", "what is a check?"."""


def task_of(query: str) -> tuple[TaskType, str]:
    """Choose the agent for a request by whole words.

    Args:
        query: The user's words.

    Returns:
        The task and the word that decided it (empty for `qa`, which needs none).

    >>> task_of("Summarize gold"), task_of("Give me a checklist"), task_of("Check: gold is Ag")
    (('summarize', 'summarize'), ('qa', ''), ('validate', 'check'))
    """
    plain = _OTHER_MEANINGS.sub(" ", query)
    words = set(re.findall(r"[^\W_]+", plain.lower()))
    for word, task in ROUTE_WORDS:
        if word in words:
            return task, word
    return "qa", ""


def route_task(state: AgentState) -> Literal["qa", "summarize", "validate"]:
    """Read off the state which agent is next; an unknown task goes to `qa`."""
    task = state.get("current_task") or task_of(query_of(state))[0]
    if task == "summarize":
        return "summarize"
    return "validate" if task == "validate" else "qa"


def route_verdict(state: AgentState) -> Literal["qa", "summarize", "done"]:
    """Send a rejected answer back to its agent while attempts are left, else end.

    The count in the state ends the loop, so that a validator which never passes ends as well.
    """
    if state.get("verdict") != "retry" or state.get("attempts", 0) >= MAX_ATTEMPTS:
        return "done"
    return "summarize" if state.get("current_task") == "summarize" else "qa"
