"""Understanding, router, answers and summaries: functions of the state that return an update.

A node answers "I don't know" where a question cannot be answered, and raises only what the model
raises.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, HumanMessage

from ...errors import ConfigError
from ...inference.scoring.confidence import TOP_LOGPROBS, ConfidenceMap
from ...prompts import render
from ..grounding.claims import subject_of
from ..grounding.requested_record import (
    PASSAGE_WORDS,
    RequestedRecord,
    chosen_reading,
    find_requested,
    requested_record,
)
from ..model_calls.ask import ask, with_history
from ..model_calls.context_budget import context_budget
from ..model_calls.deadlines import run_context
from ..reading.table_reader import Match, TableReader, Understood
from ..routing import BUILT_IN, CLARIFY, label_route, task_of, word_route
from ..state import AgentState, SourceRecord, query_of, response_of, with_step
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


def understand(state: AgentState, tools: Tools) -> Update:
    """Find what the request asks for, once; all other nodes read it off the state.

    A question may lean on the one before: that of the thread, else the last one among the messages.
    """
    query = query_of(state)
    if tools.reader is None or word_route(query, tools.routes) is not None:
        return {"steps": []}
    strict = tools.grounding is not None
    chosen = chosen_reading(state, tools.reader, strict=strict)
    requested = chosen or find_requested(
        task_of(query)[0], query, tools.reader, _before(state), strict=strict
    )
    found = requested.understood
    told = requested.task == "qa" and found is not None and found.verdict == "answered"
    update: Update = {"requested": requested, "steps": []}
    # A reading that was chosen is told by the words that chose it.
    topic = query if chosen else found.text if found is not None else ""
    return {**update, "topic": topic} if told else update


def route_request(state: AgentState, tools: Tools) -> Update:
    """Choose the agent by whole words, by what the table answers, or by the student's scores.

    The student is called only if agents were added, or if the policy sets a router or a
    `route_confidence`.
    """
    query = query_of(state)
    task, why, requested, probability = _choose_route(state, query, tools)
    found = requested.understood
    return {
        **fresh_turn(query),
        "current_task": task,
        "task_type": task,
        "route_probability": probability,
        "requested": requested,
        "plan": found.plan if found is not None else "",
        "sources": _sources(requested.match, tools.reader),
        "steps": first_step("router", task, f"{why}; {_found(requested, tools.reader)}"),
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


def _choose_route(state: AgentState, query: str, tools: Tools) -> _Route:
    named = word_route(query, tools.routes)
    if named is not None:
        return _Route(named[0], f'the word "{named[1]}"', RequestedRecord(named[0], query))
    task, word = task_of(query)
    requested = _requested(state, tools, task)
    if word:
        return _Route(task, f'the word "{word}"', requested)
    policy, found = tools.policy, requested.understood
    if not (tools.routes or policy.route_confidence or policy.router):
        return _Route(task, "a question", requested)
    least = policy.route_confidence
    by_table = found is not None and found.verdict == "answered"
    # Only an added agent that the router is sure of takes a question that the table answers.
    if by_table and not (tools.routes and least):
        return _Route(task, "the table answers it", requested)
    choice = label_route(
        query,
        (*BUILT_IN, *tools.routes),
        policy.router or tools.model,
        correction=policy.route_correction,
        context_tokens=None if policy.router else policy.context_tokens,
    )
    sure = "" if choice.probability is None else f" with {choice.probability:.0%}"
    doubted = least is not None and (choice.probability is None or choice.probability < least)
    if by_table and (doubted or choice.name not in {route.name for route in tools.routes}):
        return _Route(task, "the table answers it", requested)
    if doubted and least is not None:
        why = f"{choice.name}{sure} is the likeliest, {least:.0%} needed"
        return _Route(CLARIFY, why, RequestedRecord(CLARIFY, query), choice.probability)
    if choice.name != task:
        requested = _requested(state, tools, choice.name)
    return _Route(choice.name, f"the student's choice{sure}", requested, choice.probability)


def answer_question(state: AgentState, tools: Tools) -> Update:
    """Ask the student for a cell; give what was computed; abstain from what is not in the table."""
    query, context = query_of(state), state.get("context") or ""
    requested: Update = {}
    asked = state.get("asked") or query
    if not context.strip() and tools.reader is not None:
        request = _requested(state, tools, "qa")
        requested = {"requested": request}
        cannot = _cannot_answer(request, tools)
        if cannot:
            return {**_told(state, "qa_agent", request, cannot), **requested}
        found = request.understood
        if found is not None and found.match is None:
            return {**_computed(state, found), **requested}
        if found is not None and found.match is not None and found.text != query:
            asked = state.get("asked") or next(iter(tools.reader.wordings(found.match)), found.text)
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


def _computed(state: AgentState, found: Understood) -> Update:
    """Give the answer of a plan that is computed: the table answers, not the language model."""
    return {
        **answered(state, AIMessage(", ".join(found.answer))),
        "answered_by": "table",
        "confidence": found.confidence,
        "steps": with_step(state, "qa_agent", "computed", found.plan),
    }


def summarize_text(state: AgentState, tools: Tools) -> Update:
    """Ask the student for a summary of the given text or of a record in the table."""
    text, context = text_and_context(state)
    own_text = (state.get("context") or "").strip() or len(words(text)) >= PASSAGE_WORDS
    requested: Update = {}
    if not own_text:
        request = _requested(state, tools, "summarize")
        requested = {"requested": request}
        cannot = _cannot_answer(request, tools) if tools.reader is not None else ""
        if cannot:
            return {**_told(state, "summarizer", request, cannot), **requested}
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


def _sources(match: Match | None, reader: TableReader | None) -> list[SourceRecord]:
    if match is None or reader is None:
        return []
    return [reader.source(match, row) for row in match.rows[:5]]


def _found(requested: RequestedRecord, reader: TableReader | None) -> str:
    found = requested.understood
    if reader is None:
        return "no table to look in"
    if found is None or not found.plan:
        return f"nothing in {reader.table.source} matches"
    row = f"row {found.match.row.row}: " if found.match is not None else ""
    return f"{row}{found.plan}"


def _before(state: AgentState) -> str:
    """Give the question that a follow-up leans on; empty for none."""
    said = [m for m in (state.get("messages") or [])[:-1] if isinstance(m, HumanMessage)]
    return state.get("topic") or (str(said[-1].text) if said else "")


def _requested(state: AgentState, tools: Tools, task: str) -> RequestedRecord:
    return requested_record(state, tools.reader, task, strict=tools.grounding is not None)


def _cannot_answer(request: RequestedRecord, tools: Tools) -> str:
    """Explain why the table does not hold what is asked for; empty if it does."""
    if tools.grounding is not None:
        return tools.grounding.refuse(request) or ""
    found = request.understood
    return "" if found is None or found.verdict == "answered" else found.message


def _told(state: AgentState, node: str, request: RequestedRecord, sentence: str) -> Update:
    """Tell the user that there is no answer, or ask which reading is meant."""
    found = request.understood
    if found is None or found.verdict != "ask_back":
        return abstained(state, node, sentence)
    update = abstained(
        state,
        node,
        sentence,
        reason="the question may be read in another way",
        detail="the user is asked which reading is meant",
        exit_name="ask_back",
    )
    return {**update, "choices": [choice.plan for choice in found.choices]}
