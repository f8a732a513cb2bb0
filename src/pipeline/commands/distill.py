"""`stillroom distill`: run one distillation, or several stages, as a JSON file describes.

    stillroom distill configs/distillation/teacher_assistant.json num_epochs=2
    accelerate launch --config_file configs/accelerate/ddp.yaml -m stillroom distill mine.json

The file holds the settings of `DistillationConfig`, `data` (a table or file of records) and, for
several trainings in a row, `stages`; see `distillation/stage_plan.py`. After an interruption the
same command continues.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...config import as_settings, read_written_json
from ...console import Console
from ...errors import ConfigError
from ..command import Command
from ..options import CommandParser, add_json, add_verbose, faults_of, is_device, text
from ..path_checks import model_faults, output_faults
from ..reading_options import add_reading_options, reading_keywords


def distill_parser(program: str = "stillroom distill") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Distil a student by a JSON file of settings, in one or more stages. The file holds the\n"
        "settings of DistillationConfig, `data` (a table or a file of records) and, for several\n"
        "trainings in a row, `stages`.",
        (
            f"{program} mine.json",
            f"{program} mine.json data=labels.csv num_epochs=2 --sep ';'",
            f"{program} configs/distillation/teacher_assistant.json stages.0.alpha=0.7",
        ),
    )
    parser.add_argument("config", type=text, help="JSON file")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="key=value",
        help="overrides a setting of the file; a value that is not JSON is taken as text",
    )
    add_json(parser)
    add_verbose(parser)
    add_reading_options(parser)
    return parser


def distill_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in options, settings and files that can be found without loading torch."""
    faults = faults_of(lambda: reading_keywords(args))
    read: list[dict[str, Any]] = []
    faults += faults_of(lambda: read.append(read_settings(args.config, args.settings)))
    for config in read:
        faults += _plan_faults(config) if "stages" in config else _settings_faults(config)
        faults += _data_faults(config, Path(args.config).parent)
        if isinstance(config.get("output_dir"), str) and config["output_dir"].strip():
            faults += output_faults("output_dir", config["output_dir"])
    return faults


def _plan_faults(config: Mapping[str, Any]) -> list[str]:
    from ...distillation.stage_plan import STAGE, read_plan

    plans: list[Any] = []
    faults = faults_of(lambda: plans.append(read_plan(config)))
    names = {
        (role, getattr(stage, role)): None
        for plan in plans
        for stage in plan.stages
        for role in ("teacher", "student")
        if not str(getattr(stage, role)).startswith(STAGE)
    }
    return faults + [fault for role, name in names for fault in _model_faults(role, name)]


def _settings_faults(config: Mapping[str, Any]) -> list[str]:
    from ...distillation.settings import read_config

    made: list[Any] = []
    values = {k: v for k, v in config.items() if k != "data"}
    faults = faults_of(lambda: made.append(read_config(values)))
    for settings in made:
        # No teacher is loaded if there is a cache or if alpha is 0 (labels only).
        if settings.teacher_cache is None and settings.alpha > 0:
            faults += _model_faults("teacher_model_name", settings.teacher_model_name)
        faults += _model_faults("student_model_name", settings.student_model_name)
        if settings.device is not None and not is_device(settings.device):
            faults.append(f"device is {settings.device!r}; allowed are cpu, cuda, cuda:1 and so on")
        caches = settings.teacher_cache or {}
        for folder in [caches] if isinstance(caches, str) else caches.values():
            if not Path(folder).is_dir():
                faults.append(f"teacher_cache is {folder!r}; there is no such folder")
    return faults


def _model_faults(role: str, name: str) -> list[str]:
    from ...distillation.settings import FROM_SCRATCH, FROM_TEACHER

    return model_faults(role, name, (*FROM_TEACHER, FROM_SCRATCH, "none", "starter"))


def _data_faults(config: Mapping[str, Any], beside: Path) -> list[str]:
    """Report files of records that do not exist."""
    from ...distillation.stage_plan import find_data

    stages = config.get("stages")
    listed = [one for one in stages if isinstance(one, Mapping)] if isinstance(stages, list) else []
    given = [config.get("data"), *(stage.get("data") for stage in listed)]
    if "stages" not in config and not isinstance(given[0], str):
        return [f"data is {given[0]!r}; name a table or file of records"]
    names = dict.fromkeys(name for name in given if isinstance(name, str) and name.strip())
    return [fault for name in names for fault in faults_of(lambda: find_data(name, beside) and [])]  # noqa: B023


def distill_file(args: argparse.Namespace) -> dict[str, Any]:
    """Run the trainings that the settings file describes and print their results.

    Returns:
        `student`, the folder of the last student, and `trainings`, what each came to.

    Raises:
        StillroomError: The settings have faults, or data or models cannot be used.
    """
    console = Console(args.verbose)
    config = read_settings(args.config, args.settings)
    read = partial(read_records_of, reading=reading_keywords(args))
    # This loads torch and transformers, which --help must not.
    from ...distillation.torch_processes import is_main_process

    train = _stages if "stages" in config else _once
    done = train(config, Path(args.config).parent, read)
    if is_main_process():
        for name, folder, summary in done:
            console.line(name, _words(folder, summary), summary.seconds if summary else None)
    return {"student": done[-1][1], "trainings": [_told(*one) for one in done]}


Done = list[tuple[str, Path, Any]]
"""Name, folder and summary of each training; the summary is None if it had finished before."""


def _stages(config: Mapping[str, Any], beside: Path, read: Callable[[Path], Any]) -> Done:
    from ...distillation.stages import distill_stages

    summaries = distill_stages(config, read=read, beside=beside)
    return [(stage.name, stage.folder, stage.summary) for stage in summaries]


def _once(config: Mapping[str, Any], beside: Path, read: Callable[[Path], Any]) -> Done:
    from ...distillation.distiller import create_distiller_from_config
    from ...distillation.stage_plan import find_data
    from ...distillation.torch_processes import is_main_process

    if not isinstance(config.get("data"), str):
        raise ConfigError([f"data is {config.get('data')!r}; name a table or file of records"])
    distiller = create_distiller_from_config({k: v for k, v in config.items() if k != "data"})
    records = read(find_data(config["data"], beside))
    work = Path(f"{distiller.config.output_dir}.work")
    summary = distiller.distill(records, work_dir=work)
    folder = distiller.save_distilled_model()
    if is_main_process():
        shutil.rmtree(work, ignore_errors=True)
    return [("student", folder, summary)]


def read_records_of(path: Path, reading: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Read a table, or a JSON file of training examples."""
    from ...data.readers.read_table import read_table
    from ...distillation.stages import read_records

    if reading or path.suffix.lower() not in (".json", ".jsonl"):
        return read_table(path, **reading)
    return read_records(path)


def _words(folder: Path, summary: Any) -> str:  # noqa: ANN401 - a DistillationSummary
    if summary is None:
        return f"already finished: {folder}"
    words = f"{summary.steps:,} steps, {summary.examples:,} examples"
    if summary.losses:
        words += f", loss {summary.losses[0][1]:.3f} -> {summary.losses[-1][1]:.3f}"
    return f"{words}: {folder}"


def _told(name: str, folder: Path, summary: Any) -> dict[str, Any]:  # noqa: ANN401
    told = {"name": name, "folder": folder, "trained": summary is not None}
    if summary is None:
        return told
    losses = [loss for _, loss in summary.losses]
    return told | {
        "steps": summary.steps,
        "examples": summary.examples,
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "seconds": summary.seconds,
    }


def read_settings(path: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Read a JSON file of settings and override them by command-line values.

    Args:
        path: Path of the file.
        overrides: Overrides of the form `key=value`; `stages.0.alpha=0.5` sets a nested value.

    Raises:
        ConfigError: There is no such file, it is not a JSON object, or an override is malformed or
            names a part that the file does not have.
    """
    config = as_settings(read_written_json(path), path)
    faults = [fault for one in overrides for fault in faults_of(partial(_override, config, one))]
    if faults:
        raise ConfigError(faults)
    return config


def _override(config: dict[str, Any], override: str) -> None:
    key, equals, given = override.partition("=")
    if not equals or not key:
        raise ConfigError([f"{override!r} is not a setting; write key=value"])
    *outer, last = key.split(".")
    place: Any = config
    for part in outer:
        place = place[_key_in(place, part, override)]
    try:
        value = json.loads(given)
    except ValueError:
        value = given
    place[_key_in(place, last, override, may_be_new=True)] = value


def _key_in(place: Any, key: str, override: str, *, may_be_new: bool = False) -> str | int:  # noqa: ANN401
    """Return a key of a mapping or an index of a list; the last key of an override may be new.

    Raises:
        ConfigError: There is no such key or index.
    """
    if isinstance(place, list):
        if key.isdecimal() and int(key) < len(place):
            return int(key)
        raise ConfigError([f"{override!r}: {key!r} is not 0 to {len(place) - 1}"])
    if not isinstance(place, dict):
        raise ConfigError([f"{override!r}: there is nothing to set inside of {place!r}"])
    if not may_be_new and key not in place:
        raise ConfigError([f"{override!r}: the file has no {key!r}"])
    return key


DISTILL = Command(distill_parser, distill_file, distill_faults)
