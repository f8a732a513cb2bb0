"""The state changes that nodes share: a fresh turn, an answer given, a verdict spoken."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage

from .state import AgentState, Step, Verdict, response_of, with_step

Update = dict[str, Any]
"""The fields of `AgentState` that a node changes."""


def fresh_turn(query: str) -> Update:
    """Give the fields of a turn that has just begun: nothing is left over from the one before."""
    return {
        "query": query,
        "asked": "",
        "current_task": "qa",
        "answer": "",
        "verdict": None,
        "reason": "",
        "sources": [],
        "attempts": 0,
    }


def first_step(node: str, what: str, detail: str) -> list[Step]:
    """Start the list of steps of a turn."""
    return [Step(node=node, what=what, detail=detail)]


def answered(state: AgentState, message: AIMessage) -> Update:
    """Record an answer that no one has judged yet."""
    text = str(message.text)
    return {
        "answer": text,
        "results": [*(state.get("results") or []), text],
        "messages": [message],
        "verdict": None,
    }


def abstained(state: AgentState, node: str, sentence: str) -> Update:
    """Record that no answer is given, and why, in a sentence for the user."""
    return {
        **answered(state, AIMessage(sentence)),
        "verdict": "abstained",
        "reason": "nothing in the table matches",
        "steps": with_step(state, node, "abstain", "the student was not asked"),
    }


def judged(state: AgentState, verdict: Verdict, reason: str, response: str) -> Update:
    """Close a turn: verdict, reason, and the response with both in its metadata."""
    results = state.get("results") or []
    metadata = {
        "verdict": verdict,
        "reason": reason,
        "rows": [source["row"] for source in state.get("sources") or []],
    }
    return {
        "verdict": verdict,
        "reason": reason,
        "answer": response,
        "results": results if results[-1:] == [response] else [*results, response],
        "messages": spoken(state, response, metadata),
        "steps": with_step(state, "validator", verdict, reason),
    }


def spoken(
    state: AgentState, response: str, metadata: dict[str, Any] | None = None
) -> list[BaseMessage]:
    """Give the message updates that make `response` the last thing said in this turn.

    Args:
        state: The state before.
        response: What is to be said.
        metadata: Goes into the message's `response_metadata`.

    Returns:
        Updates for the `add_messages` reducer; none where the response stands there already.
    """
    messages = state.get("messages") or []
    last = messages[-1] if messages else None
    said = AIMessage(response, response_metadata=metadata or {})
    if isinstance(last, AIMessage) and str(last.text) == response:
        said.id = last.id
        return [said] if metadata and last.id else []
    return [*withdrawn(state), said]


def withdrawn(state: AgentState) -> list[BaseMessage]:
    """Give the message update that takes this turn's answer out of the conversation."""
    messages = state.get("messages") or []
    last = messages[-1] if messages else None
    ours = isinstance(last, AIMessage) and str(last.text) == response_of(state)
    return [RemoveMessage(last.id)] if last is not None and ours and last.id else []
