"""Find articles like a few positives in a large corpus, by the cosine of their vectors.

found = screen_corpus(embed, positives, corpus, top_k=500)
for record in found:
    record["screen_score"], record["screen_nearest"]

Good articles of a rare kind are few in a random sample; an oracle that is asked about those nearest
to known ones finds more of them per call. What it finds is like what is known, so a part of the
labels should be drawn at random all the same.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....errors import ConfigError, EmptyDataError
from ..prefilter import content_of

Embed = Callable[[Sequence[str]], ArrayLike]
"""Texts -> their vectors, texts x width, of any length."""
SCORE: Final = "screen_score"
"""Key of the cosine with the nearest positive, -1 to 1."""
NEAREST: Final = "screen_nearest"
"""Key of the id of the nearest positive."""
OFF_LENS: Final = "off_lens"
"""Key of articles that are marked as being about something else."""
READ_CHARACTERS: Final = 1000
"""Characters of the content that are embedded, behind the title."""
_BLOCK: Final = 4096
_ROUNDING: Final = 1e-6
"""Cosines of single precision are off by less than this."""
_Item = TypeVar("_Item")


def screen_text(record: Mapping[str, Any]) -> str:
    """Give the text of a record that is embedded: title, and the beginning of the content."""
    title = record.get("title")
    words = f"{title if isinstance(title, str) else ''}\n\n{content_of(record)[:READ_CHARACTERS]}"
    return words.strip()


def screen_corpus(
    embed: Embed,
    positives: Iterable[Mapping[str, Any]],
    corpus: Iterable[Mapping[str, Any]],
    *,
    top_k: int = 500,
    batch_size: int = 256,
    max_corpus: int = 0,
    exclude_off_lens: bool = False,
) -> list[dict[str, Any]]:
    """Find the records of a corpus that are nearest to a positive.

    The corpus is read once; memory holds the vectors of the positives, one batch, and the best
    `top_k` records.

    Args:
        embed: Computes vectors.
        positives: Articles of the wanted kind; at least one has a text.
        corpus: Where to look. Records with the text or id of a positive, the second record of equal
            text among the best, and records without text are left out.
        top_k: Most records to give, 1 or more.
        batch_size: Records that are embedded together, 1 or more.
        max_corpus: Most records to read; 0 reads all.
        exclude_off_lens: Leave out positives and records that are marked `off_lens`.

    Returns:
        The best records, best first, with `screen_score` and `screen_nearest`; equal scores in the
        order of the corpus.

    Raises:
        ConfigError: A number is out of range.
        EmptyDataError: No positive has a text.
    """
    _require(top_k=top_k, batch_size=batch_size)
    if max_corpus < 0:
        raise ConfigError([f"max_corpus is {max_corpus}; allowed is 0 (all) or more"])
    known = [one for one in positives if screen_text(one) and not _off(one, exclude_off_lens)]
    if not known:
        raise EmptyDataError("no positive has a title or content; the screen needs at least one")
    texts = {screen_text(one) for one in known}
    ids = {str(one["id"]) for one in known if one.get("id") is not None}
    wanted = _unit(embed, [screen_text(one) for one in known], batch_size)  # (P, W)
    best: list[tuple[float, int, str, dict[str, Any]]] = []
    held: set[str] = set()
    read = itertools.islice(corpus, max_corpus or None)
    fresh = (
        (text, record)
        for record in read
        if (text := screen_text(record))
        and text not in texts
        and str(record.get("id")) not in ids
        and not _off(record, exclude_off_lens)
    )
    number = 0
    for batch in _batches(fresh, batch_size):
        cosines = _unit(embed, [text for text, _ in batch], batch_size) @ wanted.T  # (B, P)
        nearest = cosines.argmax(axis=1)
        for place, (text, record) in enumerate(batch):
            number += 1
            score = float(cosines[place, nearest[place]])
            if text in held or (len(best) >= top_k and score <= best[0][0]):
                continue
            of = known[int(nearest[place])].get("id")
            one = (score, -number, text, {**record, SCORE: round(score, 6), NEAREST: of})
            held.add(text)
            if len(best) < top_k:
                heapq.heappush(best, one)
            else:
                held.discard(heapq.heapreplace(best, one)[2])
    return [record for *_, record in sorted(best, key=lambda one: (-one[0], -one[1]))]


@dataclass
class NearCopies:
    """What a search for near copies has met so far."""

    kept: int = 0
    of_reference: int = 0
    """Records of the pool that are near a record of the reference."""
    of_pool: int = 0
    """Records of the pool that are near an earlier one of the pool."""
    without_text: int = 0
    nearest: list[tuple[str, float]] = field(default_factory=list)
    """Ids and cosines of the first dropped records, to look at."""


def drop_near_copies(
    embed: Embed,
    pool: Iterable[Mapping[str, Any]],
    reference: Iterable[Mapping[str, Any]] = (),
    *,
    threshold: float = 0.93,
    batch_size: int = 256,
    counts: NearCopies | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the records of a pool that are near no record of a reference, nor an earlier one.

    Used before labelling, so that no call is spent on a copy, and before new labels are added to
    training, so that none is a copy of a test record. Memory holds one vector per reference and per
    kept record.

    Args:
        embed: Computes vectors.
        pool: Records to choose from; those without text are dropped.
        reference: Records that are there already.
        threshold: Cosine from which a record is a near copy, above 0 to 1.
        batch_size: Records that are embedded together, 1 or more.
        counts: Is filled in.

    Raises:
        ConfigError: A number is out of range.
    """
    _require(batch_size=batch_size)
    if not 0 < threshold <= 1:
        raise ConfigError([f"threshold is {threshold!r}; allowed is above 0 to 1"])
    counts = NearCopies() if counts is None else counts
    threshold -= _ROUNDING
    there = _Vectors()
    for batch in _batches(filter(None, map(screen_text, reference)), batch_size):
        there.add(_unit(embed, batch, batch_size))
    own = _Vectors()
    for records in _batches(pool, batch_size):
        texts = [screen_text(one) for one in records]
        rows = [place for place, text in enumerate(texts) if text]
        counts.without_text += len(texts) - len(rows)
        if not rows:
            continue
        vectors = _unit(embed, [texts[place] for place in rows], batch_size)
        near_reference, near_pool = there.nearest(vectors), own.nearest(vectors)
        kept: list[int] = []
        for n, place in enumerate(rows):
            near_batch = float((vectors[kept] @ vectors[n]).max()) if kept else -1.0
            inside = max(near_pool[n], near_batch)
            found = max(near_reference[n], inside)
            if found < threshold:
                kept.append(n)
                counts.kept += 1
                yield dict(records[place])
                continue
            counts.of_reference += near_reference[n] >= threshold
            counts.of_pool += near_reference[n] < threshold
            if len(counts.nearest) < 10:
                counts.nearest.append((str(records[place].get("id")), round(found, 4)))
        own.add(vectors[kept])


class _Vectors:
    """Unit vectors, compared block by block."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.float32]] = []

    def add(self, vectors: NDArray[np.float32]) -> None:
        if not len(vectors):
            return
        if self._blocks and len(self._blocks[-1]) + len(vectors) <= _BLOCK:
            self._blocks[-1] = np.concatenate([self._blocks[-1], vectors])
        else:
            self._blocks.append(vectors)

    def nearest(self, vectors: NDArray[np.float32]) -> list[float]:
        """Give the largest cosine of each vector with those held; -1 where there are none."""
        best = np.full(len(vectors), -1.0, dtype=np.float32)
        for block in self._blocks:
            np.maximum(best, (vectors @ block.T).max(axis=1), out=best)
        return [float(one) for one in best]


def _unit(embed: Embed, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
    """Embed texts, batch by batch, as vectors of length 1; zero vectors stay zero."""
    rows = [np.asarray(embed(batch), dtype=np.float32) for batch in _batches(texts, batch_size)]
    vectors = np.concatenate(rows)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    held = iter(items)
    while batch := list(itertools.islice(held, size)):
        yield batch


def _off(record: Mapping[str, Any], exclude: bool) -> bool:
    return exclude and bool(record.get(OFF_LENS))


def _require(**numbers: int) -> None:
    faults = [f"{name} is {one}; allowed is 1 or more" for name, one in numbers.items() if one < 1]
    if faults:
        raise ConfigError(faults)
