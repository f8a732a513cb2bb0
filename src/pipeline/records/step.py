"""`Step`: one thing done to records, alone (`step.process(records)`) or in a pipeline.

| base | for |
|---|---|
| `Step` | any function of a batch: `process(records)` yields lists of records |
| `RowStep` | one record at a time: `apply(record)` returns the record, or why it is rejected |
| `OrderedStep` | one batch after the other, with a state on disk, as deduplication needs |
| `ObserverStep` | reads all records, changes none and writes a file: manifests, reports, exports |
| `GeneratorStep` | makes records from nothing: the first step of a pipeline |
| `GlobalStep` | any function of the whole data set at once, in memory |

The fields of a step are the keywords of its constructor and its settings in a YAML file. A pipeline
calls `run_rows`, which accounts for every row: rows in = rows used + rejected + dead.

    with Pipeline("shout"):
        load = LoadDataFromDicts(data=[{"text": "a"}])
        load >> Shout() >> [WriteManifest(), FilterByBool()]
"""

from __future__ import annotations

import copy
import dataclasses
import re
from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, Self, TypeVar, dataclass_transform

from ...errors import (
    ConfigError,
    LabelingStoppedError,
    MissingDependencyError,
    ModelNotFoundError,
    PipelineError,
    StillroomError,
)

Record = dict[str, Any]

ROW_KEY: Final = "__row__"
"""Key under which a pipeline keeps the number of a row while a `process` runs, so that what comes
out is known to come from what went in. It is in no record before or after."""
RUN_ENDS: Final = (
    LabelingStoppedError, MissingDependencyError, ModelNotFoundError, PipelineError,
)  # fmt: skip
"""Faults that are those of the run and not of a row; no row is dead for them."""

Next = TypeVar("Next", "Step", "list[Step]", "Step | list[Step]")


class StepHolder(Protocol):
    """What a pipeline offers to the steps that are made while it is open."""

    def add(self, step: Step) -> None:
        """Take in a step, and give it a name if it has none."""

    def connect(self, before: Step, after: Step) -> None:
        """Let the records of one step go to another."""


open_pipeline: ContextVar[StepHolder | None] = ContextVar("open_pipeline", default=None)
"""The pipeline whose `with` block is running."""


class _StepClass(ABCMeta):
    """Adds each new step to the open pipeline; copies of a step are not added."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any step
        step = super().__call__(*args, **kwargs)
        holder = open_pipeline.get()
        if holder is not None:
            holder.add(step)
        return step


@dataclass(frozen=True)
class StepResources:
    """What a step may use; a local run reads `replicas`, Ray reads all."""

    replicas: int = 1
    """Number of workers that run the step at the same time, 1 or more."""
    cpus: float | None = None
    gpus: float | None = None
    memory: int | None = None
    """Bytes."""
    resources: Mapping[str, float] | None = None
    """Ray's own resources by name."""


@dataclass(frozen=True)
class Rejected:
    """A row that a step sorts out."""

    reason: str
    """Why, in a few words that can be counted; never empty."""
    record: Record | None = None
    """The record with what the step found; None keeps the record as it came."""


@dataclass(frozen=True)
class Loss:
    """A row that a step did not pass on."""

    place: int
    """Its place in the batch, from 0."""
    reason: str
    record: Record


@dataclass
class StepOutput:
    """What became of a batch."""

    records: list[Record] = field(default_factory=list)
    parents: list[tuple[int, ...]] = field(default_factory=list)
    """For each record the places in the batch, from 0, of the rows that it was made from."""
    rejected: list[Loss] = field(default_factory=list)
    """Rows that the step sorted out."""
    dead: list[Loss] = field(default_factory=list)
    """Rows that the step failed on; the reason names the fault."""

    def missing(self, count: int) -> set[int]:
        """List the places of a batch of `count` rows that are neither used, rejected nor dead."""
        told = {place for places in self.parents for place in places}
        told |= {loss.place for loss in (*self.rejected, *self.dead)}
        return set(range(count)) - told


@dataclass_transform(kw_only_default=True)
class _Fields:
    """Makes every subclass a dataclass whose fields are keywords."""

    def __init_subclass__(cls, **given: Any) -> None:  # noqa: ANN401 - of the subclass
        super().__init_subclass__(**given)
        dataclass(kw_only=True, eq=False)(cls)


class Step(_Fields, ABC, metaclass=_StepClass):
    """A step of a pipeline; subclass it with fields and a `process`.

    >>> class Shout(Step):
    ...     field: str = "text"
    ...     def process(self, records):
    ...         yield [{**record, self.field: record[self.field].upper()} for record in records]
    >>> list(Shout().process([{"text": "a"}]))
    [[{'text': 'A'}]]
    """

    name: str = ""
    """Name in the pipeline, unique there; empty takes the name of the class, as `shout_0`."""
    input_batch_size: int = 50
    """Rows that `process` is given at once, 1 or more."""
    input_mappings: dict[str, str] = field(default_factory=dict)
    """Name that the step reads -> column of the records."""
    output_mappings: dict[str, str] = field(default_factory=dict)
    """Name that the step writes -> column of the records."""
    resources: StepResources = field(default_factory=StepResources)

    pipeline: ClassVar[StepHolder | None] = None
    """The pipeline that the step belongs to; each step has its own."""
    is_costly: ClassVar[bool] = False
    """Whether the rows before and after the step are kept on disk, because it is slow or paid."""
    unhashed: ClassVar[frozenset[str]] = frozenset({"name", "input_batch_size", "resources"})
    """Fields that change no result, so a change of them runs nothing again."""

    def __post_init__(self) -> None:
        """Check the fields that all steps have."""
        if self.input_batch_size < 1:
            raise ConfigError([f"input_batch_size is {self.input_batch_size}; allowed: 1 or more"])
        if isinstance(self.resources, Mapping):
            self.resources = StepResources(**self.resources)

    def __rshift__(self, after: Next) -> Next:
        """Let the records go to another step, or to each of several: `a >> b`, `a >> [b, c]`."""
        steps: list[Step] = after if isinstance(after, list) else [after]
        for step in steps:
            self._connect(step)
        return after

    def __rrshift__(self, before: list[Step]) -> Self:
        """Take the records of several steps, joined row by row: `[b, c] >> d`."""
        for step in before:
            step._connect(self)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave the pipeline out of copies and of what is sent to workers."""
        return {key: value for key, value in self.__dict__.items() if key != "pipeline"}

    @property
    def inputs(self) -> list[str]:
        """Columns that every record must have."""
        return []

    @property
    def outputs(self) -> list[str]:
        """Columns that the step adds."""
        return []

    @property
    def time_columns(self) -> list[str]:
        """Those of the outputs that hold times; two runs over the same data may differ in them."""
        return []

    def enter_run(self, context: RunContext) -> None:
        """Be told which run the step works for; called before `load`, in each worker."""

    def load(self) -> None:
        """Open what the step needs; called once before the first batch, in each worker."""

    def unload(self) -> None:
        """Close what `load` opened."""

    @abstractmethod
    def process(self, *inputs: list[Record]) -> Iterator[list[Record]]:
        """Work on a batch; with several steps before this one, on a batch of each, row by row.

        Args:
            inputs: Lists of records of equal length.

        Yields:
            Lists of records, which may have other lengths.
        """

    def run_rows(self, *inputs: Sequence[Record]) -> StepOutput:
        """Work on a batch, and account for each of its rows.

        A batch that fails is tried row by row, so that a row that cannot be worked on is dead, and
        only that row. Rows that `process` leaves out are rejected with the step's name.

        Args:
            inputs: As for `process`, with the columns named as in the pipeline.
        """
        rows = inputs[0]
        try:
            return self._run_batch(inputs)
        except RUN_ENDS:
            raise
        except Exception as fault:  # noqa: BLE001 - a step is anybody's code
            if len(rows) == 1:
                return StepOutput(dead=[Loss(0, fault_reason(fault), dict(rows[0]))])
        output = StepOutput()
        for place in range(len(rows)):
            one = self.run_rows(*[[rows_of[place]] for rows_of in inputs])
            output.records += one.records
            output.parents += [(place,)] * len(one.records)
            output.rejected += [dataclasses.replace(loss, place=place) for loss in one.rejected]
            output.dead += [dataclasses.replace(loss, place=place) for loss in one.dead]
        return output

    def settings(self) -> dict[str, Any]:
        """Give the fields that the constructor takes, as they are."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}

    def hashed_settings(self) -> dict[str, Any]:
        """Give the settings that decide the result; a change of one runs the step again."""
        return {k: v for k, v in self.settings().items() if k not in self.unhashed}

    def named(self, name: str) -> Self:
        """Give a copy with another name."""
        other = copy.copy(self)
        other.name = name
        return other

    def _connect(self, after: Step) -> None:
        if self.pipeline is None:
            raise ConfigError([
                f"{type(self).__name__} is in no pipeline; make its steps inside `with Pipeline():`"
            ])  # fmt: skip
        self.pipeline.connect(self, after)

    def _run_batch(self, inputs: Sequence[Sequence[Record]]) -> StepOutput:
        rows = inputs[0]
        marked = [
            [{**self._read(row), ROW_KEY: place} for place, row in enumerate(rows_of)]
            for rows_of in inputs
        ]
        output = StepOutput()
        for batch in self.process(*marked):
            aligned = len(batch) == len(rows)
            for place, made in enumerate(batch):
                record = dict(made)
                row = record.pop(ROW_KEY, None)
                if isinstance(row, int) and 0 <= row < len(rows):
                    parents: tuple[int, ...] = (row,)
                else:
                    parents = (place,) if aligned else tuple(range(len(rows)))
                one = rows[parents[0]] if len(parents) == 1 else None
                output.records.append(self._written(record, one))
                output.parents.append(parents)
        reason = f"dropped by {type(self).__name__}"
        output.rejected = [
            Loss(place, reason, dict(rows[place])) for place in sorted(output.missing(len(rows)))
        ]
        return output

    def _read(self, row: Record) -> Record:
        """Give the columns under the names that the step reads, which hide others of such names."""
        if not self.input_mappings:
            return row
        kept = {name: value for name, value in row.items() if name not in self.input_mappings}
        read = {own: row[column] for own, column in self.input_mappings.items() if column in row}
        return {**kept, **read}

    def _written(self, record: Record, row: Record | None = None) -> Record:
        """Rename what the step wrote, and take away the names that only the step reads.

        Args:
            record: What the step made of a row; it is changed.
            row: The row as it came; its columns that the names of the step have hidden come back.
        """
        if not (self.input_mappings or self.output_mappings):
            return record
        writes = set(self.outputs)
        for own, column in self.input_mappings.items():
            if own != column and own not in writes:
                record.pop(own, None)
        renamed = {
            column: record.pop(own)
            for own, column in self.output_mappings.items()
            if own in record and own != column
        }
        hidden = [own for own in (*self.input_mappings, *self.output_mappings) if own not in record]
        record.update({own: row[own] for own in hidden if row is not None and own in row})
        record.update(renamed)
        return record


class RowStep(Step):
    """A step that works on one record at a time."""

    @abstractmethod
    def apply(self, record: Record) -> Record | Rejected:
        """Work on a record.

        Args:
            record: A record, which must not be changed in place.

        Returns:
            The new record, or why it is rejected.
        """

    def process(self, *inputs: list[Record]) -> Iterator[list[Record]]:
        """Work on a batch, and yield the records that are not rejected."""
        (records,) = inputs
        done = [(self.apply(self._read(record)), record) for record in records]
        yield [
            self._written(dict(made), record)
            for made, record in done
            if not isinstance(made, Rejected)
        ]

    def run_rows(self, *inputs: Sequence[Record]) -> StepOutput:
        """Work on each row of a batch by itself; see `Step.run_rows`."""
        (rows,) = inputs
        output = StepOutput()
        for place, row in enumerate(rows):
            try:
                done = self.apply(self._read(row))
            except RUN_ENDS:
                raise
            except Exception as fault:  # noqa: BLE001 - a step is anybody's code
                output.dead.append(Loss(place, fault_reason(fault), dict(row)))
                continue
            if isinstance(done, Rejected):
                found = done.record
                kept = dict(row) if found is None else self._written(dict(found), row)
                output.rejected.append(Loss(place, done.reason, kept))
            else:
                output.records.append(self._written(dict(done), row))
                output.parents.append((place,))
        return output


class OrderedStep(Step):
    """A step whose verdict on a row depends on the rows before it.

    The pipeline gives it the batches in their order, one process at a time, and a folder for its
    state; a batch that was given before a crash is given again with the same place.
    """

    def open(self, folder: Path, run_id: str) -> None:
        """Open the state; called before the first batch."""

    def close(self) -> None:
        """Close the state."""

    @abstractmethod
    def run_from(self, first_place: int, rows: Sequence[Record]) -> StepOutput:
        """Work on a batch.

        Args:
            first_place: Number of rows before this batch in the whole run.
            rows: The batch.
        """


class ObserverStep(Step):
    """A step that passes all records on as they are, and writes a file about them.

    A pipeline calls `start`, then `observe` with each batch in order, then `finish`; memory does
    not grow with the records.
    """

    @abstractmethod
    def start(self, context: RunContext) -> None:
        """Begin anew."""

    @abstractmethod
    def observe(self, rows: Sequence[Record]) -> None:
        """Take note of a batch."""

    @abstractmethod
    def finish(self) -> list[Path]:
        """Write the files, and return their paths."""

    def process(self, *inputs: list[Record]) -> Iterator[list[Record]]:
        """Write the files about one list of records, and yield it."""
        (records,) = inputs
        self.start(RunContext())
        self.observe([self._read(record) for record in records])
        self.finish()
        yield records

    def run_rows(self, *inputs: Sequence[Record]) -> StepOutput:
        """Take note of a batch; every row is passed on."""
        (rows,) = inputs
        self.observe([self._read(row) for row in rows])
        return StepOutput([dict(row) for row in rows], [(place,) for place in range(len(rows))])


class GeneratorStep(Step):
    """The first step of a pipeline: makes records."""

    batch_size: int = 50
    """Rows of a batch, 1 or more."""

    @abstractmethod
    def process(  # type: ignore[override]
        self, offset: int = 0
    ) -> Iterator[tuple[list[Record], bool]]:
        """Yield batches of records, each with whether it is the last.

        Args:
            offset: Number of rows to leave out.
        """

    def named_records(self, offset: int = 0) -> Iterator[Record]:
        """Yield the records one by one, with their columns named as in the pipeline."""
        for batch, is_last in self.process(offset):
            for record in batch:
                yield self._written(dict(record))
            if is_last:
                return


class GlobalStep(Step):
    """A step that needs the whole data set at once; it is held in memory."""

    is_costly: ClassVar[bool] = True

    def run_rows(self, *inputs: Sequence[Record]) -> StepOutput:
        """Work on all rows; if that fails, all are dead, since no row can be worked on alone."""
        try:
            return self._run_batch(inputs)
        except RUN_ENDS:
            raise
        except Exception as fault:  # noqa: BLE001 - a step is anybody's code
            reason = fault_reason(fault)
            return StepOutput(dead=[Loss(p, reason, dict(r)) for p, r in enumerate(inputs[0])])


@dataclass(frozen=True)
class RunContext:
    """What a step is told about the run it belongs to."""

    run_id: str | None = None
    """None outside a pipeline."""
    folder: Path | None = None
    """Folder of the run's artefacts, `<artifacts>/<run_id>`; None outside a pipeline."""
    stage: str | None = None
    """Name of the stage before; None outside a pipeline."""
    inputs: tuple[Path, ...] = ()
    """Manifests of the stages that the records came from."""
    shards: tuple[Mapping[str, Any], ...] = ()
    """Files of the stage before: `{"file", "count", "sha256"}` each, the file below `folder`."""
    cache_dir: Path | None = None
    """Folder of what several runs share, such as answers of a teacher; None outside a pipeline."""
    accounting: Mapping[str, Any] = field(default_factory=dict)
    """Counts of the run so far by stage: `{stage: {"in", "out", "rejected": {}, "dead": {}}}`."""
    partial: bool = False
    """Whether the records are only part of the run, because it was ended early."""


def step_name(step: Step) -> str:
    """Write the name of a step's class as it stands in file and parameter names.

    >>> class SQLiteExecEval(Step):
    ...     def process(self, records): yield records
    >>> step_name(SQLiteExecEval())
    'sqlite_exec_eval'
    """
    cut = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(step).__name__)
    return cut.lower().replace("sq_lite", "sqlite")


def fault_reason(fault: BaseException) -> str:
    """Put a fault into the few words that a dead row is counted under."""
    lines = str(fault).strip().splitlines()
    text = lines[0][:200] if lines else ""
    if isinstance(fault, StillroomError) and text:
        return text
    return f"{type(fault).__name__}: {text}" if text else type(fault).__name__
