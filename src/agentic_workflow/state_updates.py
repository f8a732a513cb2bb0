"""State updates that several nodes return: a new turn, an answer, a rejection, a verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage
from langgraph.types import Overwrite

from .state import AgentState, Step, Verdict, query_of, response_of, with_step

Update = dict[str, Any]
"""The fields of `AgentState` that a node changes."""


def fresh_turn(query: str) -> Update:
    """Reset the fields of the turn before."""
    return {
        "query": query,
        "asked": "",
        "plan": "",
        "choices": [],
        "current_task": "qa",
        "route_probability": None,
        "answer": "",
        "results": Overwrite([]),
        "verdict": None,
        "reason": "",
        "sources": [],
        "citations": [],
        "attempts": 0,
        "change": "",
        "confidence": None,
        "escalate": False,
        "teacher_calls": 0,
        "answered_by": "",
        "exit": "",
    }


def first_step(node: str, what: str, detail: str) -> list[Step]:
    """Start the list of steps of a turn."""
    return [Step(node=node, what=what, detail=detail)]


def answered(state: AgentState, message: AIMessage) -> Update:
    """Record an answer that is not judged yet."""
    text = str(message.text)
    return {
        "answer": text,
        "results": [*(state.get("results") or []), text],
        "messages": [AIMessage(text, id=message.id)],
        "verdict": None,
    }


def abstained(
    state: AgentState,
    node: str,
    sentence: str,
    *,
    reason: str = "nothing in the table matches",
    detail: str = "the student was not asked",
    exit_name: str = "",
) -> Update:
    """Record that no answer is given, and why, in a sentence for the user.

    Args:
        state: The state before; an answer in it that was not said yet is withdrawn.
        node: Which node says so.
        sentence: The response.
        reason: Why, in a few words.
        detail: For the list of steps.
        exit_name: How the turn ends, where the verdict does not say enough.
    """
    return {
        **answered(state, AIMessage(sentence)),
        "messages": spoken(state, sentence),
        "verdict": "abstained",
        "reason": reason,
        "exit": exit_name,
        "steps": with_step(state, node, "abstain", detail),
    }


def out_of_time(node: str) -> Callable[[AgentState], Update]:
    """Make the replacement of a node when the time of the run is up."""

    def late(state: AgentState) -> Update:
        if state.get("exit") == "deadline":  # another node has said so already
            return {}
        return abstained(
            state,
            node,
            "I don't know: the time for an answer was up.",
            reason="the time was up",
            detail="the time of the run was up",
            exit_name="deadline",
        )

    return late


def judged(
    state: AgentState, verdict: Verdict, reason: str, response: str, node: str = "validator"
) -> Update:
    """Close a turn: verdict, reason, and the response with both in its metadata."""
    results = state.get("results") or []
    metadata: dict[str, Any] = {
        "verdict": verdict,
        "reason": reason,
        "rows": [source["row"] for source in state.get("sources") or []],
    }
    if state.get("confidence") is not None:
        metadata["confidence"] = state.get("confidence")
    if state.get("answered_by"):
        metadata["answered_by"] = state.get("answered_by")
    return {
        "verdict": verdict,
        "reason": reason,
        "answer": response,
        "results": results if results[-1:] == [response] else [*results, response],
        "messages": spoken(state, response, metadata),
        "steps": with_step(state, node, verdict, reason),
    }


def rejected(
    state: AgentState, reason: str, if_last: Update, detail: str = "", what: str = "retry"
) -> Update:
    """Reject an answer; `nodes.retries` decides whether another attempt follows.

    Args:
        state: The state with the answer.
        reason: Why, in a few words.
        if_last: The update that closes the turn where no attempt is left.
        detail: The step's detail; by default the reason.
        what: The step's decision.
    """
    steps = with_step(state, "validator", what, detail or reason)
    return {"verdict": "retry", "reason": reason, "steps": steps, "if_last": if_last}


def spoken(
    state: AgentState, response: str, metadata: dict[str, Any] | None = None
) -> list[BaseMessage]:
    """Give the message updates that make `response` the last message of this turn.

    Args:
        state: The state before.
        response: The text of the message.
        metadata: Its `response_metadata`.

    Returns:
        Updates for the `add_messages` reducer; none where the response is the last message already.
    """
    messages = state.get("messages") or []
    last = messages[-1] if messages else None
    said = AIMessage(response, response_metadata=metadata or {})
    if isinstance(last, AIMessage) and str(last.text) == response:
        said.id = last.id
        return [said] if metadata and last.id else []
    return [*withdrawn(state), said]


def withdrawn(state: AgentState) -> list[BaseMessage]:
    """Give the message update that removes this turn's answer from the conversation."""
    messages = state.get("messages") or []
    last = messages[-1] if messages else None
    ours = isinstance(last, AIMessage) and str(last.text) == response_of(state)
    return [RemoveMessage(last.id)] if last is not None and ours and last.id else []


def router_out_of_time(state: AgentState) -> Update:
    """Replace the router when the time of the run is up."""
    cleared = AgentState(**{**state, **fresh_turn(query_of(state)), "results": []})  # type: ignore[typeddict-item]
    late = out_of_time("router")({**cleared, "steps": []})
    return {**fresh_turn(query_of(state)), **late, "results": Overwrite(late["results"])}
