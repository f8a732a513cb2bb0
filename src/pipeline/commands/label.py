"""`stillroom label` and `stillroom expand`: let a teacher answer or extend the records of a file.

    stillroom label --data questions.csv --teacher ollama --model qwen3:8b --output outputs/labels
    stillroom expand --data fifty.csv --target 500 --teacher ollama --output outputs/grown

`stillroom distill` reads `labels.jsonl`. After an interruption the same command continues; answered
records are not asked, or paid for, again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config import read_written_text
from ...console import Console
from ...errors import ConfigError, LabelingStoppedError
from ...files import write_json, write_json_lines
from ...record_shapes import asked_shape, put_column
from ..command import Command
from ..options import (
    CommandParser,
    add_json,
    add_verbose,
    faults_of,
    listed,
    number,
    one_of,
    text,
    whole_number,
)
from ..path_checks import missing_source, output_faults
from ..reading_options import add_reading_options, reading_keywords
from .teacher_options import (
    add_teacher_options,
    chosen_profile,
    chosen_settings,
    chosen_teacher,
    teacher_faults,
)

if TYPE_CHECKING:
    from ...labeling.batch.label_run import LabelRun
    from ...labeling.batch.progress import LabelProgress
    from ...labeling.tasks.new_examples import ExpansionPlan
    from ...labeling.teachers.protocol import DecodeProfile

LABELS_FILE, GROWN_FILE, REPORT_FILE = "labels.jsonl", "records.jsonl", "report.json"
_RETRY = "the same command with --retry-failed"


def label_parser(program: str = "stillroom label") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Let a teacher answer the records of a file. After an interruption the same command\n"
        "continues; answered records are not asked again.",
        (
            f"{program} --data questions.csv --teacher ollama --model qwen3:8b --output labels",
            f"{program} --data shop.csv --template 'Describe {{name}} in one sentence.' "
            "--teacher http://127.0.0.1:8000/v1 --output labels",
        ),
    )
    _add_data_options(parser)
    add = parser.add_argument
    add(
        "--template",
        type=text,
        help="text with {column} in it, or a file with such a text; default: as --format renders",
    )
    add(
        "--format",
        default="s2-qa",
        type=one_of("s2-qa", "s2-summarize", "system1", "system2"),
        metavar="{s2-qa,s2-summarize,system1,system2}",
        help="how questions and instructions are rendered (default s2-qa, as stillroom distill "
        "trains them)",
    )
    add_teacher_options(parser)
    add(
        "--batch-endpoint",
        action="store_true",
        help="ask through the provider's batch endpoint: half the price, answers within a day",
    )
    add_reading_options(parser)
    return parser


def label_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without asking the teacher."""
    faults = _data_faults(args) + teacher_faults(args) + faults_of(lambda: chosen_profile(args, 0))
    return faults + faults_of(lambda: template_text(args.template))


def expand_parser(program: str = "stillroom expand") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Let a teacher write more records like those of a file, without duplicates.",
        (
            f"{program} --data fifty.csv --target 500 --teacher ollama --model qwen3:8b "
            "--output grown",
        ),
    )
    _add_data_options(parser)
    add = parser.add_argument
    add("--target", type=whole_number(1), required=True, help="records in the end")
    add(
        "--methods",
        type=listed,
        default=("instruction", "paraphrase", "persona"),
        help="methods, separated by commas (default instruction,paraphrase,persona)",
    )
    add(
        "--in-context",
        type=whole_number(1),
        default=3,
        help="records shown to the teacher for each new one (default 3)",
    )
    add(
        "--likeness",
        type=number(0, 1),
        default=0.9,
        help="similarity from which texts count as duplicates, 0 to 1 (default 0.9)",
    )
    add_teacher_options(parser)
    add_reading_options(parser)
    return parser


def expand_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without asking the teacher."""
    faults = _data_faults(args) + teacher_faults(args) + faults_of(lambda: chosen_profile(args, 0))
    return faults + faults_of(lambda: _plan(args))


def label_file(args: argparse.Namespace) -> dict[str, Any]:
    """Label the records that the options name, print the result and return the report.

    Raises:
        LabelingStoppedError: The run ended early, or no record has a label.
        StillroomError: Data, teacher or settings cannot be used.
    """
    console, began = Console(args.verbose), time.monotonic()
    # --help must load nothing heavy.
    from ...labeling.batch.batch_loop import BatchEndpoint
    from ...labeling.batch.labeler import BatchLabeler
    from ...labeling.batch.records import kept_columns, label_tasks, labelled_record, unknown_names

    profile, template = chosen_profile(args, 0.0), template_text(args.template)
    # Columns are copied, not renamed, so that templates can name the table's own columns.
    tasks = label_tasks(_records(args, copied=True), form=args.format, template=template)
    teacher = chosen_teacher(args)
    endpoint = BatchEndpoint() if args.batch_endpoint else None
    labeler = BatchLabeler(
        teacher,
        args.output,
        profile=profile,
        settings=chosen_settings(args),
        batch_endpoint=endpoint,
    )
    console.head(f"stillroom: {len(tasks):,} records of {args.data}, labelled by {teacher.name}")
    for name in () if template is None else unknown_names(template, tasks):
        console.line("template", f"{{{name}}} is no column and stays as it is")
    for column, place in kept_columns(tasks, template=template).items():
        words = "holds the marks of the labels" if column == "label" else "keeps its values"
        console.line("column", f"{column!r} is there already; {place!r} {words}")
    with progress_line() as show:
        run = labeler.run(tasks, progress=show)
    labelled = [
        labelled_record(one, teacher.name, profile, form=args.format, template=template)
        for one in run.labelled
    ]
    path = write_json_lines(Path(args.output) / LABELS_FILE, labelled)
    report = _report(args, run, teacher.name, profile)
    console.line("labels", _words(run), time.monotonic() - began)
    console.line("written", str(path))
    if run.failed:
        console.line("", f"{Path(args.output) / 'dead_letter.jsonl'}: {len(run.failed):,} records")
        console.line("", f"{_RETRY} asks for these again")
    if run.stopped is not None:
        told = f"stopped early ({run.stopped}): {run.message}; "
        told += f"{run.numbers.remaining:,} records are left: the same command goes on with them"
        if run.failed:
            told += f", and {_RETRY} with the {len(run.failed):,} dead letters as well"
        raise LabelingStoppedError(told)
    if not labelled:
        raise LabelingStoppedError(
            f"no record has a label; {Path(args.output) / 'dead_letter.jsonl'} says why, and "
            f"{_RETRY} asks for them again"
        )
    return report | {"file": path}


def expand_file(args: argparse.Namespace) -> dict[str, Any]:
    """Write more records like those that the options name, and print and return the result.

    Raises:
        LabelingStoppedError: The run ended early.
        StillroomError: Data, teacher or settings cannot be used.
    """
    console, began = Console(args.verbose), time.monotonic()
    # --help must load nothing heavy.
    from ...labeling.tasks.new_examples import expand_records

    plan = _plan(args)
    records, teacher = _records(args), chosen_teacher(args)
    console.head(f"stillroom: {len(records):,} records of {args.data}, expanded by {teacher.name}")
    with progress_line() as show:
        grown = expand_records(
            records,
            teacher,
            args.output,
            plan,
            profile=chosen_profile(args, 0.9),
            settings=chosen_settings(args),
            progress=show,
        )
    path = write_json_lines(Path(args.output) / GROWN_FILE, grown.records)
    by_method = ", ".join(f"{count:,} by {name}" for name, count in grown.methods.items())
    words = f"{grown.new:,} new ({by_method or 'none'}), {grown.duplicates:,} duplicates left out"
    words += f", {grown.failed:,} failed" if grown.failed else ""
    console.line("records", words, time.monotonic() - began)
    console.line("written", f"{path}: {len(grown.records):,} records")
    if grown.stopped is not None:
        told = f"stopped early ({grown.stopped}): {grown.message}; the same command goes on"
        told += f", and {_RETRY} asks for the dead letters again" if grown.failed else ""
        raise LabelingStoppedError(told)
    if len(grown.records) < args.target:
        console.line("", f"{args.target:,} were asked for; the teacher wrote no more new ones")
    return {
        "file": path,
        "records": len(grown.records),
        "new": grown.new,
        "by_method": dict(grown.methods),
        "duplicates": grown.duplicates,
        "failed": grown.failed,
    }


@contextmanager
def progress_line() -> Iterator[Callable[[LabelProgress], None]]:
    """Show progress on a terminal in one line that is overwritten, else in one line a minute."""
    shown_at, is_terminal = time.monotonic(), sys.stderr.isatty()

    def show(progress: LabelProgress) -> None:
        nonlocal shown_at
        if is_terminal:
            print(f"\r  {progress}\x1b[K", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - shown_at >= 60:
            shown_at = time.monotonic()
            print(f"  {progress}", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", type=text, required=True, help="file of records: a table, JSON, JSON Lines")
    add("--output", type=text, required=True, help="folder of the run")
    add(
        "--question",
        type=text,
        help="column with the questions; default: question, instruction or prompt",
    )
    add("--context", type=text, help="column with a text that goes with each question")
    add_json(parser)
    add_verbose(parser)


def _data_faults(args: argparse.Namespace) -> list[str]:
    faults = [] if args.data is None else missing_source(args.data)
    faults += faults_of(lambda: reading_keywords(args))
    if args.output is None:
        return faults
    names = (LABELS_FILE, GROWN_FILE, REPORT_FILE, "calls.jsonl", "dead_letter.jsonl")
    in_the_way = [path for name in names if (path := Path(args.output) / name).is_dir()]
    faults += [f"{path} is a folder, but a file must be written there" for path in in_the_way]
    return faults + output_faults("output", args.output)


def _plan(args: argparse.Namespace) -> ExpansionPlan:
    from ...labeling.tasks.new_examples import ExpansionPlan

    return ExpansionPlan(
        target=1 if args.target is None else args.target,
        methods=args.methods,
        in_context=args.in_context,
        likeness=args.likeness,
        seed=args.seed,
    )


def _records(args: argparse.Namespace, *, copied: bool = False) -> list[dict[str, Any]]:
    from ...data.readers.read_table import read_table

    records = read_table(args.data, **reading_keywords(args))
    names = {"question": args.question, _context_key(args, records): args.context}
    return _rename_columns(records, names, copied=copied)


def _context_key(args: argparse.Namespace, records: list[dict[str, Any]]) -> str:
    """Return the key of the context in records of this shape, `context` or `input`.

    Raises:
        ConfigError: A context is given, but records of this shape have none.
    """
    named = args.question is not None or getattr(args, "template", None) is not None
    shape = "question" if named or not records else asked_shape(records[0])
    if args.context is None or shape == "question":
        return "context"
    if shape == "instruction":
        return "input"
    raise ConfigError([
        f"--context {args.context!r} goes with questions; name their column with --question, or "
        "write both columns into a --template"
    ])  # fmt: skip


def _rename_columns(
    records: list[dict[str, Any]], names: Mapping[str, str | None], *, copied: bool = False
) -> list[dict[str, Any]]:
    """Rename columns to the names that labelling uses.

    Args:
        records: Records of a table. If another column has such a name, its values move to
            `..._before`.
        names: Name that labelling uses -> name in the table; None for no change.
        copied: Whether to also keep the columns under their own names.

    Raises:
        ConfigError: No record has such a column.
    """
    wanted = {ours: theirs for ours, theirs in names.items() if theirs not in (None, ours)}
    columns = {key for record in records for key in record}
    missing = sorted({str(theirs) for theirs in names.values() if theirs is not None} - columns)
    if missing:
        raise ConfigError([f"there is no column {missing}; the table has {sorted(columns)}"])
    if not wanted:
        return records
    named = []
    for record in records:
        told = dict(record)
        if not copied:
            told = {key: value for key, value in record.items() if key not in wanted.values()}
        for ours, theirs in wanted.items():
            told = put_column(told, ours, record.get(str(theirs)))
        named.append(told)
    return named


def template_text(given: str | None) -> str | None:
    """Return a template that is given as a text or as the name of a file; None for none.

    Raises:
        ConfigError: The file cannot be read, or there is no column in braces.
    """
    if given is None or "{" in given:
        return given if given is None else given.lstrip("\ufeff")
    try:
        written = read_written_text(given)
    except ConfigError as fault:
        if os.path.exists(given):
            raise ConfigError([f"template is {given!r}; {fault}"]) from fault
        raise ConfigError(
            [f"template {given!r} names no column in braces, and there is no file of that name"]
        ) from fault
    if "{" not in written:
        raise ConfigError(
            [f"template is {given!r}; the file names no column in braces, such as {{question}}"]
        )
    return written


def _words(run: LabelRun) -> str:
    numbers = run.numbers
    words = [f"{numbers.labelled:,} of {numbers.records:,} labelled"]
    if numbers.cached:
        words.append(f"{numbers.cached:,} of them known")
    if numbers.failed:
        words.append(f"{numbers.failed:,} failed")
    if numbers.thoughts:
        words.append(f"{numbers.thoughts:,} with thoughts")
    words.append(f"{numbers.calls:,} calls")
    if numbers.cost is not None:
        words.append(f"cost {numbers.cost:.4g}")
    return ", ".join(words)


def _report(
    args: argparse.Namespace, run: LabelRun, teacher: str, profile: DecodeProfile
) -> dict[str, Any]:
    """Write the numbers of the run to `report.json`, without addresses and keys; return them."""
    from ...prompts import format_sha256

    numbers: Mapping[str, Any] = asdict(run.numbers)
    report = {
        "schema_version": 1,
        "teacher": teacher,
        "decode_profile": profile.to_dict(),
        "prompt_sha256": format_sha256(args.format),
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "stopped": run.stopped,
        "message": run.message,
        **numbers,
    }
    write_json(Path(args.output) / REPORT_FILE, report)
    return report


LABEL = Command(label_parser, label_file, label_faults, lambda args: args.output)
EXPAND = Command(expand_parser, expand_file, expand_faults, lambda args: args.output)
