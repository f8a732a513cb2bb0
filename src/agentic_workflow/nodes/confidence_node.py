"""The confidence node: withhold an answer that is less confident than the risk target needs."""

from __future__ import annotations

from ...errors import ConfigError
from ..grounding.requested_record import requested_record
from ..model_calls.deadlines import run_context
from ..state import AgentState, response_of, with_step
from ..state_updates import Update, abstained
from .toolbox import Tools


def check_confidence(state: AgentState, tools: Tools) -> Update:
    """Compare the confidence of an answer with the threshold of the risk target.

    An answer that a record can decide goes on to the validator at any confidence.

    Args:
        state: A turn with an answer that is not judged yet.
        tools: The student's confidence map, table and policy.

    Returns:
        A step; below the threshold the answer becomes "I don't know", and the teacher may be asked.
    """
    sure, known = state.get("confidence"), tools.confidence
    if known is None or state.get("verdict") == "abstained":
        return {}
    right = "not known to be right" if sure is None else f"right with {sure:.1%}"
    target = risk_target(tools)
    if target is None:
        return {"steps": with_step(state, "confidence", "told", right)}
    threshold = known.limit(target).threshold
    needed = "no threshold keeps it" if threshold is None else f"{threshold:.1%} needed"
    detail = f"{right}, {needed} for at most {target:.1%} wrong"
    if threshold is not None and sure is not None and sure >= threshold:
        return {"steps": with_step(state, "confidence", "sure", detail)}
    if _record_decides(state, tools):
        step = with_step(state, "confidence", "unsure", f"{detail}; the record decides")
        return {"steps": step}
    closed = abstained(
        state,
        "confidence",
        f"I don't know: I have an answer, but I am not sure enough of it ({right}).",
        reason=detail,
        detail=detail,
        exit_name="low_confidence",
    )
    return {**closed, "escalate": True}


def risk_target(tools: Tools) -> float | None:
    """Give the share of given answers that may be wrong in this run; None without a target.

    Raises:
        ConfigError: The student is not calibrated, or not for this share.
    """
    target = run_context().risk_target or tools.policy.risk_target
    if target is None:
        return None
    if tools.confidence is None:
        raise ConfigError(
            [
                f"risk_target is {target!r}, but the student is not calibrated; run "
                "stillroom.evaluation.calibrate_student on its folder first"
            ]
        )
    tools.confidence.limit(target)
    return target


def _record_decides(state: AgentState, tools: Tools) -> bool:
    found = requested_record(state, tools.reader).understood
    return found is not None and found.verdict == "answered" and bool(response_of(state))
