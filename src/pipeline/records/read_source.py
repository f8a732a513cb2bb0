"""Read a source into shards of a fixed number of rows.

A source that costs nothing is read again by each run, and its shards are compared with those on
disk; so a changed file is noticed, and only what it changes is worked on again. A costly source
goes on after the shards that are done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

from ...errors import PipelineError
from .plan import Stage
from .row_codec import Row
from .run_shard import (
    TIMED,
    ShardWork,
    StepCount,
    Stop,
    collector_paused,
    shard_told,
    store_rows,
)
from .stage_store import StageStore
from .step import RUN_ENDS, GeneratorStep, Record, fault_reason


def read_source(
    stage: Stage, folder: Path, rows_per_shard: int, limit: int | None, stop: Stop
) -> Iterator[dict[str, Any]]:
    """Write the shards of a source.

    Args:
        stage: Its step must be loaded.
        folder: Folder of the run.
        rows_per_shard: Rows of each shard but the last; there is always one shard.
        limit: Rows to read at most; None reads all.
        stop: Tells whether the run is to end.

    Yields:
        The record of each shard; the last one has `"last": true`.

    Raises:
        PipelineError: The source failed; names the step and the row.
    """
    step = cast(GeneratorStep, stage.steps[0])
    store = StageStore(folder / stage.name)
    shard = 0
    if step.is_costly:
        while (record := done_source(stage, store, shard)) is not None:
            yield record
            shard += 1
            if record["last"]:
                store.drop(shard)
                return
    first = shard * rows_per_shard
    records = _records(step, first, None if limit is None else limit - first)
    chunk = _chunk(records, rows_per_shard)
    while not stop():
        began = time.monotonic()
        following = _chunk(records, rows_per_shard) if len(chunk) == rows_per_shard else []
        work = _numbered(step, shard * rows_per_shard, chunk)
        table = store_rows(stage.name, work)
        more = {"last": not following}
        told = shard_told(stage, shard, work, None, began, more)
        yield store.write(shard, told, table, work.losses, TIMED)
        shard += 1
        if not following:
            store.drop(shard)
            return
        chunk = following


def done_source(stage: Stage, store: StageStore, shard: int) -> dict[str, Any] | None:
    """Give the record of a source's shard if this source wrote it."""
    record = store.record(shard)
    return record if record and record["fingerprint"] == stage.fingerprint else None


def _chunk(records: Iterator[Record], count: int) -> list[Record]:
    with collector_paused():
        return list(islice(records, count))


def _numbered(step: GeneratorStep, first: int, chunk: list[Record]) -> ShardWork:
    """Number the rows."""
    rows = [Row(str(first + place), record) for place, record in enumerate(chunk)]
    return ShardWork(rows, {step.name: StepCount(len(rows), len(rows), len(rows))})


def _records(step: GeneratorStep, first: int, limit: int | None) -> Iterator[Record]:
    """Yield the records of a source, named as in the pipeline."""
    made = 0
    if limit is not None and limit <= 0:
        return
    try:
        for record in step.named_records(first):
            yield record
            made += 1
            if made == limit:
                return
    except RUN_ENDS:
        raise
    except Exception as fault:
        raise PipelineError(
            f"source {step.name!r} failed after {first + made} rows: {fault_reason(fault)}"
        ) from fault
