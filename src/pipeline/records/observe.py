"""Let an observer read the rows of a stage, and keep a record of the files that it wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...errors import DataError, PipelineError
from ...files import file_sha256, read_json
from ...labeling.gates.quality_gate import evaluate_quality_gate, gate_message
from ...records import sha256_text, stable_json
from .fingerprints import step_fingerprint
from .plan import Plan, Stage
from .run_shard import collector_paused
from .run_state import RunOptions, RunResult
from .stage_store import StageStore, read_sealed, write_sealed
from .step import RUN_ENDS, ObserverStep, RunContext, fault_reason

OBSERVER_FILE = "observer.json"
MANIFEST = "manifest.json"
QUALITY_REPORT = "quality_report.json"


def observe(
    step: ObserverStep, plan: Plan, stage: Stage, options: RunOptions, result: RunResult
) -> None:
    """Write the files of an observer, unless they are there and nothing has changed.

    Args:
        step: The observer.
        plan: The plan, for the stages before.
        stage: The stage that it reads.
        options: Those of the run.
        result: What the run has come to; the files are added to it.

    Raises:
        PipelineError: The observer failed, or a gate was not passed.
    """
    context = _context(plan, stage, options, result)
    key = _key(step, context)
    place = options.folder / step.name / OBSERVER_FILE
    there = _there(place, key, options.folder)
    if there is None:
        try:
            paths = _write(step, stage, context, result)
        except RUN_ENDS:
            raise
        except Exception as fault:
            raise PipelineError(f"step {step.name!r} failed: {fault_reason(fault)}") from fault
        there = write_sealed(place, {
            "schema_version": 1,
            "step": step.name,
            "stage": stage.name,
            "key": key,
            "files": [
                {"file": os.path.relpath(path, options.folder), "sha256": file_sha256(path)}
                for path in paths
            ],
            "created_at": datetime.now(UTC).isoformat(),
        })  # fmt: skip
    result.files[step.name] = [told["file"] for told in there["files"]]
    _ask_gate(options, result, result.files[step.name])


def _write(step: ObserverStep, stage: Stage, context: RunContext, result: RunResult) -> list[Path]:
    assert context.folder is not None
    store = StageStore(context.folder / stage.name)
    step.enter_run(context)
    step.load()
    try:
        step.start(context)
        for shard in result.shards[stage.name]:
            with collector_paused():
                rows = store.rows(shard)
                for start in range(0, len(rows), step.input_batch_size):
                    batch = rows[start : start + step.input_batch_size]
                    step.run_rows([row.record for row in batch])
        return step.finish()
    finally:
        step.unload()


def _context(plan: Plan, stage: Stage, options: RunOptions, result: RunResult) -> RunContext:
    store = StageStore(options.folder / stage.name)
    records = [store.record(shard) for shard in result.shards[stage.name]]
    return RunContext(
        run_id=options.run_id,
        folder=options.folder,
        stage=stage.name,
        inputs=tuple(dict.fromkeys(_manifests(plan, stage, options.folder, result))),
        shards=tuple(
            {**record["rows"], "file": f"{stage.name}/{record['rows']['file']}"}
            for record in records
            if record is not None
        ),
        accounting=dict(result.accounting),
        cache_dir=options.cache_dir,
        partial=result.partial,
    )


def _manifests(plan: Plan, stage: Stage, folder: Path, result: RunResult) -> Iterator[Path]:
    """Find the nearest manifests before a stage, along each branch."""
    for source in stage.sources:
        files = [
            folder / file
            for step in plan.observers.get(source, ())
            for file in result.files.get(step.name, ())
            if Path(file).name == MANIFEST
        ]
        yield from files or _manifests(plan, plan[source], folder, result)


def _key(step: ObserverStep, context: RunContext) -> str:
    """Hash what decides the files of an observer."""
    assert context.folder is not None
    told = {
        "step": step_fingerprint(step),
        "shards": [shard["sha256"] for shard in context.shards],
        "inputs": [os.path.relpath(path, context.folder) for path in context.inputs],
        "accounting": context.accounting,
        "partial": context.partial,
    }
    return sha256_text(stable_json(told))


def _there(place: Path, key: str, folder: Path) -> Mapping[str, Any] | None:
    """Read what an observer wrote before; None where it has to write again."""
    try:
        found = read_sealed(place)
        same = found["key"] == key and all(
            file_sha256(folder / told["file"]) == told["sha256"] for told in found["files"]
        )
    except (FileNotFoundError, DataError):
        return None
    return found if same else None


def _ask_gate(options: RunOptions, result: RunResult, files: list[str]) -> None:
    """Hold the quality report of the gate's stage against the gate."""
    if options.gate is None:
        return
    for file in files:
        if Path(file).name != QUALITY_REPORT:
            continue
        report = read_json(options.folder / file)
        if options.gate_stage in (None, report.get("stage")):
            result.gate_seen = True
            failures = evaluate_quality_gate(report, options.gate)
            if failures:
                raise PipelineError(gate_message(failures))
