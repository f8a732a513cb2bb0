"""`data_hash` of any number of records, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

from ...errors import DataError
from ...records import stable_json
from .external_sort import ExternalSort


class ContentHash:
    """`records.data_hash` as a fold: 32 bytes a record, sorted on disk.

    >>> found = ContentHash()
    >>> found.add({"b": 2}); found.add({"a": 1})
    >>> found.data_hash[:12]
    '01f93988d26f'
    """

    def __init__(self) -> None:
        """Begin without records."""
        self._digests = ExternalSort(32)

    def add(self, record: Mapping[str, Any], name: str = "") -> None:
        """Take a record.

        Args:
            record: JSON values.
            name: What an error calls it; empty for its number.

        Raises:
            DataError: A field holds NaN, an infinity or no JSON value.
        """
        self.add_digest(record_digest(record, name or f"number {self._digests.count + 1}"))

    def add_digest(self, digest: bytes) -> None:
        """Take a record by its digest, from `record_digest`."""
        self._digests.add(digest)

    @property
    def data_hash(self) -> str:
        """The hash of the records so far, 64 hex digits."""
        digest = hashlib.sha256()
        keys = iter(self._digests)
        while part := list(islice(keys, 4096)):
            digest.update("".join(f"{key.hex()}\n" for key in part).encode("ascii"))
        return digest.hexdigest()


def record_digest(record: Mapping[str, Any], name: str) -> bytes:
    """Hash a record: sha256 of its `stable_json`, 32 bytes.

    Args:
        record: A record.
        name: What an error calls it.

    Raises:
        DataError: A field holds NaN, an infinity or no JSON value; names record and field.
    """
    try:
        return hashlib.sha256(stable_json(record).encode("ascii")).digest()
    except (TypeError, ValueError) as fault:
        raise DataError(f"record {name}: {_fault_of(record)}") from fault


def _fault_of(record: Mapping[str, Any]) -> str:
    for field, value in record.items():
        try:
            stable_json(value)
        except TypeError as fault:
            return f"field {field!r} holds no JSON value ({fault}); convert it to text before"
        except ValueError:
            return f"field {field!r} holds NaN or an infinity; write null where there is no number"
    return "its column names are not all texts"
