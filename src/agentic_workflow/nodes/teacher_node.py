"""The teacher node: ask the teacher where the student gave no accepted answer.

Two budgets limit the calls: one of the run and one of the workflow. The teacher's answer is checked
against the record as the student's was; if it fails as well, the turn stays as it was closed.
"""

from __future__ import annotations

from langgraph.errors import GraphBubbleUp

from ...prompts import FormatName, render
from ..grounding.grounded_answer import ground_verdict
from ..grounding.requested_record import requested_record
from ..model_calls.ask import ask
from ..model_calls.deadlines import run_context
from ..policy import may_ask_teacher
from ..state import AgentState, Verdict, query_of, with_step
from ..state_updates import Update, judged
from .agent_nodes import text_and_context
from .toolbox import Tools
from .validator_node import check_by_code


def ask_teacher(state: AgentState, tools: Tools) -> Update:
    """Let the teacher answer in place of the student.

    Args:
        state: A turn that was closed without an accepted answer.
        tools: Models, table, policy and budget.

    Returns:
        The turn closed with the teacher's answer, or a step with the reason why not.
    """
    policy = tools.policy
    if not may_ask_teacher(state, policy, run_context().teacher_calls):
        return _not_asked(state, "no call of the teacher is left in this run")
    if not tools.budget.take():
        return _not_asked(state, "no call of the teacher is left for this workflow")
    assert policy.teacher is not None
    calls: Update = {"teacher_calls": state.get("teacher_calls", 0) + 1, "escalate": False}
    try:
        answer = str(ask(policy.teacher, _prompt(state), quiet=True).text)
    except GraphBubbleUp:
        raise
    except Exception as fault:  # noqa: BLE001 - any chat model; the turn is closed already
        why = f"the teacher failed: {type(fault).__name__}: {fault}"
        return {**calls, "steps": with_step(state, "escalate", "failed", why)}
    requested = requested_record(state, tools.reader)
    finding = check_by_code(state, answer, requested.match, tools)
    if not answer.strip() or finding.agrees is False:
        why = finding.reason if answer.strip() else "it said nothing"
        step = with_step(state, "escalate", "rejected", f"the teacher's answer: {why}")
        return {**calls, "steps": step}
    verdict: Verdict = "agrees" if finding.agrees else "unverified"
    reason = finding.reason if finding.agrees else "the teacher's answer; no record decides it"
    told = AgentState(**{**state, "answered_by": "teacher", "confidence": None})
    closed = judged(told, verdict, reason, answer, node="escalate")
    closed = ground_verdict(told, {**closed, "citations": []}, requested, tools.grounding)
    if closed["verdict"] not in ("agrees", "unverified"):
        step = with_step(state, "escalate", "rejected", f"the teacher's answer: {closed['reason']}")
        return {**calls, "steps": step}
    return {**closed, **calls, "answered_by": "teacher", "confidence": None, "exit": ""}


def _prompt(state: AgentState) -> str:
    """Write the prompt of the student's first attempt."""
    form: FormatName = "s2-qa"
    text, context = query_of(state), state.get("context") or ""
    if state.get("current_task") == "summarize":
        form = "s2-summarize"
        text, context = text_and_context(state)
    return render(form, text, context=context)


def _not_asked(state: AgentState, why: str) -> Update:
    return {"escalate": False, "steps": with_step(state, "escalate", "not asked", why)}
