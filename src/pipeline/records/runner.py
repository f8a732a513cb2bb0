"""Run a plan: stage after stage, shard after shard, each kept on disk, none done twice."""

from __future__ import annotations

import logging
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ...errors import PipelineError
from ...labeling.gates.quality_gate import gate_message
from .engines import Engine, ask_to_stop
from .observe import observe
from .plan import Plan, Stage
from .read_source import done_source, read_source
from .run_shard import (
    Stop,
    input_hashes,
    opened,
    opened_state,
    run_shard,
    run_whole,
    whole_input_hashes,
)
from .run_state import RunOptions, RunResult
from .stage_store import STATE, StageStore, read_sealed, write_sealed
from .step import OrderedStep, RunContext

log = logging.getLogger("stillroom.pipeline.records")
Progress = Callable[[Stage, int, int | None], None]
"""Is told of a stage, its shards done and their number, None where it is not known."""
OPEN_FILE = "open-shard.json"
"""Which shard an ordered stage works on, so that a state that belongs to other rows is noticed."""


def run_plan(
    plan: Plan,
    options: RunOptions,
    engine: Engine,
    progress: Progress,
    stopper: Stop,
    result: RunResult | None = None,
) -> RunResult:
    """Run all stages.

    Args:
        plan: The stages.
        options: Folder and so on.
        engine: Where sharded stages run.
        progress: See `Progress`.
        stopper: Tells whether the run is to end.
        result: Is filled stage by stage, so that it tells how far a run came that failed.

    Returns:
        `result`.

    Raises:
        PipelineError: A step failed on all rows, a source failed, a gate was not passed.
        KeyboardInterrupt: `stopper` said so; a program that does not catch it exits with 130.
    """
    result = result or RunResult()
    ask_to_stop(options.folder, ended=False)
    for stage in plan.stages:
        StageStore(options.folder / stage.name).clean()
        runs = _StageRun(stage, options, result, progress, stopper)
        records = runs.run(engine)
        if stopper():
            told = (
                f"stopped at step {stage.name!r}; the same command goes on from there, and with "
                "finish=True (--finish) the later steps run over what is done"
            )
            log.warning("%s", told)
            raise KeyboardInterrupt(told)
        result.shards[stage.name] = [record["shard"] for record in records]
        result.accounting[stage.name] = add_up(records)
        _refuse_all_dead(runs.store, result.accounting[stage.name])
        counts = result.accounting[stage.name]
        log.info("%s: %s", stage.name, counts_told(counts))
        if options.observers:
            for step in plan.observers.get(stage.name, ()):
                observe(step, plan, stage, options, result)
    return result


def counts_told(counts: Mapping[str, Any]) -> str:
    """Write what a stage made of its rows, with the commonest reasons of its losses.

    >>> counts_told({"in": 3, "out": 2, "rejected": {"too_short": 1}, "dead": {}})
    '3 in, 2 out, 1 rejected (1 too_short), 0 dead'
    """
    told = [f"{counts['in']:,} in, {counts['out']:,} out"]
    for kind in ("rejected", "dead"):
        common = Counter(counts[kind]).most_common(3)
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in common)
        more = ", ..." if len(counts[kind]) > len(common) else ""
        words = f" ({reasons}{more})" if reasons else ""
        told.append(f"{sum(counts[kind].values()):,} {kind}{words}")
    return ", ".join(told)


def require_gate(options: RunOptions, result: RunResult) -> None:
    """Refuse a run whose gate has found no report to read.

    Raises:
        PipelineError: There was none.
    """
    if options.gate is not None and not result.gate_seen:
        named = f" of stage {options.gate_stage!r}" if options.gate_stage else ""
        raise PipelineError(gate_message([f"missing quality report{named}"]))


def add_up(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the counts of a stage's shards."""
    steps: dict[str, dict[str, Any]] = {}
    for record in records:
        for name, told in record["steps"].items():
            if name not in steps:
                steps[name] = {"in": 0, "used": 0, "out": 0, "rejected": {}, "dead": {}}
            mine = steps[name]
            for key in ("in", "used", "out"):
                mine[key] += told[key]
            for key in ("rejected", "dead"):
                both = Counter(mine[key]) + Counter(told[key])
                mine[key] = dict(sorted(both.items()))
    losses: dict[str, Counter[str]] = {"rejected": Counter(), "dead": Counter()}
    for told in steps.values():
        for kind, counted in losses.items():
            counted.update(told[kind])
    return {
        "in": next(iter(steps.values()))["in"] if steps else 0,
        "out": sum(record["rows"]["count"] for record in records),
        "rejected": dict(sorted(losses["rejected"].items())),
        "dead": dict(sorted(losses["dead"].items())),
        "waiting": sum(record["waiting"] for record in records),
        "steps": steps,
    }


@contextmanager
def ends_gracefully() -> Iterator[Stop]:
    """Let the first Ctrl-C end the run after the batch at hand, and the second one at once."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            signal.default_int_handler(number, frame)
        asked.set()
        log.warning("stopping after the batch at hand; Ctrl-C again stops at once")

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


class _StageRun:
    """One stage of one run."""

    def __init__(
        self,
        stage: Stage,
        options: RunOptions,
        result: RunResult,
        progress: Progress,
        stop: Stop,
    ) -> None:
        self.stage, self.options, self.result = stage, options, result
        self.progress, self.stop = progress, stop
        self.folder = options.folder
        self.store = StageStore(options.folder / stage.name)
        self.context = RunContext(
            run_id=options.run_id, folder=options.folder, cache_dir=options.cache_dir,
            stage=stage.sources[0] if stage.sources else None, partial=options.finish,
        )  # fmt: skip

    def run(self, engine: Engine) -> list[dict[str, Any]]:
        """Give the records of all shards, in order."""
        if self.stage.kind == "source":
            return self._source()
        if self.stage.kind == "whole":
            return self._whole()
        wanted = self._source_shards()
        if wanted:
            self.store.drop(max(wanted) + 1)
        if self.stage.kind == "ordered":
            return self._ordered(wanted)
        return self._sharded(wanted, engine)

    def _source(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = []
        if self.options.finish:
            numbers = self.store.shards()
            records = [r for n in numbers if (r := done_source(self.stage, self.store, n))]
            if not records:
                raise PipelineError(
                    f"there is nothing to finish: step {self.stage.name!r} has no rows yet in "
                    f"{self.folder}"
                )
            if not records[-1]["last"]:
                self.result.partial = True
            return records
        with opened(self.stage, self.context):
            for record in read_source(
                self.stage, self.folder, self.options.rows_per_shard, self.options.limit, self.stop
            ):
                records.append(record)
                self.progress(self.stage, len(records), None)
        return records

    def _sharded(self, wanted: Sequence[int], engine: Engine) -> list[dict[str, Any]]:
        done = {n: r for n in wanted if (r := self._done(n)) is not None}
        missing = self._allowed([n for n in wanted if n not in done])
        self.progress(self.stage, len(done), len(wanted))
        if missing:
            for record in engine.run_shards(self.stage, self.context, missing, self.stop):
                done[record["shard"]] = record
                self.progress(self.stage, len(done), len(wanted))
        return self._counted(done, wanted)

    def _ordered(self, wanted: Sequence[int]) -> list[dict[str, Any]]:
        """Run the shards in their order; start again where the state belongs to other rows."""
        done: dict[int, dict[str, Any]] = {}
        for number in wanted:
            record = self._done(number)
            if record is None:
                break
            done[number] = record
        missing = self._allowed(list(wanted[len(done) :]))
        if missing and self._must_restart(missing[0]):
            shutil.rmtree(self.store.folder / STATE, ignore_errors=True)
            self.store.drop()
            done, missing = {}, list(wanted)
        self.progress(self.stage, len(done), len(wanted))
        if not missing:
            return self._counted(done, wanted)
        places = {
            step.name: sum(r["steps"][step.name]["in"] for r in done.values())
            for step in self.stage.steps
            if isinstance(step, OrderedStep)
        }
        with (
            opened(self.stage, self.context),
            opened_state(self.stage, self.folder, self.options.run_id),
        ):
            for shard in missing:
                if self.stop():
                    break
                write_sealed(self.store.folder / OPEN_FILE, self._identity(shard))
                record = run_shard(
                    self.stage, self.folder, shard, first_places=places, stop=self.stop
                )
                done[shard] = record
                for name in places:
                    places[name] += record["steps"][name]["in"]
                self.progress(self.stage, len(done), len(wanted))
        return self._counted(done, wanted)

    def _whole(self) -> list[dict[str, Any]]:
        shards = self._source_shards()
        inputs = whole_input_hashes(self.stage, self.folder, shards)
        first = self._matching(self.store.record(0), inputs)
        if first is not None:
            records = [self._matching(self.store.record(n), inputs) for n in range(first["shards"])]
            if all(records):
                self.store.drop(first["shards"])
                return [record for record in records if record is not None]
        self.store.drop()
        if self.stop():
            return []
        with opened(self.stage, self.context):
            return run_whole(self.stage, self.folder, shards, self.options.rows_per_shard)

    def _source_shards(self) -> list[int]:
        numbers = [set(self.result.shards[source]) for source in self.stage.sources]
        if self.stage.kind == "whole":
            return sorted(set().union(*numbers))
        return sorted(set.intersection(*numbers))

    def _done(self, shard: int) -> dict[str, Any] | None:
        inputs = input_hashes(self.stage, self.folder, shard)
        return self._matching(self.store.record(shard), inputs)

    def _matching(
        self, record: dict[str, Any] | None, inputs: Sequence[str] | None
    ) -> dict[str, Any] | None:
        """Give a record back if it is of this stage, these inputs, and complete."""
        if record is None or record["fingerprint"] != self.stage.fingerprint:
            return None
        complete = record["complete"] or self.options.finish
        return record if complete and record["inputs"] == inputs else None

    def _allowed(self, missing: list[int]) -> list[int]:
        """Leave out what must not be begun: costly shards when the run is only to be finished."""
        return [] if self.options.finish and self.stage.is_costly else missing

    def _counted(
        self, done: Mapping[int, dict[str, Any]], wanted: Sequence[int]
    ) -> list[dict[str, Any]]:
        records = [done[number] for number in sorted(done)]
        if len(records) < len(wanted) or any(not record["complete"] for record in records):
            self.result.partial = True
        if self.options.finish and not records:
            raise PipelineError(
                f"there is nothing to finish: no part of step {self.stage.name!r} is done in "
                f"{self.folder}"
            )
        return records

    def _identity(self, shard: int) -> dict[str, Any]:
        return {
            "shard": shard,
            "fingerprint": self.stage.fingerprint,
            "inputs": input_hashes(self.stage, self.folder, shard),
        }

    def _must_restart(self, first: int) -> bool:
        """Say whether the state holds rows of shards that have changed since."""
        if self.store.record(first) is not None or any(n > first for n in self.store.shards()):
            return True
        state = self.store.folder / STATE
        if first > 0 and not state.is_dir():
            return True
        try:
            opened_last = read_sealed(self.store.folder / OPEN_FILE)
        except (FileNotFoundError, ValueError):
            return state.is_dir()
        identity = {k: opened_last.get(k) for k in ("shard", "fingerprint", "inputs")}
        return bool(opened_last["shard"] >= first and identity != self._identity(first))


def _refuse_all_dead(store: StageStore, counts: Mapping[str, Any]) -> None:
    """End a run in which a step has failed on every row; its shards are tried again next time."""
    for name, told in counts["steps"].items():
        dead = sum(told["dead"].values())
        if told["in"] and dead == told["in"]:
            store.drop()
            reason, times = Counter(told["dead"]).most_common(1)[0]
            raise PipelineError(
                f"step {name!r} failed on all {dead} rows; the commonest reason, {times} times: "
                f"{reason}"
            )
