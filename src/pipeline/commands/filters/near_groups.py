"""Group articles that are near copies of each other, so that a split keeps them in one part."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_FIELDS: Final = ("title", "content", "text")


def near_groups(records: Sequence[Mapping[str, Any]], threshold: float) -> dict[str, str]:
    """Find near copies by MinHash.

    Args:
        records: With ids that are unique.
        threshold: Least Jaccard index of the character sequences of two texts, above 0 to 1.

    Returns:
        Id of a record -> id of the earlier record that it is near to; others are left out. A record
        that is near one that itself is left out is in that one's group.

    Raises:
        ConfigError: The threshold is out of range.
    """
    from ....data.identity.deduplicate import Deduplicator, DedupSettings, deduplicate
    from ....data.identity.near_texts import MinHashSettings

    shown = [
        {"id": str(one["id"]), "words": "\n".join(_words(one))} for one in records if _words(one)
    ]
    settings = DedupSettings(
        key_fields=("words",),
        text_fields=("words",),
        minhash=MinHashSettings(threshold),
        numbers_must_match=False,
        id_field="id",
    )
    with (
        tempfile.TemporaryDirectory(prefix="stillroom-split-") as folder,
        Deduplicator(Path(folder) / "near.sqlite", "split", settings) as deduplicator,
    ):
        return {
            str(record["id"]): str(verdict.duplicate_of.id)
            for record, verdict in deduplicate(shown, deduplicator)
            if verdict.duplicate_of is not None
        }


def _words(record: Mapping[str, Any]) -> list[str]:
    return [value for name in _FIELDS if isinstance(value := record.get(name), str) and value]
