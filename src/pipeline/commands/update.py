"""`stillroom update`: replace the rows of a student's table, without training.

stillroom update outputs/prices/student --data prices_may.csv
stillroom update outputs/prices/student --undo
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...console import Console
from ...errors import ConfigError, DataError
from ...files import atomic_path
from ...tables import TABLE_BEFORE, TABLE_FILE, FactTable
from ..command import Command
from ..options import CommandParser, add_json, add_verbose, faults_of, text
from ..path_checks import missing_source
from ..reading_options import OF_SOURCES, add_reading_options, reading_keywords
from .open_asker import open_encoder, student_folder

if TYPE_CHECKING:
    from ...data.questions.updated_table import TableChange
    from ...understanding.table.typed_table import TypedTable

CHECKED: Final = 24
"""Most questions about the new rows that are asked to check the threshold."""
MOST_WRONG: Final = 0.05
"""Share of wrong answers among those given above which the check warns."""


def update_parser(program: str = "stillroom update") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Replace the rows of a student's table. Nothing is trained, since answers are read from\n"
        "the table. The new rows need the same columns, unless --renamed or --without says\n"
        "otherwise; verified questions are asked again.",
        (
            f"{program} outputs/prices/student --data prices_may.csv",
            f"{program} outputs/prices/student --data prices_june.csv --renamed price=cost",
            f"{program} outputs/prices/student --undo",
        ),
    )
    add = parser.add_argument
    add("student", help="the folder of a student, or of the run that made it")
    add("--data", type=text, help="all rows as they are now")
    add("--renamed", type=text, action="append", default=[], metavar="OLD=NEW",
        help="column OLD is called NEW in the new rows; may be given again")  # fmt: skip
    add("--without", type=text, action="append", default=[], metavar="COLUMN",
        help="column to drop; may be given again")  # fmt: skip
    add("--undo", action="store_true", help="restore the table from before the last update")
    add_json(parser)
    add_verbose(parser)
    add_reading_options(parser)
    return parser


def update_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without loading anything."""
    faults = []
    folder = student_folder(args.student)
    if folder is None:
        faults.append(f"student is {args.student!r}, which holds no {TABLE_FILE}; name the folder "
                      "of a student or of its run")  # fmt: skip
    if bool(args.data) == args.undo:
        faults.append("give --data FILE, or --undo, one of the two")
    if args.data:
        faults += missing_source(args.data)
    if args.undo and folder is not None and not (folder / TABLE_BEFORE).is_file():
        faults.append(f"--undo: {folder} was not updated")
    return faults + faults_of(lambda: _renamed(args) and None)


def _renamed(args: argparse.Namespace) -> dict[str, str]:
    pairs = [one.partition("=") for one in args.renamed]
    wrong = ["=".join(filter(None, (old, new))) for old, sign, new in pairs
             if not (old and sign and new)]  # fmt: skip
    if wrong:
        raise ConfigError([f"--renamed is {one!r}; write OLD=NEW" for one in wrong])
    return {old: new for old, _, new in pairs}


def update(args: argparse.Namespace) -> dict[str, Any]:
    """Replace the rows of a student's table or undo that, and print what has changed.

    Raises:
        DataError: The new rows cannot be read, or lack a column.
    """
    console = Console(args.verbose)
    folder = student_folder(args.student)
    table = None if folder is None else FactTable.read(folder)
    if folder is None or table is None:
        raise DataError(f"holds no {TABLE_FILE}", path=args.student)
    if args.undo:
        _undo(folder)
        console.line("undone", f"{folder / TABLE_FILE} is restored; --undo again brings back "
                     "what was undone")  # fmt: skip
        return {"student": folder, "undone": True}
    change = _read_change(args, table, console)
    _swap_in(folder, change.table)
    console.line("table", f"{len(change.table.rows):,} rows: {change.added:,} new, "
                 f"{change.changed:,} changed, {change.gone:,} gone")  # fmt: skip
    if change.skipped:
        row, why = change.skipped[0]
        console.line("note", f"{len(change.skipped):,} records are not asked about, the first in "
                     f"row {row} ({why})")  # fmt: skip
    if change.unused:
        console.line("note", f"not asked about, as the student was made without: "
                     f"{', '.join(change.unused)}")  # fmt: skip
    checked = _check(folder, table, change.table, console)
    console.line("next", f"restart what serves {folder}; stillroom update {args.student} --undo "
                 "brings the old rows back")  # fmt: skip
    return {
        "student": folder,
        "rows": len(change.table.rows),
        "new": change.added,
        "changed": change.changed,
        "gone": change.gone,
        "not_asked_about": [{"row": row, "reason": why} for row, why in change.skipped],
        "columns_not_asked_about": list(change.unused),
        **checked,
    }


def _read_change(args: argparse.Namespace, table: FactTable, console: Console) -> TableChange:
    from ...data.questions.updated_table import update_table
    from ...data.readers.read_table import iter_records

    keywords = {"flatten": True, **reading_keywords(args)}
    with console.busy("reading"):
        records = list(iter_records(args.data, **keywords))
        source = vars(args).get(OF_SOURCES[1]) or Path(str(args.data).split("?")[0]).name
        return update_table(table, records, source, renamed=_renamed(args), without=args.without)


def _swap_in(folder: Path, table: FactTable) -> None:
    """Write a table and keep the old one for --undo.

    Each file is replaced atomically, so a killed process leaves a complete table.
    """
    _write_bytes(folder / TABLE_BEFORE, (folder / TABLE_FILE).read_bytes())
    table.write(folder)


def _undo(folder: Path) -> None:
    before, now = (folder / TABLE_BEFORE).read_bytes(), (folder / TABLE_FILE).read_bytes()
    _write_bytes(folder / TABLE_FILE, before)
    _write_bytes(folder / TABLE_BEFORE, now)


def _write_bytes(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _check(folder: Path, old: FactTable, new: FactTable, console: Console) -> dict[str, Any]:
    """Check the verified questions and the confidence threshold on the new rows, and print both."""
    from ...understanding.answers.ask_table import TableAsker
    from ...understanding.table.same_value import same_value
    from ...understanding.table.typed_facts import typed_facts
    from ...understanding.verified.verified_questions import verified_place

    tables = typed_facts(old), typed_facts(new)
    place = verified_place(folder)
    lines = list(_verified_lines(place, *tables)) if place.is_file() else []
    for line in lines:
        console.line("verified", line)
    questions = list(_questions(new))
    if not questions:
        return {"verified": lines, "threshold": None}
    asker = TableAsker(tables[1], encoder=open_encoder())
    told = [(asker.ask(asked), right) for asked, right in questions]
    given = [(one, right) for one, right in told if one.verdict == "answered"]
    good = sum(len(one.answer) == 1 and same_value(one.answer[0], right) for one, right in given)
    wrong = len(given) - good
    console.line(
        "threshold",
        f"of {len(told)} questions about the new rows {good} are answered right, {wrong} wrong, "
        f"{len(told) - len(given)} not at all, at a confidence of {asker.least:.2f}",
    )
    if wrong > MOST_WRONG * max(1, len(given)):
        console.line("warning", "the threshold was set for fewer wrong answers; see ask --explain, "
                     "approve frequent questions with ask --verify, or --undo")  # fmt: skip
    numbers = {"asked": len(told), "right": good, "wrong": wrong, "least_confidence": asker.least}
    return {"verified": lines, "threshold": numbers}


def _verified_lines(place: Path, old: TypedTable, new: TypedTable) -> Iterator[str]:
    from ...understanding.plans.run_plan import PlanRunner
    from ...understanding.verified.verified_questions import read_verified

    before = read_verified(place, {old.name: old}).plans
    found = read_verified(place, {new.name: new})
    runners = PlanRunner(old), PlanRunner(new)
    same = 0
    for key, (_, plan) in found.plans.items():
        then = runners[0].run(before[key][1]) if key in before else None
        now = runners[1].run(plan)
        if now is None:
            yield f"{found.texts[key]!r} has no answer any more"
        elif then is not None and then.values == now.values:
            same += 1
        else:
            yield f"{found.texts[key]!r} is now answered {', '.join(now.values[:3])}"
    for fault in found.faults():
        yield f"cannot be answered any more: {fault}"
    yield f"{same} of {len(found.texts)} questions are answered as before"


def _questions(table: FactTable) -> Iterator[tuple[str, str]]:
    """Make questions about up to `CHECKED` cells, in the wordings that the student was made with.

    Yields:
        A question and its right answer.
    """
    rng = random.Random(0)
    cells = [(row, column) for row in rng.sample(table.rows, min(CHECKED, len(table.rows)))
             for column in table.columns
             if column.templates and column.name in row.values]  # fmt: skip
    for row, column in rng.sample(cells, min(CHECKED, len(cells))):
        key = row.asked_by.get(column.name) if table.kind == "rows" else row.key
        if key:
            template = rng.choice(column.templates)
            yield re.sub("{key}", lambda _, key=key: key, template), row.values[column.name]  # type: ignore[misc]


UPDATE = Command(update_parser, update, update_faults)
