"""The options of the text-to-SQL job."""

from __future__ import annotations

import argparse
from typing import Any

from ...console import Console
from ...files import read_json
from ..command import Command
from ..options import (
    CommandParser,
    add_json,
    add_verbose,
    device,
    number,
    seed,
    text,
    whole_number,
)
from ..path_checks import model_faults
from .settings import DEFAULT_FOLDER, TextToSqlJob

_NAMES = ("teacher", "questions", "measured", "effort", "alpha", "min_score", "seed", "output_dir",
          "device", "threads")  # fmt: skip


def text_to_sql_parser(program: str) -> CommandParser:
    """Make the parser of the job's options."""
    parser = CommandParser(
        program,
        "From questions with gold SQL to a student that asks databases it has never seen.",
        (program, f"{program} --questions 400 --measured 60 --yes"),
    )
    add = parser.add_argument
    add(
        "--teacher",
        type=text,
        default=TextToSqlJob.teacher,
        help="smollm2 (stillroom models add smollm2), a folder, or a causal model of the hub",
    )
    add(
        "--questions",
        type=whole_number(2),
        default=TextToSqlJob.questions,
        metavar="N",
        help="training questions, of which the teacher answers four in ten (default 1000)",
    )
    add(
        "--measured",
        type=whole_number(1),
        default=TextToSqlJob.measured,
        metavar="N",
        help="questions about databases that nobody is trained on (default 100)",
    )
    add(
        "--effort",
        type=number(0, above=True),
        default=1.0,
        help="multiply the steps; 0.1 for a quick look",
    )
    add(
        "--alpha",
        type=number(0, 1),
        default=TextToSqlJob.alpha,
        help="weight of the soft targets, 0 to 1 (default 0.5)",
    )
    add(
        "--min-score",
        type=number(0, 1),
        default=TextToSqlJob.min_score,
        help="least score of an answer that students learn from: 1 gives the rows of gold, 0.5 "
        "runs (default 1)",
    )
    add(
        "--max-minutes",
        type=number(0, above=True),
        default=TextToSqlJob.max_minutes,
        metavar="M",
        help="a job that is estimated to take longer is refused (default 45)",
    )
    add("--yes", action="store_true", help="train however long it takes; asks nothing")
    add("--seed", type=seed, default=0, help="of questions and trainings (default 0)")
    add("--output-dir", type=text, help=f"run folder (default {DEFAULT_FOLDER})")
    add("--device", type=device, help="cpu or cuda; default: CUDA where there is one")
    add(
        "--threads",
        type=whole_number(1),
        metavar="N",
        help="threads to compute with; default: OMP_NUM_THREADS, else as many as cores are idle",
    )
    add_json(parser)
    add_verbose(parser)
    return parser  # fmt: skip


def text_to_sql_job(args: argparse.Namespace) -> TextToSqlJob:
    """Make the job of its options.

    Raises:
        ConfigError: Values do not fit; all faults at once.
    """
    given = {name: getattr(args, name) for name in _NAMES}
    return TextToSqlJob(**given, max_minutes=None if args.yes else args.max_minutes)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from .run import run_text_to_sql_job

    folder = run_text_to_sql_job(text_to_sql_job(args), Console(args.verbose))
    return {"folder": folder, "metrics": read_json(folder / "metrics.json")}


TEXT_TO_SQL = Command(
    lambda: text_to_sql_parser("text_to_sql.py"),
    _run,
    lambda args: model_faults("teacher", text_to_sql_job(args).teacher),
    lambda args: text_to_sql_job(args).folder(),
)
