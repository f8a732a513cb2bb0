"""Drop duplicates within a run and across runs: exact, then by MinHash, then by meaning.

    settings = DedupSettings(key_fields=("sample_id",), text_fields=("instruction",),
                             minhash=MinHashSettings(threshold=0.8))
    with Deduplicator("artifacts/dedup.sqlite", run_id, settings) as deduplicator:
        for record, verdict in deduplicate(records, deduplicator):
            if verdict.kept:
                ...

Every record gets a verdict, so what comes in is what is kept plus what is dropped, by reason. A
record is dropped for the earliest kept record with the same key, or else for the most similar one;
the verdict names it. A record that cannot be compared (a field is missing, NaN, a date) is dropped
alone, with that reason.

A run that was killed is started again with the same run id, on the same records: they get the same
verdicts. A run with a new id drops what earlier runs have kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, IdentityError
from .duplicate_keys import compared_text, content_hash, duplicate_key, numbers_key
from .duplicate_state import DedupReason, DedupVerdict, DuplicateState
from .near_texts import MinHashSettings, NearTexts, TextSketch
from .near_vectors import Embed, NearVectors, Neighbour, VectorSettings, unit_vectors
from .sample_ids import SampleIdVersion

Record = TypeVar("Record", bound=Mapping[str, Any])


@dataclass(frozen=True)
class DedupSettings:
    """When two records are duplicates."""

    key_fields: tuple[str, ...] = ("sample_id",)
    """Records with equal values of these fields are exact duplicates."""
    sample_id_version: SampleIdVersion = "v1"
    """Definition of `sample_id`; ids of two definitions are never compared."""
    normalize: bool = True
    """Compare the key's texts in one Unicode form, case folded, with single blanks."""
    text_fields: tuple[str, ...] = ()
    """Fields whose text `minhash` and `vectors` compare."""
    minhash: MinHashSettings | None = None
    """Drop near-duplicate texts; None: do not look for them."""
    vectors: VectorSettings | None = None
    """Drop texts of similar meaning; None: do not look for them."""
    numbers_must_match: bool = True
    """Texts whose numbers differ are no near-duplicates: "2 + 2" asks other than "2 + 3"."""
    id_field: str = "sample_id"
    """Field of the id that verdicts name."""
    find_conflicts: bool = False
    """Tell exact duplicates whose other fields differ apart, as `conflicting_content`."""
    content_fields: tuple[str, ...] = ()
    """Fields that `find_conflicts` compares; empty: all but the key."""

    def __post_init__(self) -> None:
        """Check that the settings fit together.

        Raises:
            ConfigError: There is no key field, or no text to compare.
        """
        faults = [] if self.key_fields else ["key_fields is empty; name at least one field"]
        if (self.minhash or self.vectors) and not self.text_fields:
            faults.append("text_fields is empty; name the fields that minhash or vectors compare")
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True)
class _Candidate:
    """A record of a batch, before it is compared."""

    place: int
    key: bytes | None
    record_id: str | None
    fault: DedupReason | None = None
    """Why it cannot be compared."""
    text: str | None = None
    """The text to compare; None where none is."""
    content: bytes | None = None
    """Hash of what two records with the same key must share; None where nothing is."""


class Deduplicator:
    """Gives each record its verdict; see the module.

    One process at a time finds near-duplicates in the order of the records. Several processes may
    share the file, each with its own places; which of two duplicates is kept then depends on which
    comes first, and to have the same one every time all records of a key must go to one process.

    Args:
        path: SQLite file of what was seen; made where there is none.
        run_id: Name of the run; the same name resumes it.
        settings: When two records are duplicates.
        embed: Computes vectors; needed with `settings.vectors`, and named by its `encoder`.
        replace_changed: What to do where another record was at a place before: forget the verdicts
            of this run from there on; otherwise it is an error.

    Raises:
        ConfigError: The file was written with other settings, or `embed` is missing.
        DataError: The file is no state of deduplication.
    """

    def __init__(
        self,
        path: str | Path,
        run_id: str,
        settings: DedupSettings | None = None,
        *,
        embed: Embed | None = None,
        replace_changed: bool = False,
    ) -> None:
        """Open the state."""
        self._replace_changed = replace_changed
        self.settings = settings or DedupSettings()
        if self.settings.vectors is not None and embed is None:
            raise ConfigError(["vectors is given without embed; pass a function texts -> vectors"])
        self._embed = embed
        definition = asdict(self.settings)
        del definition["id_field"]  # names records, but decides nothing
        if not self.settings.find_conflicts:
            del definition["find_conflicts"], definition["content_fields"]
        self.state = DuplicateState(path, run_id, definition)
        self._texts: NearTexts | None = None
        if self.settings.minhash is not None:
            self._texts = NearTexts(
                self.state,
                self.settings.minhash,
                numbers_must_match=self.settings.numbers_must_match,
            )
        self._vectors: NearVectors | None = None
        if self.settings.vectors is not None:
            self._vectors = NearVectors(self.state, self.settings.vectors)

    def __enter__(self) -> Deduplicator:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the state."""
        self.close()

    def close(self) -> None:
        """Close the state; no-op if it is closed."""
        self.state.close()

    def judge(self, records: Sequence[Mapping[str, Any]], first_place: int) -> list[DedupVerdict]:
        """Give a batch of records their verdicts, and write them down as one transaction.

        Args:
            records: Records that follow each other in the input.
            first_place: Position of the first in the input of the run, from 0.

        Returns:
            One verdict per record.

        Raises:
            DataError: Another record was at one of the places before (see `replace_changed`), or
                `embed` gave vectors of the wrong number or width.
        """
        candidates = [self._candidate(r, first_place + i) for i, r in enumerate(records)]
        keys = [c.key for c in candidates]
        if self._replace_changed:
            self.state.forget_changed(first_place, keys)
        vectors = self._batch_vectors(candidates, first_place)
        with self.state.transaction():
            known = self.state.known_verdicts(first_place, keys)
            new = [c for c in candidates if c.place not in known]
            owners = self.state.owners(c.key for c in new if c.key is not None)
            meanings = _Meanings(self._vectors, vectors)
            found = {c.place: self._verdict(c, owners, meanings) for c in new}
        return [known.get(c.place) or found[c.place] for c in candidates]

    def accounting(self) -> dict[str, int]:
        """Count the records of the run so far by reason; "ok" counts the kept ones.

        The counts are those of the file, so they include what was judged before a crash.
        """
        return self.state.counts()

    def _candidate(self, record: Mapping[str, Any], place: int) -> _Candidate:
        settings, key, text, fault, content = self.settings, None, None, None, None
        record_id = record.get(settings.id_field)
        try:
            key = duplicate_key(record, settings.key_fields, normalize=settings.normalize)
            if settings.text_fields:
                text = compared_text(record, settings.text_fields)
            if settings.find_conflicts:
                fields = settings.content_fields or sorted(set(record) - {*settings.key_fields})
                content = content_hash(record, fields)
        except IdentityError as found:
            fault = found.reason
        named = None if record_id is None else str(record_id)
        return _Candidate(place, key, named, fault, text, content)

    def _batch_vectors(
        self, candidates: Sequence[_Candidate], first_place: int
    ) -> dict[int, NDArray[np.float32]]:
        """Compute the vectors of the records that may be new, before other processes must wait."""
        if self._embed is None or self._vectors is None:
            return {}
        known = self.state.known_verdicts(first_place, [c.key for c in candidates])
        owners = self.state.owners(c.key for c in candidates if c.key is not None)
        new = {
            c.place: c.text
            for c in candidates
            if c.text is not None and c.key is not None and c.fault is None
            and c.place not in known and c.key not in owners
        }  # fmt: skip
        if not new:
            return {}
        return dict(zip(new, unit_vectors(list(new.values()), self._embed), strict=True))

    def _verdict(
        self, candidate: _Candidate, owners: dict[bytes, int], meanings: _Meanings
    ) -> DedupVerdict:
        """Judge a record that is new at its place.

        Args:
            candidate: The record.
            owners: Key -> kept record, for the keys of the batch; a record that is kept is added.
            meanings: The vectors of the batch.
        """
        place, key, state = candidate.place, candidate.key, self.state
        if key is None or candidate.fault is not None:
            return state.drop(place, key, candidate.fault or "missing_field")
        owner = owners.get(key)
        if owner is not None:
            same = state.content_of(owner) == candidate.content
            return state.drop(
                place, key, "exact_duplicate" if same else "conflicting_content", owner
            )
        sketch: TextSketch | None = None
        if self._texts and candidate.text is not None:
            sketch = self._texts.sketch(candidate.text)
            near = self._texts.nearest(sketch)
            if near is not None:
                return state.drop(place, key, "near_duplicate", *near)
        numbers = numbers_key(candidate.text or "")
        if self._vectors:
            if not meanings.finite(place):
                return state.drop(place, key, "not_finite")
            near_one = meanings.nearest(
                place, numbers if self.settings.numbers_must_match else None
            )
            if near_one is not None:
                return state.drop(place, key, "similar_meaning", near_one.item, near_one.similarity)
        item = state.keep(place, key, candidate.record_id, candidate.content)
        owners[key] = item
        if self._texts and sketch is not None:
            self._texts.add(item, sketch)
        if self._vectors:
            meanings.add(place, item, numbers)
        return DedupVerdict("ok")


class _Meanings:
    """The vectors of a batch, and the kept records similar to each.

    Args:
        index: What earlier batches have kept; None where meanings are not compared.
        vectors: Place -> vector of length 1, (D,).
    """

    def __init__(self, index: NearVectors | None, vectors: dict[int, NDArray[np.float32]]) -> None:
        self._index, self._vectors = index, vectors
        self._near: dict[int, list[Neighbour]] = {}
        self._kept: list[tuple[int, int, bytes]] = []
        self._matrix = np.empty((len(vectors), next(map(len, vectors.values()), 0)), np.float32)
        if index is not None and vectors:
            finite = {p: v for p, v in vectors.items() if np.isfinite(v).all()}
            if finite:
                found = index.neighbours(np.stack(list(finite.values())))
                self._near = dict(zip(finite, found, strict=True))

    def finite(self, place: int) -> bool:
        """Say whether the vector of a record can be compared."""
        return place in self._near

    def nearest(self, place: int, numbers: bytes | None) -> Neighbour | None:
        """Find the most similar kept record with these numbers; of equal ones the first.

        Args:
            place: Place of the record.
            numbers: Key of its numbers; None: any numbers will do.
        """
        near = list(self._near[place])
        if self._kept and self._index is not None:
            vector = self._vectors[place]
            for at in self._index.maybe_similar(vector, self._matrix[: len(self._kept)]):
                other, item, other_numbers = self._kept[at]
                similarity = self._index.similarity(vector, self._vectors[other])
                if similarity is not None:
                    near.append(Neighbour(item, similarity, other_numbers))
        fitting = [n for n in near if numbers is None or n.numbers == numbers]
        return max(fitting, key=lambda n: (n.similarity, -n.item), default=None)

    def add(self, place: int, item: int, numbers: bytes) -> None:
        """Add a record of this batch that was kept."""
        assert self._index is not None
        self._index.add(item, numbers, self._vectors[place])
        self._matrix[len(self._kept)] = self._vectors[place]
        self._kept.append((place, item, numbers))


def deduplicate(
    records: Iterable[Record], deduplicator: Deduplicator, *, batch_size: int = 1000
) -> Iterator[tuple[Record, DedupVerdict]]:
    """Give each record its verdict, in the order of the input.

    The verdict of a record is in the file before it is yielded.

    Args:
        records: The input of the run from its beginning, also when the run resumes.
        deduplicator: An open one.
        batch_size: Records in memory, and in one transaction.

    Yields:
        Each record with its verdict.

    Raises:
        ConfigError: `batch_size` is below 1.
        DataError: See `Deduplicator.judge`.
    """
    if batch_size < 1:
        raise ConfigError([f"batch_size is {batch_size!r}; allowed is 1 or more"])
    remaining, place = iter(records), 0
    while batch := list(islice(remaining, batch_size)):
        yield from zip(batch, deduplicator.judge(batch, place), strict=True)
        place += len(batch)
