"""Read the caches of several teachers, one per source of records, as one cache.

    stillroom cache-logits --teacher ./coder --data train.jsonl --source code --output cache/code
    stillroom cache-logits --teacher vllm --data train.jsonl --source chat --output cache/chat ...

    DistillationConfig("mixture", "./student",
                       teacher_cache={"code": "cache/code", "chat": "cache/chat"})

Each record names its source in the field `source`, and each source has exactly one teacher, so each
record is learned from one teacher only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np

from ...errors import ConfigError, DataError
from ...records import Example
from ..batches.batching import TokenizedExample
from ..setting_names import MIXTURE
from ..training_data import SOURCE
from .cache_format import Manifest, TeacherIdentity, differences, sequence_key
from .cache_parts import PartColumns
from .cache_reader import TeacherCache

_OWN: Final = ("teacher", "data_hash", "max_length", "too_long", "tokens_per_part")
"""Fields in which the caches may differ. Different length limits are harmless: if they cut a
sequence, its key differs."""


class TeacherMixture(TeacherCache):
    """Complete caches of several teachers, mapped into memory.

    Args:
        folders: Source of records -> folder of its teacher's cache.

    Attributes:
        teachers: Source -> identity of its teacher.

    Raises:
        ConfigError: The caches differ in tokenizer, prompts, sizes or temperatures.
        DataError: Two caches hold the same sequence.
        DataNotFoundError: A folder holds no cache.
        UnreadableFileError: A cache is not finished, or damaged.
    """

    def __init__(self, folders: Mapping[str, str]) -> None:
        """Open all caches and sort their keys together."""
        caches = {source: TeacherCache(folder) for source, folder in folders.items()}
        (_, first), *others = caches.items()
        faults = [
            f"the teacher caches {first.folder} and {other.folder} do not go together: {line}"
            for _, other in others
            for line in differences(
                first.manifest.to_dict(), _shared(other.manifest), name=str(other.folder)
            )
        ]
        if faults:
            raise ConfigError(faults)
        self.folder = first.folder.parent
        self.teachers = {s: cache.manifest.spec.teacher for s, cache in caches.items()}
        self.parts = [part for cache in caches.values() for part in cache.parts]
        self._source_of_part = [s for s, cache in caches.items() for _ in cache.parts]
        manifests = [cache.manifest for cache in caches.values()]
        self.manifest = Manifest(
            replace(
                first.manifest.spec,
                teacher=TeacherIdentity(MIXTURE, dtype="mixed"),
                data_hash=self._data_hash(),
            ),
            first.manifest.versions,
            sequences=sum(manifest.sequences for manifest in manifests),
            tokens=sum(manifest.tokens for manifest in manifests),
            parts=tuple(part for manifest in manifests for part in manifest.parts),
        )
        self._build_index()

    def describe(self) -> dict[str, Any]:
        """Return the teachers by source, as plain JSON values."""
        return {source: asdict(teacher) for source, teacher in self.teachers.items()}

    def require_sources(
        self, items: Iterable[TokenizedExample], examples: Iterable[Example]
    ) -> None:
        """Check that each example is in the cache of its own source.

        Args:
            items: The tokenised examples, all of which are in a cache.
            examples: The same examples as text, with their sources.

        Raises:
            DataError: An example names no known source, or not the source of its cache.
        """
        named = {example.id: example for example in examples}
        for item in items:
            example = named[item.id]
            source, place = example.fields.get(SOURCE), example.source
            entry = self.find(sequence_key(item.input_ids))
            if source in self.teachers and (
                entry is None or self._source_of_part[entry.part] == source
            ):
                continue  # an example without an entry has no supervised position
            known = ", ".join(map(repr, self.teachers))
            why = (
                f"its teacher's cache is that of {self._source_of_part[entry.part]!r}"
                if source in self.teachers and entry is not None
                else f"a mixture of teachers needs one of {known} in the field {SOURCE!r}"
            )
            raise DataError(
                f"example {item.id!r} has the source {source!r}, and {why}",
                path=place.file if place else None,
                row=place.row if place else None,
            )

    def _data_hash(self) -> str:
        """Hash keys and first positions of all parts, as `sequences_hash` does."""
        keys = np.concatenate([part.keys for part in self.parts])  # (S, 32)
        firsts = np.concatenate([_firsts(part) for part in self.parts])  # (S,)
        order = np.lexsort(keys.T[::-1])
        keys, firsts = keys[order], firsts[order]
        equal = np.flatnonzero((keys[1:] == keys[:-1]).all(1))
        if len(equal):
            raise DataError(
                f"{len(equal)} sequences are in the caches of two teachers, the first has the key "
                f"{keys[equal[0]].tobytes().hex()[:16]}; a record has one teacher: remove it from "
                "one of the sources",
                path=self.folder,
            )
        together = np.concatenate([keys, firsts.astype("<i4")[:, None].view(np.uint8)], axis=1)
        return hashlib.sha256(together.tobytes()).hexdigest()


def _shared(manifest: Manifest) -> dict[str, Any]:
    return {k: v for k, v in manifest.spec.to_dict().items() if k not in _OWN}


def _firsts(part: PartColumns) -> np.ndarray[Any, Any]:
    """Return the first supervised position of each sequence, (S,)."""
    firsts: np.ndarray[Any, Any] = part.position[part.starts[:-1]]
    return firsts
