"""`stillroom distill`: one distillation, or several stages, from a JSON file.

    stillroom distill configs/distillation/teacher_assistant.json num_epochs=2
    accelerate launch --config_file configs/accelerate/ddp.yaml -m stillroom distill mine.json

The file holds the settings of `DistillationConfig`, `data` (a table or file of records) and, for
several trainings in a row, `stages`; see `distillation/stage_plan.py`. The same command goes on
after an interruption.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..console import Console
from ..errors import ConfigError, DataNotFoundError
from ..files import read_json


def distill_parser(program: str = "stillroom distill") -> argparse.ArgumentParser:
    """Make the parser of the command's options."""
    parser = argparse.ArgumentParser(
        program, description="Distil a student by a JSON file of settings, in one or more stages."
    )
    parser.add_argument("config", help="JSON file")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="key=value",
        help="overrides the file; a value is read as JSON where it is JSON, else as text",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show what libraries say")
    return parser


def distill_file(args: argparse.Namespace) -> Path:
    """Run what the file describes, and say what became of it.

    Returns:
        The folder of the last student.

    Raises:
        StillroomError: The settings have faults, or data or models cannot be used.
    """
    console = Console(args.verbose)
    config = read_settings(args.config, args.settings)
    # Here, because these load torch and transformers, and --help must not.
    from ..distillation.processes import is_main_process

    done = _stages(config, Path(args.config)) if "stages" in config else _once(config, args.config)
    if is_main_process():
        for name, folder, summary in done:
            console.line(name, _words(folder, summary), summary.seconds if summary else None)
    return done[-1][1]


Done = list[tuple[str, Path, Any]]
"""Name, folder and summary of each training; no summary where it was finished before."""


def _stages(config: Mapping[str, Any], path: Path) -> Done:
    from ..distillation.stages import distill_stages

    summaries = distill_stages(config, read=_records, beside=path.parent)
    return [(stage.name, stage.folder, stage.summary) for stage in summaries]


def _once(config: Mapping[str, Any], path: str) -> Done:
    from ..distillation.distiller import create_distiller_from_config
    from ..distillation.processes import is_main_process
    from ..distillation.stages import find_data

    if not isinstance(config.get("data"), str):
        raise ConfigError([f"data is {config.get('data')!r}; name a table or file of records"])
    distiller = create_distiller_from_config({k: v for k, v in config.items() if k != "data"})
    records = _records(find_data(config["data"], Path(path).parent))
    work = Path(f"{distiller.config.output_dir}.work")
    summary = distiller.distill(records, work_dir=work)
    folder = distiller.save_distilled_model()
    if is_main_process():
        shutil.rmtree(work, ignore_errors=True)
    return [("student", folder, summary)]


def _records(path: Path) -> Any:  # noqa: ANN401 - records of any shape
    from ..data.readers import read_table
    from ..distillation.stages import read_records

    return read_records(path) if path.suffix in (".json", ".jsonl") else read_table(path)


def _words(folder: Path, summary: Any) -> str:  # noqa: ANN401 - a DistillationSummary
    if summary is None:
        return f"was finished before: {folder}"
    words = f"{summary.steps:,} steps, {summary.examples:,} examples"
    if summary.losses:
        words += f", loss {summary.losses[0][1]:.3f} -> {summary.losses[-1][1]:.3f}"
    return f"{words}: {folder}"


def read_settings(path: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Read a JSON file of settings and put command-line values over it.

    Args:
        path: Of the file.
        overrides: `key=value` each; `stages.0.alpha=0.5` reaches into lists and mappings.

    Raises:
        ConfigError: The file is no JSON object, or an override is not of that form.
        DataNotFoundError: There is no such file.
    """
    try:
        config = read_json(path)
    except FileNotFoundError as fault:
        raise DataNotFoundError(f"there is no file of settings at {path}") from fault
    except ValueError as fault:
        raise ConfigError([f"{path}: is no JSON ({fault})"]) from fault
    if not isinstance(config, dict):
        raise ConfigError([f"{path}: holds a {type(config).__name__}; a JSON object is needed"])
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError([f"{override!r} is no setting; write key=value"])
        _put(config, key.split("."), _value(text), override)
    return config


def _put(place: Any, keys: Sequence[str], value: Any, override: str) -> None:  # noqa: ANN401
    for key in keys[:-1]:
        place = _at(place, key, override)
    if isinstance(place, list):
        place[_number(place, keys[-1], override)] = value
    elif isinstance(place, dict):
        place[keys[-1]] = value
    else:
        raise ConfigError([f"{override!r}: there is nothing to set inside of {place!r}"])


def _at(place: Any, key: str, override: str) -> Any:  # noqa: ANN401
    if isinstance(place, list):
        return place[_number(place, key, override)]
    if isinstance(place, Mapping) and key in place:
        return place[key]
    raise ConfigError([f"{override!r}: the file has no {key!r}"])


def _number(place: list[Any], key: str, override: str) -> int:
    if not key.isdecimal() or int(key) >= len(place):
        raise ConfigError([f"{override!r}: {key!r} is not 0 to {len(place) - 1}"])
    return int(key)


def _value(text: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except ValueError:
        return text
