"""`stillroom sweep FILE.yaml`: many trainings with other settings, and which student to take.

stillroom sweep sweep.yaml
stillroom sweep sweep.yaml --output-dir outputs/sweep --yes
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...console import Console
from ...errors import ConfigError
from ...files import write_json, write_text
from ..command import Command
from ..options import CommandParser, add_verbose, faults_of, number, text
from ..path_checks import output_faults
from .plan import SweepPlan, job_of, read_plan

if TYPE_CHECKING:
    from ..main_job.load_table import Source
    from .result import SweepResult
    from .search import Trial


def sweep_parser() -> CommandParser:
    """Make the parser of `stillroom sweep`."""
    parser = CommandParser(
        "stillroom sweep",
        "Train the student of one job with other settings, and say which student to take. A YAML\n"
        "file names the job and what is varied: temperature, alpha, objective, initialisation,\n"
        "layers, data_share and so on, as a grid or sampled. Teacher and labels are made once.\n"
        "Killed at any point, the same command goes on and ends with the same table.\n\n"
        "Exit status: 0 done, 1 failed, 2 wrong options, 130 interrupted.",
        (
            "stillroom sweep configs/sweeps/elements.yaml",
            "stillroom sweep mine.yaml --output-dir outputs/sweep --json",
        ),
    )
    add = parser.add_argument
    add("file", type=text, metavar="FILE.yaml", help="the job and what is varied")
    add("--output-dir", type=text, metavar="DIR", help="default outputs/sweep-<name of the file>")
    add("--max-minutes", type=number(0, above=True), default=60.0, metavar="M",
        help="a sweep that is estimated to take longer is refused (default 60)")  # fmt: skip
    add("--yes", action="store_true", help="train however long it takes")
    add("--json", action="store_true", help="print the result as JSON")
    add_verbose(parser)
    return parser


def sweep_folder(args: argparse.Namespace) -> Path:
    """Name the folder of a sweep."""
    return Path(args.output_dir or f"outputs/sweep-{Path(args.file).stem}")


def sweep_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the file and the options that can be found without loading models."""
    plans: list[SweepPlan] = []
    faults = faults_of(lambda: plans.append(read_plan(args.file)))
    for plan in plans:
        job = job_of(plan, {})
        faults += [one for one in job.faults() if not one.startswith("output_dir")]
    return faults + output_faults("output_dir", str(sweep_folder(args)))


def run_sweep(args: argparse.Namespace) -> dict[str, Any]:
    """Run what is left of a sweep, write its table, picture and page, and print the advice.

    Returns:
        The folder and the result as JSON values.

    Raises:
        ConfigError: The folder holds another sweep, or the sweep takes more time than allowed.
        MissingDependencyError: Optuna is not installed.
    """
    console = Console(args.verbose)
    plan, folder = read_plan(args.file), sweep_folder(args)
    from ..main_job.load_table import read_source
    from ..threads import job_threads
    from .search import TrialStore, name_of, run_trials
    from .trials import JobTrials, time_students

    store = TrialStore(folder, plan)
    job = job_of(plan, {})
    source = read_source(job, console)
    done = len(store.trials())
    told = f"{plan.trials} students: {plan.method} of {', '.join(plan.vary)}"
    if plan.left_out:
        told += f"; {plan.left_out} combinations have no meaning and are left out"
    console.line("sweep", told + (f"; {done} are there" if done else ""))
    with job_threads(job.threads, console):
        if done < plan.trials:
            _require_time(plan, source, plan.trials - done, args, console)
        began = [time.monotonic()]

        def watch(trial: Trial, count: int) -> None:
            now = time.monotonic()
            found = trial.found
            console.line(f"{trial.number}/{count}", f"{name_of(trial.params)}: "
                       f"{100 * found.right:.1f} % right, {found.bytes / 1e6:.3g} MB",
                       now - began[0])  # fmt: skip
            began[0] = now

        trials = run_trials(store, JobTrials(plan, folder, source, console), watch)
        trials = time_students(trials, folder, job.device)
    from .result import judge_sweep

    result = judge_sweep(trials, list(plan.vary), plan.margin, folder)
    write_result(result, folder, f"Students of {source.profile.source}")
    console.line("front", "; ".join(f"{name}: {', '.join(map(str, front))}"
                                  for name, front in result.fronts.items()))  # fmt: skip
    console.line("advice", result.advice())
    console.line("written", f"{folder}/  sweep.csv  sweep.md  sweep.json  sweep.html  pareto.png")
    console.line(
        "next", f"stillroom chat {folder / result.trial(result.taken).found.folder}/student"
    )
    return {"folder": str(folder), **result.to_dict()}


def write_result(result: SweepResult, folder: Path, title: str) -> None:
    """Write the table, the picture and the page of a sweep."""
    from .page import markdown, page, plot_fronts

    write_text(folder / "sweep.csv", result.csv())
    write_json(folder / "sweep.json", result.to_dict())
    for suffix in ("png", "svg"):
        plot_fronts(result, folder / f"pareto.{suffix}")
    write_text(folder / "sweep.md", markdown(result, title))
    write_text(folder / "sweep.html", page(result, title))


def _require_time(
    plan: SweepPlan, source: Source, left: int, args: argparse.Namespace, console: Console
) -> None:
    """Estimate the time of the trials that are left, and refuse more than is allowed."""
    from ..main_job.estimate import estimate_job, in_words

    with console.busy("estimating the time"):
        minutes = left * estimate_job(job_of(plan, {}), source).minutes()
    console.line("time", f"at most about {in_words(minutes)} for {left} students; the teacher is "
                 "shared")  # fmt: skip
    if args.yes or minutes <= args.max_minutes:
        return
    raise ConfigError([
        f"about {in_words(minutes)} are more than {args.max_minutes:g} min (--max-minutes); vary "
        "less, write effort: 0.2 into the job, or pass --yes to train anyway"
    ])  # fmt: skip


SWEEP = Command(sweep_parser, run_sweep, sweep_faults, lambda args: str(sweep_folder(args)))
