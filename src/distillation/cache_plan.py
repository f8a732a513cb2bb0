"""Which sequences a cache holds, and which part each of them is in: a function of the data alone.

Equal sequences share one entry with the union of their positions. The order is that of the keys, so
neither the order of the records nor the number of processes shows in the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EmptyDataError
from .batching import TokenizedExample
from .cache_format import sequence_key


@dataclass(frozen=True)
class PlannedSequence:
    """One entry to be."""

    key: bytes
    input_ids: tuple[int, ...]
    first: int
    """First supervised position; all behind it are supervised too."""
    example: str
    """Id of an example that has this sequence, for messages."""

    @property
    def positions(self) -> range:
        """Indices of the predicted tokens, never 0."""
        return range(self.first, len(self.input_ids))


def plan_sequences(items: Iterable[TokenizedExample]) -> list[PlannedSequence]:
    """List the distinct sequences by rising key.

    Args:
        items: Tokenised examples, in any order; those without a supervised position are left out.

    Raises:
        EmptyDataError: No item has a supervised position.
    """
    found: dict[bytes, PlannedSequence] = {}
    for item in items:
        first = max(item.prompt_length, 1)
        if first >= len(item.input_ids):
            continue
        key = sequence_key(item.input_ids)
        other = found.get(key)
        if other is None or first < other.first:
            found[key] = PlannedSequence(key, item.input_ids, first, item.id)
    if not found:
        raise EmptyDataError("no example has a supervised token; give prompts with completions")
    return [found[key] for key in sorted(found)]


def sequences_hash(sequences: Sequence[PlannedSequence]) -> str:
    """Hash keys and positions: equal for equal tokenised data, however it was read; hex."""
    digest = hashlib.sha256()
    for sequence in sequences:
        digest.update(sequence.key + np.int32(sequence.first).astype("<i4").tobytes())
    return digest.hexdigest()


def plan_parts(
    sequences: Sequence[PlannedSequence], tokens_per_part: int
) -> list[list[PlannedSequence]]:
    """Cut the list where a part has so many supervised positions; every part has a sequence."""
    parts: list[list[PlannedSequence]] = []
    room = 0
    for sequence in sequences:
        if room < len(sequence.positions):
            parts.append([])
            room = tokens_per_part
        parts[-1].append(sequence)
        room -= len(sequence.positions)
    return parts


def plan_batches(
    sequences: Sequence[PlannedSequence], batch_tokens: int
) -> Iterator[list[PlannedSequence]]:
    """Group sequences of like lengths for the forward pass.

    Args:
        sequences: Of one part.
        batch_tokens: Most tokens of a batch, padding included; a longer sequence goes alone.
    """
    batch: list[PlannedSequence] = []
    for sequence in sorted(sequences, key=lambda s: (len(s.input_ids), s.key)):
        if batch and (len(batch) + 1) * len(sequence.input_ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(sequence)
    yield batch
