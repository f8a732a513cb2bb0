"""The rules as steps of distilabel: `python run_distilabel.py INPUT.jsonl FOLDER BATCH_SIZE`.

Prints one JSON line: seconds from the start of the run to the exported file.
"""
# No `from __future__ import annotations`: distilabel reads the annotations of `process`.

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from distilabel.pipeline import Pipeline
from distilabel.steps import GeneratorStep, Step, StepInput
from pydantic import PrivateAttr
from record_rules import exported, identify, judge

NEW = ["canonical_input", "schema_hash", "sample_id"]
Rows = list[dict[str, Any]]


class ReadJsonLines(GeneratorStep):
    """Reads the records, one line each."""

    path: str

    @property
    def outputs(self) -> list[str]:
        """The columns of the input."""
        return ["task_id", "instruction", "schema", "generation"]

    def process(self, offset: int = 0) -> Iterator[tuple[Rows, bool]]:
        """Yield batches; the last one must not be empty, or distilabel waits for ever."""
        with open(self.path, encoding="utf-8") as lines:
            rows = [json.loads(line) for line in islice(lines, offset, None)]
        for start in range(0, len(rows), self.batch_size):
            end = start + self.batch_size
            yield rows[start:end], end >= len(rows)


class Identify(Step):
    """Adds the ids."""

    @property
    def outputs(self) -> list[str]:
        """The ids."""
        return NEW

    def process(self, inputs: StepInput) -> Iterator[Rows]:
        """Work on a batch."""
        yield [identify(row) for row in inputs]


class Deduplicate(Step):
    """Keeps the first record of each id; one replica sees all batches."""

    _seen: set[str] = PrivateAttr(default_factory=set)

    @property
    def inputs(self) -> list[str]:
        """The id."""
        return ["sample_id"]

    def process(self, inputs: StepInput) -> Iterator[Rows]:
        """Work on a batch."""
        kept = []
        for row in inputs:
            if row["sample_id"] not in self._seen:
                self._seen.add(row["sample_id"])
                kept.append(row)
        yield kept


class KeepByRules(Step):
    """Drops what the rules keep out."""

    def process(self, inputs: StepInput) -> Iterator[Rows]:
        """Work on a batch."""
        yield [row for row in inputs if judge(row["generation"]) == "ok"]


def main(source: str, folder: str, batch_size: int) -> None:
    """Run and measure."""
    began = time.perf_counter()
    size = {"input_batch_size": batch_size}
    with Pipeline(name="scale", cache_dir=f"{folder}/cache") as pipeline:
        read = ReadJsonLines(path=source, batch_size=batch_size)
        read >> Identify(**size) >> Deduplicate(**size) >> KeepByRules(**size)
    rows = pipeline.run(use_cache=False)["default"]["train"]
    with open(Path(folder) / "train.jsonl", "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(exported(row)) + "\n")
    print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
