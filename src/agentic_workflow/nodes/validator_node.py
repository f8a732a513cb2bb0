"""The validator: compare an answer with its record in code.

Where code cannot decide, the student and then the teacher are asked, if the policy says so.

agrees      the record says the same
retry       it does not; `retries` asks again while an attempt is left, else the verdict becomes
disagrees   and the response shows both the answer and the record
unverified  there is nothing to compare the answer with
abstained   no answer was given
"""

from __future__ import annotations

from ...prompts import render
from ..grounding.answer_check import (
    Finding,
    check_answer,
    check_numbers,
    check_summary,
    record_says,
)
from ..grounding.claims import Claim, decide_claim
from ..grounding.requested_record import requested_record
from ..model_calls.ask import ask_yes_no
from ..reading.table_reader import Match, TableReader
from ..state import AgentState, response_of
from ..state_updates import Update, judged, rejected
from ..text_matching import contains_words, words
from .agent_nodes import text_and_context
from .retries import next_change, quoted
from .self_check import second_opinion
from .toolbox import Tools


def validate_answer(state: AgentState, tools: Tools) -> Update:
    """Compare the answer with the record, or decide the user's claim."""
    if state.get("current_task") == "validate":
        return _judge_claim(state, tools)
    answer = response_of(state)
    if state.get("verdict") == "abstained":
        return judged(state, "abstained", state.get("reason", ""), answer)
    objection = _objection(state, answer, tools)
    if objection is not None:
        return _reject(state, objection)
    requested = requested_record(state, tools.reader)
    match, found = requested.match, requested.understood
    if state.get("answered_by") == "table" and found is not None:
        return judged(state, "agrees", f"the table says so: {found.plan}", answer)
    finding = compare_with_record(state, answer, match, tools.reader)
    if finding.agrees:
        return judged(state, "agrees", finding.reason, answer)
    if finding.agrees is None or match is None or tools.reader is None:
        return _judge_undecided(state, tools, answer, Finding(None, finding.reason))
    changed = next_change(state, tools)
    as_what = f" as: {changed['asked']}" if changed.get("asked") else ""
    said = _disagreement(state, answer, finding, match, tools.reader)
    closed = {**judged(state, "disagrees", finding.reason, said), "escalate": True}
    detail = f"{finding.reason}; asking again{as_what}"
    return {**rejected(state, finding.reason, closed, detail), **changed}


def _objection(state: AgentState, answer: str, tools: Tools) -> str | None:
    """Give the reason of the first check of the policy that rejects an answer."""
    reasons = (check(state, answer) for check in tools.policy.checks)
    return next((reason for reason in reasons if reason), None)


def _judge_undecided(state: AgentState, tools: Tools, answer: str, undecided: Finding) -> Update:
    """Judge an answer that no record decides, by student and teacher where the policy says so."""
    opinion = second_opinion(state, tools, answer, undecided)
    finding = opinion.finding
    seen = AgentState(**{**state, **opinion.update})  # type: ignore[typeddict-item]
    if finding.agrees is None:
        said = answer or "The student gave no answer."
        return {**opinion.update, **judged(seen, "unverified", finding.reason, said)}
    return {**opinion.update, **_reject(seen, finding.reason, opinion.update)}


def _reject(state: AgentState, reason: str, counted: Update | None = None) -> Update:
    """Reject an answer that no record decides; without an attempt left it is withheld."""
    said = f"I don't know: I have an answer, but {reason}."
    closed = {**(counted or {}), **judged(state, "abstained", reason, said)}
    return rejected(state, reason, {**closed, "exit": "rejected", "escalate": True})


def check_by_code(state: AgentState, answer: str, match: Match | None, tools: Tools) -> Finding:
    """Check an answer in code: by the policy's checks, then against context and record."""
    objection = _objection(state, answer, tools)
    if objection is not None:
        return Finding(False, objection)
    return compare_with_record(state, answer, match, tools.reader)


def compare_with_record(
    state: AgentState, answer: str, match: Match | None, reader: TableReader | None
) -> Finding:
    """Compare an answer, the student's or the teacher's, with context and record.

    Returns:
        The finding; undecided where there is nothing to compare with.
    """
    context = state.get("context") or ""
    if state.get("current_task") == "summarize":
        if reader is not None and match is not None:
            return check_summary(answer, match.row, reader)
        return check_numbers(answer, "\n".join(text_and_context(state)))
    if contains_words(words(context), words(answer)):
        return Finding(True, "the given context contains the answer")
    if reader is not None and match is not None and match.column is not None:
        return check_answer(answer, match, reader)
    missing = "the student has no table" if reader is None else "no record matches"
    return Finding(None, f"{missing}, so there is nothing to compare the answer with")


def _disagreement(
    state: AgentState, answer: str, finding: Finding, match: Match, reader: TableReader
) -> str:
    """Write the response where student and record disagree: both are shown."""
    row = match.row
    if state.get("current_task") != "summarize":
        return f"The student answered {quoted(answer)}; row {row.row} says " + (
            f"{record_says(match)}."
        )
    values = ", ".join(
        f"{column.label} = {row.values[column.name]}"
        for column in reader.table.columns
        if column.name in row.values
    )
    return (
        f"The student's summary disagrees with row {row.row}: {finding.reason}. "
        f"The record of {row.key}: {values}."
    )


def _judge_claim(state: AgentState, tools: Tools) -> Update:
    claim = requested_record(state, tools.reader).claim
    assert claim is not None  # the task is `validate`
    if tools.reader is not None and claim.understood is not None:
        finding = decide_claim(claim, tools.reader)
        if finding.agrees is not None:
            said = f"{'Yes' if finding.agrees else 'No'}: {finding.reason}."
            return judged(state, "agrees" if finding.agrees else "disagrees", finding.reason, said)
        if claim.understood.verdict == "answered" and not claim.value:
            said = f"There is no claim to check: {finding.reason}."
            return judged(state, "unverified", finding.reason, said)
        if claim.match is not None:  # a record of the table, but another fact than it holds
            said = claim.understood.message or "I don't know: no record decides it."
            return judged(state, "unverified", finding.reason, said)
    return _ask_about_claim(state, tools, claim)


def _ask_about_claim(state: AgentState, tools: Tools, claim: Claim) -> Update:
    """Let the student judge a claim that no record decides, and say so."""
    context = state.get("context") or ""
    prompt = render("s2-validate", claim.question, context=context, answer=claim.value or "true")
    right, said = ask_yes_no(tools.model, prompt)
    if right is None:
        words_said = f'it said "{quoted(said)}"' if said else "it said nothing"
        response = f"No verdict: no record decides it, and asked for yes or no {words_said}."
        return judged(state, "unverified", "neither record nor student decides it", response)
    if claim.denied:
        right = not right
    response = f"The student says {'yes' if right else 'no'}, but no record decides it."
    return judged(state, "unverified", "no record decides it; the student's own view", response)
