"""Vectors are computed once for all who read with one encoder; in eight bits they stay near."""

import numpy as np
import pytest
from stillroom.inference.score_students import vector_memory
from stillroom.inference.score_students.base_model import TextCut, TextReader, name_base
from stillroom.inference.score_students.vector_memory import VectorMemory, shared_memory


def test_a_text_is_computed_once_and_the_oldest_is_forgotten(monkeypatch):
    monkeypatch.setattr(vector_memory, "MOST_KEPT", 3)
    memory, asked = VectorMemory(), []

    def compute(texts):
        asked.extend(texts)
        return np.array([[len(text)] for text in texts], dtype=np.float32).reshape(-1, 1)

    np.testing.assert_array_equal(memory.vectors(["a", "bb", "a"], compute), [[1], [2], [1]])
    memory.vectors(["ccc", "a"], compute)
    assert (asked, memory.computed, memory.remembered) == (["a", "bb", "ccc"], 3, 2)
    memory.vectors(["dddd", "bb"], compute)
    memory.vectors(["bb", "dddd"], compute)
    memory.vectors(["a"], compute)
    assert asked == ["a", "bb", "ccc", "dddd", "a"]
    assert memory.vectors([], compute).shape == (0, 1)


def test_readers_of_one_encoder_share_and_eight_bits_are_near(real_model):
    real_model("minilm")
    shared_memory.cache_clear()
    one, other = (TextReader(name_base("minilm"), TextCut(64), device="cpu") for _ in range(2))
    texts = ["My card is lost.", "Where is my money? It was sent last week, and I wait."]
    first = one.vectors(texts)
    key = (one.base, one.cut, False, "cpu")
    np.testing.assert_array_equal(first, other.vectors(texts))
    memory = shared_memory(key)
    assert (memory.computed, memory.remembered) == (2, 2)
    near = one.int8().vectors(texts)
    assert memory.remembered == 2, "vectors of eight bits are others"
    cosine = (first * near).sum(axis=1)
    assert cosine.min() == pytest.approx(1.0, abs=0.02)
    assert not np.array_equal(first, near)
