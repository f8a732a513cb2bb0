"""Vectors are computed once for all who read with one encoder; in eight bits they stay near."""

import numpy as np
import pytest
from stillroom.inference.score_students import vector_memory
from stillroom.inference.score_students.base_model import TextCut, TextReader, name_base
from stillroom.inference.score_students.vector_memory import VectorMemory, shared_memory


def test_a_text_is_computed_once_and_the_oldest_is_forgotten(monkeypatch):
    monkeypatch.setattr(vector_memory, "MOST_KEPT", 3)
    memory, asked = VectorMemory(), []

    def compute(rows):
        asked.extend(rows)
        return np.array([[len(row)] for row in rows], dtype=np.float32).reshape(-1, 1)

    np.testing.assert_array_equal(memory.vectors([[1], [2, 2], [1]], compute), [[1], [2], [1]])
    memory.vectors([[3, 3, 3], [1]], compute)
    assert (len(asked), memory.computed, memory.remembered) == (3, 3, 2)
    memory.vectors([[4], [2, 2]], compute)
    memory.vectors([[2, 2], [4]], compute)
    memory.vectors([[1]], compute)
    assert asked == [(1,), (2, 2), (3, 3, 3), (4,), (1,)]
    assert memory.vectors([], compute).shape == (0, 1)


def test_readers_of_one_encoder_share_and_eight_bits_are_near(real_model):
    real_model("minilm")
    shared_memory.cache_clear()
    base = name_base("minilm")
    one, other = (TextReader(base, TextCut(most), device="cpu") for most in (64, 256))
    texts = ["My card is lost.", "Where is my money? It was sent last week, and I wait."]
    first = one.vectors(texts)
    np.testing.assert_array_equal(first, other.vectors(texts))
    memory = shared_memory((base, False, "cpu"))
    assert (memory.computed, memory.remembered) == (2, 2)
    near = one.int8().vectors(texts)
    assert memory.remembered == 2, "vectors of eight bits are others"
    cosine = (first * near).sum(axis=1)
    assert cosine.min() == pytest.approx(1.0, abs=0.02)
    assert not np.array_equal(first, near)
