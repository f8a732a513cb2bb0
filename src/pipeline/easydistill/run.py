"""`stillroom easydistill`: run an EasyDistill configuration in this process."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...console import Console
from ..command import Command, refuse_as_written
from ..options import EXIT_USAGE, CommandParser, add_json, add_verbose, text
from .jobs import list_jobs

if TYPE_CHECKING:
    from .config import JobConfig


def easydistill_parser(program: str = "stillroom easydistill") -> CommandParser:
    """Make the parser of the command's options."""
    what = "Run a job of EasyDistill 1.0 or 2.0, described by a JSON file."
    examples = (f"{program} --config job.json", f"{program} --list-jobs")
    parser = CommandParser(program, what, examples, {EXIT_USAGE: "wrong options or configuration"})
    add = parser.add_argument
    add("--config", type=text, help="JSON file (2.0: YAML too)")
    add("--list-jobs", action="store_true", help="list all jobs, and why some are not supported")
    add_json(parser)
    add_verbose(parser)
    return parser


def _listed() -> dict[str, list[str]]:
    jobs = list_jobs()
    print("\n".join(jobs))
    return {"jobs": jobs}


def _run(args: argparse.Namespace) -> dict[str, Any]:
    if args.list_jobs:
        return _listed()
    from .config import read_job

    try:
        with Console(args.verbose).timed("easydistill") as words:
            made = run_job(read_job(args.config))
            words.append(made)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        raise
    return {"written": made}


def run_job(config: JobConfig) -> str:
    """Run a job; return the student's folder, or the file of texts that the job wrote.

    Raises:
        StillroomError: The job failed.
    """
    module, function = config.stage.function.split(".")
    return str(getattr(import_module(f".{module}", __package__), function)(config))


EASYDISTILL = Command(
    easydistill_parser,
    _run,
    config_code=EXIT_USAGE,
    read=refuse_as_written(
        lambda args: (
            []
            if args.config or args.list_jobs
            else ["--config is required unless --list-jobs is used."]
        )
    ),
    prefix="",
)
