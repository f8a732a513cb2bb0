"""Candidates like a few positives, streamed; near copies of what is there are dropped."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stillroom.errors import ConfigError, EmptyDataError
from stillroom.labeling.filters.screening.embedding_screen import (
    NearCopies,
    drop_near_copies,
    screen_corpus,
    screen_text,
)

WORDS = [
    "solar",
    "wind",
    "battery",
    "grid",
    "goal",
    "match",
    "league",
    "team",
    "oven",
    "flour",
    "dough",
    "bake",
]


def embed(texts):
    """Count words: texts that share none are at a right angle."""
    return np.array([[text.lower().split().count(word) for word in WORDS] for text in texts])


def record(identity, content, **more):
    return {"id": identity, "title": "", "content": content, **more}


CORPUS = [
    record("a", "solar wind"),
    record("b", "goal match"),
    record("c", "wind battery grid"),
    record("d", ""),
    record("e", "oven flour"),
    record("p", "solar"),
    record("f", "solar solar battery", off_lens=True),
    record("g", "solar wind"),
]


def test_the_nearest_to_any_positive_come_first():
    positives = [record("p", "solar battery"), record("q", "bake oven")]
    found = screen_corpus(embed, positives, CORPUS, top_k=3, batch_size=2)
    assert [one["id"] for one in found] == ["f", "a", "e"], "p is a positive, g has the text of a"
    assert [one["screen_nearest"] for one in found] == ["p", "p", "q"]
    assert found[1]["screen_score"] == pytest.approx(0.5)
    marked = screen_corpus(embed, positives, CORPUS, top_k=1, exclude_off_lens=True)
    assert marked[0]["id"] == "a"
    assert screen_corpus(embed, positives, CORPUS, max_corpus=1)[0]["id"] == "a"


@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join), max_size=30),
    st.integers(1, 6),
    st.integers(1, 7),
)
def test_it_is_the_full_sort_whatever_the_batches(contents, top_k, batch_size):
    corpus = [record(str(n), content) for n, content in enumerate(contents)]
    positives = [record("x", "solar wind goal")]
    found = screen_corpus(embed, positives, iter(corpus), top_k=top_k, batch_size=batch_size)
    vectors = embed([one["content"] for one in [*positives, *corpus]]).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = vectors[1:] @ vectors[0]
    first = {one["content"]: n for n, one in reversed(list(enumerate(corpus)))}
    unique = [n for n in first.values() if corpus[n]["content"] != "solar wind goal"]
    wanted = sorted((round(float(scores[n]), 4) for n in unique), reverse=True)[:top_k]
    assert [round(one["screen_score"], 4) for one in found] == pytest.approx(wanted, abs=2e-4)


def test_memory_does_not_grow_with_the_corpus():
    def corpus(count):
        for n in range(count):
            yield record(str(n), f"{WORDS[n % 12]} {n} " + "filler " * 100)

    def peak(count):
        tracemalloc.start()
        screen_corpus(embed, [record("x", "solar")], corpus(count), top_k=20, batch_size=64)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(200)
    assert peak(6000) < 1.3 * peak(1500)


def test_what_cannot_be_screened_is_refused():
    with pytest.raises(EmptyDataError, match="at least one"):
        screen_corpus(embed, [record("x", " ")], CORPUS)
    with pytest.raises(ConfigError) as raised:
        screen_corpus(embed, [], CORPUS, top_k=0, batch_size=0)
    assert len(raised.value.faults) == 2
    with pytest.raises(ConfigError, match=r"threshold is 1\.5"):
        list(drop_near_copies(embed, CORPUS, threshold=1.5))


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_near_copies_of_the_reference_and_of_the_pool_are_dropped(batch_size):
    pool = [record("1", "solar wind"), record("2", "goal match"), record("3", "match goal goal"),
            record("4", ""), record("5", "oven"), record("6", "oven oven"),
            record("7", "league")]  # fmt: skip
    counts = NearCopies()
    kept = drop_near_copies(embed, pool, [record("r", "wind solar")], threshold=0.9,
                            batch_size=batch_size, counts=counts)  # fmt: skip
    assert [one["id"] for one in kept] == ["2", "5", "7"]
    assert (counts.kept, counts.of_reference, counts.of_pool, counts.without_text) == (3, 1, 2, 1)
    assert [identity for identity, _ in counts.nearest] == ["1", "3", "6"]


def test_articles_of_a_kind_are_found_by_the_packaged_encoder(real_model):
    real_model("minilm")
    from stillroom.data.identity.sentence_vectors import sentence_vectors

    corpus = [
        record("1", "The striker scored twice in the second half of the match."),
        record("2", "A new offshore wind farm now supplies 300,000 homes with electricity."),
        record("3", "Mix flour, sugar and eggs, then bake for forty minutes."),
        record("4", "The photovoltaic plant doubled its output after the battery was connected."),
    ]
    positives = [record("x", "Solar panels on the roofs of schools feed the grid since spring.")]
    found = screen_corpus(sentence_vectors(), positives, corpus, top_k=2)
    assert {one["id"] for one in found} == {"2", "4"}


def test_the_text_is_the_title_and_the_beginning():
    assert screen_text({"title": "T", "text": "x" * 5000}) == "T\n\n" + "x" * 1000
