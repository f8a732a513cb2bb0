"""`stillroom easydistill`: run an EasyDistill configuration in this process.

    stillroom easydistill --config job.json
    stillroom easydistill --list-jobs

Exit codes: 0 done, 1 failed, 2 a configuration with faults or a refused job. The reason is one
sentence on standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...config import as_settings
from ...errors import ConfigError, StillroomError
from ..options import EXIT_FAILED, EXIT_USAGE, CommandParser, add_verbose, output_faults, text

if TYPE_CHECKING:
    from .config import JobConfig

EXIT_INTERRUPTED: Final = 130


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
        The exit code.
    """
    args = easydistill_parser().read(argv)
    if args.list_jobs:
        from .jobs import list_jobs

        print("\n".join(list_jobs()))
        return 0
    if args.config is None:
        print("--config is required unless --list-jobs is used.", file=sys.stderr)
        return EXIT_USAGE
    from ...console import Console, quiet_libraries

    quiet_libraries()
    console = Console(args.verbose)
    try:
        with console.timed("easydistill") as words:
            words.append(str(run_job_file(args.config)))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return EXIT_INTERRUPTED
    except StillroomError as fault:
        if args.verbose:
            raise
        faults = fault.faults if isinstance(fault, ConfigError) else [str(fault)]
        print("\n".join(faults), file=sys.stderr)
        return EXIT_USAGE if isinstance(fault, ConfigError) else EXIT_FAILED
    return 0


def run_job_file(path: str | Path) -> str:
    """Run the job of a file.

    Returns:
        The student's folder, or the file of texts.

    Raises:
        ConfigError: The file has faults, all of them; or its job is unknown or refused.
        StillroomError: The job failed.
    """
    from .config import read_first_generation, read_job_file
    from .config_v2 import is_second_generation, read_second_generation

    values = as_settings(read_job_file(path), path)
    second = is_second_generation(values)
    config = (read_second_generation if second else read_first_generation)(values, path)
    from .settings import check_training

    check_training(config)
    faults = _output_faults(config)
    if faults:
        raise ConfigError(faults)
    return _run_of(str(config.job.stage))(config)


def _output_faults(config: JobConfig) -> list[str]:
    """Say what is to be written and cannot be."""
    faults = []
    path = config.dataset.get("output_path")
    if isinstance(path, str) and path:
        if Path(path).is_dir():
            faults.append(f"Output path is a directory: {path}")
        else:
            faults += output_faults("dataset.output_path", str(Path(path).parent))
    folder = config.training.get("output_dir")
    return faults + (output_faults("training.output_dir", folder) if folder else [])


def _run_of(stage: str) -> Callable[[Any], str]:
    """Give the function of a stage. Here, because most load torch and transformers."""
    from . import texts as texts

    if stage in ("thought_scores", "answer_scores"):
        return texts.run_scores
    if stage == "resampling":
        return texts.run_resampling
    if stage in ("preferences", "reward_pairs"):
        from . import preferences as preferences

        return preferences.run_preferences
    if stage in ("black_box", "white_box"):
        from . import students as students

        return students.run_black_box if stage == "black_box" else students.run_white_box
    if stage == "tool_talks":
        from .chats import run_talks

        return run_talks
    return texts.run_texts
