"""Which agent a request goes to, and whether an answer goes back: plain rules over the state.

The list of agents is closed: whatever stands in the state, only a known one comes out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Literal

from .route_labels import CLARIFY
from .state import AgentState, TaskType, query_of

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


def task_router(
    names: Collection[str] = (), *, clarifies: bool = False
) -> Callable[[AgentState], str]:
    """Make the way out of the router where there are more than the three routes.

    Args:
        names: The added routes.
        clarifies: The router may say that it cannot tell.
    """
    known = {*names, *([CLARIFY] if clarifies else [])}

    def route_added_task(state: AgentState) -> str:
        task = state.get("current_task")
        return task if task is not None and task in known else route_task(state)

    return route_added_task


def verdict_router(
    names: Collection[str] = (), *, escalates: bool = False
) -> Callable[[AgentState], str]:
    """Make the way out of the validator.

    A rejected answer goes back to its agent, a rejected claim to the validator itself. What counts
    the attempts (`attempts.bounded`) says `retry` only while one is left, so the loop ends.

    Args:
        names: The added routes.
        escalates: There is a teacher.
    """

    def route_verdict(state: AgentState) -> str:
        if state.get("verdict") != "retry":
            return "escalate" if escalates and state.get("escalate") else "done"
        task = state.get("current_task")
        return task if task and (task in ("summarize", "validate") or task in names) else "qa"

    return route_verdict
