"""Router, question answering and summaries: functions of the state and tools that return an update.

A node answers "I don't know" where a question cannot be answered, and raises only what the model
raises.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from langchain_core.messages import AIMessage

from ...errors import ConfigError
from ...inference.scoring.confidence import TOP_LOGPROBS, ConfidenceMap
from ...prompts import render
from ..grounding.claims import subject_of
from ..grounding.question_coverage import refusal_sentence, unmatched
from ..grounding.requested_record import (
    PASSAGE_WORDS,
    RequestedRecord,
    find_requested,
    requested_record,
)
from ..model_calls.ask import ask, with_history
from ..model_calls.context_budget import context_budget
from ..model_calls.deadlines import run_context
from ..record_search.lookup import Match, RecordLookup
from ..routing import BUILT_IN, CLARIFY, label_route, task_of, word_route
from ..state import AgentState, SourceRecord, TaskType, query_of, response_of, with_step
from ..state_updates import Update, abstained, answered, first_step, fresh_turn, spoken
from ..text_matching import words
from .long_text_node import condense
from .toolbox import Tools

_THIS = frozenset({"", "this", "it", "that", "the text", "this text", "the following", "context"})
RETRY_TEMPERATURE = 0.7
"""Temperature of an attempt that changes nothing else; it has its own seed."""


def process_input(state: AgentState) -> Update:
    """Read the newest question and reset the fields of the turn before."""
    return {
        **fresh_turn(query_of(state)),
        "steps": first_step("process_input", "qa", "one agent, one answer"),
    }


def generate_response(state: AgentState, tools: Tools) -> Update:
    """Ask the student, with the conversation so far before the context."""
    query = query_of(state)
    if run_context().risk_target is not None:
        raise ConfigError(["one agent takes no risk_target; MultiAgentWorkflow does"])
    context = with_history(
        state.get("context") or "",
        state.get("messages") or [],
        budget=context_budget(tools.model, tools.policy.context_tokens),
        question=query,
    )
    message = ask(tools.model, render("s2-qa", query, context=context))
    detail = "asked with context" if context.strip() else "asked as given"
    return {
        **answered(state, message),
        "steps": with_step(state, "generate_response", "answer", detail),
    }


def finalize(state: AgentState) -> Update:
    """Put the response into the conversation, if it is not there yet."""
    response = response_of(state)
    update = {"answer": response, "steps": with_step(state, "finalize", "done", "")}
    said = spoken(state, response)
    return {**update, "messages": said} if said else update


def route_request(state: AgentState, tools: Tools) -> Update:
    """Choose the agent by whole words, by the record that is asked for, or by the student's scores.

    The student is called only if agents were added, or if the policy sets a router or a
    `route_confidence`. The record is looked up here; a second time only if the student then chooses
    another task than the words did.
    """
    query = query_of(state)
    task, why, requested, probability = _choose_route(query, tools)
    match = requested.match
    return {
        **fresh_turn(query),
        "current_task": task,
        "task_type": task,
        "route_probability": probability,
        "requested": requested,
        "sources": _sources(match, tools.lookup),
        "steps": first_step("router", task, f"{why}; {_found(match, tools.lookup)}"),
    }


def ask_for_clarification(state: AgentState, tools: Tools) -> Update:
    """Tell the user that no agent fits, and list the agents."""
    known = "; ".join(f"{r.name}: {r.description}" for r in (*BUILT_IN, *tools.routes))
    return {
        **abstained(
            state,
            CLARIFY,
            f"I cannot tell what is wanted. I can do one of these: {known}. Please say which.",
            reason="no agent is likely enough",
            detail="the user is asked what is meant",
            exit_name=CLARIFY,
        ),
    }


class _Route(NamedTuple):
    name: str
    why: str
    requested: RequestedRecord
    probability: float | None = None


def _choose_route(query: str, tools: Tools) -> _Route:
    named = word_route(query, tools.routes)
    if named is not None:
        return _Route(named[0], f'the word "{named[1]}"', RequestedRecord(named[0], query))
    task, word = task_of(query)
    requested = find_requested(task, query, tools.lookup)
    if word:
        return _Route(task, f'the word "{word}"', requested)
    policy, match = tools.policy, requested.match
    if not (tools.routes or policy.route_confidence or policy.router):
        return _Route(task, "a question", requested)
    if match is not None and match.column is not None and not match.others:
        return _Route(task, "it asks for a record", requested)
    choice = label_route(
        query,
        (*BUILT_IN, *tools.routes),
        policy.router or tools.model,
        correction=policy.route_correction,
        context_tokens=None if policy.router else policy.context_tokens,
    )
    sure = "" if choice.probability is None else f" with {choice.probability:.0%}"
    least = policy.route_confidence
    if least is not None and (choice.probability is None or choice.probability < least):
        why = f"{choice.name}{sure} is the likeliest, {least:.0%} needed"
        return _Route(CLARIFY, why, RequestedRecord(CLARIFY, query), choice.probability)
    if choice.name != task:
        requested = find_requested(choice.name, query, tools.lookup)
    return _Route(choice.name, f"the student's choice{sure}", requested, choice.probability)


def answer_question(state: AgentState, tools: Tools) -> Update:
    """Ask the student, unless there is a table that does not hold what is asked for."""
    query, context = query_of(state), state.get("context") or ""
    requested: Update = {}
    if not context.strip():
        cannot, requested = _cannot_answer("qa", query, state, tools)
        if cannot:
            return {**abstained(state, "qa_agent", cannot), **requested}
    asked = state.get("asked") or query
    options = _attempt_options(state)
    if tools.confidence is not None and tools.samples:
        options["top_logprobs"] = TOP_LOGPROBS
    context = _with_rejection(state, context)
    message = ask(tools.model, render("s2-qa", asked, context=context), **options)
    what = "answer again" if state.get("attempts") else "answer"
    return {
        **answered(state, message),
        **requested,
        "confidence": _confidence(message, tools.confidence),
        "steps": with_step(state, "qa_agent", what, _asked(asked, state)),
    }


def summarize_text(state: AgentState, tools: Tools) -> Update:
    """Ask the student for a summary of the given text or of a record in the table."""
    text, context = text_and_context(state)
    own_text = (state.get("context") or "").strip() or len(words(text)) >= PASSAGE_WORDS
    requested: Update = {}
    if not own_text:
        cannot, requested = _cannot_answer("summarize", text, state, tools)
        if cannot:
            return {**abstained(state, "summarizer", cannot), **requested}
    asked = state.get("asked") or text
    read = condense(asked, _with_rejection(state, context), tools.model, tools.policy)
    if read.fault:
        return abstained(
            state, "summarizer", f"I don't know: {read.fault}.", reason=read.fault,
            detail=read.how, exit_name="too_long",
        )  # fmt: skip
    prompt = render("s2-summarize", read.text, context=read.context)
    message = ask(tools.model, prompt, **_attempt_options(state))
    what = "summary again" if state.get("attempts") else "summary"
    detail = "; ".join(part for part in (_asked(asked[:80], state), read.how) if part)
    return {
        **answered(state, message),
        **requested,
        "steps": with_step(state, "summarizer", what, detail),
    }


def text_and_context(state: AgentState) -> tuple[str, str]:
    """Split a request for a summary into the text and its context.

    "Summarize this" with a context means the context.
    """
    text, context = subject_of(query_of(state)), state.get("context") or ""
    if text.strip(" .:!?").lower() in _THIS and context.strip():
        return context, ""
    return text, context


def _attempt_options(state: AgentState) -> dict[str, Any]:
    """Give the generation options of an attempt."""
    if state.get("change") != "temperature":
        return {}
    return {"temperature": RETRY_TEMPERATURE, "seed": state.get("attempts", 0)}


def _with_rejection(state: AgentState, context: str) -> str:
    """Add the rejected answer to the context, for a model whose temperature we do not set."""
    if state.get("change") != "reason":
        return context
    said = f"Not accepted before: {response_of(state)!r} ({state.get('reason', '')})"
    return "\n".join(part for part in (context, said) if part.strip())


def _asked(asked: str, state: AgentState) -> str:
    changed = {"temperature": f"; temperature {RETRY_TEMPERATURE}", "reason": "; told why"}
    return f"asked: {asked}{changed.get(state.get('change') or '', '')}"


def _confidence(message: AIMessage, known: ConfidenceMap | None) -> float | None:
    told = known is not None and bool(message.response_metadata.get("logprobs"))
    return known.probability(message) if known is not None and told else None


def _sources(match: Match | None, lookup: RecordLookup | None) -> list[SourceRecord]:
    if match is None or lookup is None or match.others:
        return []
    return [lookup.source(match, row) for row in match.rows[:5]]


def _found(match: Match | None, lookup: RecordLookup | None) -> str:
    if lookup is None:
        return "no table to look in"
    if match is None:
        return f"nothing in {lookup.table.source} matches"
    column = f", column {match.column.name}" if match.column else ""
    return f"row {match.row.row} ({match.row.key}){column}"


def _cannot_answer(
    task: TaskType, text: str, state: AgentState, tools: Tools
) -> tuple[str, Update]:
    """Explain why the table does not hold what is asked for; empty if it does or there is no table.

    Also give the record that was looked up, for the nodes that follow.
    """
    if tools.lookup is None:
        return "", {}
    requested = requested_record(state, tools.lookup, task)
    if tools.grounding is not None:
        refusal = tools.grounding.refuse(task, text, requested.match)
        cannot = "" if refusal is None else tools.grounding.sentence(refusal, text)
    else:
        refusal = unmatched(requested.match, whole_record=task == "summarize")
        cannot = "" if refusal is None else refusal_sentence(refusal, tools.lookup)
    return cannot, {"requested": requested}
