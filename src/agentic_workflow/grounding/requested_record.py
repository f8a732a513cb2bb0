"""The record and column that a request asks for.

The router looks them up once a turn and puts them into the state; all other nodes read them there.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..record_search.lookup import Match, RecordLookup
from ..state import AgentState, query_of
from ..text_matching import words
from .claims import Claim, read_claim, subject_of

PASSAGE_WORDS = 12
"""From this many words on, a text to summarise is the user's own, not the name of a record."""


@dataclass(frozen=True)
class RequestedRecord:
    """The record, column and claim of one request."""

    task: str
    query: str
    match: Match | None = None
    """Record and column; without a column for a summary. None where no record is named."""
    claim: Claim | None = None
    """The statement to judge; None unless the task is `validate`."""


def find_requested(task: str, query: str, lookup: RecordLookup | None) -> RequestedRecord:
    """Look up the record that a request asks for.

    Args:
        task: `qa`, `summarize` or `validate`; for any other no record is looked for.
        query: The user's words.
        lookup: The table's index; None without a table.
    """
    if task == "validate":
        claim = read_claim(query, lookup)
        return RequestedRecord(task, query, claim.match, claim)
    if lookup is None or task not in ("qa", "summarize"):
        return RequestedRecord(task, query)
    if task == "qa":
        return RequestedRecord(task, query, lookup.find(query))
    subject = subject_of(query)
    match = lookup.find(subject) if len(words(subject)) < PASSAGE_WORDS else None
    if match is not None:
        match = Match(match.rows, None, match.key_column, 1.0, match.others)
    return RequestedRecord(task, query, match)


def requested_record(
    state: AgentState, lookup: RecordLookup | None, task: str | None = None
) -> RequestedRecord:
    """Read the requested record off the state.

    It is looked up only where the state does not have it: behind a router of the user's own, in a
    turn that was resumed from a checkpoint, or after a node changed the request.

    Args:
        state: The state.
        lookup: The table's index; None without a table.
        task: What is asked for; by default the state's `current_task`.
    """
    task, query = task or state.get("current_task") or "qa", query_of(state)
    kept = state.get("requested")
    if isinstance(kept, RequestedRecord) and (kept.task, kept.query) == (task, query):
        return kept
    return find_requested(task, query, lookup)
