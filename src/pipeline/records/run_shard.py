"""Run a stage over a shard: rows of its source stages in, rows and losses out, all accounted for.

The same function runs in this process, in worker processes and on Ray.
"""

from __future__ import annotations

import copy
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...errors import AccountingError, LabelingStoppedError, PipelineError
from .plan import Stage
from .row_codec import Row, encode_rows
from .stage_store import STATE, LostRow, StageStore
from .step import (
    RUN_ENDS,
    GlobalStep,
    Loss,
    OrderedStep,
    RunContext,
    Step,
    StepOutput,
    fault_reason,
)

SCHEMA_VERSION = 1
TIMED = frozenset({"created_at", "duration_s"})
"""Keys of a shard's record that hold times."""
KEEP_S = 60.0
"""Seconds after which a costly step's part of a shard is written."""
Stop = Callable[[], bool]
Keep = Callable[[list[Row], int], None]
"""Is given the rows that a costly step has made of a shard, and how many rows are waiting."""


@dataclass
class StepCount:
    """What became of the rows of a step: rows in = used + rejected + dead."""

    rows_in: int = 0
    used: int = 0
    """Rows that records were made from."""
    out: int = 0
    """Records made."""
    rejected: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)

    def told(self) -> dict[str, Any]:
        """Give the counts as JSON, reasons in the order of the alphabet."""
        return {
            "in": self.rows_in,
            "used": self.used,
            "out": self.out,
            "rejected": dict(sorted(self.rejected.items())),
            "dead": dict(sorted(self.dead.items())),
        }


@dataclass
class ShardWork:
    """What a shard has become so far."""

    rows: list[Row]
    counts: dict[str, StepCount] = field(default_factory=dict)
    losses: list[LostRow] = field(default_factory=list)
    waiting: int = 0
    """Rows that a costly step was not given, because the run is to end."""
    stopped: LabelingStoppedError | None = None
    """Why a costly step ended the run."""

    def lose(self, step: str, kind: Any, reason: str, row: Row) -> None:  # noqa: ANN401 - a literal
        """Take note of a row that is not passed on."""
        self.losses.append(LostRow(step, kind, reason, row.row_id, row.record))
        getattr(self.counts[step], kind)[reason] += 1


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let Python not look for reference cycles while a shard of records is in memory.

    It would look through all records again and again, which have no cycles; that took a fifth of
    the time of cheap steps.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def opened(stage: Stage, context: RunContext) -> Iterator[Stage]:
    """Load the steps of a stage, and unload them in the end.

    Raises:
        PipelineError: A step could not be loaded; names it.
    """
    with ExitStack() as loaded:
        for step in stage.steps:
            try:
                step.enter_run(context)
                step.load()
            except RUN_ENDS:
                raise
            except Exception as fault:
                raise PipelineError(
                    f"step {step.name!r} could not be loaded: {fault_reason(fault)}"
                ) from fault
            loaded.callback(step.unload)
        yield stage


@contextmanager
def opened_state(stage: Stage, folder: Path, run_id: str) -> Iterator[None]:
    """Open the state of the ordered steps of a stage, and close it in the end."""
    with ExitStack() as open_steps:
        for step in stage.steps:
            if isinstance(step, OrderedStep):
                place = folder / stage.name / STATE / step.name
                place.mkdir(parents=True, exist_ok=True)
                step.open(place, run_id)
                open_steps.callback(step.close)
        yield


def run_shard(
    stage: Stage,
    folder: Path,
    shard: int,
    *,
    first_places: Mapping[str, int] | None = None,
    stop: Stop | None = None,
) -> dict[str, Any]:
    """Run a stage over one shard of its sources, and write the shard.

    Args:
        stage: Its steps must be loaded.
        folder: Folder of the run.
        shard: Number of the shard.
        first_places: For each ordered step, how many rows it was given in the shards before.
        stop: Tells whether the run is to end; a costly step is given no more batches then, and
            the shard is written as incomplete.

    Returns:
        The record of the shard.

    Raises:
        AccountingError: A step lost rows, or counted some twice.
        LabelingStoppedError: A teacher ended the run; what it has answered is written.
    """
    began = time.monotonic()
    with nullcontext() if stage.is_costly else collector_paused():
        stores = [StageStore(folder / source) for source in stage.sources]
        work, joined = _joined(stage, [store.rows(shard) for store in stores])
        inputs = input_hashes(stage, folder, shard)
        kept = began

        def keep(rows: list[Row], waiting: int) -> None:
            """Write what a costly step has done so far, so that little is lost if it is killed."""
            nonlocal kept
            if time.monotonic() - kept > KEEP_S:
                counts, losses = copy.deepcopy(work.counts), list(work.losses)
                so_far = ShardWork(list(rows), counts, losses, waiting)
                write_shard(stage, folder, shard, so_far, inputs, began)
                kept = time.monotonic()

        _run_steps(stage, work, joined, first_places or {}, stop, keep)
        if work.stopped is not None and not work.rows:
            raise work.stopped
        record = write_shard(stage, folder, shard, work, inputs, began)
        if work.stopped is not None:
            raise work.stopped
        return record


def run_whole(stage: Stage, folder: Path, shards: Sequence[int], rows_per_shard: int) -> list[Any]:
    """Run a stage over all shards of its sources at once; its rows are cut into shards anew.

    Args:
        stage: Its steps must be loaded.
        folder: Folder of the run.
        shards: Numbers of the shards of all sources.
        rows_per_shard: Rows of each shard but the last.

    Returns:
        The records of the shards.
    """
    began = time.monotonic()
    stores = [StageStore(folder / source) for source in stage.sources]
    there = [[n for n in shards if store.record(n) is not None] for store in stores]
    rows = [
        [row for n in numbers for row in store.rows(n)]
        for store, numbers in zip(stores, there, strict=True)
    ]
    work, joined = _joined(stage, rows)
    _run_steps(stage, work, joined, {}, None, None)
    if work.stopped is not None:
        raise work.stopped
    inputs = whole_input_hashes(stage, folder, shards)
    cuts = range(0, max(len(work.rows), 1), rows_per_shard)
    records = []
    for number, cut in enumerate(cuts):
        part = ShardWork(work.rows[cut : cut + rows_per_shard])
        if number == 0:
            part.counts, part.losses = work.counts, work.losses
        told = {"shards": len(cuts)}
        records.append(write_shard(stage, folder, number, part, inputs, began, told))
    return records


def input_hashes(stage: Stage, folder: Path, shard: int) -> list[str] | None:
    """Give the hashes of the files that a shard is made from; None where one is not there."""
    records = [StageStore(folder / source).record(shard) for source in stage.sources]
    found = [record["rows"]["sha256"] for record in records if record is not None]
    return found if len(found) == len(records) else None


def whole_input_hashes(stage: Stage, folder: Path, shards: Sequence[int]) -> list[str]:
    """Give the hashes of all files that a whole stage is made from."""
    records = [
        StageStore(folder / source).record(shard) for source in stage.sources for shard in shards
    ]
    return [record["rows"]["sha256"] for record in records if record is not None]


def write_shard(
    stage: Stage,
    folder: Path,
    shard: int,
    work: ShardWork,
    inputs: Sequence[str] | None,
    began: float,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write what a shard has become; rows that are no JSON are dead."""
    table = store_rows(stage.name, work)
    told = shard_told(stage, shard, work, inputs, began, more)
    return StageStore(folder / stage.name).write(shard, told, table, work.losses)


def store_rows(stage: str, work: ShardWork) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Encode the rows of a shard; those that cannot be are dead under `<stage>.store`."""
    table, faults = encode_rows(work.rows)
    if faults:
        name = f"{stage}.store"
        count = len(work.rows)
        work.counts[name] = StepCount(count, count - len(faults), count - len(faults))
        for place, reason in sorted(faults.items()):
            work.lose(name, "dead", reason, work.rows[place])
    return table


def shard_told(
    stage: Stage,
    shard: int,
    work: ShardWork,
    inputs: Sequence[str] | None,
    began: float,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the record of a shard, but for its files."""
    return {
        "schema_version": SCHEMA_VERSION,
        "stage": stage.name,
        "shard": shard,
        "fingerprint": stage.fingerprint,
        "inputs": None if inputs is None else list(inputs),
        "complete": work.waiting == 0,
        "waiting": work.waiting,
        "steps": {name: count.told() for name, count in work.counts.items()},
        **(more or {}),
        "created_at": datetime.now(UTC).isoformat(),
        "duration_s": round(time.monotonic() - began, 6),
    }


def _run_steps(
    stage: Stage,
    work: ShardWork,
    joined: list[list[Row]],
    first_places: Mapping[str, int],
    stop: Stop | None,
    keep: Keep | None,
) -> None:
    rows_of = joined
    for step in stage.steps:
        ends = (stop, keep) if step.is_costly else (None, None)
        work.rows = _run_step(step, rows_of, work, first_places.get(step.name, 0), *ends)
        rows_of = [work.rows]
        if work.stopped is not None:
            return


def _run_step(
    step: Step,
    rows_of: list[list[Row]],
    work: ShardWork,
    first_place: int,
    stop: Stop | None,
    keep: Keep | None,
) -> list[Row]:
    """Give the rows to a step batch by batch, and check that each is accounted for."""
    count = work.counts[step.name] = StepCount()
    total = len(rows_of[0])
    size = max(total, 1) if isinstance(step, GlobalStep) else step.input_batch_size
    made: list[Row] = []
    for start in range(0, total, size):
        if stop is not None and stop():
            work.waiting = total - start
            break
        rows = rows_of[0][start : start + size]
        batches = [[row.record for row in part[start : start + size]] for part in rows_of]
        try:
            if isinstance(step, OrderedStep):
                output = _run_ordered(step, first_place + start, batches[0])
            else:
                output = step.run_rows(*batches)
        except LabelingStoppedError as fault:
            work.waiting, work.stopped = total - start, fault
            break
        _check(step.name, output, len(rows))
        for kind, losses in (("rejected", output.rejected), ("dead", output.dead)):
            for loss in losses:
                work.lose(step.name, kind, loss.reason, Row(rows[loss.place].row_id, loss.record))
        made += _named(output, rows)
        count.rows_in += len(rows)
        count.used += len(rows) - len(output.rejected) - len(output.dead)
        count.out = len(made)
        if keep is not None:
            keep(made, total - start - len(rows))
    return made


def _run_ordered(step: OrderedStep, first_place: int, rows: list[dict[str, Any]]) -> StepOutput:
    """Run an ordered step; a batch that fails is tried row by row, each at its place."""
    try:
        return step.run_from(first_place, rows)
    except RUN_ENDS:
        raise
    except Exception as fault:  # noqa: BLE001 - a step is anybody's code
        if len(rows) == 1:
            return StepOutput(dead=[Loss(0, fault_reason(fault), dict(rows[0]))])
    output = StepOutput()
    for place, row in enumerate(rows):
        one = _run_ordered(step, first_place + place, [row])
        output.records += one.records
        output.parents += [(place,)] * len(one.records)
        output.rejected += [Loss(place, loss.reason, loss.record) for loss in one.rejected]
        output.dead += [Loss(place, loss.reason, loss.record) for loss in one.dead]
    return output


def _check(name: str, output: StepOutput, count: int) -> None:
    """Refuse an output that does not say of each row exactly once what became of it.

    Raises:
        AccountingError: Names the step, the counts and the places.
    """
    used = {place for places in output.parents for place in places}
    rejected = [loss.place for loss in output.rejected]
    dead = [loss.place for loss in output.dead]
    told = len(used) + len(rejected) + len(dead)
    fine = len(output.parents) == len(output.records) and all(output.parents)
    if fine and told == count and used.union(rejected, dead) == set(range(count)):
        return
    twice = [p for p, n in Counter([*used, *rejected, *dead]).items() if n > 1]
    raise AccountingError(
        f"step {name!r}: {count} rows in, but {len(used)} used + {len(rejected)} rejected + "
        f"{len(dead)} dead, {len(output.records)} records with {len(output.parents)} origins; "
        f"places in the batch not accounted for: {sorted(output.missing(count))[:5]}, "
        f"told twice: {sorted(twice)[:5]}"
    )


def _named(output: StepOutput, rows: Sequence[Row]) -> Iterator[Row]:
    """Give each record the id of the row that it was made from; `.k` where that made several."""
    firsts = [places[0] for places in output.parents]
    if len(set(firsts)) == len(firsts):
        for place, record in zip(firsts, output.records, strict=True):
            yield Row(rows[place].row_id, record)
        return
    several = {place for place, n in Counter(firsts).items() if n > 1}
    seen: Counter[int] = Counter()
    for place, record in zip(firsts, output.records, strict=True):
        row_id = rows[place].row_id
        if place in several:
            row_id = f"{row_id}.{seen[place]}"
            seen[place] += 1
        yield Row(row_id, record)


def _joined(stage: Stage, rows_of: list[list[Row]]) -> tuple[ShardWork, list[list[Row]]]:
    """Join the rows of several stages by their ids; a row that one of them lacks is rejected."""
    work = ShardWork([])
    if len(rows_of) == 1:
        return work, rows_of
    name = f"{stage.steps[0].name}.join"
    by_id = [{row.row_id: row for row in rows} for rows in rows_of]
    every = list(dict.fromkeys(_ids(rows_of)))
    common = [row_id for row_id in every if all(row_id in rows for rows in by_id)]
    work.counts[name] = StepCount(len(every), len(common), len(common))
    in_all = set(common)
    for row_id in every:
        if row_id not in in_all:
            lacking = [
                s for s, rows in zip(stage.sources, by_id, strict=True) if row_id not in rows
            ]
            row = next(rows[row_id] for rows in by_id if row_id in rows)
            work.lose(name, "rejected", f"no row from {', '.join(lacking)}", row)
    return work, [[rows[row_id] for row_id in common] for rows in by_id]


def _ids(rows_of: Iterable[Iterable[Row]]) -> Iterator[str]:
    return (row.row_id for rows in rows_of for row in rows)
