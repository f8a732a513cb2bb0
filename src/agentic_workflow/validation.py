"""The validator: hold an answer against the record it came from, in code where code can decide it.

agrees      the record says the same
retry       it does not, and an attempt is left: asked again in a wording the student was trained on
disagrees   it does not, and none is left: the response says so and shows the record
unverified  nothing to hold it against
abstained   no answer was given
"""

from __future__ import annotations

from typing import Any

from ..prompts import render
from .asking import ask_yes_no
from .nodes import Tools, find_record, text_and_context
from .record_check import Finding, check_answer, check_numbers, check_summary, record_says
from .record_claim import Claim, decide_claim, read_claim, subject_of
from .record_lookup import Match, RecordLookup
from .state import MAX_ATTEMPTS, AgentState, query_of, response_of, with_step
from .turns import Update, judged, withdrawn
from .wording import contains_words, words

_LONGEST_QUOTE = 200
"""Characters of a rejected answer that the response repeats."""


def validate_answer(state: AgentState, tools: Tools) -> Update:
    """Judge the answer against the record, or decide the claim the user asked about."""
    if state.get("current_task") == "validate":
        return _judge_claim(state, tools)
    answer = response_of(state)
    if state.get("verdict") == "abstained":
        return judged(state, "abstained", state.get("reason", ""), answer)
    match = find_record(state.get("current_task") or "qa", query_of(state), tools.lookup)
    finding = _check(state, answer, match, tools.lookup)
    if finding.agrees:
        return judged(state, "agrees", finding.reason, answer)
    if finding.agrees is None or match is None or tools.lookup is None:
        return judged(state, "unverified", finding.reason, answer or "The student gave no answer.")
    attempts = state.get("attempts", 0) + 1
    phrasings = _other_phrasings(state, match, tools.lookup)
    if attempts < MAX_ATTEMPTS and len(phrasings) >= attempts:
        return _send_back(state, finding, phrasings[attempts - 1])
    said = _says_so(state, answer, finding, match, tools.lookup)
    return judged(state, "disagrees", finding.reason, said)


def bound_retries(state: AgentState, update: Any) -> Any:  # noqa: ANN401 - a user's node
    """Hold any validator, also a user's own, to the number of attempts: the last rejection says so.

    Args:
        state: The state the validator saw.
        update: What it returned.

    Returns:
        The update with the attempt counted.
    """
    if not isinstance(update, dict):  # a Command goes where it says
        return update
    attempts = state.get("attempts", 0) + 1
    if update.get("verdict") != "retry":
        return {**update, "attempts": attempts}
    if attempts < MAX_ATTEMPTS:
        return {"messages": withdrawn(state), **update, "attempts": attempts}
    reason = update.get("reason") or "the validator did not accept it"
    said = (
        f"The student answered {_quoted(response_of(state))}; after {attempts} attempts, {reason}."
    )
    return {**judged(state, "disagrees", reason, said), "attempts": attempts}


def _check(
    state: AgentState, answer: str, match: Match | None, lookup: RecordLookup | None
) -> Finding:
    context = state.get("context") or ""
    if state.get("current_task") == "summarize":
        if lookup is not None and match is not None and not match.others:
            return check_summary(answer, match.row, lookup)
        return check_numbers(answer, "\n".join(text_and_context(state)))
    if contains_words(words(context), words(answer)):
        return Finding(True, "the answer stands in the given context")
    if lookup is not None and match is not None and match.column is not None:
        return check_answer(answer, match, lookup)
    missing = "no table beside the student" if lookup is None else "no record matches"
    return Finding(None, f"{missing}, so there is nothing to hold the answer against")


def _send_back(state: AgentState, finding: Finding, phrasing: str) -> Update:
    """Reject an answer: it leaves the conversation, and the next attempt changes one thing."""
    detail = f"{finding.reason}; asking again as: {phrasing}"
    return {
        "verdict": "retry",
        "reason": finding.reason,
        "asked": phrasing,
        "messages": withdrawn(state),
        "steps": with_step(state, "validator", "retry", detail),
    }


def _other_phrasings(state: AgentState, match: Match, lookup: RecordLookup) -> list[str]:
    """Give the trained wordings that differ from the user's own, best first."""
    if match.others:
        return []
    if state.get("current_task") == "summarize":
        own, trained = subject_of(query_of(state)), lookup.canonical_summaries(match)
    else:
        own, trained = query_of(state), lookup.canonical_questions(match)
    return [phrase for phrase in dict.fromkeys(trained) if phrase.strip() != own.strip()]


def _says_so(
    state: AgentState, answer: str, finding: Finding, match: Match, lookup: RecordLookup
) -> str:
    """Write the response of a student that disagrees with the record: both, plainly."""
    row = match.row
    if state.get("current_task") != "summarize":
        return f"The student answered {_quoted(answer)}; row {row.row} says " + (
            f"{record_says(match, lookup)}."
        )
    values = ", ".join(
        f"{column.label} = {row.values[column.name]}"
        for column in lookup.table.columns
        if column.name in row.values
    )
    return (
        f"The student's summary disagrees with row {row.row}: {finding.reason}. "
        f"The record of {row.key}: {values}."
    )


def _quoted(answer: str) -> str:
    """Put an answer on one line of a sentence."""
    line = " ".join(answer.split()) or "nothing"
    return line if len(line) <= _LONGEST_QUOTE else line[:_LONGEST_QUOTE] + "\u2026"


def _judge_claim(state: AgentState, tools: Tools) -> Update:
    claim = read_claim(query_of(state), tools.lookup)
    if tools.lookup is not None:
        finding = decide_claim(claim, tools.lookup)
        if finding.agrees is not None:
            said = f"{'Yes' if finding.agrees else 'No'}: {finding.reason}."
            return judged(state, "agrees" if finding.agrees else "disagrees", finding.reason, said)
        if claim.match is not None and not claim.value:
            said = f"There is no claim to check: {finding.reason}."
            return judged(state, "unverified", finding.reason, said)
    return _ask_about_claim(state, tools, claim)


def _ask_about_claim(state: AgentState, tools: Tools, claim: Claim) -> Update:
    """Let the student decide what no record decides, and say whose view it is."""
    context = state.get("context") or ""
    prompt = render("s2-validate", claim.question, context=context, answer=claim.value or "true")
    right, said = ask_yes_no(tools.model, prompt)
    if right is None:
        words_said = f'it said "{_quoted(said)}"' if said else "it said nothing"
        response = f"No verdict: no record decides it, and asked for yes or no {words_said}."
        return judged(state, "unverified", "neither record nor student decides it", response)
    if claim.denied:
        right = not right
    response = f"The student says {'yes' if right else 'no'}, but no record decides it."
    return judged(state, "unverified", "no record decides it; the student's own view", response)
