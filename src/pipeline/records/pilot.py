"""A pilot: the first rows alone, before the full spend.

What comes of them is held against the gate and shown, with what all rows will cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ...errors import EmptyDataError
from ...labeling.reports.pilot_price import PilotEstimate
from .distiset import Rows
from .engines import Engine, LocalEngine
from .plan import Plan
from .run_shard import Stop
from .run_state import RunOptions, RunResult
from .runner import Progress, require_gate, run_plan
from .step import Record

FOLDER: Final = "pilot"
"""Folder of a pilot below that of its run."""
SHOWN: Final = 10
"""Records of each last stage that are shown."""


@dataclass(frozen=True)
class PilotReport:
    """What a pilot has come to."""

    rows: int
    """Rows of each source that it took."""
    source_rows: int
    """All rows of the sources."""
    records: Mapping[str, list[Record]]
    """Last stage -> its first records."""
    accounting: Mapping[str, Any]
    """Counts of each stage."""
    estimates: Mapping[str, PilotEstimate]
    """Step that asks a model -> what all rows will take."""

    def lines(self) -> Iterator[str]:
        """Write the report for people."""
        for stage, records in self.records.items():
            counts = self.accounting[stage]
            yield f"{self.rows} rows of each source gave {counts['out']} of {stage}"
            yield from (f"{stage}: {record}" for record in records)
        for step, estimate in self.estimates.items():
            yield f"{step}: {estimate}"


def run_pilot(
    plan: Plan, options: RunOptions, rows: int, progress: Progress, stop: Stop
) -> PilotReport:
    """Run the first rows of each source, and estimate what all rows take.

    The sources are read to their end for that, unless they are costly themselves.

    Args:
        plan: The plan of the run.
        options: Those of the run.
        rows: Rows of each source.
        progress: As for `run_plan`.
        stop: As for `run_plan`.

    Raises:
        PipelineError: A step failed, or the gate was not passed.
    """
    pilot = replace(options, folder=options.folder / FOLDER, limit=rows)
    engine: Engine = LocalEngine()
    result = run_plan(plan, pilot, engine, progress, stop)
    require_gate(pilot, result)
    sources = tuple(stage for stage in plan.stages if stage.kind == "source")
    counts = result.accounting
    if not any(stage.is_costly for stage in sources):
        alone = replace(options, observers=False, gate=None)
        counts = run_plan(Plan(sources, {}, ()), alone, engine, progress, stop).accounting
    taken = sum(result.accounting[stage.name]["out"] for stage in sources)
    total = sum(counts[stage.name]["out"] for stage in sources)
    return PilotReport(
        rows,
        total,
        {leaf: _rows(pilot.folder, leaf, result)[:SHOWN] for leaf in plan.leaves},
        result.accounting,
        dict(_estimates(plan, pilot.folder, result, total / max(taken, 1))),
    )


def _estimates(
    plan: Plan, folder: Path, result: RunResult, factor: float
) -> Iterator[tuple[str, PilotEstimate]]:
    """Estimate what each step that asks a model takes for all rows.

    Args:
        plan: The plan.
        folder: That of the pilot.
        result: That of the pilot.
        factor: All rows of the sources, divided by those of the pilot.
    """
    for stage in plan.stages:
        estimate = getattr(stage.steps[0], "estimate", None)
        if estimate is None:
            continue
        given = result.accounting[stage.name]["in"]
        try:
            yield stage.name, estimate(_rows(folder, stage.name, result), round(given * factor))
        except EmptyDataError:
            continue


def _rows(folder: Path, stage: str, result: RunResult) -> Rows:
    return Rows.of_stage(folder / stage, result.shards[stage])
