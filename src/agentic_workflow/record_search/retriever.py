"""Hybrid retrieval: three searches, fused by rank.

    exact key     the question names the record (`table_reader`)
    full text     the record shares the question's rare words (`duckdb_store`)
    vectors       the record's embedding is near the question's (`vectors`)

Ranks are fused because the three scores are not comparable: a record's score is the sum of
weight / (60 + rank) over the searches that found it (Cormack, Clarke and Buettcher 2009,
Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods, SIGIR).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict, Field

from ...tables import FactTable
from ..reading.table_reader import TableReader
from ..text_matching import nfc
from .duckdb_store import RecordStore, record_text
from .vectors import RecordVectors

RANK_CONSTANT = 60
EXACT_WEIGHT = 3.0
"""More than the other two together, so that a named record comes first."""
DEPTH = 20
"""Records that each search returns before fusing."""


class RecordRetriever(BaseRetriever):
    """Find the records of a table for a question, the best first.

    Documents hold the record as text; their metadata have `table`, `row`, `key`, the fused `score`
    and in `found_by` the searches that found it: `key`, `text`, `vector`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    store: RecordStore
    reader: TableReader | None = None
    """Finds named records; None skips that search."""
    vectors: VectorStore | None = None
    """Documents with `row` in their metadata (`index_records`); None skips that search."""
    k: int = Field(default=4, ge=1)
    """Most records returned."""

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
    ) -> list[Document]:
        return self.find(query, k)

    def find(self, query: str, k: int | None = None) -> list[Document]:
        """Find records without LangChain's callbacks; see the class."""
        most = self.k if k is None else k
        best = fuse_ranks(self._ways(query, max(DEPTH, most)), EXACT_WEIGHT)[: max(0, most)]
        rows = {row.row: row for row in self.store.rows(row for row, _, _ in best)}
        labels = {} if self.reader is None else {c.name: c.label for c in self.reader.table.columns}
        return [
            Document(
                id=str(number),
                page_content=record_text(rows[number], self.store.key, labels),
                metadata={
                    "table": self.store.source,
                    "row": number,
                    "key": rows[number].key,
                    "score": score,
                    "found_by": found_by,
                },
            )
            for number, score, found_by in best
            if number in rows
        ]

    def _ways(self, query: str, depth: int) -> dict[str, list[int]]:
        ways: dict[str, list[int]] = {}
        if self.reader is not None:
            ways["key"] = _named(query, self.reader)[:depth]
        ways["text"] = [row for row, _ in self.store.search(query, depth)]
        if self.vectors is not None:
            near = self.vectors.similarity_search(nfc(query), k=depth)
            ways["vector"] = [int(document.metadata["row"]) for document in near]
        return ways


def fuse_ranks(
    ways: dict[str, list[int]], exact_weight: float = 1.0
) -> list[tuple[int, float, list[str]]]:
    """Fuse rankings by reciprocal rank.

    Args:
        ways: Name of a search -> record numbers, the best first.
        exact_weight: Weight of the search `key`; the others weigh 1.

    Returns:
        Record number, fused score and the searches that found it; the best first, ties by number.

    >>> [row for row, _, _ in fuse_ranks({"text": [1, 2], "vector": [2, 3]})]
    [2, 1, 3]
    """
    scores: dict[int, float] = {}
    found_by: dict[int, list[str]] = {}
    for way, rows in ways.items():
        weight = exact_weight if way == "key" else 1.0
        for rank, row in enumerate(dict.fromkeys(rows), 1):
            scores[row] = scores.get(row, 0.0) + weight / (RANK_CONSTANT + rank)
            found_by.setdefault(row, []).append(way)
    order = sorted(scores, key=lambda row: (-scores[row], row))
    return [(row, scores[row], found_by[row]) for row in order]


def index_records(
    table: FactTable,
    embedding: Embeddings,
    **options: Any,  # noqa: ANN401
) -> RecordVectors:
    """Put every record of a table into a vector store.

    Args:
        table: The table.
        embedding: An embedding model, such as `StudentEmbeddings`.
        options: `path` of `RecordVectors`; only records that the file does not hold are embedded.
    """
    vectors = RecordVectors(embedding, **options)
    labels = {column.name: column.label for column in table.columns}
    texts = [nfc(record_text(row, table.key, labels)) for row in table.rows]
    ids = [str(row.row) for row in table.rows]
    known = {document.id: document.page_content for document in vectors.get_by_ids(ids)}
    new = [i for i, name in enumerate(ids) if known.get(name) != texts[i]]
    if len(known) - len(vectors):  # the file has records that the table has not
        vectors.delete()
        new = list(range(len(ids)))
    facts: Sequence[dict[str, Any]] = [{"table": table.source, "row": r.row, "key": r.key}
                                       for r in table.rows]  # fmt: skip
    vectors.add_texts([texts[i] for i in new], [facts[i] for i in new], ids=[ids[i] for i in new])
    return vectors


def _named(query: str, reader: TableReader) -> list[int]:
    """Give the records that a question names, the best match first."""
    if reader.known is not None:
        match = reader.read(query).match
        return [] if match is None else [row.row for row in match.rows]
    return reader.rows_named(query)
