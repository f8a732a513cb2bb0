"""Vectors of texts by the packaged sentence encoder, for duplicates by meaning.

Deduplicator(path, run_id, DedupSettings(text_fields=("question",),
             vectors=VectorSettings(encoder=ENCODER_NAME)), embed=sentence_vectors())
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...inference.sources.packaged import PACKAGED
from .near_vectors import Embed

_ENCODER: Final = "minilm"
ENCODER_NAME: Final = PACKAGED[_ENCODER].requirement
"""For `VectorSettings.encoder`."""
_PIECE: Final = 100
"""Tokens of a text that are read together; the encoder reads up to 128."""


def sentence_vectors() -> Embed:
    """Load the encoder, and return a function that computes vectors of texts.

    A text that is longer than the encoder reads is cut into pieces, and its vector is the mean of
    theirs, weighted by their length. Each text is read alone: in a batch the last digits would
    depend on the other texts, and a resumed run could decide differently.

    Raises:
        ModelNotFoundError: The encoder is not on this machine; the message says how to fetch it.
    """
    from ...inference.sources.find_model import find_model
    from ...understanding.ranker.encoder import Encoder

    encoder = Encoder(find_model(_ENCODER))

    def vector(text: str) -> NDArray[np.float64]:
        pieces = _pieces(text, encoder.tokenizer)
        rows = [encoder.vector(piece).astype(np.float64) * weight for piece, weight in pieces]
        mean: NDArray[np.float64] = np.sum(rows, axis=0)
        return mean

    def vectors(texts: Sequence[str]) -> NDArray[np.float64]:
        return np.stack([vector(text) for text in texts])

    return vectors


def _pieces(
    text: str,
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
) -> list[tuple[str, int]]:
    """Cut a text into pieces that the encoder reads whole, each with its number of tokens."""
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)[
        "offset_mapping"
    ]
    if len(spans) <= _PIECE:
        return [(text, 1)]
    return [
        (text[part[0][0] : part[-1][1]], len(part))
        for part in (spans[at : at + _PIECE] for at in range(0, len(spans), _PIECE))
    ]
