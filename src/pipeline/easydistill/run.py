"""`stillroom easydistill`: run an EasyDistill configuration in this process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ...console import Console, quiet_libraries
from ...errors import ConfigError
from ..options import EXIT_USAGE, CommandParser, add_verbose, guarded, text
from ..path_checks import output_faults

if TYPE_CHECKING:
    from .config import JobConfig


def easydistill_parser(program: str = "stillroom easydistill") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Run a job of EasyDistill 1.0 or 2.0, described by a JSON file.",
        (f"{program} --config job.json", f"{program} --list-jobs"),
    )
    parser.add_argument("--config", type=text, help="JSON file (2.0: YAML too)")
    parser.add_argument("--list-jobs", action="store_true", help="all jobs, and why some are not")
    add_verbose(parser)
    return parser


def easydistill_main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 done, 1 failed, 2 a configuration with faults or a refused job; the reason is printed on
        standard error.
    """
    parser = easydistill_parser()
    args = parser.read(argv)
    if args.list_jobs:
        from .jobs import list_jobs

        print("\n".join(list_jobs()))
        return 0
    if args.config is None:
        print("--config is required unless --list-jobs is used.", file=sys.stderr)
        return EXIT_USAGE
    quiet_libraries()
    console = Console(args.verbose)

    def run() -> None:
        try:
            with console.timed("easydistill") as words:
                words.append(run_job_file(args.config))
        except KeyboardInterrupt:
            print("interrupted; the same command goes on", file=sys.stderr)
            raise

    return guarded(run, parser, args, config_code=EXIT_USAGE, prefix="")


def run_job_file(path: str | Path) -> str:
    """Run the job of a file.

    Returns:
        The student's folder, or the file of texts.

    Raises:
        ConfigError: The file has faults, all of them; or its job is unknown or refused.
        StillroomError: The job failed.
    """
    from .config import read_job

    return run_job(read_job(path))


def run_job(config: JobConfig) -> str:
    """Run a job; as `run_job_file`."""
    from .settings import check_training

    check_training(config)
    faults = []
    path, folder = config.dataset.get("output_path"), config.training.get("output_dir")
    if path and Path(path).is_dir():
        faults.append(f"Output path is a directory: {path}")
    elif path:
        faults += output_faults("dataset.output_path", str(Path(path).parent))
    if folder:
        faults += output_faults("training.output_dir", folder)
    if faults:
        raise ConfigError(faults)
    module, function = config.job.definition.function.split(".")
    return str(getattr(import_module(f".{module}", __package__), function)(config))
