"""The rules as plain Ray Data `map_batches`: `python run_ray.py INPUT.jsonl FOLDER CPUS`.

Prints one JSON line: seconds without the start of Ray, and seconds of that start.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import pyarrow as pa
import ray
from record_rules import exported, identify, judge

OBJECTS = pa.schema([
    ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
    ("metadata", pa.struct([("sample_id", pa.string())])),
])  # fmt: skip


def identify_batch(batch: pa.Table) -> pa.Table:
    """Add the ids."""
    return pa.Table.from_pylist([identify(row) for row in batch.to_pylist()])


class Deduplicate:
    """Keeps the first record of each id; one actor sees all batches."""

    def __init__(self) -> None:
        """Remember no id."""
        self.seen: set[str] = set()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Drop the duplicates of a batch."""
        kept = []
        for row in batch.to_pylist():
            if row["sample_id"] not in self.seen:
                self.seen.add(row["sample_id"])
                kept.append(row)
        return pa.Table.from_pylist(kept, schema=batch.schema)


def keep_and_export(batch: pa.Table) -> pa.Table:
    """Drop what the rules keep out, and give the objects to export."""
    objects = [exported(row) for row in batch.to_pylist() if judge(row["generation"]) == "ok"]
    return pa.Table.from_pylist(objects, schema=OBJECTS)


def main(source: str, folder: str, cpus: int) -> None:
    """Run and measure."""
    began = time.perf_counter()
    ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    ray.data.range(10).map_batches(lambda batch: batch).materialize()  # workers are there
    start_s = time.perf_counter() - began
    began = time.perf_counter()
    (
        ray.data.read_json(source, lines=True)
        .map_batches(identify_batch, batch_format="pyarrow")
        .map_batches(Deduplicate, batch_format="pyarrow", concurrency=1)
        .map_batches(keep_and_export, batch_format="pyarrow")
        .write_json(folder)
    )
    print(json.dumps({"seconds": time.perf_counter() - began, "start_s": start_s}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
