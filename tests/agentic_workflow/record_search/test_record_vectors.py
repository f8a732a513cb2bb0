"""LangChain's own suites on the vector store and the retriever, and what they do not ask."""

import dataclasses
import doctest
import math

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import (
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from safetensors.numpy import save_file
from stillroom.agentic_workflow.reading.table_reader import TableReader
from stillroom.agentic_workflow.record_search import retriever as record_retriever
from stillroom.agentic_workflow.record_search.duckdb_store import RecordStore
from stillroom.agentic_workflow.record_search.retriever import (
    EXACT_WEIGHT,
    RecordRetriever,
    fuse_ranks,
    index_records,
)
from stillroom.agentic_workflow.record_search.vectors import RecordVectors
from stillroom.errors import ConfigError, UnreadableFileError

FAKE = DeterministicFakeEmbedding(size=6)


class TestVectors(VectorStoreIntegrationTests):
    """LangChain's suite, in memory."""

    @pytest.fixture
    def vectorstore(self):
        store = RecordVectors(self.get_embeddings())
        yield store
        store.close()


class TestVectorsInAFile(VectorStoreIntegrationTests):
    """LangChain's suite, in a file."""

    @pytest.fixture
    def vectorstore(self, tmp_path):
        store = RecordVectors(self.get_embeddings(), tmp_path / "vectors.safetensors")
        yield store
        store.close()


@pytest.fixture(scope="module")
def parts(table):
    vectors = index_records(table, FAKE)
    with RecordStore.of(table) as store:
        yield {"store": store, "reader": TableReader(table), "vectors": vectors}
    vectors.close()


class TestRetriever(RetrieversIntegrationTests):
    """LangChain's suite on all three ways together."""

    @pytest.fixture(autouse=True)
    def _with_parts(self, parts):
        self.parts = parts

    @property
    def retriever_constructor(self):
        return RecordRetriever

    @property
    def retriever_constructor_params(self):
        return self.parts

    @property
    def retriever_query_example(self):
        return "a noble metal"


def test_no_test_of_the_suites_is_overridden():
    for own in (TestVectors, TestVectorsInAFile, TestRetriever):
        assert not [name for name in vars(own) if name.startswith("test_")]


TEXTS = [f"text {i}" for i in range(40)]


def test_the_nearest_are_those_of_an_exact_search():
    """Held against LangChain's own store, which computes with NumPy."""
    peer = InMemoryVectorStore.from_texts(TEXTS, FAKE)
    ours = RecordVectors.from_texts(TEXTS, FAKE)
    for query in ("text 7", "other", ""):
        expected = peer.similarity_search_with_score(query, k=9)
        found = ours.similarity_search_with_score(query, k=9)
        assert [d.page_content for d, _ in found] == [d.page_content for d, _ in expected]
        assert [s for _, s in found] == pytest.approx([s for _, s in expected], abs=1e-5)
        diverse = peer.max_marginal_relevance_search(query, k=5, lambda_mult=0.3)
        assert [d.page_content for d in ours.max_marginal_relevance_search(
            query, k=5, lambda_mult=0.3)] == [d.page_content for d in diverse]  # fmt: skip
    ours.close()


def test_a_file_keeps_texts_vectors_and_metadata(tmp_path):
    path = tmp_path / "vectors.safetensors"
    store = RecordVectors.from_texts(["a", "b"], FAKE, [{"row": 1}, {"n": "ü"}], path=path)
    first = store.similarity_search_with_score("a", k=2)
    store.close()
    again = RecordVectors(FAKE, path)
    assert again.similarity_search_with_score("a", k=2) == first
    assert first[0][0].metadata == {"row": 1}
    assert first[0][1] == pytest.approx(1.0)
    again.embedding = DeterministicFakeEmbedding(size=7)
    with pytest.raises(ConfigError, match="one embedding model for one store"):
        again.add_texts(["c"])
    assert again.delete() is True
    assert len(again) == 0
    again.close()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(UnreadableFileError):
        RecordVectors(FAKE, path)


FOREIGN = {
    "a count that does not fit": {"texts": b"[]", "vectors": np.ones((1, 6), "f4")},
    "numbers that are not finite": {
        "texts": b'[{"id": "1", "text": "a", "metadata": {}}]',
        "vectors": np.full((1, 6), np.nan, "f4"),
    },
    "texts that are no JSON": {"texts": b"gold", "vectors": np.ones((1, 6), "f4")},
    "other names": {"weight": np.ones((1, 6), "f4")},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path, name):
    path = tmp_path / "vectors.safetensors"
    tensors = {
        key: np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
        for key, value in FOREIGN[name].items()
    }
    save_file(tensors, path)
    before = path.read_bytes()
    with pytest.raises(UnreadableFileError, match="no vectors written by stillroom"):
        RecordVectors(FAKE, path)
    assert path.read_bytes() == before


def test_equally_near_texts_stay_in_the_order_of_adding():
    class Same(DeterministicFakeEmbedding):
        def embed_documents(self, texts):
            return [[1.0] * self.size for _ in texts]

    store = RecordVectors.from_texts(TEXTS, Same(size=6))
    assert [d.page_content for d in store.similarity_search("x", k=5)] == TEXTS[:5]
    assert store.similarity_search("x", k=0) == []


def test_a_store_is_dumped_and_loaded_again(tmp_path):
    store = RecordVectors.from_texts(TEXTS, FAKE)
    store.dump(tmp_path / "copy")
    loaded = RecordVectors.load(tmp_path / "copy", FAKE)
    found = store.similarity_search_with_score("text 7")
    assert loaded.similarity_search_with_score("text 7") == found


class _Broken:
    """Gives vectors that are not numbers for a text that says so."""

    def embed_documents(self, texts):
        return [[math.nan, 1.0] if "nan" in text else [0.0, 0.0] for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]


def test_a_failed_addition_adds_nothing():
    store = RecordVectors(_Broken())
    store.add_texts(["zero"])
    with pytest.raises(ConfigError, match="not finite"):
        store.add_texts(["fine", "nan"])
    with pytest.raises(ConfigError, match="one per text"):
        store.add_texts(["a", "b"], ids=["1"])
    assert len(store) == 1
    assert store.similarity_search_with_score("x")[0][1] == 0.0  # zeros have no direction
    store.close()


def test_of_an_id_given_twice_the_last_text_counts():
    store = RecordVectors(FAKE)
    store.add_documents([Document("first"), Document("last")], ids=["1", "1"])
    assert [d.page_content for d in store.get_by_ids(["1", "1"])] == ["last"]
    store.close()


def test_a_named_record_comes_first(parts):
    retriever = RecordRetriever(**parts)
    for question, row in (("symbol of helium", 2), ("Which is In?", 49), ("the noble gas", 2)):
        best = retriever.invoke(question)[0]
        assert best.metadata["row"] == row
    named = retriever.invoke("symbol of helium")[0]
    assert named.id == "2"
    assert named.metadata["found_by"][0] == "key"
    assert named.page_content.startswith("element: Helium; symbol: He")
    assert {d.metadata["table"] for d in retriever.invoke("gold")} == {"elements.csv"}


def test_ranks_are_fused_as_the_paper_says():
    ways = {"key": [5], "text": [1, 2], "vector": [2, 1, 9]}
    fused = fuse_ranks(ways, EXACT_WEIGHT)
    assert [row for row, _, _ in fused] == [5, 1, 2, 9]
    assert fused[1][1] == pytest.approx(1 / 61 + 1 / 62)
    assert fused[3][1] == pytest.approx(1 / 63)
    assert fused[1][2] == ["text", "vector"]
    assert doctest.testmod(record_retriever).failed == 0


def test_a_kept_index_is_used_again_and_follows_the_table(table, tmp_path):
    class Counting(DeterministicFakeEmbedding):
        texts: list = []  # noqa: RUF012

        def embed_documents(self, texts):
            self.texts.extend(texts)
            return super().embed_documents(texts)

    path, counting = tmp_path / "v.safetensors", Counting(size=6)
    index_records(table, counting, path=path).close()
    assert len(counting.texts) == len(table.rows)
    index_records(table, counting, path=path).close()
    assert len(counting.texts) == len(table.rows)  # nothing is embedded again
    fewer = dataclasses.replace(table, rows=table.rows[1:])
    vectors = index_records(fewer, counting, path=path)
    assert len(vectors) == len(fewer.rows)
    vectors.close()
