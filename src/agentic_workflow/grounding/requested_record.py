"""Find what a request asks for: a record and column, a computation, or a claim about one.

The node `understand` finds it once per turn and puts it into the state, where all other nodes read
it.
"""

from __future__ import annotations

from dataclasses import dataclass

from langchain_core.messages import AIMessage, HumanMessage

from ..reading.table_reader import Match, TableReader, Understood
from ..state import AgentState, query_of
from ..text_matching import nfc, words
from .claims import Claim, read_claim, subject_of

PASSAGE_WORDS = 12
"""A text to summarise with at least this many words is the user's own, not a record's name."""


@dataclass(frozen=True)
class RequestedRecord:
    """What a request asks for."""

    task: str
    query: str
    understood: Understood | None = None
    """Interpretation of the request; None without a table, and for a text of the user's own."""
    claim: Claim | None = None
    """The claim to check; None unless the task is `validate`."""

    @property
    def match(self) -> Match | None:
        """Record and column, without a column for a summary; None if neither is asked for."""
        return None if self.understood is None else self.understood.match


def find_requested(
    task: str, query: str, reader: TableReader | None, before: str = "", *, strict: bool = True
) -> RequestedRecord:
    """Find what a request asks for.

    Args:
        task: `qa`, `summarize` or `validate`; for any other task the table is not searched.
        query: The user's words.
        reader: Reader of the table; None without a table.
        before: The question of the previous turn, of which this one may be a follow-up.
        strict: As in `TableReader.read`.
    """
    if task == "validate":
        claim = read_claim(query, reader)
        return RequestedRecord(task, query, claim.understood, claim)
    if reader is None or task not in ("qa", "summarize"):
        return RequestedRecord(task, query)
    if task == "qa":
        return RequestedRecord(task, query, reader.read(query, before, strict=strict))
    subject = subject_of(query)
    if len(words(subject)) >= PASSAGE_WORDS:
        return RequestedRecord(task, query)
    return RequestedRecord(task, query, reader.read_record(subject))


def requested_record(
    state: AgentState, reader: TableReader | None, task: str | None = None, *, strict: bool = True
) -> RequestedRecord:
    """Return what a request asks for, from the state.

    If the state does not have it, it is found again: in a turn that was resumed from a checkpoint,
    or after a node changed the request.

    Args:
        state: The state.
        reader: Reader of the table; None without a table.
        task: The task; by default the state's `current_task`.
        strict: As in `TableReader.read`.
    """
    task, query = task or state.get("current_task") or "qa", query_of(state)
    kept = state.get("requested")
    if isinstance(kept, RequestedRecord) and (kept.task, kept.query) == (task, query):
        return kept
    chosen = chosen_reading(state, reader, strict=strict) if task == "qa" else None
    return chosen or find_requested(task, query, reader, state.get("topic", ""), strict=strict)


def chosen_reading(
    state: AgentState, reader: TableReader | None, *, strict: bool = True
) -> RequestedRecord | None:
    """Return what a question asks for that chooses a reading which was asked back about.

    The turn before asked "Do you mean ...?", and the newest message is one of the readings.

    Args:
        state: The state with the conversation.
        reader: Reader of the table; None without a table.
        strict: As in `TableReader.read`.

    Returns:
        None if the newest message chooses nothing.
    """
    messages = state.get("messages") or []
    asked = [place for place, one in enumerate(messages) if isinstance(one, HumanMessage)]
    if reader is None or len(asked) < 2:
        return None
    now, earlier = asked[-1], asked[-2]
    query = query_of(state)
    said = [str(m.text) for m in messages[earlier + 1 : now] if isinstance(m, AIMessage)]
    if not said or not query.strip() or query.strip().casefold() not in said[-1].casefold():
        return None  # a reading that is offered stands in the message that offers it
    before = str(messages[asked[-3]].text) if len(asked) > 2 else ""
    offering = reader.read(
        nfc(str(messages[earlier].text)), state.get("topic") or before, strict=strict
    )
    found = offering.chosen(query)
    return None if found is None else RequestedRecord("qa", query, found)
