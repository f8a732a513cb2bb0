"""Near-duplicate texts: MinHash signatures find candidates, their exact Jaccard index decides.

The Jaccard index of two texts is the share of their character sequences that they have in common.
The signature of a text is cut into bands, and texts that agree in a band are candidates (J.
Leskovec, A. Rajaraman, J. Ullman, Mining of Massive Datasets, chapter 3). A pair at the threshold
is found with a probability of at least `RECALL`, a pair below it never counts. One text costs the
same however many there are, apart from its candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError
from .duplicate_keys import numbers_key
from .duplicate_state import DuplicateState

RECALL: Final = 0.99
"""Least probability that a pair of texts at the threshold is compared."""
_BLOCK: Final = 4096
"""Shingles whose permutations are computed together."""


@dataclass(frozen=True)
class MinHashSettings:
    """When two texts are near-duplicates."""

    threshold: float = 0.8
    """Least Jaccard index, above 0 to 1."""
    permutations: int = 128
    """Length of a signature; more find pairs with a low threshold at fewer false candidates."""
    shingle_chars: int = 5
    """Length of the compared character sequences."""
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: A setting is out of range, or no bands reach `RECALL`.
        """
        faults = []
        if not 0 < self.threshold <= 1:
            faults.append(f"threshold is {self.threshold!r}; allowed is above 0 to 1")
        if self.permutations < 1:
            faults.append(f"permutations is {self.permutations!r}; allowed is 1 or more")
        if self.shingle_chars < 1:
            faults.append(f"shingle_chars is {self.shingle_chars!r}; allowed is 1 or more")
        if not faults and _recall(self.threshold, self.permutations, 1) < RECALL:
            faults.append(
                f"{self.permutations} permutations find too few pairs at a threshold of "
                f"{self.threshold!r}; raise permutations or the threshold"
            )
        if faults:
            raise ConfigError(faults)

    @property
    def rows_per_band(self) -> int:
        """The longest band at which pairs at the threshold are found with `RECALL`."""
        return max(
            rows
            for rows in range(1, self.permutations + 1)
            if _recall(self.threshold, self.permutations, rows) >= RECALL
        )


@dataclass(frozen=True)
class TextSketch:
    """What a text is compared by."""

    shingles: NDArray[np.uint64]
    """Hashes of its character sequences, sorted, each once."""
    bands: tuple[int, ...]
    """Hashes of the bands of its signature, signed 64-bit."""
    numbers: bytes
    """Key of the numbers in the text."""


class NearTexts:
    """Finds near-duplicates among the texts of a state.

    Args:
        state: Where the texts are kept.
        settings: When two texts are near-duplicates.
        numbers_must_match: Texts with other numbers are no duplicates.
    """

    def __init__(
        self, state: DuplicateState, settings: MinHashSettings, *, numbers_must_match: bool
    ) -> None:
        """Make the permutations once."""
        from datasketch import MinHash

        self._state, self._settings = state, settings
        self._numbers_must_match = numbers_must_match
        self._rows = settings.rows_per_band
        self._empty: Any = MinHash(
            num_perm=settings.permutations, seed=settings.seed, hashfunc=int, scheme="affine32"
        )

    def sketch(self, text: str) -> TextSketch:
        """Compute the shingles and the bands of a text."""
        shingles = shingle_hashes(text, self._settings.shingle_chars)
        signature = self._empty.copy()
        for start in range(0, len(shingles), _BLOCK):
            signature.update_batch((shingles[start : start + _BLOCK] >> np.uint64(32)).tolist())
        count = self._settings.permutations // self._rows
        rows = signature.hashvalues[: count * self._rows].reshape(count, self._rows)
        hashes = _mixed(np.arange(count, dtype=np.uint64))
        for column in rows.T.astype(np.uint64):
            hashes = _mixed(hashes ^ column)
        return TextSketch(shingles, tuple(hashes.view(np.int64).tolist()), numbers_key(text))

    def nearest(self, sketch: TextSketch) -> tuple[int, float] | None:
        """Find the kept text that is most similar, if it is a near-duplicate.

        Returns:
            Its number and the Jaccard index; of equally similar ones the first.
        """
        marks = ",".join("?" * len(sketch.bands))
        candidates = self._state.db.execute(
            "SELECT item, numbers, hashes FROM shingles WHERE item IN"
            f" (SELECT item FROM bands WHERE value IN ({marks})) ORDER BY item",
            sketch.bands,
        )
        best: tuple[int, float] | None = None
        for item, numbers, hashes in candidates:
            if self._numbers_must_match and numbers != sketch.numbers:
                continue
            similarity = _jaccard(sketch.shingles, np.frombuffer(hashes, np.dtype("<u8")))
            if similarity >= self._settings.threshold and (best is None or similarity > best[1]):
                best = item, similarity
        return best

    def add(self, item: int, sketch: TextSketch) -> None:
        """Add the text of a kept record."""
        self._state.db.execute(
            "INSERT INTO shingles VALUES (?, ?, ?)",
            (item, sketch.numbers, sketch.shingles.astype("<u8").tobytes()),
        )
        self._state.db.executemany(
            "INSERT OR IGNORE INTO bands VALUES (?, ?)", [(value, item) for value in sketch.bands]
        )


def shingle_hashes(text: str, length: int) -> NDArray[np.uint64]:
    """Hash each sequence of `length` characters of a text; a shorter text is one sequence.

    Returns:
        The hashes, sorted, each once.
    """
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
    letters = letters.astype(np.uint64)  # (L,)
    length = min(length, len(letters))
    hashes = _mixed(np.full(len(letters) - length + 1, length, np.uint64))  # (L - length + 1,)
    for start in range(length):
        hashes = _mixed(hashes ^ letters[start : start + len(hashes)])
    return np.unique(hashes)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread 64-bit values over their range: the finalizer of SplitMix64 (S. Vigna)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    shared = np.intersect1d(one, other, assume_unique=True).size
    return float(shared / (len(one) + len(other) - shared))


def _recall(threshold: float, permutations: int, rows: int) -> float:
    """Return the probability that a pair at the threshold agrees in a band."""
    return float(1 - (1 - threshold**rows) ** (permutations // rows))
