"""`stillroom evaluate STUDENT`: score a student on questions with answers, or on public tasks.

The questions are those of a file (CSV, JSON, Parquet ... with a column of questions and one of
answers, or JSON Lines with `prompt` and `target`), or the held-out ones of the student's own run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...console import Console
from ...errors import DataError
from ..command import Command
from ..options import CommandParser, add_json, add_verbose, device, listed, text, whole_number
from ..path_checks import missing_source, model_faults, output_faults
from .public_tasks import TASKS_FILE, measure_tasks, tasks_faults

if TYPE_CHECKING:
    from ...prompts import FormatName
    from ...records import Example

_QUESTIONS: Final = ("question", "instruction", "prompt", "input")
_ANSWERS: Final = ("answer", "target", "output", "gold")
HELD_OUT: Final = Path("data") / "held_out.jsonl"
OUTPUT: Final = "evaluation"
"""Folder that is written by default, in the student's run."""


def evaluate_parser(program: str = "stillroom evaluate") -> CommandParser:
    """Make the parser of the command's options."""
    parser = CommandParser(
        program,
        "Score a student on a file of questions and answers, or again on the held-out questions\n"
        "of its run. Each answer is written to predictions.jsonl, the rates to metrics.json.",
        (
            f"{program} outputs/elements",
            f"{program} outputs/elements --data questions.csv --output outputs/questions",
            f"{program} outputs/elements/student --tasks hellaswag,arc_easy --limit 100",
        ),
    )
    add = parser.add_argument
    add("student", help="a checkpoint folder, or the folder of the run that made it")
    add("--data", type=text, metavar="FILE", help="questions with answers (default: the held-out "
        "questions of the student's run)")  # fmt: skip
    add("--question", type=text, metavar="COLUMN", help="column of the questions (default: "
        "question, instruction, prompt or input)")  # fmt: skip
    add("--answer", type=text, metavar="COLUMN", help="column of the right answers (default: "
        "answer, target, output or gold)")  # fmt: skip
    add("--category", type=text, metavar="COLUMN", help="column by which rates are split")
    add("--rows", type=whole_number(1), metavar="N", help="ask the first N questions only")
    add("--max-tokens", type=whole_number(1), default=128, help="most tokens of an answer "
        "(default 128)")  # fmt: skip
    add("--output", type=text, metavar="FOLDER", help="folder to write (default: evaluation, "
        "beside the student)")  # fmt: skip
    add("--tasks", type=listed, metavar="NAMES", help="public tasks of lm-evaluation-harness, "
        "separated by commas, instead of questions")  # fmt: skip
    add("--limit", type=whole_number(1), metavar="N", help="examples of each public task")
    add("--device", type=device, help="cpu or cuda; default: CUDA where there is one")
    add_json(parser)
    add_verbose(parser)
    return parser


def student_of(given: str) -> Path:
    """Return the folder of a student, given that folder or its run's."""
    inside = Path(given) / "student"
    return inside if (inside / "config.json").is_file() else Path(given)


def evaluate_faults(args: argparse.Namespace) -> list[str]:
    """List the faults in the options that can be found without loading anything."""
    folder = student_of(args.student)
    faults = model_faults("student", str(folder), hub=False)
    if args.tasks:
        return faults + tasks_faults()
    if args.data is not None:
        faults += missing_source(args.data)
    elif not faults and not (folder.parent / HELD_OUT).is_file():
        faults.append(f"data is not given, and there is no {HELD_OUT} beside {folder}; give "
                      "--data FILE")  # fmt: skip
    return faults + (output_faults("output", args.output) if args.output else [])


def evaluate_student(args: argparse.Namespace) -> dict[str, Any]:
    """Run the command; returns the rates as JSON values."""
    console = Console(args.verbose)
    folder = student_of(args.student)
    if args.tasks:
        return _measure_tasks(args, folder, console)
    from ...evaluation.held_out import answer_held_out
    from ...evaluation.predictions import predictions_of, write_predictions
    from ...evaluation.report.quality import percents, rate_of
    from ...files import write_json
    from ...inference.checkpoints.architectures import ANSWERING
    from ...inference.checkpoints.load_student import load_checkpoint

    checkpoint = load_checkpoint(folder, device=args.device, kinds=ANSWERING)
    examples = _examples(args, folder, (checkpoint.run or {}).get("prompt_form"))
    with console.busy("evaluate"):
        answers = answer_held_out(
            checkpoint, [one.asked for one in examples], [one.target or "" for one in examples],
            max_new_tokens=args.max_tokens, batch_size=32,
        )  # fmt: skip
    made = predictions_of(examples, answers)
    parts: dict[str, list[Any]] = {}
    for one in made:
        parts.setdefault(one.category, []).append(one)
    found = {
        "student": str(folder), "data": args.data or str(folder.parent / HELD_OUT),
        **rate_of(made), "perplexity": answers.perplexity(),
        "by_category": {name: rate_of(own) for name, own in sorted(parts.items())},
    }  # fmt: skip
    output = Path(args.output) if args.output else folder.parent / OUTPUT
    write_predictions(output / "predictions.jsonl", made)
    write_json(output / "metrics.json", found)
    for name, own in ({"all": found} | found["by_category"]).items():
        if name == "all" or len(parts) > 1:
            console.line(name, f"{own['right']:,} of {own['n']:,} right, {100 * own['rate']:.1f} % "
                         f"(95 % interval {percents(own['rate_ci95'])})")  # fmt: skip
    console.line("written", f"{output}/predictions.jsonl  metrics.json")
    return found


def _measure_tasks(args: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    """Measure public tasks; the report of the student's run shows them."""
    from ...files import write_json

    found = measure_tasks(folder, args.tasks, limit=args.limit, device=args.device)
    output = Path(args.output) if args.output else folder.parent
    write_json(output / TASKS_FILE, found)
    for one in found["results"]:
        error = "" if one["stderr"] is None else f" (standard error {one['stderr']:.3g})"
        console.line(one["task"], f"{one['metric']} {one['value']:.4g}{error}")
    console.line("written", str(output / TASKS_FILE))
    return found


def _examples(args: argparse.Namespace, folder: Path, form: FormatName | None) -> list[Example]:
    """Read the questions: of the file, or of the student's run.

    Args:
        args: The options.
        folder: The student.
        form: Form of the prompts that it was trained on, in which bare questions are put.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: A question or an answer is missing; names the row.
    """
    from ...data.readers.read_table import read_table
    from ...prompts import ask_in
    from ...records import Example, Source, read_examples

    if args.data is None:
        return read_examples(str(folder.parent / HELD_OUT))[: args.rows]
    records = read_table(args.data)[: args.rows]
    if not records:
        raise DataError("holds no questions", path=args.data)
    names = list(records[0])
    question = _column(args.question, _QUESTIONS, names, "question", args.data)
    answer = _column(args.answer, _ANSWERS, names, "answer", args.data)
    category = None if args.category is None else _column(
        args.category, (), names, "category", args.data
    )  # fmt: skip
    examples = []
    for row, record in enumerate(records, start=1):
        for column in (question, answer):
            if record.get(column) is None or not str(record[column]).strip():
                raise DataError("the record has no value", path=args.data, row=row, column=column)
        asked = str(record[question])
        examples.append(Example(
            id=str(record.get("sample_id") or record.get("id") or row),
            prompt=ask_in(form, asked), target=str(record[answer]),
            task=str(record.get(category) or "none") if category else "text",  # type: ignore[arg-type]
            source=Source(Path(args.data).name, row), fields={"text": asked},
        ))  # fmt: skip
    return examples


def _column(
    given: str | None, usual: Sequence[str], names: Sequence[str], role: str, path: str
) -> str:
    """Find a column by the option, or by the usual names."""
    wanted = [given] if given is not None else [one for one in usual if one in names]
    found = next((one for one in wanted if one in names), None)
    if found is None:
        named = f"{given!r}" if given is not None else f"of {role}s ({', '.join(usual)})"
        raise DataError(
            f"has no column {named}; there are {', '.join(names)}; name one with --{role}",
            path=path,
        )
    return found


EVALUATE = Command(evaluate_parser, evaluate_student, evaluate_faults)
