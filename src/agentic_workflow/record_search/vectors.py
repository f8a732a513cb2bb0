"""LangChain's in-memory vector store, with checked vectors and a file.

    vectors = RecordVectors(StudentEmbeddings(model=folder), path="vectors.safetensors")
    vectors.add_texts(["gold: symbol Au"], ids=["79"])
    vectors.similarity_search("yellow metal", k=1)

Search is exact: the query is compared with every vector. That takes milliseconds for the ten
thousand records of a table that made a student. The file is safetensors, which holds numbers and
text and no code; it is replaced whole at every change.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import InMemoryVectorStore
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ...errors import ConfigError, UnreadableFileError
from ...files import atomic_path

_Entries = dict[str, dict[str, Any]]
"""Id -> `id`, `text`, `metadata` and `vector`, as `InMemoryVectorStore` keeps them."""


class RecordVectors(InMemoryVectorStore):
    """Texts and their vectors, compared by cosine similarity.

    All vectors are finite and of one size, and an addition adds all of its texts or none.

    Args:
        embedding: What turns texts into vectors; the same whenever a file is opened.
        path: File that is read now, where there is one, and replaced at every change; None keeps
            the vectors in memory only.

    Raises:
        UnreadableFileError: The file was not written by this class.
    """

    def __init__(self, embedding: Embeddings, path: str | Path | None = None) -> None:
        """Open the file, or start empty."""
        super().__init__(embedding)
        self.path = None if path is None else Path(path)
        self._writing = threading.Lock()
        if self.path is not None and self.path.exists():
            self.store = _read(self.path)

    def __len__(self) -> int:
        """Count the texts."""
        return len(self.store)

    def close(self) -> None:
        """Free the memory; a file keeps all that was added."""
        self.store = {}

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

        Raises:
            ConfigError: There are not as many ids or metadatas as texts; or a vector is not finite,
                or of another size than those in the store.
        """
        given = list(texts)
        facts = [{} for _ in given] if metadatas is None else metadatas
        named = [None for _ in given] if ids is None else ids
        if not len(given) == len(facts) == len(named):
            raise ConfigError(
                [f"{len(given)} texts, {len(facts)} metadatas, {len(named)} ids; give one per text"]
            )
        parts = zip(given, facts, named, strict=True)
        return self.add_documents([Document(t, metadata=fact, id=name) for t, fact, name in parts])

    def add_documents(
        self,
        documents: list[Document],
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[str]:
        """Add documents, all or none; see `add_texts`."""
        named = [document.id for document in documents] if ids is None else ids
        if len(named) != len(documents):
            raise ConfigError([f"{len(documents)} texts, {len(named)} ids; give one per text"])
        chosen = [name or str(uuid.uuid4()) for name in named]
        texts = [document.page_content for document in documents]
        vectors = self.embedding.embed_documents(texts) if texts else []
        with self._writing:
            parts = zip(chosen, documents, self._checked(vectors), strict=True)
            self._replace({**self.store, **{n: _entry(n, d, vector) for n, d, vector in parts}})
        return chosen

    async def aadd_documents(
        self,
        documents: list[Document],
        ids: list[str] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[str]:
        """Add documents, all or none; see `add_texts`."""
        return await run_in_executor(None, self.add_documents, documents, ids)

    def delete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> bool:  # type: ignore[override]  # noqa: ANN401
        """Delete texts by id; None deletes all. Unknown ids are no error."""
        with self._writing:
            gone = set(self.store if ids is None else ids)
            self._replace({name: kept for name, kept in self.store.items() if name not in gone})
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Give texts by id, in the order asked for, each once; unknown ids are left out."""
        return super().get_by_ids(list(dict.fromkeys(ids)))

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

    @classmethod
    async def afrom_texts(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401
        """Make a store of texts; see `from_texts`."""
        return await run_in_executor(None, partial(cls.from_texts, *args, **kwargs))

    @classmethod
    def load(cls, path: str | Path, embedding: Embeddings, **kwargs: Any) -> Self:  # noqa: ANN401
        """Read a file into memory; later changes do not reach the file."""
        store = cls(embedding)
        store.store = _read(Path(path))
        return store

    def dump(self, path: str | Path) -> None:
        """Write the texts and vectors to a file."""
        _write(Path(path), self.store)

    def _similarity_search_with_score_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: Callable[[Document], bool] | None = None,
    ) -> list[tuple[Document, float, list[float]]]:
        """Compare every vector; equally near ones stay in the order of adding.

        LangChain's own fails where a vector is all zeros: it has no direction, and its similarity
        counts as 0 here.
        """
        (query,) = self._checked([embedding])
        known = [e for e in self.store.values() if filter is None or filter(_document(e))]
        if not known:
            return []
        matrix = np.stack([entry["vector"] for entry in known])
        lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(query)
        similarity = np.divide(
            matrix @ query, lengths, out=np.zeros_like(lengths), where=lengths > 0
        )
        best = np.argsort(-similarity, kind="stable")[: max(0, k)]
        return [(_document(known[i]), float(similarity[i]), known[i]["vector"]) for i in best]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Map a cosine similarity to 0 to 1."""
        return lambda similarity: (1.0 + similarity) / 2.0

    def _checked(self, vectors: Sequence[Sequence[float]]) -> list[Any]:
        """Give vectors as arrays, all finite and of the size of those in the store."""
        made = [np.asarray(vector, dtype=np.float32) for vector in vectors]
        if not all(np.isfinite(vector).all() for vector in made):
            raise ConfigError(
                ["a vector holds a number that is not finite; check the embedding model"]
            )
        kept = [entry["vector"] for entry in self.store.values()][:1]
        sizes = {vector.size for vector in (*kept, *made)}
        if len(sizes) > 1 or 0 in sizes:
            raise ConfigError(
                [f"vectors have sizes {sorted(sizes)}; use one embedding model for one store"]
            )
        return made

    def _replace(self, entries: _Entries) -> None:
        if self.path is not None:
            _write(self.path, entries)
        self.store = entries


def _entry(name: str, document: Document, vector: Any) -> dict[str, Any]:  # noqa: ANN401 - an array
    text, metadata = document.page_content, dict(document.metadata)
    return {"id": name, "text": text, "metadata": metadata, "vector": vector}


def _document(entry: dict[str, Any]) -> Document:
    return Document(id=entry["id"], page_content=entry["text"], metadata=entry["metadata"])


def _write(path: Path, entries: _Entries) -> None:
    texts = [{key: entry[key] for key in ("id", "text", "metadata")} for entry in entries.values()]
    written = np.frombuffer(json.dumps(texts, ensure_ascii=False).encode(), dtype=np.uint8)
    vectors = [entry["vector"] for entry in entries.values()]
    stacked = np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)
    with atomic_path(path) as temporary:
        save_file({"texts": written, "vectors": stacked}, temporary)


def _read(path: Path) -> _Entries:
    try:
        tensors = load_file(path)
        texts, vectors = json.loads(tensors["texts"].tobytes()), tensors["vectors"]
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError("its vectors are not finite, or not of one size")
        documents = [Document(t["text"], id=t["id"], metadata=t["metadata"]) for t in texts]
        pairs = zip(documents, vectors.astype(np.float32), strict=True)
        return {str(d.id): _entry(str(d.id), d, vector) for d, vector in pairs}
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as fault:
        raise UnreadableFileError(
            f"holds no vectors written by stillroom ({fault}); delete it to have them computed "
            "again",
            path=path,
        ) from fault
