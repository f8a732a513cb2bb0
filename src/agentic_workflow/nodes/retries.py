"""How often an answer is judged: a validator of any kind is held to the number of attempts.

A validator that never passes, that raises, and one that never comes back all end after the same
number of attempts. Each retry changes something: a wording that the student was trained on while
there are any, then the temperature; a model whose temperature is not ours reads why its answer was
rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from langgraph.errors import GraphBubbleUp

from ...errors import StillroomError
from ..grounding.claims import subject_of
from ..grounding.grounded_answer import ground_verdict
from ..model_calls.deadlines import Node, OverTimeError, acall_within, call_within, time_left
from ..policy import AnswerPolicy
from ..record_search.lookup import Match, RecordLookup
from ..state import AgentState, query_of, response_of, with_step
from ..state_updates import Update, judged, out_of_time, withdrawn
from .agent_nodes import find_record
from .confidence_node import stated_risk
from .toolbox import Tools

_LONGEST_QUOTE = 200
"""Characters of a rejected answer that the response repeats."""

ToolsSource = Callable[[], Tools]


def bounded(validator: Node, tools: ToolsSource) -> Node:
    """Hold any validator, also a user's own, to the attempts and the time of a policy.

    Args:
        validator: A function of the state, also an async one.
        tools: What the agents work with.

    Returns:
        A node that counts attempts, and that gives a verdict whatever the validator does.
    """
    if iscoroutinefunction(validator):

        async def judge_async(state: AgentState) -> Any:  # noqa: ANN401 - a user's node
            made = tools()
            stated_risk(made)  # a graph without a map has no node that would ask
            try:
                update = await acall_within(lambda: validator(state), _seconds(made.policy))
            except (GraphBubbleUp, StillroomError):
                raise
            except Exception as fault:  # noqa: BLE001 - a user's code: any fault is a rejection
                return _failed(state, made, fault)
            return bound_retries(state, update, made)

        return judge_async

    def judge(state: AgentState) -> Any:  # noqa: ANN401 - a user's node
        made = tools()
        stated_risk(made)
        try:
            update = call_within(validator, state, _seconds(made.policy))
        except (GraphBubbleUp, StillroomError):  # an interrupt; an error of the model
            raise
        except Exception as fault:  # noqa: BLE001 - a user's code: any fault is a rejection
            return _failed(state, made, fault)
        return bound_retries(state, update, made)

    return judge


def bound_retries(state: AgentState, update: Any, tools: Tools) -> Any:  # noqa: ANN401 - a user's
    """Count an attempt; the last rejection says so, and any other one changes something.

    What was accepted must also rest on the table: `grounding.ground_verdict`.

    Args:
        state: The state the validator saw.
        update: What it returned.
        tools: What the agents work with.

    Returns:
        The update with the attempt counted.
    """
    if not isinstance(update, dict):  # a Command goes where it says
        return update
    attempts = state.get("attempts", 0) + 1
    if tools.grounding is not None:
        match = find_record(state.get("current_task") or "qa", query_of(state), tools.lookup)
        again = attempts < tools.policy.attempts
        update = ground_verdict(state, update, match, tools.grounding, may_retry=again)
    if update.get("verdict") != "retry":
        return {**update, "attempts": attempts}
    if attempts < tools.policy.attempts:
        changed = {} if update.get("asked") else next_change(state, tools)
        return {"messages": withdrawn(state), **changed, **update, "attempts": attempts}
    reason = update.get("reason") or "the validator did not accept it"
    said = (
        f"The student answered {quoted(response_of(state))}; after {attempts} attempts, {reason}."
    )
    closed = judged(state, "disagrees", reason, said)
    return {**closed, "attempts": attempts, "escalate": _can_ask_again(state)}


def next_change(state: AgentState, tools: Tools) -> Update:
    """Choose what the next attempt does differently from those before it.

    Returns:
        `asked` with another wording, or `change` that says what else.
    """
    attempts = state.get("attempts", 0)
    task = state.get("current_task") or "qa"
    match = find_record(task, query_of(state), tools.lookup)
    if match is not None and tools.lookup is not None:
        phrasings = other_phrasings(state, match, tools.lookup)
        if attempts < len(phrasings):
            return {"asked": phrasings[attempts], "change": ""}
    return {"change": "temperature" if tools.samples else "reason"}


def other_phrasings(state: AgentState, match: Match, lookup: RecordLookup) -> list[str]:
    """Give the trained wordings that differ from the user's own, best first."""
    if match.others:
        return []
    if state.get("current_task") == "summarize":
        own, trained = subject_of(query_of(state)), lookup.canonical_summaries(match)
    else:
        own, trained = query_of(state), lookup.canonical_questions(match)
    return [phrase for phrase in dict.fromkeys(trained) if phrase.strip() != own.strip()]


def quoted(answer: str) -> str:
    """Put an answer on one line of a sentence."""
    line = " ".join(answer.split())
    return line[:_LONGEST_QUOTE] + ("…" if len(line) > _LONGEST_QUOTE else "") or "nothing"


def _failed(state: AgentState, tools: Tools, fault: Exception) -> Update:
    """Count a validator that raised or did not come back as a rejection."""
    if isinstance(fault, OverTimeError):
        if time_left() == 0.0:
            return {**out_of_time("validator")(state), "attempts": state.get("attempts", 0) + 1}
        what = f"took longer than {tools.policy.validator_timeout_s:g} s"
    else:
        what = f"raised {type(fault).__name__}: {fault}"
    attempts = state.get("attempts", 0) + 1
    steps = with_step(state, "validator", "failed", what)
    if attempts < tools.policy.attempts:
        return {
            "verdict": "retry",
            "reason": f"the validator {what}",
            "messages": withdrawn(state) if _can_ask_again(state) else [],
            **next_change(state, tools),
            "attempts": attempts,
            "steps": steps,
        }
    said = (
        f"I don't know: the answer could not be checked; in {attempts} attempts the validator "
        f"{what}."
    )
    seen = AgentState(**{**state, "steps": steps})
    return {
        **judged(seen, "abstained", f"the validator {what}", said),
        "exit": "validator_failed",
        "attempts": attempts,
        "escalate": _can_ask_again(state),
    }


def _can_ask_again(state: AgentState) -> bool:
    """Tell whether there is an answer to be made again: a claim is the user's own."""
    return state.get("current_task") != "validate"


def _seconds(policy: AnswerPolicy) -> float | None:
    limits = [limit for limit in (policy.validator_timeout_s, time_left()) if limit is not None]
    return min(limits) if limits else None
