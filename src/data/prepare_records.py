"""Prepare records for training: clean, drop duplicates, split into train, validation and test.

    found = prepare_records(iter_sourced_records("faq.csv"), "prepared",
                            PrepareSettings(question="question", answer="answer"))

Nothing is dropped silently: `dropped.jsonl` holds each dropped record with the reason and its row,
and every row of the input is in exactly one of the files. The part of a record depends on its own
key alone, so a longer table leaves the records that were there in their parts.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigError, DataError, EmptyDataError, UnknownColumnError
from ..files import atomic_folder, file_sha256, read_json_lines, write_json, write_json_lines
from ..records import sha256_text, stable_json
from .identity.deduplicate import Deduplicator, DedupSettings, deduplicate
from .identity.duplicate_state import DedupVerdict
from .identity.hash_split import hash_split
from .identity.near_texts import MinHashSettings
from .readers.cells import pair_text
from .readers.column_names import list_columns, own_names
from .readers.read_report import ReadReport
from .readers.read_table import SourcedRecord

PARTS: Final = {"train": "train", "val": "validation", "test": "test"}
"""Part of `hash_split` -> name of its file, without `.jsonl`."""
DROPPED_FILE: Final = "dropped.jsonl"
REPORT_FILE: Final = "report.json"
ID_FIELD: Final = "sample_id"
KIND: Final = "prepared records"
"""`kind` in the report, by which a folder of ours is known."""
FEW: Final = 10
"""Fewer test records than this say little about a student."""
_PART: Final = re.compile(r"\b(from|to) val\b(?=[^']*$)")
_REASONS: Final = {
    "empty": "every cell is empty",
    "no_question": "the question is empty",
    "no_answer": "the answer is empty",
    "exact_duplicate": "the same record is there before",
    "conflicting_content": "the same question is there before, with another answer",
    "near_duplicate": "a record before is nearly the same",
    "in_frozen_test": "the record, or one that is nearly the same, is in the frozen test part",
    "not_finite": "a number is NaN or infinite",
    "not_json": "a value cannot be written as JSON",
}
"""Reason in `dropped.jsonl` -> what it means."""


@dataclass(frozen=True)
class PrepareSettings:
    """How records are prepared."""

    question: str | None = None
    """Column with questions; with `answer`, records become `question`, `answer`, `context`."""
    answer: str | None = None
    """Column with their answers."""
    context: str | None = None
    """Column with a text for each question."""
    key: tuple[str, ...] = ()
    """Columns whose values make two records the same; empty: all columns, or question and context.
    """
    near: float | None = None
    """Least Jaccard index of the character sequences from which records are near duplicates, above
    0 to 1; None drops exact duplicates only."""
    group_by: str | None = None
    """Column whose equal values stay in one part."""
    train: float = 0.8
    """Share of the records to train on, 0 to 1."""
    validation: float = 0.1
    """Share of the records for validation, 0 to 1; the rest is the test part."""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ConfigError: Values are out of range or do not fit; lists all faults.
        """
        faults = []
        if (self.question is None) != (self.answer is None):
            faults.append("question and answer belong together; give both or neither")
        if self.context is not None and self.question is None:
            faults.append("context goes with question and answer")
        if self.near is not None and not 0 < self.near <= 1:
            faults.append(f"near is {self.near!r}; allowed is above 0 to 1")
        shares = (self.train, self.validation)
        if any(not 0 <= one <= 1 for one in shares) or sum(shares) > 1 or not self.train:
            faults.append(f"train is {self.train:g} and validation {self.validation:g}; train is "
                          "above 0, and both together at most 1")  # fmt: skip
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True)
class Prepared:
    """What was written."""

    folder: Path
    read: int
    """Records read."""
    records: Mapping[str, int]
    """File without its suffix -> its records."""
    dropped: Mapping[str, int]
    """Reason -> records dropped for it."""
    cleaned: Mapping[str, int]
    """Column -> cells that cleaning changed."""
    notes: tuple[str, ...] = ()
    """What readers passed over, and what else is to be known."""
    files: Mapping[str, str] = field(default_factory=dict)
    """File -> SHA-256 of its bytes."""

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values, with the meaning of each reason."""
        told = asdict(self) | {"folder": str(self.folder)}
        return told | {"reasons": {name: _REASONS[name] for name in self.dropped}}


@dataclass(frozen=True)
class _Row:
    source: SourcedRecord
    record: dict[str, Any]
    """The record as it is written, without its id."""
    key: str
    """JSON of the values that identify it."""


def prepare_records(
    records: Iterable[SourcedRecord],
    folder: str | Path,
    settings: PrepareSettings | None = None,
    *,
    report: ReadReport | None = None,
    frozen: str | Path | None = None,
) -> Prepared:
    """Clean and split records, and write them with a report of what was dropped.

    Args:
        records: Records with their rows.
        folder: Folder to write: `train.jsonl`, `validation.jsonl`, `test.jsonl`, `dropped.jsonl`,
            `report.json`. A folder of an earlier call is replaced.
        settings: How; None takes the defaults.
        report: What the readers passed over; it is complete when `records` has ended.
        frozen: Folder of an earlier call whose test part is taken over byte for byte. New records
            that are in it, or near to one in it, are dropped; the others are trained on or
            validated with.

    Raises:
        EmptyDataError: No record is left.
        UnknownColumnError: A named column does not exist.
        ConfigError: The folder holds something else, or `frozen` is no such folder.
    """
    settings, final = settings or PrepareSettings(), Path(folder)
    require_own_folder(final)
    old = _frozen_rows(frozen, settings)
    cleaned: Counter[str] = Counter()
    dropped: list[dict[str, Any]] = []
    rows, read = [], 0
    for source in records:
        read += 1
        made = _cleaned(source, settings, cleaned, dropped)
        if made is not None:
            rows.append(made)
    _check_columns(rows, settings)
    kept = _without_duplicates([*old, *rows], len(old), settings, dropped)
    if not kept:
        raise EmptyDataError(f"none of {read:,} records is left: {_counted(dropped)}")
    parts, notes = _split(kept, settings, frozen=bool(old))
    with atomic_folder(final) as place:
        for part, name in PARTS.items():
            if part == "test" and old:
                shutil.copyfile(Path(str(frozen)) / "test.jsonl", place / "test.jsonl")
            else:
                write_json_lines(place / f"{name}.jsonl", [_identified(row) for row in parts[part]])
        write_json_lines(place / DROPPED_FILE, sorted(dropped, key=lambda one: one["row"]))
        counts = {name: len(parts[part]) for part, name in PARTS.items()}
        counts["test"] += len(old)
        if counts["test"] < FEW:
            notes.append(f"few test records ({counts['test']}) say little about a student")
        told = Prepared(
            folder=final,
            read=read,
            records=counts,
            dropped=dict(Counter(one["reason"] for one in dropped)),
            cleaned={name: count for name, count in cleaned.items() if count},
            notes=(*(report.faults() + report.notes if report else ()), *notes),
            files={one.name: file_sha256(one) for one in sorted(place.iterdir())},
        )
        write_json(place / REPORT_FILE, {
            "schema_version": 1, "kind": KIND, "settings": asdict(settings), **told.to_dict(),
        })  # fmt: skip
    return told


def require_own_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than prepared records.

    Raises:
        ConfigError: See above.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError([f"{folder} is a file; name a folder"])
    if any(folder.iterdir()) and _kind_of(folder) != KIND:
        raise ConfigError([f"{folder} holds other files; name a new folder"])


def _kind_of(folder: Path) -> object:
    try:
        told = json.loads((folder / REPORT_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return told.get("kind") if isinstance(told, Mapping) else None


def _frozen_rows(frozen: str | Path | None, settings: PrepareSettings) -> list[_Row]:
    if frozen is None:
        return []
    path = Path(frozen) / "test.jsonl"
    if _kind_of(Path(frozen)) != KIND or not path.is_file():
        raise ConfigError([f"frozen is {str(frozen)!r}, which is no folder of prepared records"])
    rows = []
    for number, record in enumerate(read_json_lines(path), 1):
        plain = {name: value for name, value in record.items() if name != ID_FIELD}
        source = SourcedRecord(str(path), number, plain)
        rows.append(_Row(source, plain, _key_of(plain, settings)))
    return rows


def _cleaned(
    source: SourcedRecord,
    settings: PrepareSettings,
    cleaned: Counter[str],
    dropped: list[dict[str, Any]],
) -> _Row | None:
    """Clean a record and count the changed cells; an empty one is None, and in `dropped`."""
    record = {name: _clean_cell(value) for name, value in source.record.items()}
    for name, value in record.items():
        cleaned[name] += value != source.record[name]
    reason = "empty" if all(value is None for value in record.values()) else None
    if settings.question is not None and settings.answer is not None and reason is None:
        names = [one for one in (settings.question, settings.answer, settings.context) if one]
        own = own_names(list(record), names)
        texts = [pair_text(record.get(name)) for name in own]
        reason = "no_question" if texts[0] is None else "no_answer" if texts[1] is None else None
        rest = {n: v for n, v in record.items() if n == settings.group_by and n not in own}
        record = dict(zip(("question", "answer", "context"), texts, strict=False)) | rest
    if reason is not None:
        dropped.append(_dropped(source, reason))
        return None
    return _Row(source, record, _key_of(record, settings))


def _clean_cell(value: Any) -> Any:  # noqa: ANN401 - any cell
    """Write a text in one Unicode form, without blanks around it; None for a blank one."""
    if not isinstance(value, str):
        return value
    return unicodedata.normalize("NFC", value).strip() or None


def _key_of(record: Mapping[str, Any], settings: PrepareSettings) -> str:
    """Write what identifies a record: its key columns, question and context, or all columns."""
    names: Sequence[str] = settings.key
    if not names:
        names = ("question", "context") if settings.question is not None else sorted(record)
    return json.dumps([record.get(name) for name in names], ensure_ascii=False, default=str)


def _check_columns(rows: Sequence[_Row], settings: PrepareSettings) -> None:
    wanted = [settings.question, settings.answer, settings.context, settings.group_by,
              *settings.key]  # fmt: skip
    names = list(dict.fromkeys(name for row in rows for name in row.source.record))
    for name in filter(None, wanted):
        if rows and own_names(names, [name])[0] not in names:
            raise UnknownColumnError(
                f"no record has this column; there are {list_columns(names)}",
                path=rows[0].source.path,
                column=name,
            )


def _without_duplicates(
    rows: Sequence[_Row], frozen: int, settings: PrepareSettings, dropped: list[dict[str, Any]]
) -> list[_Row]:
    """Drop duplicates of earlier rows; the first `frozen` rows are the frozen test part."""
    content = ("answer",) if settings.question is not None else ("whole",)
    dedup = DedupSettings(
        key_fields=("key",),
        text_fields=("text",),
        minhash=None if settings.near is None else MinHashSettings(settings.near),
        id_field="place",
        find_conflicts=bool(settings.question or settings.key),
        content_fields=content,
    )
    # Two questions that are nearly the same leak whatever their answers are.
    beside = () if settings.question is None else ("answer", settings.group_by or "")
    kept = []
    with (
        tempfile.TemporaryDirectory(prefix="stillroom-prepare-") as folder,
        Deduplicator(Path(folder) / "seen.sqlite", "prepare", dedup) as deduplicator,
    ):
        judged = deduplicate(_shown(rows, beside), deduplicator)
        for place, (row, (_, verdict)) in enumerate(zip(rows, judged, strict=True)):
            if place < frozen:
                continue
            if verdict.kept:
                kept.append(row)
            else:
                dropped.append(_duplicate(row, verdict, rows, frozen))
    return kept


def _shown(rows: Sequence[_Row], beside: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Write rows as what is compared: key, text, and the content that must agree.

    Args:
        rows: The rows.
        beside: Columns that the text leaves out.
    """
    for place, row in enumerate(rows):
        texts = (pair_text(value) for name, value in row.record.items() if name not in beside)
        yield {
            "place": str(place),
            "key": row.key,
            "text": "\n".join(filter(None, texts)),
            "answer": row.record.get("answer"),
            "whole": json.dumps(row.record, sort_keys=True, ensure_ascii=False, default=str),
        }


def _duplicate(
    row: _Row, verdict: DedupVerdict, rows: Sequence[_Row], frozen: int
) -> dict[str, Any]:
    if verdict.duplicate_of is None:
        return _dropped(row.source, verdict.reason)
    place = verdict.duplicate_of.place
    reason = "in_frozen_test" if place < frozen else verdict.reason
    found = _dropped(row.source, reason) | {"duplicate_of": _where(rows[place].source)}
    if verdict.similarity is not None:
        found["similarity"] = round(verdict.similarity, 4)
    return found


def _dropped(source: SourcedRecord, reason: str) -> dict[str, Any]:
    if reason not in _REASONS:
        raise DataError(f"record dropped for the unknown reason {reason!r}", path=source.path)
    return {**_where(source), "reason": reason, "record": source.record}


def _where(source: SourcedRecord) -> dict[str, Any]:
    return {"file": Path(source.path).name, "row": source.row}


def _split(
    rows: Sequence[_Row], settings: PrepareSettings, *, frozen: bool
) -> tuple[dict[str, list[_Row]], list[str]]:
    """Split rows by their keys or groups; with a frozen test part, into the two others."""
    keys = [row.key for row in rows]
    if settings.group_by is not None:
        keys = [_group(row, settings.group_by) for row in rows]
    train: float = settings.train
    val: float | None = settings.validation
    if frozen:
        train, val = train / (train + settings.validation), None
    found = hash_split(keys, train, val)
    parts: dict[str, list[_Row]] = {part: [] for part in PARTS}
    for row, part in zip(rows, found.parts, strict=True):
        parts[part].append(row)
    return parts, [_PART.sub(r"\1 validation", sentence) for sentence in found.moved]


def _group(row: _Row, column: str) -> str:
    value = row.source.record.get(column)
    return row.key if value is None else f"group {value}"


def _identified(row: _Row) -> dict[str, Any]:
    """Add an id that depends on the key alone; a table's own `sample_id` stays."""
    if row.record.get(ID_FIELD) is not None:
        return row.record
    return {ID_FIELD: sha256_text(stable_json(row.key))[:16], **row.record}


def _counted(dropped: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(one["reason"] for one in dropped)
    return (
        ", ".join(f"{count:,} {_REASONS[name]}" for name, count in counts.items()) or "no records"
    )
