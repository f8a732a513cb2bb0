"""Abstain unless table cells support the answer, and cite those cells.

    grounding = Grounding(RecordLookup(table))                   # exact keys, no further package
    grounding = open_grounding(table, StudentEmbeddings(folder))  # with full text and vectors
    MultiAgentWorkflow(folder, grounding=grounding)

    before the student is asked   `refuse`: does the table hold what is asked for?
                                  (`question_coverage`)
    after the validator           `ground_verdict`: which cells support the answer, do they exist,
                                  and do they hold all its numbers? (`number_check`)

An accepted answer has `citations` in the state and in the message's `response_metadata`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage

from ...errors import ConfigError
from ...tables import FactTable, TableRow
from ..record_search.lookup import Match, RecordLookup
from ..state import AgentState, Citation, Verdict, query_of, response_of
from ..state_updates import Update, judged, rejected
from ..text_matching import contains_words, numbers, words
from .answer_check import answers_agree
from .claims import subject_of
from .number_check import CitedCell, unsupported_numbers
from .question_coverage import Refusal, near_keys, refusal_of, refusal_sentence
from .requested_record import RequestedRecord

if TYPE_CHECKING:
    from ..record_search.duckdb_store import RecordStore
    from ..record_search.retriever import RecordRetriever


@dataclass(frozen=True)
class Grounding:
    """Access to the table while the student answers."""

    lookup: RecordLookup
    """Finds named records and columns."""
    retriever: RecordRetriever | None = None
    """Finds similar records to offer where a question names none; None offers keys with a similar
    spelling only."""

    def refuse(self, task: str, text: str, match: Match | None) -> Refusal | None:
        """Give the reason why the table cannot answer; None where it can.

        Args:
            task: `qa`, `summarize` or `validate`.
            text: The user's words; of a claim, what it is about.
            match: The record and column they ask for.
        """
        if task == "summarize":
            return refusal_of(subject_of(text), match, self.lookup, whole_record=True)
        return refusal_of(text, match, self.lookup)

    def sentence(self, refusal: Refusal, text: str) -> str:
        """Explain to the user why there is no answer, and what the table holds."""
        near = self.near(text) if refusal.kind == "no_record" else ()
        return refusal_sentence(refusal, self.lookup, near)

    def near(self, text: str, most: int = 3) -> tuple[str, ...]:
        """Give keys of records similar to a question that names none."""
        spelt_alike = near_keys(text, self.lookup, most)
        if self.retriever is None or len(spelt_alike) >= most:
            return spelt_alike
        found = (
            str(document.metadata["key"])
            for document in self.retriever.find(text, most)
            # Some vector is always the nearest, so only shared words count.
            if document.metadata["found_by"] != ["vector"]
        )
        return tuple(dict.fromkeys((*spelt_alike, *found)))[:most]

    def exists(self, citation: Citation) -> bool:
        """Tell whether the table holds a cited cell, unchanged."""
        if self.retriever is not None:
            found = self.retriever.store.cell(citation["row"], citation["column"])
            return found == citation["value"]
        rows = (row for row in self.lookup.table.rows if row.row == citation["row"])
        return any(
            citation["value"] == (row.key if citation["column"] == self.lookup.table.key
                                  else row.values.get(citation["column"]))
            for row in rows
        )  # fmt: skip


def chosen_grounding(
    lookup: RecordLookup | None, wanted: Grounding | bool = True
) -> Grounding | None:
    """Give the grounding for a workflow.

    Args:
        lookup: The table's index; None without a table, which gives no grounding.
        wanted: A grounding; True for the one without full text and vectors; False for none.

    Raises:
        ConfigError: The grounding is over another table than the student's.
    """
    if isinstance(wanted, Grounding):
        theirs = wanted.lookup.table
        if lookup is not None and theirs != lookup.table:
            raise ConfigError(
                [
                    f"the grounding is over {theirs.source} ({len(theirs.rows)} records), the "
                    f"student's table is {lookup.table.source} ({len(lookup.table.rows)} records); "
                    "make it with open_grounding(open_table(folder))"
                ]
            )
        return wanted
    return Grounding(lookup) if wanted and lookup is not None else None


def open_grounding(
    table: FactTable,
    embedding: Embeddings | None = None,
    *,
    store: RecordStore | None = None,
    vectors_path: str | Path | None = None,
) -> Grounding:
    """Put a table into DuckDB, with full text and, given an embedding model, vectors.

    Args:
        table: The table that made the student.
        embedding: `StudentEmbeddings`, or any of LangChain's; None leaves vectors out.
        store: The table in a file (`RecordStore.open`); by default it is held in memory.
        vectors_path: File of the vectors; None computes them again at every start.

    Raises:
        MissingDependencyError: duckdb is not installed.
    """
    from ..record_search.duckdb_store import RecordStore
    from ..record_search.retriever import RecordRetriever, index_records

    lookup = RecordLookup(table)
    vectors = None if embedding is None else index_records(table, embedding, path=vectors_path)
    records = RecordStore.of(table) if store is None else store
    return Grounding(lookup, RecordRetriever(store=records, lookup=lookup, vectors=vectors))


def ground_verdict(
    state: AgentState,
    update: Any,  # noqa: ANN401 - what a validator returns
    requested: RequestedRecord,
    grounding: Grounding | None,
) -> Any:  # noqa: ANN401
    """Cite the table cells that support what a validator accepted, or reject it.

    Args:
        state: The state the validator saw.
        update: What it returned.
        requested: The record and column that the request is about.
        grounding: None changes nothing.

    Returns:
        The update: with citations where the answer stands; rejected (see `rejected`) where a number
        of the answer is in no cited cell; as an abstention where a cited cell is not in the table.
    """
    match = requested.match
    if grounding is None or not isinstance(update, dict):
        return update
    verdict, task = update.get("verdict"), state.get("current_task") or "qa"
    if verdict not in ("agrees", "disagrees") or match is None or match.others:
        return update
    if task != "validate" and (state.get("context") or "").strip():
        return update  # the user's own text supports it
    if task == "validate" and requested.claim is not None:
        refusal = grounding.refuse(task, requested.claim.about, match)
        if refusal is not None:
            said = grounding.sentence(refusal, query_of(state))
            return _withdrawn(state, update, "unverified", "no record decides it", said)
    agrees = verdict == "agrees"
    answer = "" if task == "validate" else _final_answer(state, update)
    citations = cite(task, query_of(state), answer, match, grounding.lookup, agrees=agrees)
    if not citations or not all(grounding.exists(citation) for citation in citations):
        reason = "the table has no cell that supports the answer"
        return _withdrawn(state, update, "abstained", reason, f"I don't know: {reason}.")
    strange = unsupported_numbers(answer, _cells(citations, grounding.lookup)) if agrees else []
    if not strange:
        return _cited(update, citations)
    reason = f"no cited cell holds the number {strange[0]}"
    closed = _withdrawn(state, update, "abstained", reason, f"I don't know: {reason}.")
    return rejected(state, reason, {**closed, "escalate": True})


def cite(
    task: str,
    question: str,
    answer: str,
    match: Match,
    lookup: RecordLookup,
    *,
    agrees: bool = True,
) -> list[Citation]:
    """List the cells that support an answer.

    Args:
        task: `qa`, `summarize` or `validate`.
        question: The user's words.
        answer: The answer; empty for everything that was matched.
        match: The record and column.
        lookup: The table's index.
        agrees: The answer is right; otherwise the cells that contradict it are cited.

    Returns:
        The cell of the key first, then the others; of every record where several match equally.
    """
    key = lookup.table.key
    citations: list[Citation] = []
    for row in match.rows:
        cells = _cells_of(task, answer, row, match, lookup, agrees)
        if cells:
            naming = [] if _contains_value(question, row.key) else _columns_told(question, row)
            named = dict.fromkeys((key, *naming, *cells))
            citations += [_citation(row, name, lookup) for name in named]
    return citations


def _cells_of(
    task: str, answer: str, row: TableRow, match: Match, lookup: RecordLookup, agrees: bool
) -> list[str]:
    """Choose the columns of a record that are cited; none if it does not support the answer."""
    if task == "summarize":
        return _columns_told(answer, row) if agrees else list(row.values)
    column = match.column.name if match.column is not None else ""
    value = row.key if column == lookup.table.key else row.values.get(column)
    if value is None or (agrees and answer and not answers_agree(answer, value)):
        return []
    return [column]


def _columns_told(text: str, row: TableRow) -> list[str]:
    """List the columns whose values a text contains."""
    return [name for name, value in row.values.items() if _contains_value(text, value)]


def _contains_value(text: str, value: str) -> bool:
    found = numbers(value)
    if len(found) == 1 and found[0] in numbers(text):
        return True
    return contains_words(words(text), words(value))


def _citation(row: TableRow, column: str, lookup: RecordLookup) -> Citation:
    key = lookup.table.key
    value = row.key if column == key else row.values[column]
    return Citation(table=lookup.table.source, row=row.row, key=row.key, column=column, value=value)


def _cells(citations: Iterable[Citation], lookup: RecordLookup) -> list[CitedCell]:
    labels = {column.name: column.label for column in lookup.table.columns}
    return [
        CitedCell(c["row"], c["column"], labels.get(c["column"], c["column"]), c["value"])
        for c in citations
    ]


def _final_answer(state: AgentState, update: Update) -> str:
    """Give the final answer, which the validator may have changed."""
    results = update.get("results")
    if isinstance(results, str):
        return results
    return str(results[-1]) if isinstance(results, list) and results else response_of(state)


def _cited(update: Update, citations: list[Citation]) -> Update:
    """Add citations to a validator's update and to its message."""
    messages = update.get("messages") or []
    for message in messages if isinstance(messages, list) else [messages]:
        if isinstance(message, AIMessage):  # new, so it may be changed
            message.response_metadata["citations"] = citations
    return {**update, "citations": citations}


def _withdrawn(
    state: AgentState, update: Update, verdict: Verdict, reason: str, said: str
) -> Update:
    """Replace the verdict of a validator's update, keeping its step."""
    seen = AgentState(**{**state, "steps": update.get("steps") or state.get("steps") or []})
    return _cited({**update, **judged(seen, verdict, reason, said)}, [])
