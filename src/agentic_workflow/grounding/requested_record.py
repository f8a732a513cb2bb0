"""What a request asks for: a record and column, a computation, or a claim about one.

It is found once a turn, by the node `understand`, and put into the state; all other nodes read it
there.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..reading.table_reader import Match, TableReader, Understood
from ..state import AgentState, query_of
from ..text_matching import words
from .claims import Claim, read_claim, subject_of

PASSAGE_WORDS = 12
"""From this many words on, a text to summarise is the user's own, not the name of a record."""


@dataclass(frozen=True)
class RequestedRecord:
    """What one request asks for."""

    task: str
    query: str
    understood: Understood | None = None
    """What was found in the table; None without one, and for a text of the user's own."""
    claim: Claim | None = None
    """The statement to judge; None unless the task is `validate`."""

    @property
    def match(self) -> Match | None:
        """Record and column; without a column for a summary. None where no cell is asked for."""
        return None if self.understood is None else self.understood.match


def find_requested(
    task: str, query: str, reader: TableReader | None, before: str = "", *, strict: bool = True
) -> RequestedRecord:
    """Find what a request asks for.

    Args:
        task: `qa`, `summarize` or `validate`; for any other nothing is looked for.
        query: The user's words.
        reader: Reads the table; None without one.
        before: The question of the turn before, which this one may lean on.
        strict: No word of a question may be left over; see `TableReader.read`.
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
    """Read what is asked for off the state.

    It is looked for again only where the state does not have it: in a turn that was resumed from a
    checkpoint, or after a node changed the request.

    Args:
        state: The state.
        reader: Reads the table; None without one.
        task: What is asked for; by default the state's `current_task`.
        strict: See `find_requested`.
    """
    task, query = task or state.get("current_task") or "qa", query_of(state)
    kept = state.get("requested")
    if isinstance(kept, RequestedRecord) and (kept.task, kept.query) == (task, query):
        return kept
    return find_requested(task, query, reader, state.get("topic", ""), strict=strict)
