"""Records of similar meaning: the cosine of their vectors, compared with all kept ones.

The comparison is exact. The vectors are read in blocks, so memory does not grow with their number,
but time does with its square: n records of D dimensions take n^2 D / 2 multiplications, which for
100,000 records of 384 dimensions is less than computing the vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ConfigError, DataError
from .duplicate_state import DuplicateState

Embed = Callable[[Sequence[str]], ArrayLike]
"""Texts -> their vectors, as many rows and any width."""
_BLOCK: Final = 8192
"""Vectors compared together."""
_MARGIN: Final = 1e-4
"""The fast product of matrices may miss the cosine by less than this."""


@dataclass(frozen=True)
class VectorSettings:
    """When two vectors mean the same."""

    encoder: str
    """Name of what computes the vectors; vectors of different encoders are never compared."""
    threshold: float = 0.95
    """Least cosine, above 0 to 1."""

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ConfigError: The threshold is out of range.
        """
        if not 0 < self.threshold <= 1:
            raise ConfigError([f"threshold is {self.threshold!r}; allowed is above 0 to 1"])


@dataclass(frozen=True)
class Neighbour:
    """A kept record with a similar vector."""

    item: int
    similarity: float
    numbers: bytes
    """Key of the numbers in its text."""


class NearVectors:
    """Finds similar vectors among those of a state.

    Args:
        state: Where the vectors are kept.
        settings: When two vectors mean the same.
    """

    def __init__(self, state: DuplicateState, settings: VectorSettings) -> None:
        """Take what is there."""
        self._state, self._threshold = state, settings.threshold

    def neighbours(self, vectors: NDArray[np.float32]) -> list[list[Neighbour]]:
        """Find the kept records similar to each of some vectors.

        Args:
            vectors: Of length 1 or 0, (B, D).

        Returns:
            One list per vector, in the order in which the records were kept.

        Raises:
            DataError: The kept vectors have another width.
        """
        found: list[list[Neighbour]] = [[] for _ in vectors]
        rows = self._state.db.execute("SELECT item, numbers, vector FROM vectors ORDER BY item")
        while block := rows.fetchmany(_BLOCK):
            kept = _matrix([vector for _, _, vector in block], vectors.shape[1], self._state)
            near = vectors @ kept.T >= self._threshold - _MARGIN  # (B, block)
            for query, place in np.argwhere(near).tolist():
                similarity = cosine(vectors[query], kept[place])
                if similarity >= self._threshold:
                    found[query].append(Neighbour(block[place][0], similarity, block[place][1]))
        return found

    def maybe_similar(self, vector: NDArray[np.float32], among: NDArray[np.float32]) -> list[int]:
        """List the rows of a matrix whose cosine to a vector may reach the threshold.

        Args:
            vector: Of length 1 or 0, (D,).
            among: Such vectors, (B, D).
        """
        places: list[int] = np.flatnonzero(among @ vector >= self._threshold - _MARGIN).tolist()
        return places

    def similarity(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
        """Return the cosine of two vectors of length 1; None where it is below the threshold."""
        value = cosine(one, other)
        return value if value >= self._threshold else None

    def add(self, item: int, numbers: bytes, vector: NDArray[np.float32]) -> None:
        """Add the vector of a kept record."""
        self._state.db.execute(
            "INSERT INTO vectors VALUES (?, ?, ?)", (item, numbers, vector.astype("<f4").tobytes())
        )


def unit_vectors(texts: Sequence[str], embed: Embed) -> NDArray[np.float32]:
    """Compute the vectors of texts and scale them to length 1.

    Args:
        texts: B texts.
        embed: Gives B vectors of any width D.

    Returns:
        (B, D) float32. A vector of zeros stays as it is and is similar to none; a vector with a
        value that is not finite is NaN as a whole.

    Raises:
        DataError: There are not as many vectors as texts.
    """
    given = np.asarray(embed(texts), dtype=np.float64)  # (B, D)
    if given.ndim != 2 or len(given) != len(texts):
        raise DataError(
            f"the encoder gave an array of shape {given.shape} for {len(texts)} texts; it must "
            "give one vector per text"
        )
    given[~np.isfinite(given).all(axis=1)] = np.nan
    largest = np.abs(given).max(axis=1, keepdims=True, initial=0)
    given /= np.where(largest == 0, 1, largest)  # squares of very large numbers overflow
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    return (given / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the product of two vectors of length 1, to 6 digits, the same on any machine."""
    products = one.astype(np.float64) * other.astype(np.float64)
    return round(math.fsum(products.tolist()), 6)


def _matrix(blobs: Sequence[bytes], width: int, state: DuplicateState) -> NDArray[np.float32]:
    flat = np.frombuffer(b"".join(blobs), np.dtype("<f4"))
    if len(flat) != len(blobs) * width:
        raise DataError(
            f"the encoder gives vectors of {width} numbers, but the kept ones have "
            f"{len(flat) // len(blobs)}; use the encoder of before, or another file",
            path=state.path,
        )
    return flat.reshape(len(blobs), width)
