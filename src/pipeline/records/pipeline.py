"""`Pipeline`: steps connected to a graph, run stage by stage.

    with Pipeline("sql") as pipeline:
        load = LoadDataFromFileSystem(data_files="questions.jsonl")
        load >> CanonicalizeFields(fields=["schema", "instruction"]) >> WriteManifest(stage="raw")
    distiset = pipeline.run(artifacts_dir="artifacts")

A run lies in `<artifacts_dir>/<run_id>`. The same call goes on where a broken-off run has ended;
with the id of a run that is complete, only what has changed is run again. What came of it stands in
`report.html` there, for people.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Token
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from ...data.readers.frames import column_cells
from ...errors import ConfigError, PipelineError, StillroomError, did_you_mean
from ...labeling.gates.quality_gate import QualityGate
from .config.build_steps import build_pipeline
from .config.config_layers import read_layers
from .config.parameters import with_parameters
from .config.run_settings import read_run_config
from .distiset import Distiset, Rows
from .draw import draw_plan
from .engines import Engine, LocalEngine
from .pilot import PilotReport, run_pilot
from .pipeline_files import dump_pipeline
from .plan import LoadGroups, Plan, Stage, make_plan
from .report_steps.run_report import write_run_report
from .run_folder import (
    CACHE_VARIABLE,
    FOLDER_VARIABLE,
    choose_run_id,
    locked,
    read_run,
    write_run,
)
from .run_state import ROWS_PER_SHARD, RunOptions, RunResult
from .runner import ends_gracefully, log, require_gate, run_plan
from .stage_store import StageStore
from .step import GeneratorStep, Record, Step, StepHolder, open_pipeline, step_name

_NAME: Final = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$")
EngineName = Literal["local", "ray"]


class Pipeline:
    """A graph of steps; see the module.

    Args:
        name: Name, part of the run id; None is `pipeline`.
        description: For people.
        cache_dir: Folder of what several runs share, such as a teacher's answers; None takes
            `FASTDISTILL_CACHE_DIR`, else `.cache` below the folder of the runs.
        enable_metadata: Accepted; what a run was is always in its `run.json`.
        requirements: Packages that the steps need, kept in dumps.
    """

    def __init__(
        self,
        name: str | None = None,
        description: str | None = None,
        cache_dir: str | Path | None = None,
        enable_metadata: bool = False,
        requirements: list[str] | None = None,
    ) -> None:
        """Make a pipeline without steps."""
        self.name = name or "pipeline"
        self.description = description
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self.enable_metadata = enable_metadata
        self.requirements = list(requirements or [])
        self.steps: dict[str, Step] = {}
        self.edges: list[tuple[str, str]] = []
        self._token: Token[StepHolder | None] | None = None

    def __enter__(self) -> Self:
        """Take in the steps that are made from now on."""
        self._token = open_pipeline.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take in no more steps."""
        if self._token is not None:
            open_pipeline.reset(self._token)
            self._token = None

    def add(self, step: Step) -> None:
        """Take in a step, and name it if it has no name.

        Raises:
            ConfigError: Its name is taken, or cannot be the name of a folder.
        """
        if not step.name:
            numbers = (n for n in range(len(self.steps) + 1))
            names = (f"{step_name(step)}_{n}" for n in numbers)
            step.name = next(name for name in names if not self._is_taken(name))
        elif not _NAME.match(step.name):
            raise ConfigError([
                f"step name {step.name!r}; allowed are letters, digits, `_` and `-`, at most 100"
            ])  # fmt: skip
        elif self._is_taken(step.name):
            raise ConfigError([f"two steps have the name {step.name!r}; rename one"])
        self.steps[step.name] = step
        step.__dict__["pipeline"] = self

    def connect(self, before: Step, after: Step) -> None:
        """Let the records of one step go to another, as `before >> after` does."""
        for step in (before, after):
            if self.steps.get(step.name) is not step:
                raise ConfigError([f"step {step.name!r} is not in pipeline {self.name!r}"])
        self.edges.append((before.name, after.name))

    def plan(self, load_groups: LoadGroups = None) -> Plan:
        """Cut the pipeline into stages, without running it."""
        return make_plan(self.steps, self.edges, load_groups)

    def run(
        self,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        load_groups: LoadGroups = None,
        use_cache: bool = True,
        storage_parameters: Mapping[str, Any] | None = None,
        use_fs_to_pass_data: bool = False,
        dataset: Iterable[Mapping[str, Any]] | None = None,
        dataset_batch_size: int = 50,
        logging_handlers: Sequence[logging.Handler] | None = None,
        *,
        artifacts_dir: str | Path | None = None,
        run_id: str | None = None,
        rows_per_shard: int = ROWS_PER_SHARD,
        pilot: int | None = None,
        on_pilot: Callable[[PilotReport], bool] | None = None,
        gate: QualityGate | None = None,
        gate_stage: str | None = None,
        finish: bool = False,
        engine: EngineName = "local",
        engine_options: Mapping[str, Any] | None = None,
    ) -> Distiset:
        """Run the pipeline, or go on with a run that was broken off.

        Args:
            parameters: Step name -> field -> value, in place of the fields of the steps.
            load_groups: Lists of step names, or `"sequential_step_execution"`; steps of different
                lists are not loaded at the same time.
            use_cache: Keep the stages that are done; False runs all stages again.
            storage_parameters: `{"path": folder}` is taken as `artifacts_dir`.
            use_fs_to_pass_data: Accepted; rows are always passed in files.
            dataset: Records for the steps that have no step before them.
            dataset_batch_size: Rows of a batch of `dataset`.
            logging_handlers: Get what the run logs.
            artifacts_dir: Folder of the runs; None takes `FASTDISTILL_ARTIFACTS_DIR`, else
                `artifacts`.
            run_id: Name of the run; None takes `FASTDISTILL_RUN_ID`, else goes on with the
                broken-off run of this pipeline, else makes a new name.
            rows_per_shard: Source rows of a shard, 1 or more.
            pilot: Run so many rows of each source alone first, 1 or more.
            on_pilot: Gets what has come of the pilot, with ten records and the price of all rows,
                and says whether to go on; None logs it and goes on.
            gate: What the quality report must show, in the pilot and in the run.
            gate_stage: Stage of that report; None takes every quality report.
            finish: Ask for nothing more: run the later steps over what is there, and mark the
                result as partial.
            engine: `local`, or `ray` for a Ray cluster.
            engine_options: For Ray: `address`, `workers`.

        Returns:
            The rows of the last steps.

        Raises:
            ConfigError: Something about the pipeline or the arguments is wrong; lists all.
            PipelineError: A step failed, the gate was not passed, or there is nothing to finish.
            KeyboardInterrupt: Ctrl-C, or `on_pilot` said no; the same call goes on from there.
        """
        _check_numbers(
            rows_per_shard=rows_per_shard,
            dataset_batch_size=dataset_batch_size,
            pilot=1 if pilot is None else pilot,
        )
        steps, edges = self._with(parameters, dataset, dataset_batch_size)
        plan = make_plan(steps, edges, load_groups)
        artifacts = _artifacts_folder(artifacts_dir, storage_parameters)
        shape = [sorted(steps), sorted(map(list, edges))]
        chosen = choose_run_id(run_id, artifacts, self.name, shape, may_resume=use_cache or finish)
        folder = artifacts / chosen
        if finish and read_run(folder) is None:
            raise PipelineError(f"there is nothing to finish: {folder} holds no run")
        options = RunOptions(
            folder, chosen, self._cache_folder(artifacts), rows_per_shard,
            finish=finish, gate=gate, gate_stage=gate_stage,
        )  # fmt: skip
        runner = _open_engine(engine, engine_options)
        with locked(folder), _handled(logging_handlers):
            told: dict[str, Any] = {
                "schema_version": 1, "run_id": chosen, "pipeline": self.name, "shape": shape,
                "rows_per_shard": rows_per_shard, "definition": dump_pipeline(self, plan),
                "time_columns": _time_columns(steps), "stages": {}, "observers": {},
                "accounting": {}, "partial": finish,
            }  # fmt: skip
            earlier = self._earlier(folder)
            told["known_stages"] = _known_stages(earlier, plan)
            kept = [stage.name for stage in plan.stages] if use_cache or finish else []
            for name in told["known_stages"]:
                if name not in kept:
                    StageStore(folder / name).drop()
            write_run(folder, {**told, "status": "running"})
            first = None if pilot is None or finish else _Pilot(pilot, on_pilot or _log_pilot)
            result = _run_told(plan, options, runner, told, first)
        parts = {
            leaf if len(plan.leaves) > 1 else "default": {
                "train": Rows.of_stage(folder / leaf, result.shards[leaf])
            }
            for leaf in plan.leaves
        }
        return Distiset(
            parts, run_id=chosen, folder=folder, partial=result.partial,
            accounting=result.accounting,
        )  # fmt: skip

    def dry_run(
        self,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        batch_size: int = 1,
        dataset: Iterable[Mapping[str, Any]] | None = None,
    ) -> Distiset:
        """Run the first rows alone, and keep nothing on disk; observers write no files.

        Args:
            parameters: As for `run`.
            batch_size: Rows of each source, 1 or more.
            dataset: As for `run`.

        Returns:
            The rows of the last steps, in memory.
        """
        _check_numbers(batch_size=batch_size)
        steps, edges = self._with(parameters, dataset, batch_size)
        plan = make_plan(steps, edges)
        with tempfile.TemporaryDirectory(prefix="stillroom-") as place:
            folder = Path(place)
            options = RunOptions(
                folder, "dry-run", self._cache_folder(folder), limit=batch_size, observers=False
            )
            result = run_plan(plan, options, LocalEngine(), _no_progress, lambda: False)
            parts = {
                leaf if len(plan.leaves) > 1 else "default": {
                    "train": list(Rows.of_stage(folder / leaf, result.shards[leaf]))
                }
                for leaf in plan.leaves
            }
        return Distiset(parts, run_id="dry-run", partial=True, accounting=result.accounting)

    def dump(self) -> dict[str, Any]:
        """Give the pipeline as JSON that `from_dict` reads, without secrets."""
        return dump_pipeline(self, None)

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        *,
        parameters: Mapping[str, Any] | None = None,
        gateway: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make a pipeline from what `dump` gave, or from FastDistill's or distilabel's dump.

        Args:
            data: The dump.
            parameters: Step name -> field -> value, in place of the fields in the dump.
            gateway: Settings of a provider for the models that have none of their own.

        Raises:
            ConfigError: A step is unknown or a field is wrong; lists all faults.
        """
        written = build_pipeline(data, parameters, gateway)
        pipeline = cls(
            written.name, written.description, requirements=list(written.requirements)
        )  # fmt: skip
        for step in written.steps:
            pipeline.add(step)
        for before, after in written.connections:
            pipeline.connect(pipeline.steps[before], pipeline.steps[after])
        return pipeline

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Make a pipeline from a YAML or JSON file; see `from_dict`.

        The sections `parameters` and `provider_gateway` of the file are read too.
        """
        config = read_run_config(read_layers([path]))
        if config.pipeline is None:
            raise ConfigError([f"{path} holds no pipeline; the section `pipeline` is missing"])
        return cls.from_dict(
            config.pipeline, parameters=config.parameters, gateway=config.gateway
        )  # fmt: skip

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Make a pipeline from a YAML file; see `from_file`."""
        return cls.from_file(path)

    def draw(self, path: str | Path = "pipeline.png", top_to_bottom: bool = False) -> Path:
        """Draw the graph of steps; nothing leaves this machine.

        Args:
            path: File; `.mmd` and `.md` get Mermaid text, `.png`, `.svg` and `.pdf` a picture.
            top_to_bottom: Whether the records flow downward rather than to the right.

        Returns:
            The file.
        """
        return draw_plan(self.steps, self.edges, Path(path), top_to_bottom=top_to_bottom)

    def _is_taken(self, name: str) -> bool:
        """Say whether a name is taken; case does not count, since file systems differ in that."""
        return name.lower() in {other.lower() for other in self.steps}

    def _with(
        self,
        parameters: Mapping[str, Mapping[str, Any]] | None,
        dataset: Iterable[Mapping[str, Any]] | None,
        batch_size: int,
    ) -> tuple[dict[str, Step], list[tuple[str, str]]]:
        """Give steps and edges of a run: with its parameters and its data."""
        steps = with_parameters(self.steps, parameters or {})
        edges = list(self.edges)
        if dataset is None:
            return steps, edges
        if any(isinstance(step, GeneratorStep) for step in steps.values()):
            raise ConfigError(["the pipeline makes its records itself; run it without dataset"])
        name = next(n for n in ("dataset", "dataset_source") if not self._is_taken(n))
        after = {after for _, after in edges}
        roots = [name for name in steps if name not in after]
        source = DatasetSource(name=name, batch_size=batch_size).over(dataset)
        return {name: source, **steps}, [*((name, root) for root in roots), *edges]

    def _cache_folder(self, artifacts: Path) -> Path:
        named = os.environ.get(CACHE_VARIABLE)
        return self.cache_dir or (Path(named).expanduser() if named else artifacts / ".cache")

    def _earlier(self, folder: Path) -> dict[str, Any] | None:
        earlier = read_run(folder)
        if earlier is not None and earlier["pipeline"] != self.name:
            raise ConfigError([
                f"{folder} holds a run of pipeline {earlier['pipeline']!r}, not of {self.name!r}; "
                "give another run_id"
            ])  # fmt: skip
        return earlier


class DatasetSource(GeneratorStep):
    """The records that were given to `run`."""

    def over(self, dataset: Iterable[Mapping[str, Any]]) -> Self:
        """Set the records; a pandas DataFrame gives its rows, with null where it has NaN."""
        if hasattr(dataset, "iloc"):
            dataset = _frame_records(dataset)
        elif isinstance(dataset, Iterator):  # it can be read once only
            dataset = list(dataset)
        self._dataset = dataset
        return self

    def process(  # type: ignore[override]
        self, offset: int = 0
    ) -> Iterator[tuple[list[Record], bool]]:
        """See `GeneratorStep`."""
        batch: list[Record] = []
        for place, record in enumerate(self._dataset):
            if place < offset:
                continue
            batch.append(dict(record))
            if len(batch) == self.batch_size:
                yield batch, False
                batch = []
        yield batch, True


def _frame_records(frame: Any) -> list[Record]:  # noqa: ANN401 - a DataFrame
    """Give the rows of a DataFrame; cells without a value are null."""
    columns = {
        str(name): [
            None if missing else cell
            for cell, missing in zip(column_cells(frame[name]), frame[name].isna(), strict=True)
        ]
        for name in frame.columns
    }
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


@dataclass(frozen=True)
class _Pilot:
    """Rows of a pilot, and what decides whether the run goes on after it."""

    rows: int
    goes_on: Callable[[PilotReport], bool]


def _run_told(
    plan: Plan, options: RunOptions, engine: Engine, told: dict[str, Any], pilot: _Pilot | None
) -> RunResult:
    """Run the plan, and write into `run.json` how it ended."""
    status = "failed"
    result = RunResult()
    try:
        with ends_gracefully() as stop, _Progress() as progress:
            if pilot is not None:
                report = run_pilot(plan, options, pilot.rows, progress, stop)
                if not pilot.goes_on(report):
                    raise KeyboardInterrupt("the run was not wanted after its pilot")
            run_plan(plan, options, engine, progress, stop, result)
        require_gate(options, result)
        status = "partial" if result.partial else "complete"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        told |= {
            "stages": {name: len(shards) for name, shards in result.shards.items()},
            "observers": result.files,
            "accounting": result.accounting,
            "partial": result.partial,
        }
        told |= {"status": status}
        write_run(options.folder, {**told, "page": _write_page(options.folder, told)})
    return result


def _write_page(folder: Path, run: Mapping[str, Any]) -> dict[str, str] | None:
    """Write the page for people; a run does not fail for it."""
    try:
        return write_run_report(folder, run)
    except (StillroomError, OSError, ValueError) as fault:
        log.warning("the page of the run was not written: %s", fault)
        return None


def _known_stages(earlier: Mapping[str, Any] | None, plan: Plan) -> list[str]:
    """List the stages that the run's folder may hold."""
    return sorted(
        {*(earlier or {}).get("known_stages", ()), *(stage.name for stage in plan.stages)}
    )


def _time_columns(steps: Mapping[str, Step]) -> list[str]:
    """List the columns in which the steps write times."""
    return sorted({
        step.output_mappings.get(name, name)
        for step in steps.values()
        for name in step.time_columns
    })  # fmt: skip


def _log_pilot(report: PilotReport) -> bool:
    for line in report.lines():
        log.info("pilot: %s", line)
    return True


def _artifacts_folder(
    given: str | Path | None, storage_parameters: Mapping[str, Any] | None
) -> Path:
    if given is None and storage_parameters:
        path = str(storage_parameters.get("path", ""))
        unknown = sorted(set(storage_parameters) - {"path"})
        if unknown or not path or re.match(r"^(?!file://)\w+://", path):
            raise ConfigError([
                f"storage_parameters is {dict(storage_parameters)!r}; allowed is "
                "{'path': a folder of this machine}"
            ])  # fmt: skip
        given = path.removeprefix("file://")
    return Path(given or os.environ.get(FOLDER_VARIABLE) or "artifacts")


def _open_engine(name: str, options: Mapping[str, Any] | None) -> Engine:
    if name == "local":
        return LocalEngine()
    if name == "ray":
        from .ray_engine import open_ray

        return open_ray(options)
    raise ConfigError([f"engine is {name!r}; {did_you_mean(name, ['local', 'ray'])}"])


def _check_numbers(**numbers: int) -> None:
    faults = [f"{name} is {n!r}; allowed is 1 or more" for name, n in numbers.items() if n < 1]
    if faults:
        raise ConfigError(faults)


@contextmanager
def _handled(handlers: Sequence[logging.Handler] | None) -> Iterator[None]:
    for handler in handlers or ():
        log.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers or ():
            log.removeHandler(handler)


class _Progress:
    """Shows at a terminal how far each stage is."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, stage: Stage, done: int, total: int | None) -> None:
        from tqdm import tqdm

        if self._stage != stage.name:
            if self._bar is not None:
                self._bar.close()
            self._stage = stage.name
            self._bar = tqdm(desc=stage.name, unit="shard", disable=None, leave=False)
        self._bar.total = total
        self._bar.update(done - self._bar.n)


def _no_progress(stage: Stage, done: int, total: int | None) -> None:
    """Show nothing."""
