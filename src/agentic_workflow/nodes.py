"""What the agents do: each node is a function of the state and its tools that returns an update.

A node never raises for a question that cannot be answered (it says so), and never turns an error of
the model into an answer (it lets it pass).
"""

from __future__ import annotations

from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel

from ..prompts import render
from .asking import ask, with_history
from .record_claim import read_claim, subject_of
from .record_lookup import Match, RecordLookup
from .routing import task_of
from .state import AgentState, SourceRecord, query_of, response_of, with_step
from .turns import Update, abstained, answered, first_step, fresh_turn, spoken
from .wording import words

_THIS = frozenset({"", "this", "it", "that", "the text", "this text", "the following", "context"})
_PASSAGE = 12
"""From this many words on, a text to summarise is the user's own, not the name of a record."""


@dataclass(frozen=True)
class Tools:
    """What the agents work with."""

    model: BaseChatModel
    """The student."""
    lookup: RecordLookup | None = None
    """Index of the student's table; None without one."""


def process_input(state: AgentState) -> Update:
    """Read the newest question and start its turn with nothing left over from the one before."""
    return {
        **fresh_turn(query_of(state)),
        "steps": first_step("process_input", "qa", "one agent, one answer"),
    }


def generate_response(state: AgentState, tools: Tools) -> Update:
    """Ask the student, with the conversation so far before the context."""
    context = with_history(state.get("context") or "", state.get("messages") or [])
    message = ask(tools.model, render("s2-qa", query_of(state), context=context))
    detail = "asked with context" if context.strip() else "asked as given"
    return {
        **answered(state, message),
        "steps": with_step(state, "generate_response", "answer", detail),
    }


def finalize(state: AgentState) -> Update:
    """Put the response into the conversation, if it is not there yet."""
    response = response_of(state)
    return {
        "answer": response,
        "messages": spoken(state, response),
        "steps": with_step(state, "finalize", "done", ""),
    }


def route_request(state: AgentState, tools: Tools) -> Update:
    """Choose the agent by whole words, and find the record that is asked about."""
    query = query_of(state)
    task, word = task_of(query)
    match = find_record(task, query, tools.lookup)
    why = f'the word "{word}"' if word else "a question"
    return {
        **fresh_turn(query),
        "current_task": task,
        "task_type": task,
        "sources": _sources(match, tools.lookup),
        "steps": first_step("router", task, f"{why}; {_found(match, tools.lookup)}"),
    }


def answer_question(state: AgentState, tools: Tools) -> Update:
    """Ask the student, unless there is a table and nothing in it matches."""
    query, context = query_of(state), state.get("context") or ""
    if tools.lookup is not None and not context.strip():
        match = find_record("qa", query, tools.lookup)
        if match is None or match.column is None or match.others:
            return abstained(state, "qa_agent", _cannot_answer(match, tools.lookup))
    asked = state.get("asked") or query
    message = ask(tools.model, render("s2-qa", asked, context=context))
    what = "answer" if asked == query else "answer again"
    return {
        **answered(state, message),
        "steps": with_step(state, "qa_agent", what, f"asked: {asked}"),
    }


def summarize_text(state: AgentState, tools: Tools) -> Update:
    """Ask the student for a summary, unless neither a text nor a known record is given."""
    text, context = text_and_context(state)
    own_text = (state.get("context") or "").strip() or len(words(text)) >= _PASSAGE
    if tools.lookup is not None and not own_text:
        match = find_record("summarize", text, tools.lookup)
        if match is None or match.others:
            return abstained(state, "summarizer", _cannot_answer(match, tools.lookup))
    asked = state.get("asked") or text
    message = ask(tools.model, render("s2-summarize", asked, context=context))
    what = "summary" if asked == text else "summary again"
    return {
        **answered(state, message),
        "steps": with_step(state, "summarizer", what, f"asked: {asked[:80]}"),
    }


def find_record(task: str, text: str, lookup: RecordLookup | None) -> Match | None:
    """Find the record a request is about.

    Args:
        task: `qa`, `summarize` or `validate`.
        text: The user's words.
        lookup: The table's index; None without a table.

    Returns:
        The match; without a column for a summary. None where no record is named.
    """
    if lookup is None:
        return None
    if task == "validate":
        return read_claim(text, lookup).match
    if task != "summarize":
        return lookup.find(text)
    subject = subject_of(text)
    match = lookup.find(subject) if len(words(subject)) < _PASSAGE else None
    if match is None:
        return None
    return Match(match.rows, None, match.key_column, 1.0, match.others)


def text_and_context(state: AgentState) -> tuple[str, str]:
    """Split a request for a summary into the text and its context.

    "Summarize this" with a context means the context.
    """
    text, context = subject_of(query_of(state)), state.get("context") or ""
    if text.strip(" .:!?").lower() in _THIS and context.strip():
        return context, ""
    return text, context


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


def _cannot_answer(match: Match | None, lookup: RecordLookup) -> str:
    if match is None:
        return "I don't know: nothing in the table matches this question."
    if match.others:
        named = ", ".join((match.row.key, *match.others))
        return f"I don't know: this names several records ({named}); ask about one at a time."
    labels = [column.label for column in lookup.table.columns]
    return (
        f"I don't know: nothing in the table matches what is asked about {match.row.key}. "
        f"It can be asked for: {', '.join(labels)}."
    )
