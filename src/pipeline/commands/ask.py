"""`stillroom ask`: answer questions about a table in ordinary words, without training.

stillroom ask mine.csv "which one is the cheapest?"
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...console import Console
from ...errors import DataError
from ..command import Command
from ..options import CommandParser, add_json, add_verbose, text, whole_number
from ..path_checks import missing_source
from ..reading_options import add_reading_options
from .open_asker import open_asker, student_folder

if TYPE_CHECKING:
    from ...understanding.answers.ask_table import Asker, Context, TableAnswer

WIDTH = 11
"""Characters of the first column of the output."""


def ask_parser(program: str = "stillroom ask") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Ask a table in ordinary words. The answer names the cells that support it; if the table\n"
        "does not hold an answer, the command says so. Nothing is trained.",
        (
            f'{program} prices.csv "which one is the cheapest?"',
            f"{program} prices.csv --questions asked.csv --json",
            f'{program} prices.csv "which one is the cheapest?" --verify',
        ),
    )
    add = parser.add_argument
    add("data", help="a table, a database, or the folder of a student")
    add("question", nargs="*", help="the question; several are one conversation")
    add("--questions", type=text, metavar="FILE.csv",
        help="a file with the column question and, for conversations, thread")  # fmt: skip
    add("--explain", action="store_true", help="print the likeliest readings of each question, and "
        "the SQL of the first")  # fmt: skip
    add("--always", action="store_true", help="answer whatever the confidence")
    add("--key", type=text, help="column that names the records; default: detected")
    add("--verify", nargs="?", const=1, type=whole_number(1), metavar="N",
        help="approve the likeliest reading of the question, which is always used from then on; "
        "with N, approve the N-th reading of --explain")  # fmt: skip
    add("--verified", type=text, metavar="FILE.yaml", help="verified questions; default: "
        "verified.yaml in the folder, or TABLE.verified.yaml beside it")  # fmt: skip
    add_json(parser, "print one JSON object per line, one line per question")
    add_verbose(parser)
    add_reading_options(parser)
    return parser


def ask_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without loading anything."""
    faults = []
    if student_folder(args.data) is None:
        faults += missing_source(args.data)
    if bool(args.question) == bool(args.questions):
        faults.append("give a question, or --questions FILE.csv, one of the two")
    if args.questions is not None and not Path(args.questions).is_file():
        faults.append(f"--questions is {args.questions!r}; there is no such file")
    if args.verify and len(args.question) != 1:
        faults.append("--verify approves one question; give one, and no --questions")
    if args.verified is None and args.verify and not Path(args.data).exists():
        faults.append(f"--verify has no file beside {args.data!r}; name one: --verified FILE.yaml")
    return faults


def ask_questions(args: argparse.Namespace) -> None:
    """Answer the questions and print each answer.

    Raises:
        DataError: The data, the questions or the verified questions cannot be used.
    """
    # The console silences libraries while they are loaded, and prints notes.
    Console(args.verbose, as_data=args.json)
    rows = list(_questions(args))
    from ...understanding.verified.verified_questions import verified_place

    place = args.verified or verified_place(student_folder(args.data) or args.data)
    asker = open_asker(args)
    asker.use_verified(place)
    for fault in asker.verified.faults():
        print(f"note: {place}: {fault}", file=sys.stderr)
    before: dict[str, Context | None] = {}
    for row in rows:
        thread = row.get("thread") or ""
        answer = asker.ask(row["question"], before.get(thread) if thread else None,
                           always=args.always)  # fmt: skip
        if answer.context is not None:
            before[thread] = answer.context
        if args.json:
            kept = {name: row[name] for name in ("n", "question", "thread") if row.get(name)}
            told = {**kept, **answer.to_dict(), **(_explained(answer) if args.explain else {})}
            print(json.dumps(told, ensure_ascii=False), flush=True)
        else:
            _print(row["question"], answer)
            if args.explain:
                _explain(answer)
        if args.verify:
            _keep(answer, args.verify, place, asker)


def _keep(answer: TableAnswer, number: int, place: str | Path, asker: Asker) -> None:
    """Add a reading to the verified questions.

    Args:
        answer: The answer with its readings.
        number: Number of the reading, counted from 1.
        place: File of the verified questions.
        asker: The asker that gave the answer.

    Raises:
        DataError: There is no such reading, or as in `add_verified`.
    """
    from ...understanding.joins.joined_tables import JoinedTable
    from ...understanding.plans.as_data import plan_from_data, plan_to_data
    from ...understanding.verified.verified_questions import add_verified

    if number > len(answer.plans):
        raise DataError(f"{answer.asked!r} has {len(answer.plans)} readings that can be verified")
    plan, table = answer.plans[number - 1], answer.tables[number - 1]
    # In a database, plans are stored for their table with all tables that can be joined to it.
    whole = asker.table_of(table.name).table
    plan = plan_from_data(plan_to_data(plan, table), whole)
    added = add_verified(place, answer.asked, plan, whole, named=isinstance(whole, JoinedTable))
    said = f"{answer.asked!r} means {answer.readings[number - 1][0]}"
    print(f"note: {said}; {'saved in' if added else 'already in'} {place}", file=sys.stderr)


def _questions(args: argparse.Namespace) -> Iterator[Mapping[str, str]]:
    if args.questions is None:
        for question in args.question:
            yield {"question": question, "thread": "asked here"}
        return
    from ...data.readers.read_table import iter_records

    for number, record in enumerate(iter_records(args.questions), 1):
        if not str(record.get("question") or "").strip():
            raise DataError(
                "has no question; each row needs one in the column `question`",
                path=args.questions,
                row=number,
            )
        yield {name: "" if value is None else str(value) for name, value in record.items()}


def _print(question: str, answer: TableAnswer) -> None:
    width = WIDTH
    print(f"{'you':<{width}}{question}")
    if answer.plan:
        sure = "verified" if answer.verified else f"{answer.confidence:.2f}"
        print(f"{'reading':<{width}}{answer.plan} ({sure})")
    print(f"{'answer':<{width}}{answer.message}")
    for cell in answer.cells[:8]:
        where = f"{cell.table}, row {cell.row}" if cell.table else f"row {cell.row}"
        print(f"{'':<{width}}{where}, {cell.column}: {cell.text}")
    if len(answer.cells) > 8:
        print(f"{'':<{width}}and {len(answer.cells) - 8:,} more cells")


def _explain(answer: TableAnswer) -> None:
    """Print the likeliest readings, and the SQL of the first with the answer of DuckDB."""
    explained = _explained(answer)
    for number, one in enumerate(explained["readings"], 1):
        values = ", ".join(one["answer"][:5])
        print(f"{'':<{WIDTH}}{number}. {one['confidence']:.2f}  {one['plan']}: {values}")
    if explained["sql"]:
        print(f"{'sql':<{WIDTH}}{explained['sql']}")
        print(f"{'duckdb':<{WIDTH}}{', '.join(explained['duckdb'])}")


def _explained(answer: TableAnswer) -> dict[str, Any]:
    from ...understanding.plans.run_sql import run_sql

    found, sql = run_sql(answer.plans[0], answer.tables[0]) if answer.plans else (None, "")
    return {
        "readings": [
            {"plan": plan, "answer": list(values), "confidence": round(chance, 4)}
            for plan, values, chance in answer.readings
        ],
        "sql": sql,
        "duckdb": [] if found is None else list(found.values),
    }


ASK = Command(ask_parser, ask_questions, ask_faults, prints_json=True)
