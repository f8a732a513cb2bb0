"""`stillroom prepare`: clean, deduplicate and split records, and say what was dropped and why.

stillroom prepare --data faq.csv --question question --answer answer --output prepared
stillroom prepare --data more.csv --output prepared2 --frozen prepared
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...console import Console
from ..command import Command
from ..options import CommandParser, add_json, add_verbose, faults_of, listed, number, text
from ..path_checks import missing_source, output_faults
from ..reading_options import add_reading_options, reading_keywords

if TYPE_CHECKING:
    from ...data.prepare_records import PrepareSettings


def prepare_parser() -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        "stillroom prepare",
        "Read records, clean them, drop duplicates, and split them into train.jsonl,\n"
        "validation.jsonl and test.jsonl. dropped.jsonl holds each dropped record with the\n"
        "reason, report.json the counts. stillroom label, distill and cache-logits read them.",
        (
            "stillroom prepare --data faq.csv --question question --answer answer "
            "--output prepared",
            "stillroom prepare --data mine.csv --near 0.9 --output prepared --json",
            "stillroom prepare --data more.csv --frozen prepared --output prepared2",
        ),
    )
    add = parser.add_argument
    add("--data", type=text, required=True, help="file, folder, pattern or database URL")
    add("--output", type=text, required=True, help="folder to write")
    add("--question", type=text, help="column with questions; records become question and answer")
    add("--answer", type=text, help="column with their answers")
    add("--context", type=text, help="column with a text for each question")
    add("--key", type=listed, default=(), help="columns, separated by commas, whose equal values "
        "make two records the same; default: all, or question and context")  # fmt: skip
    add("--near", type=number(0, 1, above=True), metavar="JACCARD", help="drop records that are "
        "nearly the same too: least likeness of their texts, such as 0.9")  # fmt: skip
    add("--group-by", type=text, metavar="COLUMN", help="records with equal values in it stay in "
        "one part")  # fmt: skip
    add("--train", type=number(0, 1, above=True), default=0.8,
        help="share to train on (default 0.8)")  # fmt: skip
    add("--validation", type=number(0, 1), default=0.1,
        help="share for validation; the rest is the test part (default 0.1)")  # fmt: skip
    add("--frozen", type=text, metavar="FOLDER", help="folder of an earlier call, whose test part "
        "stays byte for byte; what is in it is dropped from the new records")  # fmt: skip
    add_json(parser)
    add_verbose(parser)
    add_reading_options(parser)
    return parser


def prepare_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without reading the data."""
    faults = [] if args.data is None else missing_source(args.data)
    faults += faults_of(lambda: reading_keywords(args))
    faults += faults_of(lambda: _settings(args))
    if args.output is not None:
        from ...data.prepare_records import require_own_folder

        faults += output_faults("output", args.output)
        faults += faults_of(lambda: require_own_folder(Path(args.output)))
    if args.frozen is not None and not (Path(args.frozen) / "test.jsonl").is_file():
        faults.append(f"frozen is {args.frozen!r}, which has no test.jsonl")
    return faults


def _settings(args: argparse.Namespace) -> PrepareSettings:
    from ...data.prepare_records import PrepareSettings

    return PrepareSettings(
        question=args.question,
        answer=args.answer,
        context=args.context,
        key=tuple(args.key),
        near=args.near,
        group_by=args.group_by,
        train=args.train,
        validation=args.validation,
    )


def prepare(args: argparse.Namespace) -> dict[str, Any]:
    """Prepare the records and print what was written and dropped.

    Raises:
        StillroomError: As in `prepare_records`.
    """
    from ...data.prepare_records import DROPPED_FILE, prepare_records
    from ...data.readers.read_report import ReadReport
    from ...data.readers.read_table import iter_sourced_records

    console, report = Console(args.verbose), ReadReport(quiet=True)
    records = iter_sourced_records(args.data, report=report, **reading_keywords(args))
    with console.timed("prepared") as words:
        made = prepare_records(
            console.progress(records, "reading"),
            args.output,
            _settings(args),
            report=report,
            frozen=args.frozen,
        )
        words.append(f"{made.read:,} records of {args.data}")
    told = made.to_dict()
    for name, count in made.records.items():
        console.line(name, f"{count:,} records")
    for name, count in made.dropped.items():
        console.line("dropped", f"{count:,}: {told['reasons'][name]}")
    changed = {name: count for name, count in made.cleaned.items() if count}
    if changed:
        console.line(
            "cleaned", ", ".join(f"{count:,} cells of {n}" for n, count in changed.items())
        )
    for note in made.notes:
        console.line("note", note)
    console.line("written", f"{made.folder}/  train.jsonl  validation.jsonl  test.jsonl  "
                 f"{DROPPED_FILE}  report.json")  # fmt: skip
    return told


PREPARE = Command(prepare_parser, prepare, prepare_faults)
