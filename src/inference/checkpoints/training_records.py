"""`training_records.json`: the prompt format and the records that a student was trained on.

So it is prompted in that format and not evaluated on its training records. Records are stored by
the first 16 hex digits of two hashes: of the whole record, and of its question, because a teacher
may have written another answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...files import read_json, write_json
from ...prompts import format_sha256
from ...records import record_hash

TRAINING_FILE = "training_records.json"
_DIGITS = 16
_ATTRIBUTE = "stillroom_training_records"


@dataclass(frozen=True)
class TrainingRecords:
    """Contents of the file."""

    prompt_format: str
    """Name of the prompt format, one of `prompts.FORMATS`."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """Hashes that identify the training: equal ones give the same student."""
    hashes: frozenset[str] = frozenset()
    """Hashes of the records and of their questions."""

    def seen(self, record: Mapping[str, Any]) -> bool:
        """Return whether a record, or one with the same question, was trained on."""
        return not self.hashes.isdisjoint(_hashes(record))

    @classmethod
    def of(
        cls, records: Iterable[Mapping[str, Any]], prompt_format: str, identity: Mapping[str, str]
    ) -> TrainingRecords:
        """Describe a training on instruction records."""
        hashes = frozenset(name for record in records for name in _hashes(record))
        return cls(prompt_format, dict(identity), hashes)

    def write(self, folder: str | Path) -> None:
        """Write the file into a checkpoint folder."""
        value = {
            "schema_version": 1,
            "prompt_format": self.prompt_format,
            "identity": dict(self.identity),
            "hashes": sorted(self.hashes),
        }
        write_json(Path(folder) / TRAINING_FILE, value)


def read_training_records(folder: str | Path) -> TrainingRecords | None:
    """Read the file of a checkpoint folder; None without the file.

    Raises:
        CheckpointError: It is damaged, or this version renders the prompts differently.
    """
    path = Path(folder) / TRAINING_FILE
    if not path.is_file():
        return None
    try:
        value = read_json(path)
        known = TrainingRecords(
            str(value["prompt_format"]), dict(value["identity"]), frozenset(value["hashes"])
        )
        now = format_sha256(known.prompt_format)
    except (ValueError, KeyError, TypeError) as fault:
        raise CheckpointError(f"{path}: is damaged ({fault}); distil again") from fault
    if known.identity.get("prompt_sha256", now) != now:
        raise CheckpointError(
            f"{path}: the student was trained on prompts of {known.prompt_format!r} as another "
            "version writes them; its answers would be poor. Distil again with this version"
        )
    return known


def attach_training_records(model: Any, records: TrainingRecords | None) -> None:  # noqa: ANN401
    """Attach the training records to a loaded model."""
    setattr(model, _ATTRIBUTE, records)


def training_records_of(model: Any) -> TrainingRecords | None:  # noqa: ANN401
    """Return the training records of a loaded model; None if unknown."""
    found = getattr(model, _ATTRIBUTE, None)
    return found if isinstance(found, TrainingRecords) else None


def _hashes(record: Mapping[str, Any]) -> tuple[str, str]:
    question = {name: str(record.get(name) or "") for name in ("instruction", "input")}
    whole = {**question, "output": str(record.get("output") or "")}
    return record_hash(whole)[:_DIGITS], record_hash(question)[:_DIGITS]
