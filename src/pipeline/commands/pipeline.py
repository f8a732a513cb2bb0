"""`stillroom pipeline run|info|replay`: run, show and verify record pipelines in files.

stillroom pipeline run --config examples/fastdistill/fastdistill_pipeline.yaml
stillroom pipeline info --config pipeline.yaml --json
stillroom pipeline replay artifacts/20260123T173724Z-text2sql --verify
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...console import Console
from ...errors import ConfigError, did_you_mean
from ..command import Command, Group, Verdict, refuse_as_written
from ..options import (
    EXIT_USAGE,
    CommandParser,
    add_json,
    add_verbose,
    one_of,
    text,
    whole_number,
)

if TYPE_CHECKING:
    from ..records.config.run_settings import RunConfig, StageGate
    from ..records.distiset import Distiset
    from ..records.pilot import PilotReport
    from ..records.pipeline import Pipeline

BOTH_MESSAGE: Final = "Only one of `--config` or `--script` can be informed."
NONE_MESSAGE: Final = "`--config` or `--script` must be informed."
LAYERS_MESSAGE: Final = "`--config-env` and `--config-run` require `--config`."


def add_layers(parser: CommandParser, *, what: str = "pipeline") -> None:
    """Add the options for the files of a configuration."""
    add = parser.add_argument
    add("--config", type=text, metavar="PATH", help=f"YAML or JSON file of the {what}")
    add("--config-env", type=text, metavar="PATH", help="laid over it: of the environment")
    add("--config-run", type=text, metavar="PATH", help="laid over both: of this run")


def run_parser() -> CommandParser:
    """Make the parser of `stillroom pipeline run`."""
    parser = CommandParser(
        "stillroom pipeline run",
        "Run a pipeline from a file. A run that was broken off goes on; a run that is repeated\n"
        "with its --run-id runs only the stages that were edited, and those after them.",
        (
            "stillroom pipeline run --config examples/fastdistill/fastdistill_pipeline.yaml",
            "stillroom pipeline run --config pipeline.yaml --config-run run.yaml --pilot 50",
            "stillroom pipeline run --config pipeline.yaml --param rule_filter.min_chars=3",
            "stillroom pipeline run --script pipeline.py --finish",
        ),
    )
    add_layers(parser)
    add = parser.add_argument
    add("--param", action="append", default=[], metavar="STEP.KEY=VALUE",
        help="a setting of a step; may be given again")  # fmt: skip
    add("--param-file", type=text, metavar="PATH", help="settings of steps, by their names")
    add("--script", type=text, metavar="PATH", help="Python file with a pipeline; it is run")
    add("--pipeline-variable-name", type=text, default="pipeline", metavar="NAME",
        help="variable of the script that holds the pipeline (default pipeline)")  # fmt: skip
    add("--ignore-cache", action="store_true", help="run all stages again")
    add("--artifacts-dir", type=text, metavar="DIR",
        help="folder of the runs; default FASTDISTILL_ARTIFACTS_DIR, else artifacts")  # fmt: skip
    add("--run-id", type=text, help="name of the run; default FASTDISTILL_RUN_ID, else the time")
    add("--pilot", type=whole_number(1), metavar="N",
        help="run N records alone first, show ten and the price, and hold the gate")  # fmt: skip
    add("--yes", action="store_true", help="go on after the pilot without asking")
    add("--finish", action="store_true",
        help="ask for nothing more; export what is there, marked as partial")  # fmt: skip
    add("--engine", type=one_of("local", "ray"), help="local (default) or ray")
    add("--repo-id", type=text, help="data set of the Hugging Face hub to push the result to")
    add("--commit-message", type=text, help="message of that commit")
    add("--private", action="store_true", help="make that data set private")
    add("--token", type=text, help="token of the hub; default HF_TOKEN; it is written nowhere")
    add_json(parser)
    add_verbose(parser)
    return parser


def source_messages(args: argparse.Namespace) -> list[str]:
    """List what is wrong with the choice of a pipeline, in FastDistill's words."""
    from ..records.config.config_layers import PARAM_MESSAGE, read_parameters

    found = []
    if args.config and args.script:
        found.append(BOTH_MESSAGE)
    elif not args.config and not args.script:
        found.append(NONE_MESSAGE)
    if not args.config and (args.config_env or args.config_run):
        found.append(LAYERS_MESSAGE)
    try:
        read_parameters(args.param)
    except ConfigError:
        found.append(PARAM_MESSAGE)
    return found


def _told(work: Callable[[argparse.Namespace], object]) -> Callable[[argparse.Namespace], object]:
    """Let a work that is interrupted say where it stopped and what goes on."""

    def told_work(args: argparse.Namespace) -> object:
        try:
            return work(args)
        except KeyboardInterrupt as stopped:
            if str(stopped):
                print(f"\n{stopped}", file=sys.stderr)
            raise

    return told_work


@dataclass(frozen=True)
class Opened:
    """A pipeline and how it is run."""

    pipeline: Pipeline
    parameters: Mapping[str, Any]
    """Settings of steps that are not in the pipeline yet."""
    config: RunConfig


def open_pipeline_files(args: argparse.Namespace, options: Mapping[str, Any]) -> Opened:
    """Read the pipeline that the options name.

    Args:
        args: Options with `config`, `config_env`, `config_run`; where there are, `param`,
            `param_file`, `script` and `pipeline_variable_name`.
        options: Fields of `RunSettings` from the command line.

    Raises:
        ConfigError: Lists all faults.
    """
    from ..records.config.build_steps import typed_parameters
    from ..records.config.config_layers import read_layers
    from ..records.config.run_settings import read_run_config
    from ..records.pipeline import Pipeline

    layers = read_layers(
        (args.config, args.config_env, args.config_run),
        getattr(args, "param_file", None),
        getattr(args, "param", ()),
    )
    config = read_run_config(layers, options)
    if getattr(args, "script", None):
        pipeline = _scripted(args.script, args.pipeline_variable_name)
        return Opened(pipeline, typed_parameters(pipeline.steps, config.parameters), config)
    if config.pipeline is None:
        raise ConfigError([f"{args.config} holds no pipeline; the section `pipeline` is missing"])
    pipeline = Pipeline.from_dict(
        config.pipeline, parameters=config.parameters, gateway=config.gateway
    )
    return Opened(pipeline, {}, config)


def _scripted(path: str, variable: str) -> Pipeline:
    """Run a local script, and take the pipeline that it leaves in a variable."""
    from ..records.config.config_layers import refuse_url
    from ..records.pipeline import Pipeline

    refuse_url(path)
    if not Path(path).is_file():
        raise ConfigError([f"--script is {path!r}; there is no such file"])
    found = runpy.run_path(path, run_name="stillroom_script")
    pipeline = found.get(variable)
    if not isinstance(pipeline, Pipeline):
        raise ConfigError([
            f"{path} has no pipeline in the variable {variable!r}; name it with "
            "--pipeline-variable-name"
        ])  # fmt: skip
    return pipeline


def _run(args: argparse.Namespace) -> dict[str, Any]:
    console = Console(args.verbose, as_data=args.json)
    names = ("artifacts_dir", "run_id", "pilot", "engine")
    opened = open_pipeline_files(args, {name: getattr(args, name) for name in names})
    result = run_opened(
        opened,
        use_cache=not args.ignore_cache,
        finish=args.finish,
        on_pilot=None
        if args.json
        else lambda report: _shown_pilot(console, report, asks=not args.yes),
    )
    console.line("partial" if result.partial else "run", str(result.folder))
    if args.repo_id is not None:
        result.push_to_hub(
            args.repo_id,
            commit_message=args.commit_message,
            private=args.private,
            token=args.token,
        )
        console.line("hub", args.repo_id)
    return result_told(opened.pipeline, result)


def _shown_pilot(console: Console, report: PilotReport, *, asks: bool) -> bool:
    """Print what a pilot has come to; a user at a terminal is asked whether to go on."""
    for line in report.lines():
        console.line("pilot", line)
    if not asks or not console.asks():
        return True
    return console.confirm(f"Go on with all {report.source_rows:,} rows?")


def run_opened(
    opened: Opened,
    *,
    use_cache: bool = True,
    finish: bool = False,
    on_pilot: Callable[[PilotReport], bool] | None = None,
) -> Distiset:
    """Run a pipeline by its settings."""
    from ..records.teacher_steps.asking_step import AskingStep

    pipeline, settings, gate = opened.pipeline, opened.config.settings, opened.config.gate
    _set_log_level(settings.log_level or "INFO")
    if settings.cache_dir is not None:
        pipeline.cache_dir = Path(settings.cache_dir)
    parameters = {name: dict(values) for name, values in opened.parameters.items()}
    if settings.llm_batch_size is not None:
        for name, step in pipeline.steps.items():
            if isinstance(step, AskingStep):
                own = parameters.setdefault(name, {})
                own.setdefault("input_batch_size", settings.llm_batch_size)
    chosen = _applies(gate, pipeline)
    return pipeline.run(
        parameters=parameters,
        load_groups=settings.load_groups,
        use_cache=use_cache,
        dataset_batch_size=settings.dataset_batch_size,
        artifacts_dir=settings.artifacts_dir,
        run_id=settings.run_id,
        pilot=settings.pilot,
        on_pilot=on_pilot,
        gate=None if chosen is None else chosen.gate,
        gate_stage=None if chosen is None else chosen.stage,
        finish=finish,
        engine=settings.engine,
        engine_options={"address": settings.ray_address} if settings.ray_address else None,
        rows_per_shard=settings.rows_per_shard,
    )


def _applies(gate: StageGate | None, pipeline: Pipeline) -> StageGate | None:
    """Give the gate where it was asked for, or where the pipeline writes the report it reads."""
    if gate is None or gate.explicit:
        return gate
    stages = {getattr(step, "stage", None) for step in pipeline.steps.values()}
    return gate if gate.stage in stages else None


def _set_log_level(level: str) -> None:
    import logging

    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        known = did_you_mean(level.upper(), logging.getLevelNamesMapping(), what="level")
        raise ConfigError([f"FASTDISTILL_LOG_LEVEL is {level!r}; {known}"])
    logging.getLogger("stillroom.pipeline.records").setLevel(number)


def result_told(pipeline: Pipeline, result: Distiset) -> dict[str, Any]:
    """Describe what a run has come to, in JSON values."""
    return {
        "pipeline": pipeline.name,
        "run_id": result.run_id,
        "folder": str(result.folder),
        "partial": result.partial,
        "stages": result.accounting,
    }


def info_parser() -> CommandParser:
    """Make the parser of `stillroom pipeline info`."""
    parser = CommandParser(
        "stillroom pipeline info",
        "Show the steps of a pipeline, their settings, and how they are connected.",
        (
            "stillroom pipeline info --config examples/fastdistill/fastdistill_pipeline.yaml",
            "stillroom pipeline info --config pipeline.yaml --config-env env.yaml --json",
        ),
    )
    add_layers(parser)
    add_json(parser, "print the pipeline as JSON that `run --config` reads")
    add_verbose(parser)
    return parser


def _info(args: argparse.Namespace) -> Any:  # noqa: ANN401 - the pipeline as JSON
    console = Console(args.verbose, as_data=args.json)
    pipeline = open_pipeline_files(args, {}).pipeline
    dumped = pipeline.dump()
    told = dumped["pipeline"]
    console.head(f"{told['name']}: {told['description'] or 'no description'}")
    for entry in told["steps"]:
        settings = {k: v for k, v in entry["step"].items() if k != "type_info"}
        console.line(entry["name"], entry["step"]["type_info"]["name"])
        for name, value in settings.items():
            shown = json.dumps(value, ensure_ascii=False)
            console.line("", f"  {name}: {shown if len(shown) <= 70 else shown[:67] + '...'}")
    for connection in told["connections"]:
        console.line("connection", f"{connection['from']} -> {', '.join(connection['to']) or '-'}")
    for stage in pipeline.plan().stages:
        console.line("stage", f"{stage.name}: {', '.join(step.name for step in stage.steps)}")
    return dumped


def replay_parser() -> CommandParser:
    """Make the parser of `stillroom pipeline replay`."""
    parser = CommandParser(
        "stillroom pipeline replay",
        "Recompute the hashes and counts of a run from its files, and name any file that differs;\n"
        "with --against, compare two runs, the times left out.",
        (
            "stillroom pipeline replay artifacts/RUN_ID --verify",
            "stillroom pipeline replay artifacts/RUN_ID --against artifacts/OTHER_ID",
        ),
    )
    add = parser.add_argument
    add("run", type=text, help="folder of a run")
    add("--verify", action="store_true", help="recompute hashes and counts (the default)")
    add("--against", type=text, metavar="RUN", help="another run, which must hold the same")
    add_json(parser)
    add_verbose(parser)
    return parser


def _replay(args: argparse.Namespace) -> object:
    from ..records.replay import compare, verify

    console = Console(args.verbose, as_data=args.json)
    faults = verify(args.run) if args.verify or args.against is None else []
    if args.against is not None:
        faults += compare(args.run, args.against)
    for fault in faults:
        console.line("differs", fault)
    if not faults:
        same = f"as {args.against}" if args.against else "as it was written"
        console.line("verified", f"{args.run} is {same}")
    told = {"run": args.run, "against": args.against, "faults": faults}
    return Verdict(told) if faults else told


PIPELINE = Group(
    "stillroom pipeline",
    "Run, show and verify pipelines of records.",
    {
        "run": (
            Command(
                run_parser,
                _told(_run),
                config_code=EXIT_USAGE,
                read=refuse_as_written(source_messages),
            ),
            "run a pipeline from a YAML or JSON file, or from a Python script",
        ),
        "info": (
            Command(
                info_parser,
                _info,
                config_code=EXIT_USAGE,
                read=refuse_as_written(
                    lambda args: [] if args.config else ["`--config` must be informed."]
                ),
            ),
            "show the steps, settings and connections of a pipeline",
        ),
        "replay": (
            Command(replay_parser, _replay, config_code=EXIT_USAGE),
            "verify the files of a run, or compare two runs",
        ),
    },
    (
        "stillroom pipeline run --config examples/fastdistill/fastdistill_pipeline.yaml",
        "stillroom pipeline info --config examples/fastdistill/fastdistill_pipeline.yaml",
        "stillroom pipeline replay artifacts/RUN_ID --verify",
    ),
)
