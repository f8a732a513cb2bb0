"""`manifest.json`: what a stage holds, so that it can be audited and run again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...files import file_sha256
from ...records import sha256_text
from .content_hash import ContentHash
from .external_sort import ExternalSort

Record = Mapping[str, Any]


class Manifest:
    """The manifest of a stage, record by record."""

    def __init__(
        self,
        sample_id_field: str = "sample_id",
        *,
        version_of: Callable[[Record], str | None] | None = None,
    ) -> None:
        """Begin without records.

        Args:
            sample_id_field: Column of the ids.
            version_of: Tells by which definition the id of a record was made, None if by none; it
                is asked for the first 1,000 records.
        """
        self._id_field = sample_id_field
        self._version_of = version_of
        self._count = 0
        self._null_ids = 0
        self._columns: set[str] = set()
        self._least: str | None = None
        self._greatest: str | None = None
        self._content = ContentHash()
        self._ids = ExternalSort(32)
        self._versions: set[str | None] = set()

    def add(self, records: Iterable[Record]) -> None:
        """Take a batch.

        Raises:
            DataError: A field holds NaN, an infinity or no JSON value.
        """
        for record in records:
            self._count += 1
            self._columns.update(record)
            value = record.get(self._id_field)
            if value is None:
                self._null_ids += 1
            else:
                self._add_id(str(value))
            self._content.add(record, "" if value is None else repr(value))
            if self._version_of is not None and self._count <= 1000:
                self._versions.add(self._version_of(record))

    def report(self) -> dict[str, Any]:
        """Give the fields that follow from the records.

        Returns:
            `count`, `field_hash`, `min_sample_id`, `max_sample_id` (as text), `columns`,
            `sample_id_version`, `data_hash`, `null_ids` and `duplicate_ids`: how many records have
            the id of another one before them.
        """
        columns = sorted(self._columns)
        (version,) = self._versions if len(self._versions) == 1 else (None,)
        return {
            "count": self._count,
            "field_hash": sha256_text("|".join(columns)),
            "min_sample_id": self._least,
            "max_sample_id": self._greatest,
            "columns": columns,
            "sample_id_version": version,
            "data_hash": self._content.data_hash,
            "null_ids": self._null_ids,
            "duplicate_ids": self._duplicates(),
        }

    def _add_id(self, name: str) -> None:
        if self._least is None or name < self._least:
            self._least = name
        if self._greatest is None or name > self._greatest:
            self._greatest = name
        self._ids.add(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest())

    def _duplicates(self) -> int:
        before, found = b"", 0
        for key in self._ids:
            found += key == before
            before = key
        return found


def list_shards(
    folder: Path, shards: Iterable[Mapping[str, Any]], beside: Path
) -> list[dict[str, Any]]:
    """Describe the files of a stage: `file`, `count` (records) and `sha256` of each.

    Args:
        folder: Folder that the files' names are relative to.
        shards: The same of each, as they were written.
        beside: Folder that the names are to be relative to.
    """
    return [{**shard, "file": _relative(folder / shard["file"], beside)} for shard in shards]


def list_inputs(manifests: Sequence[Path], beside: Path) -> list[dict[str, str]]:
    """Describe the manifests of the stages before: `manifest` (its path) and `sha256` of each."""
    return [{"manifest": _relative(m, beside), "sha256": file_sha256(m)} for m in manifests]


def _relative(path: Path, beside: Path) -> str:
    return Path(os.path.relpath(path, beside)).as_posix()
