"""`report.html` in the folder of a run: for people, what its artefacts hold for machines.

A pipeline writes it at the end of each run, also of one that failed or was interrupted, and keeps
its hash in `run.json`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from ....files import file_sha256, read_json, write_text
from ....labeling.reports.run_page import MOST_SAMPLES, GateSamples, RunFacts, StepFlow, run_page
from ..run_folder import RUN_FILE
from ..stage_store import LostRow, StageStore

PAGE_FILE: Final = "report.html"
_LOST_SHARDS: Final = 20
"""Shards with losses that are looked at for samples of a step."""


def write_run_report(folder: Path, run: Mapping[str, Any]) -> dict[str, str]:
    """Write the page of a run; the same artefacts give the same page.

    Args:
        folder: Folder of the run.
        run: What `run.json` says of it.

    Returns:
        `file` and `sha256` of the page.
    """
    path = write_text(folder / PAGE_FILE, run_page(_facts(folder, run)))
    return {"file": PAGE_FILE, "sha256": file_sha256(path)}


def _facts(folder: Path, run: Mapping[str, Any]) -> RunFacts:
    files = [file for told in run["observers"].values() for file in told]
    accounting = run["accounting"]
    steps = {
        name: (stage, told)
        for stage, counts in accounting.items()
        for name, told in counts["steps"].items()
    }
    sources = [s["name"] for s in _stages(run) if s["kind"] == "source" and s["name"] in accounting]
    ends = [name for name in _leaves(run) if name in accounting] or list(accounting)[-1:]
    return RunFacts(
        run_id=run["run_id"],
        pipeline=run["pipeline"],
        status=run["status"],
        steps=[_flow(name, told) for name, (_, told) in steps.items()],
        source_rows=sum(accounting[name]["out"] for name in sources),
        kept_rows=sum(accounting[name]["out"] for name in ends),
        quality=_reports(folder, files, "quality_report.json"),
        agreement=[r for r in _reports(folder, files, "score_agreement.json") if r["matched"]],
        timing=next(iter(_reports(folder, files, "timing_report.json")), None),
        cost=next(iter(_reports(folder, files, "cost_report.json")), None),
        samples=[
            _samples(folder / stage, name)
            for name, (stage, told) in steps.items()
            if told["rejected"] or told["dead"]
        ],
        files=[RUN_FILE, *files],
    )


def _flow(name: str, told: Mapping[str, Any]) -> StepFlow:
    return StepFlow(name, told["in"], told["used"], told["out"], told["rejected"], told["dead"])


def _stages(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    stages: list[dict[str, Any]] = run["definition"]["stages"]
    return stages


def _leaves(run: Mapping[str, Any]) -> list[str]:
    """List the stages whose rows go to observers alone."""
    after = {c["from"]: c["to"] for c in run["definition"]["pipeline"]["connections"]}
    working = {step for stage in _stages(run) for step in stage["steps"]}

    def goes_on(step: str) -> bool:
        return any(one in working or goes_on(one) for one in after.get(step, ()))

    return [stage["name"] for stage in _stages(run) if not goes_on(stage["name"])]


def _reports(folder: Path, files: Sequence[str], name: str) -> list[dict[str, Any]]:
    return [read_json(folder / file) for file in files if os.path.basename(file) == name]


def _samples(stage: Path, step: str) -> GateSamples:
    """Take some rows that a step has lost, of each reason some, and some that its stage passed."""
    store = StageStore(stage)
    by_reason: dict[str, list[LostRow]] = {}
    for loss in _losses(store, step):
        same = by_reason.setdefault(loss.reason, [])
        if len(same) < MOST_SAMPLES:
            same.append(loss)
    turns = [
        losses[turn]
        for turn in range(MOST_SAMPLES)
        for losses in by_reason.values()
        if turn < len(losses)
    ]
    passed = (row.record for shard in store.shards() for row in store.rows(shard))
    return GateSamples(
        step,
        list(islice(passed, MOST_SAMPLES)),
        [(loss.reason, loss.record) for loss in turns[:MOST_SAMPLES]],
    )


def _losses(store: StageStore, step: str) -> Iterator[LostRow]:
    lossy = (shard for shard in store.shards() if (store.record(shard) or {}).get("losses"))
    for shard in islice(lossy, _LOST_SHARDS):
        yield from (loss for loss in store.losses(shard) if loss.step == step)
