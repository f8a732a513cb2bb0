"""Abstain unless table cells support the answer, and cite those cells.

    grounding = Grounding(TableReader(table))                    # no further package
    grounding = open_grounding(table, StudentEmbeddings(folder))  # with full text and vectors
    MultiAgentWorkflow(folder, grounding=grounding)

    before the student is asked   `refuse`: does the table hold what is asked for?
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
from ..reading.table_reader import Match, TableReader
from ..state import AgentState, Citation, Verdict, response_of
from ..state_updates import Update, judged, rejected
from ..text_matching import contains_words, numbers, words
from .answer_check import answers_agree
from .number_check import CitedCell, unsupported_numbers
from .requested_record import RequestedRecord

if TYPE_CHECKING:
    from ..record_search.duckdb_store import RecordStore
    from ..record_search.retriever import RecordRetriever

MOST_CITED = 100
"""Most cells that an answer cites; a sum over a long column uses more."""


@dataclass(frozen=True)
class Grounding:
    """Access to the table while the student answers."""

    reader: TableReader
    """Finds what a request asks for."""
    retriever: RecordRetriever | None = None
    """Finds similar records to offer if a question names none; None offers only names with a
    similar spelling."""

    def refuse(self, requested: RequestedRecord) -> str | None:
        """Return the message to the user if the table cannot answer; None if it can."""
        found = requested.understood
        if found is None:
            return "I don't know: nothing in the table matches this question."
        if found.verdict == "answered":
            return None
        offered = self.near(found.text) if found.nothing_named else ()
        return found.message + (f" Similar records: {', '.join(offered)}." if offered else "")

    def near(self, text: str, most: int = 3) -> tuple[str, ...]:
        """Return up to `most` keys of records that are similar to a question that names none."""
        spelt_alike = self.reader.near(text, most)
        if self.retriever is None or len(spelt_alike) >= most:
            return spelt_alike
        found = (
            str(document.metadata["key"])
            for document in self.retriever.find(text, most)
            # There is always a nearest vector, so only records that share words are offered.
            if document.metadata["found_by"] != ["vector"]
        )
        return tuple(dict.fromkeys((*spelt_alike, *found)))[:most]

    def exists(self, citation: Citation) -> bool:
        """Tell whether the table holds a cited cell, unchanged."""
        if self.retriever is not None:
            found = self.retriever.store.cell(citation["row"], citation["column"])
            return found == citation["value"]
        row = self.reader.row_by_number.get(citation["row"])
        return row is not None and _citation(row, citation["column"], self.reader) == citation


def chosen_grounding(
    reader: TableReader | None, wanted: Grounding | bool = True
) -> Grounding | None:
    """Return the grounding of a workflow, None for none.

    Args:
        reader: Reader of the student's table; None without a table, which gives no grounding.
        wanted: A grounding; True for one without full text and vectors; False for none.

    Raises:
        ConfigError: The grounding is over a table other than the student's.
    """
    if isinstance(wanted, Grounding):
        theirs = wanted.reader.table
        if reader is not None and theirs != reader.table:
            raise ConfigError(
                [
                    f"the grounding is over {theirs.source} ({len(theirs.rows)} records), the "
                    f"student's table is {reader.table.source} ({len(reader.table.rows)} records); "
                    "make it with open_grounding(open_table(folder))"
                ]
            )
        return wanted
    return Grounding(reader) if wanted and reader is not None else None


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
        vectors_path: File that caches the vectors; None computes them at every start.

    Raises:
        MissingDependencyError: duckdb is not installed.
    """
    from ..record_search.duckdb_store import RecordStore
    from ..record_search.retriever import RecordRetriever, index_records

    reader = TableReader(table)
    vectors = None if embedding is None else index_records(table, embedding, path=vectors_path)
    records = RecordStore.of(table) if store is None else store
    return Grounding(reader, RecordRetriever(store=records, reader=reader, vectors=vectors))


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
        The update: with citations if the cells support the answer; rejected (see `rejected`) if no
        cited cell has a number of the answer; as an abstention if no cell supports the answer or a
        cited cell is not in the table.
    """
    found = requested.understood
    if grounding is None or not isinstance(update, dict) or found is None:
        return update
    verdict, task = update.get("verdict"), state.get("current_task") or "qa"
    if verdict not in ("agrees", "disagrees") or found.verdict != "answered":
        return update
    if task != "validate" and (state.get("context") or "").strip():
        return update  # the user's own text supports it
    agrees = verdict == "agrees"
    answer = "" if task == "validate" else _final_answer(state, update)
    citations = cite(requested, answer, grounding.reader, agrees=agrees)
    if not citations or not all(grounding.exists(citation) for citation in citations):
        reason = "the table has no cell that supports the answer"
        return _withdrawn(state, update, "abstained", reason, f"I don't know: {reason}.")
    looked_up = agrees and found.match is not None
    strange = unsupported_numbers(answer, _cells(citations, grounding.reader)) if looked_up else []
    if not strange:
        return _cited(update, citations)
    reason = f"no cited cell holds the number {strange[0]}"
    closed = _withdrawn(state, update, "abstained", reason, f"I don't know: {reason}.")
    return rejected(state, reason, {**closed, "escalate": True})


def cite(
    requested: RequestedRecord, answer: str, reader: TableReader, *, agrees: bool = True
) -> list[Citation]:
    """List the cells that support an answer.

    Args:
        requested: What is asked for.
        answer: The answer; empty to cite all cells that were found.
        reader: Reader of the table.
        agrees: Whether the answer is right; otherwise the cells that contradict it are cited.

    Returns:
        For a looked-up fact, the key and the cell of the record, or of each record with that name;
        for a summary, the key and the cells that it mentions; for a computation, its first
        `MOST_CITED` cells.
    """
    found = requested.understood
    if found is None:
        return []
    key, match = reader.table.key, found.match
    if match is None:
        rows = reader.row_by_number
        return [_citation(rows[row], name, reader) for row, name in found.cells[:MOST_CITED]]
    citations: list[Citation] = []
    for row in match.rows:
        cells = _cells_of(answer, row, match, agrees)
        if cells:
            citations += [_citation(row, name, reader) for name in dict.fromkeys((key, *cells))]
    return citations


def _cells_of(answer: str, row: TableRow, match: Match, agrees: bool) -> list[str]:
    """Choose the columns of a record that are cited; none if it does not support the answer."""
    if match.column is None:
        told = [name for name, value in row.values.items() if _contains_value(answer, value)]
        return told if agrees else list(row.values)
    value = match.value_of(row)
    if value is None or (agrees and answer and not answers_agree(answer, value)):
        return []
    return [match.column.name]


def _contains_value(text: str, value: str) -> bool:
    found = numbers(value)
    if len(found) == 1 and found[0] in numbers(text):
        return True
    return contains_words(words(text), words(value))


def _citation(row: TableRow, column: str, reader: TableReader) -> Citation:
    key = reader.table.key
    value = row.key if column == key else row.values.get(column, "")
    return Citation(table=reader.table.source, row=row.row, key=row.key, column=column, value=value)


def _cells(citations: Iterable[Citation], reader: TableReader) -> list[CitedCell]:
    labels = {column.name: column.label for column in reader.table.columns}
    return [
        CitedCell(c["row"], c["column"], labels.get(c["column"], c["column"]), c["value"])
        for c in citations
    ]


def _final_answer(state: AgentState, update: Update) -> str:
    """Return the final answer, which the validator may have changed."""
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
