"""`stillroom run`: the main job, from a table to a student that answers.

stillroom run --data mine.csv
stillroom run mine.yaml
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...console import Console
from ...files import read_json
from ..command import Command
from ..option_file import YAML_SUFFIXES, read_with_file
from ..options import (
    CommandParser,
    Fault,
    add_json,
    add_verbose,
    device,
    listed,
    number,
    seed,
    text,
    whole_number,
)
from ..reading_options import OF_SOURCES, add_reading_options, reading_keywords
from .teacher_options import add_limits, add_server_options, chosen_settings

if TYPE_CHECKING:
    from ..main_job.settings import MainJob


def job_parser(program: str) -> CommandParser:
    """Make the parser of the main job's options."""
    parser = CommandParser(
        program,
        "From a table to a student that answers, proven against its teacher.",
        (
            f"{program} --data mine.csv",
            f"{program} mine.yaml",
            f"{program} --data mine.csv --key name --columns price,stock --effort 0.2",
            f"{program} --data shop.db --table products --output-dir outputs/shop",
            f"{program} --data old.csv --encoding cp1252 --sep ';' --skip-lines 2",
        ),
    )
    add = parser.add_argument
    add(
        "source",
        nargs="?",
        type=text,
        metavar="FILE",
        help="a table, as --data; or a .yaml file of options, as stillroom init writes it",
    )
    add("--config", type=text, metavar="FILE", help="YAML or JSON file of these options, by their "
        "long names; options that are typed replace those of the file")  # fmt: skip
    add(
        "--data",
        type=text,
        help="file, folder, pattern or database URL; default: the bundled elements",
    )
    add("--question", type=text, help="column that holds questions")
    add("--answer", type=text, help="column that holds their answers")
    add("--context", type=text, help="column with a text for each question")
    add("--key", type=text, help="column that names a record")
    add("--columns", type=listed, help="columns to ask about, separated by commas")
    add("--template", dest="templates", action="append", type=text, metavar="TEXT",
        help="question with {key} for the record and {label} for the column; may be given again; "
        "default: several English ones")  # fmt: skip
    add("--rows", type=whole_number(1), metavar="N", help="read the first N records only")
    add(
        "--also-called", action="append", default=[], metavar="COLUMN=WORDS", type=_also,
        help="what people say for a column too, separated by commas; may be given again",
    )  # fmt: skip
    add(
        "--teacher",
        default="starter",
        help="starter (trained here from scratch), smollm2 (stillroom models add smollm2), a "
        "folder, a .gguf file, a model of the hub, or a server: its address or its provider, such "
        "as ollama or vllm",
    )
    add(
        "--student",
        help="smollm2, a folder, a .gguf file or a model of the hub; minilm, an encoder, where the "
        "answers are a few labels; default: made from the teacher, or from scratch where that is "
        "on a server",
    )
    add(
        "--asked", type=text, metavar="FILE",
        help="questions in people's own words to measure with: a CSV file with column and "
        "question, in which {key} stands for the record",
    )  # fmt: skip
    add(
        "--wordings", type=whole_number(0), default=16, metavar="N",
        help="further wordings of each question that a named teacher and its students learn from; "
        "0 for none (default 16)",
    )  # fmt: skip
    add("--gold-share", type=number(0, 1), default=0.5,
        help="share of facts with gold answers, 0 to 1 (default 0.5)")  # fmt: skip
    add("--teacher-least", type=number(0, 1), default=0.8,
        help="a named teacher that has fewer of the held-out questions right labels nothing and "
        "ends the job; 0 to 1 (default 0.8)")  # fmt: skip
    add("--temperature", type=number(0, above=True), help="of the soft targets, above 0")
    add("--alpha", type=number(0, 1), help="weight of the soft targets, 0 to 1")
    add("--effort", type=number(0, above=True), default=1.0,
        help="multiply the steps; 0.1 for a quick look")  # fmt: skip
    add(
        "--max-minutes", type=number(0, above=True), default=60.0, metavar="M",
        help="a job that is estimated to take longer asks first, or is refused; default 60",
    )  # fmt: skip
    add("--yes", action="store_true", help="train however long it takes; asks nothing")
    add("--seed", type=seed, default=0, help="of questions, split and trainings (default 0)")
    add("--training-seed", type=seed, metavar="N",
        help="of the trainings alone, to train again on the same questions; default: "
        "--seed")  # fmt: skip
    add("--output-dir", type=text, help="run folder; default outputs/<name of the data>")
    add("--device", type=device, help="cpu or cuda; default: CUDA where there is one")
    add(
        "--threads", type=whole_number(1), metavar="N",
        help="threads to compute with; default: OMP_NUM_THREADS, else as many as cores are idle",
    )  # fmt: skip
    add("--no-controls", action="store_true", help="train the student only")
    add_json(parser)
    add_verbose(parser)
    add_reading_options(parser, columns=False)
    add = parser.add_argument_group("a teacher on a server").add_argument
    add_server_options(add)
    add(
        "--max-tokens",
        type=whole_number(1),
        default=512,
        help="most tokens of an answer, thoughts included (default 512)",
    )
    add_limits(parser)
    return parser


def main_job(args: argparse.Namespace) -> MainJob:
    """Make the main job of its options.

    Raises:
        ConfigError: Values do not fit; all faults at once.
    """
    from ..main_job.settings import ELEMENTS, MainJob, Recipe, ServerOptions, Tuning

    changed = {n: v for n in ("temperature", "alpha") if (v := getattr(args, n)) is not None}
    reading = reading_keywords(args, columns=False)
    return MainJob(
        data=args.data or ELEMENTS,
        question=args.question,
        answer=args.answer,
        context=args.context,
        key=args.key,
        columns=args.columns,
        rows=args.rows,
        templates=args.templates,
        also_called=dict(args.also_called),
        **{name: reading.pop(name, None) for name in OF_SOURCES},
        reading=reading,
        teacher=args.teacher,
        server=ServerOptions(
            model=args.model,
            max_tokens=args.max_tokens,
            api_key_env=args.api_key_env,
            timeout_s=args.timeout,
            honours_idempotency=args.honours_idempotency,
            limits=chosen_settings(args),
        ),
        student=args.student,
        asked=args.asked,
        wordings=args.wordings,
        gold_share=args.gold_share,
        teacher_least=args.teacher_least,
        seed=args.seed,
        training_seed=args.training_seed,
        output_dir=args.output_dir,
        max_minutes=None if args.yes else args.max_minutes,
        device=args.device,
        threads=args.threads,
        controls=not args.no_controls,
        recipe=dataclasses.replace(Recipe().scaled(args.effort), **changed),
        tuning=Tuning().scaled(args.effort),
    )


def run_command(program: str = "stillroom run") -> Command:
    """Make the command, under the name that it is typed by."""
    return Command(
        lambda: job_parser(program),
        _run,
        lambda args: main_job(args).faults(),
        lambda args: str(main_job(args).run_dir()),
        read=_read,
    )


def _read(
    parser: CommandParser,
    argv: Sequence[str] | None,
    check: Callable[[argparse.Namespace], Sequence[str]],
) -> argparse.Namespace:
    """Read the options; a single word is a file of options or a table."""
    typed, _ = parser.parse_known_intermixed_args(argv)
    word = typed.source
    if not isinstance(word, str) or isinstance(word, Fault):
        return read_with_file(parser, argv, check)
    name = "config" if word.lower().endswith(YAML_SUFFIXES) else "data"
    if getattr(typed, name) is not None:
        twice = f"{word!r} is given beside --{name} {getattr(typed, name)}; give one of them"
        return parser.read(argv, lambda _: [twice])
    words = [*(sys.argv[1:] if argv is None else argv), f"--{name}={word}"]
    return read_with_file(parser, words, check)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from .. import run_main_job

    folder = run_main_job(main_job(args), Console(args.verbose))
    return {
        "folder": folder,
        "student": folder / "student",
        "metrics": read_json(folder / "metrics.json"),
    }


def _also(given: str) -> tuple[str, tuple[str, ...]]:
    column, equals, words = given.partition("=")
    if not equals or not column.strip() or not listed(words):
        raise argparse.ArgumentTypeError(f"{given!r}; write COLUMN=WORDS, e.g. area=size,how big")
    return column.strip(), listed(words)


RUN = run_command()
