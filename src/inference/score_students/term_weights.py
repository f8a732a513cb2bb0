"""TF-IDF of words and of pieces of words, as scikit-learn computes it, without scikit-learn.

Two blocks stand side by side, each of length 1: words and pairs of words, and pieces of three to
five characters inside words. Pieces find misspelled and inflected words, and need no blanks.

Source: Salton and Buckley 1988; the smoothed form of scikit-learn's `TfidfVectorizer` with
`sublinear_tf=True`, analyzers `word` (`\\w+`, 1 to 2) and `char_wb` (3 to 5).

Sizes: N texts, V terms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_WORD: Final = re.compile(r"\w+")
PIECES: Final = (3, 4, 5)
"""Characters of a piece."""


def word_terms(text: str) -> list[str]:
    """List the words of a text and its pairs of neighbours.

    >>> word_terms("A good, GOOD day")
    ['a', 'good', 'good', 'day', 'a good', 'good good', 'good day']
    """
    words = _WORD.findall(text.lower())
    return words + [f"{one} {other}" for one, other in pairwise(words)]


@lru_cache(maxsize=200_000)
def pieces_of(word: str) -> tuple[str, ...]:
    """List the pieces of a word with a blank on either side; a short word is its own piece.

    >>> pieces_of("day!")
    (' da', 'day', 'ay!', 'y! ', ' day', 'day!', 'ay! ', ' day!', 'day! ')
    >>> pieces_of("a")
    (' a ',)
    """
    padded = f" {word} "
    found: list[str] = []
    for size in PIECES:
        if len(padded) <= size:
            found.append(padded)
            break  # counted once
        found += [padded[at : at + size] for at in range(len(padded) - size + 1)]
    return tuple(found)


def piece_terms(text: str) -> Iterator[str]:
    """Yield the pieces of all words of a text; words end at blanks."""
    for word in text.lower().split():
        yield from pieces_of(word)


BLOCKS: Final[dict[str, Callable[[str], Iterable[str]]]] = {
    "words": word_terms,
    "pieces": piece_terms,
}
"""Block -> what lists its terms."""


@dataclass(frozen=True)
class TermWeights:
    """Terms of the two blocks and their inverse document frequencies."""

    terms: Mapping[str, Sequence[str]]
    """Block -> its terms, in the order of its columns."""
    idf: Mapping[str, NDArray[np.float64]]
    """Block -> ln((1 + N) / (1 + texts with the term)) + 1."""
    _places: dict[str, dict[str, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Number the terms."""
        places = {block: {t: n for n, t in enumerate(own)} for block, own in self.terms.items()}
        object.__setattr__(self, "_places", places)

    @property
    def width(self) -> int:
        """V, of both blocks."""
        return sum(map(len, self.terms.values()))

    def matrix(self, texts: Sequence[str]) -> Any:  # noqa: ANN401 - scipy is untyped
        """Weigh the terms of texts; a sparse matrix (N, V)."""
        from scipy.sparse import hstack

        return hstack([self._block(block, texts) for block in BLOCKS], format="csr")

    def _block(self, block: str, texts: Sequence[str]) -> Any:  # noqa: ANN401
        from scipy.sparse import csr_array

        places, idf, list_terms = self._places[block], self.idf[block], BLOCKS[block]
        values, columns, ends = [], [], [0]
        for text in texts:
            known = [places[term] for term in list_terms(text) if term in places]
            found, counts = np.unique(np.array(known, dtype=np.int64), return_counts=True)
            weights = (1.0 + np.log(counts)) * idf[found]
            length = float(np.sqrt(weights @ weights))
            values.append(weights / length if length else weights)
            columns.append(found)
            ends.append(ends[-1] + len(found))
        shape = (len(texts), len(idf))
        if not texts:
            return csr_array(shape)
        return csr_array((np.concatenate(values), np.concatenate(columns), np.array(ends)), shape)
