"""What a student was trained on: the form of its prompts and which records, so that it is asked in
that form and never scored on what it has seen.

`training_records.json` lies beside the weights. Records are known by the first 16 hex digits of
their hashes: whole, and their question alone, because a teacher may have written another answer.
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
    """What lies beside the weights."""

    prompt_format: str
    """Name of the form of all prompts, one of `prompts.FORMATS`."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """Hashes that tell whether a training would give the same student again."""
    hashes: frozenset[str] = frozenset()
    """Of the records and of their questions."""

    def seen(self, record: Mapping[str, Any]) -> bool:
        """Say whether a record, or one with the same question, was trained on."""
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
    """Read the file of a checkpoint folder; None where there is none.

    Raises:
        CheckpointError: It is damaged, or this version writes the prompts otherwise.
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
    """Let a loaded model carry what it was trained on."""
    setattr(model, _ATTRIBUTE, records)


def training_records_of(model: Any) -> TrainingRecords | None:  # noqa: ANN401
    """Give what a loaded model was trained on; None where nobody knows."""
    found = getattr(model, _ATTRIBUTE, None)
    return found if isinstance(found, TrainingRecords) else None


def _hashes(record: Mapping[str, Any]) -> tuple[str, str]:
    question = {name: str(record.get(name) or "") for name in ("instruction", "input")}
    whole = {**question, "output": str(record.get("output") or "")}
    return record_hash(whole)[:_DIGITS], record_hash(question)[:_DIGITS]
