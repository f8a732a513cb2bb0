"""A vector store in DuckDB, with LangChain's interface.

    vectors = RecordVectors(StudentEmbeddings(model=folder), path="vectors.duckdb")
    vectors.add_texts(["gold: symbol Au"], ids=["79"])
    vectors.similarity_search("yellow metal", k=1)

Search is exact: every vector is compared. A table that made a student has up to some ten thousand
records, where that takes milliseconds; an index that guesses would be slower to build than to do
without.
"""

from __future__ import annotations

import json
import math
import threading
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from ...errors import ConfigError
from .duckdb_connection import open_database

_Hit = tuple[Document, float, list[float]]


class RecordVectors(VectorStore):
    """Texts and their vectors, in memory or in a file; by cosine similarity.

    Args:
        embedding: What turns texts into vectors; the same whenever a file is opened.
        path: DuckDB file, made where there is none; None for a store in memory.
    """

    def __init__(self, embedding: Embeddings, path: str | Path | None = None) -> None:
        """Open or make the store."""
        self.embedding = embedding
        self._writing = threading.Lock()
        self._connection = open_database(path)
        self._connection.execute("create sequence if not exists added")
        self._size: int | None = None
        self._find_size()

    @property
    def embeddings(self) -> Embeddings:
        """What turns texts into vectors."""
        return self.embedding

    def __len__(self) -> int:
        """Count the texts."""
        return 0 if self._size is None else int(self._all("select count(*) from vectors")[0][0])

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,  # noqa: ANN401 - LangChain's interface
    ) -> list[str]:
        """Add texts, all or none; a known id is replaced.

        Args:
            texts: Texts.
            metadatas: JSON values, one object per text; none by default.
            ids: One id per text; made up where it is None.
            kwargs: Not used.

        Returns:
            The ids.

        Raises:
            ConfigError: There are not as many ids or metadatas as texts, or the vectors have
                another size than those in the store.
        """
        given = list(texts)
        facts = [{} for _ in given] if metadatas is None else list(metadatas)
        named = [None for _ in given] if ids is None else list(ids)
        if not len(given) == len(facts) == len(named):
            raise ConfigError(
                [f"{len(given)} texts, {len(facts)} metadatas, {len(named)} ids; give one per text"]
            )
        if not given:
            return []
        chosen = [name or str(uuid.uuid4()) for name in named]
        vectors = [_finite(vector) for vector in self.embedding.embed_documents(given)]
        size = self._check_size(vectors)
        stored = [json.dumps(fact, ensure_ascii=False) for fact in facts]
        # One row per id: of an id that is given twice the last text counts.
        last = {name: place for place, name in enumerate(chosen)}
        kept = list(last.values())
        columns = [[source[i] for i in kept] for source in (chosen, given, stored, vectors)]
        with self._writing, self._connection.cursor() as cursor:
            cursor.execute("begin")
            try:
                cursor.execute(
                    "create table if not exists vectors (id text primary key, content text, "
                    f"metadata text, vector float[{size}], place bigint)"
                )
                cursor.execute(
                    "insert or replace into vectors select unnest(?), unnest(?), unnest(?), "
                    f"unnest(?)::float[{size}], nextval('added')",
                    columns,
                )
                cursor.execute("commit")
            except BaseException:
                cursor.execute("rollback")
                raise
            self._size = size
        return chosen

    def delete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> bool:  # noqa: ANN401
        """Delete texts by id; None deletes all. Unknown ids are no error."""
        if self._size is not None:
            with self._writing, self._connection.cursor() as cursor:
                if ids is None:
                    cursor.execute("delete from vectors")
                else:
                    cursor.execute(
                        "delete from vectors where id in (select unnest(?::text[]))", [list(ids)]
                    )
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Give texts by id, in the order asked for; unknown ids are left out."""
        if self._size is None:
            return []
        found = self._all(
            "select id, content, metadata from vectors where id in (select unnest(?::text[]))",
            list(ids),
        )
        known = {row[0]: _document(*row) for row in found}
        return [known[name] for name in dict.fromkeys(ids) if name in known]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:  # noqa: ANN401
        """Give the texts nearest to a text, the nearest first."""
        return [document for document, _ in self.similarity_search_with_score(query, k)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[tuple[Document, float]]:
        """Give the texts nearest to a text with their cosine similarity, -1 to 1."""
        if self._size is None:
            return []
        hits = self._nearest(self.embedding.embed_query(query), k)
        return [(document, score) for document, score, _ in hits]

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[Document]:
        """Give the texts nearest to a vector, the nearest first."""
        return [document for document, _, _ in self._nearest(embedding, k)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[Document]:
        """Give texts that are near to a text and unlike each other.

        Args:
            query: The text.
            k: Most texts given.
            fetch_k: How many of the nearest are chosen from.
            lambda_mult: 0 for most unlike, 1 for nearest.
            kwargs: Not used.
        """
        if self._size is None:
            return []
        vector = self.embedding.embed_query(query)
        hits = self._nearest(vector, fetch_k)
        chosen = maximal_marginal_relevance(
            np.asarray(vector, dtype=np.float32), [hit[2] for hit in hits], lambda_mult, k
        )
        return [hits[place][0] for place in chosen]

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | Path | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Self:
        """Make a store of texts; see the class and `add_texts`."""
        store = cls(embedding, path)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def _select_relevance_score_fn(self) -> Any:  # noqa: ANN401
        """Map a cosine similarity to 0 to 1."""
        return lambda similarity: (1.0 + similarity) / 2.0

    def _nearest(self, vector: list[float], k: int) -> list[_Hit]:
        """Compare every vector; equally near ones stay in the order of adding."""
        if self._size is None or k < 1:
            return []
        size = self._check_size([_finite(vector)])
        # A vector of zeros has no direction: its similarity is NaN, and counts as 0.
        rows = self._all(
            "select id, content, metadata, vector, coalesce(nullif(array_cosine_similarity("
            f"vector, ?::float[{size}]), 'nan'::float), 0) as similarity "
            "from vectors order by similarity desc, place limit ?",
            vector,
            k,
        )
        return [(_document(*row[:3]), float(row[4]), list(row[3])) for row in rows]

    def _check_size(self, vectors: list[list[float]]) -> int:
        sizes = {len(vector) for vector in vectors} | ({self._size} if self._size else set())
        if len(sizes) != 1 or 0 in sizes:
            raise ConfigError(
                [f"vectors have sizes {sorted(sizes)}; use one embedding model for one store"]
            )
        return sizes.pop()

    def _find_size(self) -> None:
        found = self._all(
            "select data_type from duckdb_columns() where table_name = 'vectors' "
            "and column_name = 'vector'"
        )
        if found:
            self._size = int(found[0][0].partition("[")[2].rstrip("]"))

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
        with self._connection.cursor() as cursor:
            return cursor.execute(sql, list(values)).fetchall()


def _document(name: str, content: str, metadata: str) -> Document:
    return Document(id=name, page_content=content, metadata=json.loads(metadata))


def _finite(vector: list[float]) -> list[float]:
    if not all(math.isfinite(number) for number in vector):
        raise ConfigError(["a vector holds a number that is not finite; check the embedding model"])
    return vector
