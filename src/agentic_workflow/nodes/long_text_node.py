"""Texts that are longer than the student can read: each part is summarised, then the summaries.

    text -> parts that fit -> Send("summarize_part") for each, side by side -> their summaries
         -> again, until they fit

All parts of a round run at once (the student's engine computes them together), their tokens stay
out of the stream, and every number of rounds and parts has a limit.
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
from ..model_calls.context_budget import Room, room_of, split_to_fit
from ..model_calls.deadlines import Node, time_left
from ..policy import AnswerPolicy

MOST_ROUNDS = 4
"""Summaries of summaries; each round makes a text several times shorter, or ends the attempt."""
AT_ONCE = 8
"""Parts that are summarised side by side."""


@dataclass(frozen=True)
class Condensed:
    """What is left to be summarised."""

    text: str
    context: str
    how: str = ""
    """For the list of steps; empty where nothing had to be done."""
    fault: str = ""
    """Why it cannot be summarised; empty where it can."""


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
        text: What is to be summarised.
        context: What stands before it in the prompt.
        model: The student.
        policy: Says how many parts there may be.

    Returns:
        Both as they are where they fit, or where it is not known what does; else the longer one of
        them as summaries of its parts.
    """
    policy = policy or AnswerPolicy()
    room = room_of(model, policy.context_tokens)
    if room is None or room.fits(render("s2-summarize", text, context=context)):
        return Condensed(text, context)
    if len(context) > len(text):
        other = _shortened(
            context, model, policy, room, lambda c: render("s2-summarize", text, context=c)
        )
        return Condensed(text, other.text, other.how, other.fault)
    other = _shortened(
        text, model, policy, room, lambda t: render("s2-summarize", t, context=context)
    )
    return Condensed(other.text, context, other.how, other.fault)


def _shortened(
    text: str,
    model: BaseChatModel,
    policy: AnswerPolicy,
    room: Room,
    write: Callable[[str], str],
) -> Condensed:
    """Summarise the parts of a text, round by round, until the prompt made of it fits."""
    rounds: list[str] = []
    while not room.fits(write(text)):
        parts = split_to_fit(text, lambda part: room.fits(render("s2-summarize", part)))
        if len(parts) > policy.most_parts:
            fault = f"the text has {len(parts)} parts of what I can read at once, and at most "
            return Condensed(text, "", "; ".join(rounds), f"{fault}{policy.most_parts} are allowed")
        if len(rounds) == MOST_ROUNDS or time_left() == 0.0:
            return Condensed(text, "", "; ".join(rounds), "summaries of its parts stay too long")
        shorter = "\n".join(_summaries(parts, model))
        rounds.append(f"{len(parts)} parts to {room.count(shorter)} tokens")
        if room.count(shorter) >= room.count(text):
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
    # Parts are not turns of a thread: nothing of them is kept.
    return builder.compile(checkpointer=False)
