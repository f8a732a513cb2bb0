"""Summaries of texts longer than the student's context: first of the parts, then of the summaries.

    text -> parts that fit -> Send("summarize_part") for each -> their summaries
         -> again, until they fit

The parts of a round run at the same time, so that the student's engine batches them. Their tokens
are not streamed, and the numbers of rounds and parts are limited.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send

from ...prompts import render
from ..model_calls.ask import ask
from ..model_calls.context_budget import ContextBudget, context_budget, split_to_fit
from ..model_calls.deadlines import Node, time_left
from ..policy import AnswerPolicy

MOST_ROUNDS = 4
"""Most rounds; each makes the text several times shorter, or ends the attempt."""
AT_ONCE = 8
"""Parts that are summarised at the same time."""


@dataclass(frozen=True)
class Condensed:
    """A text and context that fit into one prompt."""

    text: str
    context: str
    how: str = ""
    """Detail for the list of steps; empty where nothing had to be done."""
    fault: str = ""
    """The reason why they do not fit; empty where they do."""


class _Part(TypedDict):
    number: int
    text: str


class _Round(TypedDict):
    parts: list[str]
    summaries: Annotated[list[tuple[int, str]], operator.add]


def condense(
    text: str, context: str, model: BaseChatModel, policy: AnswerPolicy | None = None
) -> Condensed:
    """Make text and context short enough for one prompt.

    Args:
        text: The text to be summarised.
        context: The text before it in the prompt.
        model: The student.
        policy: Limits the number of parts.

    Returns:
        Both unchanged where they fit or the model's context length is unknown; else the longer one
        replaced by summaries of its parts.
    """
    policy = policy or AnswerPolicy()
    budget = context_budget(model, policy.context_tokens)
    if budget is None or budget.fits(render("s2-summarize", text, context=context)):
        return Condensed(text, context)
    if len(context) > len(text):
        other = _shortened(
            context, model, policy, budget, lambda c: render("s2-summarize", text, context=c)
        )
        return Condensed(text, other.text, other.how, other.fault)
    other = _shortened(
        text, model, policy, budget, lambda t: render("s2-summarize", t, context=context)
    )
    return Condensed(other.text, context, other.how, other.fault)


def _shortened(
    text: str,
    model: BaseChatModel,
    policy: AnswerPolicy,
    budget: ContextBudget,
    write: Callable[[str], str],
) -> Condensed:
    """Summarise the parts of a text, round by round, until the prompt fits."""
    rounds: list[str] = []
    while not budget.fits(write(text)):
        parts = split_to_fit(text, lambda part: budget.fits(render("s2-summarize", part)))
        if len(parts) > policy.most_parts:
            fault = f"the text has {len(parts)} parts of what I can read at once, and at most "
            return Condensed(text, "", "; ".join(rounds), f"{fault}{policy.most_parts} are allowed")
        if len(rounds) == MOST_ROUNDS or time_left() == 0.0:
            return Condensed(text, "", "; ".join(rounds), "summaries of its parts stay too long")
        shorter = "\n".join(_summaries(parts, model))
        rounds.append(f"{len(parts)} parts to {budget.count(shorter)} tokens")
        if budget.count(shorter) >= budget.count(text):
            return Condensed(text, "", "; ".join(rounds), "summaries of its parts are no shorter")
        text = shorter
    return Condensed(text, "", "; ".join(rounds))


def _summaries(parts: list[str], model: BaseChatModel) -> list[str]:
    """Summarise parts side by side, in order."""

    def summarize_part(part: _Part) -> dict[str, Any]:
        said = str(ask(model, render("s2-summarize", part["text"]), quiet=True).text)
        return {"summaries": [(part["number"], said)]}

    state = _round_graph(summarize_part).invoke(
        {"parts": parts, "summaries": []},
        {"recursion_limit": 5, "max_concurrency": AT_ONCE},
    )
    return [said for _, said in sorted(state["summaries"]) if said]


def _round_graph(
    summarize_part: Node,
) -> CompiledStateGraph[_Round, Any, Any, Any]:
    def send_parts(state: _Round) -> list[Send]:
        return [
            Send("summarize_part", _Part(number=number, text=part))
            for number, part in enumerate(state["parts"])
        ]

    builder: StateGraph[_Round, Any, Any, Any] = StateGraph(_Round)
    builder.add_node("summarize_part", summarize_part, input_schema=_Part)
    builder.add_conditional_edges(START, send_parts, ["summarize_part"])
    builder.add_edge("summarize_part", END)
    # Parts are not turns of a thread and are not stored.
    return builder.compile(checkpointer=False)
