"""`stillroom report RUN`: the report of a finished run, again, from the files in its folder."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...console import Console
from ...errors import DataNotFoundError
from ..command import Command
from ..options import CommandParser, Fault, add_json, add_verbose, number, text
from ..path_checks import output_faults

if TYPE_CHECKING:
    from ...evaluation.report.content import Report
    from ...evaluation.report.cost import Prices

RUN_KINDS: Final = {
    "predictions/student.jsonl": "answers",
    "students.json": "filter",
    "evaluation.json": "filter",
}
"""File that tells the kind of a run -> its kind."""


def report_parser(program: str = "stillroom report") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Write the report of a finished run: report.html, report.json and report.md. A run is the\n"
        "folder of stillroom run, of examples/text_to_sql.py, or of stillroom filter train.",
        (
            f"{program} outputs/elements",
            f"{program} outputs/elements --teacher-price 0.15,0.60 --prompt-tokens 80",
            f"{program} outputs/elements --json",
        ),
    )
    add = parser.add_argument
    add("run", help="the run folder")
    add("--output", type=text, metavar="FOLDER", help="folder to write (default: the run folder; "
        "with --json none)")  # fmt: skip
    add_prices(parser)
    add_json(parser)
    add_verbose(parser)
    return parser


def add_prices(parser: argparse.ArgumentParser) -> None:
    """Add the options of what answers cost."""
    add = parser.add_argument_group("what answers cost").add_argument
    add("--watts", type=number(0, above=True), default=65.0, metavar="W",
        help="power of this machine while it answers (default 65)")  # fmt: skip
    add("--kwh-price", type=number(0), default=0.30, metavar="X",
        help="price of a kilowatt-hour (default 0.30)")  # fmt: skip
    add("--teacher-price", type=_two_prices, metavar="IN,OUT",
        help="price of a million tokens that the teacher reads and writes; default: it runs "
        "on this machine")  # fmt: skip
    add("--prompt-tokens", type=number(0), default=60.0, metavar="N",
        help="tokens of a prompt to a priced teacher (default 60)")  # fmt: skip
    add("--answer-tokens", type=number(0), default=10.0, metavar="N",
        help="tokens of its answer (default 10)")  # fmt: skip
    add("--currency", type=text, default="EUR", help="name of the currency (default EUR)")


def prices_of(args: argparse.Namespace) -> Prices:
    """Make the prices of the options."""
    from ...evaluation.report.cost import Prices

    given = args.teacher_price or (None, None)
    return Prices(
        watts=args.watts, kwh_price=args.kwh_price, currency=args.currency,
        teacher_input=given[0], teacher_output=given[1],
        prompt_tokens=args.prompt_tokens, answer_tokens=args.answer_tokens,
    )  # fmt: skip


def run_kind(folder: str | Path) -> str | None:
    """Tell the kind of a run by its files; None for a folder that is no finished run."""
    return next((kind for name, kind in RUN_KINDS.items() if (Path(folder) / name).is_file()), None)


def report_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without loading anything."""
    faults = []
    if run_kind(args.run) is None:
        what = "is no folder" if not Path(args.run).is_dir() else (
            f"holds none of {', '.join(RUN_KINDS)}"
        )  # fmt: skip
        faults.append(f"run is {args.run!r}, which {what}; give the folder of a finished run")
    return faults + (output_faults("output", args.output) if args.output else [])


def report_of(folder: str | Path, prices: Prices) -> Report:
    """Make the report of a run of any kind.

    Raises:
        DataNotFoundError: The folder holds no finished run.
        DataError: A file is damaged.
    """
    from .answer_report import answer_report
    from .filter_report import filter_report

    makers: dict[str, Callable[[str | Path, Prices], Report]] = {
        "answers": answer_report, "filter": filter_report,
    }  # fmt: skip
    kind = run_kind(folder)
    if kind is None:
        raise DataNotFoundError(f"{folder}: holds no finished run")
    return makers[kind](folder, prices)


def report_run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the command; returns the report as JSON values."""
    from ...evaluation.report.write_report import write_report
    from .run_card import write_run_card

    console = Console(args.verbose)
    report = report_of(args.run, prices_of(args))
    for told in report.conclusion:
        console.block(told)
    if args.output or not args.json:
        page = write_report(report, args.output or args.run)
        also = "report.json  report.md"
        if run_kind(args.run) == "answers" and not args.output:
            also += f"  {write_run_card(Path(args.run), report)}"
        console.line("written", f"{page}  {also}")
    return report.to_dict()


def _two_prices(given: str) -> tuple[float, float]:
    parts = given.split(",")
    try:
        first, second = (float(part) for part in parts)
    except ValueError:
        return Fault(f"is {given!r}; write two prices, such as 0.15,0.60")  # type: ignore[return-value]
    if first < 0 or second < 0:
        return Fault(f"is {given!r}; prices are 0 or more")  # type: ignore[return-value]
    return first, second


REPORT = Command(report_parser, report_run, report_faults)
