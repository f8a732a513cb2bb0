"""Vectors of texts: those of the encoder, computed once for all who ask."""

import numpy as np
import pytest
from stillroom.errors import ModelNotFoundError
from stillroom.inference.score_students.text_vectors import open_vectors

pytestmark = pytest.mark.slow


def test_a_text_is_read_once_and_alike_in_any_batch(real_model):
    real_model("minilm")
    encoder = open_vectors("minilm", max_tokens=64)
    assert open_vectors("minilm", max_tokens=64) is encoder
    texts = ["A short one.", "A somewhat longer text about cards. " * 9, "A short one."]
    first = encoder.vectors(texts)
    assert (encoder.computed, encoder.remembered) == (2, 1)
    again = encoder.vectors(texts[::-1])
    assert (encoder.computed, encoder.remembered) == (2, 4)
    np.testing.assert_array_equal(first, again[::-1])
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1.0, rtol=1e-5)
    assert encoder.vectors([]).shape == (0, 384)


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    with pytest.raises((ModelNotFoundError, ValueError), match="nowhere"):
        open_vectors(str(tmp_path / "nowhere"))
