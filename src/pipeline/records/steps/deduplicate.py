"""Dropping duplicates, within a run and across runs, with the state on disk.

DeduplicateByField(field="sample_id")
DeduplicateByField(field="sample_id", state_path="artifacts/seen.sqlite")  # across runs
DeduplicateByField(field="sample_id", text_fields=["instruction"], minhash_threshold=0.8)
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import field as new
from pathlib import Path
from typing import Final, Literal, get_args

from ....data.identity.deduplicate import Deduplicator, DedupSettings
from ....data.identity.duplicate_keys import compared_text, content_hash, duplicate_key
from ....data.identity.duplicate_state import DedupVerdict
from ....data.identity.near_texts import MinHashSettings
from ....data.identity.near_vectors import Embed, VectorSettings
from ....errors import ConfigError, DataError, IdentityError, PipelineError
from ..step import Loss, OrderedStep, Record, StepOutput, fault_reason
from .fields import names_of

OnConflict = Literal["error", "first", "last"]
_FAULTS: Final = frozenset({"missing_field", "not_finite", "not_json"})
"""Reasons of verdicts on records that cannot be compared."""


class DeduplicateByField(OrderedStep):
    """Drops the records whose field has a value that an earlier record had.

    In a pipeline the state lies in the run's folder: a run that was killed goes on where it was,
    and a duplicate is dropped however many workers the run has. With a `state_path` of its own, the
    step also drops what earlier runs have kept. Alone, the step remembers from `load` to `unload`.

    The reasons are `exact_duplicate`, `near_duplicate` and `similar_meaning`; a record that lacks
    the field is dead.

    >>> step = DeduplicateByField(field="q")
    >>> next(step.process([{"q": "How many?"}, {"q": "how  MANY?"}, {"q": "Who?"}]))
    [{'q': 'How many?'}, {'q': 'Who?'}]
    >>> next(step.process([{"q": "Who?"}]))
    []
    >>> step.unload()
    """

    input_batch_size: int = 1000
    """Rows that are judged at once, as one transaction of the state."""
    field: str | Sequence[str] = "sample_id"
    """Name of the field; of several, all must be equal."""
    drop_duplicates: bool = True
    """Whether duplicates are dropped; otherwise they are passed on."""
    emit_duplicate_field: bool = False
    """Whether each record gets a field that says whether it is a duplicate."""
    duplicate_field: str = "is_duplicate"
    """Name of that field."""
    normalize: bool = True
    """Compare texts in one Unicode form, case folded, with single blanks."""
    on_conflict: OnConflict = "first"
    """What to do with a duplicate whose other fields differ from those of the first record: drop it
    as any duplicate (`first`), or end the run (`error`). For `last` see `ResolveConflicts`, since
    here the first record has been passed on already."""
    content_fields: Sequence[str] = ()
    """Fields in which records conflict; empty: all but the field."""
    text_fields: Sequence[str] = ()
    """Fields whose text the two thresholds below are about."""
    minhash_threshold: float | None = None
    """Also drop near-duplicates: least share of common character sequences, above 0 to 1."""
    meaning_threshold: float | None = None
    """Also drop texts of similar meaning: least cosine of their vectors, above 0 to 1; needs the
    packaged sentence encoder."""
    numbers_must_match: bool = True
    """Texts whose numbers differ are no near-duplicates."""
    state_path: str | Path | None = None
    """SQLite file of what was seen, shared by runs; None: of this run alone."""
    embed: Embed | None = new(default=None, repr=False)
    """Computes vectors of texts instead of the packaged encoder; give it an `encoder` name."""
    encoder: str | None = None
    """Name of what `embed` computes; vectors of different encoders are never compared."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if self.on_conflict not in get_args(OnConflict):
            raise ConfigError([
                f"on_conflict is {self.on_conflict!r}; allowed are 'first' and 'error'"
            ])  # fmt: skip
        if self.on_conflict == "last":
            raise ConfigError([
                "on_conflict is 'last', but DeduplicateByField has passed the first record on when "
                "the last one comes; use ResolveConflicts, which sees all records at once"
            ])  # fmt: skip
        if (self.embed is None) != (self.encoder is None):
            raise ConfigError(["embed and encoder go together; give both or none"])
        self._settings = self._dedup_settings()
        self._deduplicator: Deduplicator | None = None
        self._place = 0

    @property
    def inputs(self) -> list[str]:
        """The field."""
        return names_of(self.field)

    @property
    def outputs(self) -> list[str]:
        """Whether the record is a duplicate, if that is to be told."""
        return [self.duplicate_field] if self.emit_duplicate_field else []

    def unload(self) -> None:
        """Forget what the step has seen alone; a pipeline's state stays in its file."""
        self.close()

    def open(self, folder: Path, run_id: str) -> None:
        """Open the state.

        Raises:
            ConfigError: The file was written with other settings.
            DataError: The file is no state of deduplication.
        """
        self._open(self.state_path or folder / "seen.sqlite", run_id)

    def close(self) -> None:
        """Close the state."""
        if self._deduplicator is not None:
            self._deduplicator.close()
        self._deduplicator = None

    def process(self, *inputs: list[Record]) -> Iterator[list[Record]]:
        """Drop the duplicates of a batch, and of the batches since `load`.

        Raises:
            DataError: A record cannot be compared; the first such one is told.
            PipelineError: An id has two contents, and `on_conflict` is "error".
        """
        output = self.run_rows(*inputs)
        if output.dead:
            raise DataError(output.dead[0].reason)
        yield output.records

    def run_rows(self, *inputs: Sequence[Record]) -> StepOutput:
        """Judge a batch after the batches since `load`."""
        (rows,) = inputs
        if self._deduplicator is None:
            self._open(self.state_path or ":memory:", f"alone-{uuid.uuid4().hex}")
        output = self.run_from(self._place, rows)
        self._place += len(rows)
        return output

    def run_from(self, first_place: int, rows: Sequence[Record]) -> StepOutput:
        """Judge a batch; see `OrderedStep.run_from`.

        Raises:
            DataError: The state cannot be used, or it was not opened.
            PipelineError: An id has two contents, and `on_conflict` is "error".
        """
        if self._deduplicator is None:
            raise DataError("the state of DeduplicateByField is not open; call open first")
        read = [self._read(row) for row in rows]
        verdicts = self._deduplicator.judge(read, first_place)
        output = StepOutput()
        for place, verdict in enumerate(verdicts):
            self._account(output, place, dict(rows[place]), read[place], verdict)
        return output

    def _account(
        self, output: StepOutput, place: int, row: Record, read: Record, verdict: DedupVerdict
    ) -> None:
        if verdict.reason in _FAULTS:
            output.dead.append(Loss(place, self._fault(read), row))
        elif verdict.reason == "conflicting_content":
            raise PipelineError(self._conflict(read, verdict))
        elif verdict.kept or not self.drop_duplicates:
            output.records.append(self._marked(row, not verdict.kept))
            output.parents.append((place,))
        else:
            output.rejected.append(Loss(place, verdict.reason, self._marked(row, True)))

    def _marked(self, row: Record, duplicate: bool) -> Record:
        if not self.emit_duplicate_field:
            return row
        column = self.output_mappings.get(self.duplicate_field, self.duplicate_field)
        return {**row, column: duplicate}

    def _fault(self, record: Record) -> str:
        """Say why a record cannot be compared."""
        try:
            duplicate_key(record, names_of(self.field))
            if self.text_fields:
                compared_text(record, names_of(self.text_fields))
            content_hash(record, names_of(self.content_fields) or list(record))
        except IdentityError as fault:
            return fault_reason(fault)
        return "the vector of the text is not finite"

    def _conflict(self, record: Record, verdict: DedupVerdict) -> str:
        named = ", ".join(f"{name} {record.get(name)!r:.80}" for name in names_of(self.field))
        first = verdict.duplicate_of
        assert first is not None
        return (
            f"{named} has another content in row {first.place + 1} of run {first.run_id}; set "
            "on_conflict to 'first', or use ResolveConflicts, or give the records ids of their own"
        )

    def _open(self, path: str | Path, run_id: str) -> None:
        self.close()
        self._place = 0
        embed = self.embed
        if self.meaning_threshold is not None and embed is None:
            from ....data.identity.sentence_vectors import sentence_vectors

            embed = sentence_vectors()
        self._deduplicator = Deduplicator(
            path, run_id, self._settings, embed=embed, replace_changed=True
        )

    def _dedup_settings(self) -> DedupSettings:
        fields = tuple(names_of(self.field))
        letters, meaning = self.minhash_threshold, self.meaning_threshold
        return DedupSettings(
            key_fields=fields,
            normalize=self.normalize,
            text_fields=tuple(names_of(self.text_fields)),
            minhash=None if letters is None else MinHashSettings(threshold=letters),
            vectors=None if meaning is None else self._vector_settings(meaning),
            numbers_must_match=self.numbers_must_match,
            id_field=fields[0] if fields else "",
            find_conflicts=self.on_conflict == "error",
            content_fields=tuple(names_of(self.content_fields)),
        )

    def _vector_settings(self, threshold: float) -> VectorSettings:
        from ....data.identity.sentence_vectors import ENCODER_NAME

        return VectorSettings(encoder=self.encoder or ENCODER_NAME, threshold=threshold)
