"""Decide, for every validator, whether a rejected answer is made again, and what changes then.

A validator only accepts or rejects. One that never accepts, raises, or does not return in time ends
after the same number of attempts. A retry changes the wording to one that the student was trained
on; when there are none left, the temperature; a model whose temperature we do not set is told why
its answer was rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from langgraph.errors import GraphBubbleUp

from ...errors import StillroomError
from ..grounding.claims import subject_of
from ..grounding.grounded_answer import ground_verdict
from ..grounding.requested_record import requested_record
from ..model_calls.deadlines import Node, OverTimeError, acall_within, call_within, time_left
from ..policy import AnswerPolicy
from ..state import AgentState, query_of, response_of, with_step
from ..state_updates import Update, judged, out_of_time, rejected, withdrawn
from .confidence_node import risk_target
from .toolbox import Tools

_LONGEST_QUOTE = 200
"""Characters of a rejected answer that the response repeats."""

ToolsSource = Callable[[], Tools]


def with_attempts(validator: Node, tools: ToolsSource) -> Node:
    """Make a validator node that counts attempts and always gives a verdict.

    Args:
        validator: A function of the state, sync or async, ours or the user's.
        tools: Gives the table and the policy, which limits attempts and time.
    """

    def prepared(state: AgentState) -> tuple[AgentState, Tools]:
        made = tools()
        risk_target(made)  # a graph without a confidence map has no other node that checks it
        requested = requested_record(state, made.reader)
        return AgentState(**{**state, "requested": requested}), made

    if iscoroutinefunction(validator):

        async def judge_async(state: AgentState) -> Any:  # noqa: ANN401 - a user's node
            seen, made = prepared(state)
            try:
                update = await acall_within(lambda: validator(seen), _seconds(made.policy))
            except (GraphBubbleUp, StillroomError):  # an interrupt; an error of the model
                raise
            except Exception as fault:  # noqa: BLE001 - a user's code: any fault is a rejection
                update = _failed(seen, made, fault)
            return decide_attempt(seen, update, made)

        return judge_async

    def judge(state: AgentState) -> Any:  # noqa: ANN401 - a user's node
        seen, made = prepared(state)
        try:
            update = call_within(validator, seen, _seconds(made.policy))
        except (GraphBubbleUp, StillroomError):
            raise
        except Exception as fault:  # noqa: BLE001
            update = _failed(seen, made, fault)
        return decide_attempt(seen, update, made)

    return judge


def decide_attempt(state: AgentState, update: Any, tools: Tools) -> Any:  # noqa: ANN401 - a user's
    """Count an attempt, and decide whether a rejected answer is made again.

    What the validator accepted must also be supported by the table: see `ground_verdict`.

    Args:
        state: The state the validator saw.
        update: What it returned. With `verdict` "retry" it may hold `if_last`, the update that
            closes the turn where no attempt is left, and `asked`, the next wording.
        tools: Table and policy.

    Returns:
        The update with the attempt counted.
    """
    if not isinstance(update, dict):  # a Command goes where it says
        return update
    requested = requested_record(state, tools.reader)
    attempts = state.get("attempts", 0) + 1
    counted = {"attempts": attempts, "requested": requested}
    update = dict(ground_verdict(state, update, requested, tools.grounding))
    if_last = update.pop("if_last", None)
    if update.get("verdict") != "retry":
        return {**update, **counted}
    if attempts < tools.policy.attempts:
        changed = {} if update.get("asked") else next_change(state, tools)
        return {"messages": withdrawn(state), **changed, **update, **counted}
    if if_last is not None:
        return {**ground_verdict(state, if_last, requested, tools.grounding), **counted}
    reason = update.get("reason") or "the validator did not accept it"
    answer = quoted(response_of(state))
    said = f"The student answered {answer}; after {attempts} attempts, {reason}."
    closed = judged(state, "disagrees", reason, said)
    return {**closed, "escalate": _is_students_answer(state), **counted}


def next_change(state: AgentState, tools: Tools) -> Update:
    """Choose what the next attempt changes: `asked`, the wording, or what `change` names."""
    phrasings = _other_phrasings(state, tools)
    attempts = state.get("attempts", 0)
    if attempts < len(phrasings):
        return {"asked": phrasings[attempts], "change": ""}
    return {"change": "temperature" if tools.samples else "reason"}


def _other_phrasings(state: AgentState, tools: Tools) -> list[str]:
    """Give the trained wordings that differ from the user's own, best first."""
    match, reader = requested_record(state, tools.reader).match, tools.reader
    if match is None or reader is None:
        return []
    summary = state.get("current_task") == "summarize"
    own = subject_of(query_of(state)) if summary else query_of(state)
    return [one for one in dict.fromkeys(reader.wordings(match)) if one.strip() != own.strip()]


def quoted(answer: str) -> str:
    """Put an answer on one line of a sentence."""
    line = " ".join(answer.split())
    return line[:_LONGEST_QUOTE] + ("…" if len(line) > _LONGEST_QUOTE else "") or "nothing"


def _failed(state: AgentState, tools: Tools, fault: Exception) -> Update:
    """Treat a validator that raised or did not come back as a rejection."""
    if isinstance(fault, OverTimeError):
        if time_left() == 0.0:
            return out_of_time("validator")(state)
        what = f"took longer than {tools.policy.validator_timeout_s:g} s"
    else:
        what = f"raised {type(fault).__name__}: {fault}"
    reason = f"the validator {what}"
    attempts = state.get("attempts", 0) + 1
    said = f"I don't know: the answer could not be checked; in {attempts} attempts {reason}."
    seen = AgentState(**{**state, "steps": with_step(state, "validator", "failed", what)})
    closed = {
        **judged(seen, "abstained", reason, said),
        "exit": "validator_failed",
        "escalate": _is_students_answer(state),
    }
    return rejected(state, reason, closed, detail=what, what="failed")


def _is_students_answer(state: AgentState) -> bool:
    """Tell whether the answer is the student's, to be made again; a claim is the user's own."""
    return state.get("current_task") != "validate"


def _seconds(policy: AnswerPolicy) -> float | None:
    limits = [limit for limit in (policy.validator_timeout_s, time_left()) if limit is not None]
    return min(limits) if limits else None
