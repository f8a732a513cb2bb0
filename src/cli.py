"""The `stillroom` command: `stillroom run --data mine.csv`, `stillroom chat`, `stillroom
--help`."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from . import __version__
from .console import Console, quiet_libraries
from .errors import nearest
from .pipeline.commands.teacher_options import add_limits, add_server_options, chosen_settings
from .pipeline.llm_distillery.spellings import spelling_of
from .pipeline.options import (
    EXIT_FAILED,
    EXIT_USAGE,
    CommandParser,
    Refused,
    add_verbose,
    device,
    guarded,
    listed,
    number,
    seed,
    text,
    whole_number,
)
from .pipeline.path_checks import model_faults, output_faults
from .pipeline.reading_options import OF_SOURCES, add_reading_options, reading_keywords

if TYPE_CHECKING:
    from .pipeline import MainJob


def job_parser(program: str) -> CommandParser:
    """Make the parser of the main job's options."""
    parser = CommandParser(
        program,
        "From a table to a student that answers, proven against its teacher.",
        (
            f"{program} --data mine.csv",
            f"{program} --data mine.csv --key name --columns price,stock --effort 0.2",
            f"{program} --data shop.db --table products --output-dir outputs/shop",
            f"{program} --data old.csv --encoding cp1252 --sep ';' --skip-lines 2",
        ),
    )
    add = parser.add_argument
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
    from .pipeline import MainJob, Recipe, Tuning
    from .pipeline.main_job.settings import ELEMENTS, ServerOptions

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


def _run(
    argv: Sequence[str] | None,
    parser: CommandParser,
    check: Callable[[argparse.Namespace], Sequence[str]],
    work: Callable[[argparse.Namespace], object],
    folder: Callable[[argparse.Namespace], str | None] = lambda _: None,
) -> int:
    """Read the options of a command and run it.

    Args:
        argv: Words behind the command.
        parser: Of its options.
        check: Lists what is wrong with them, before anything heavy is loaded.
        work: What the command does.
        folder: The folder that keeps finished steps when the command is interrupted.

    Returns:
        0 done, 1 failed, 2 wrong options, 130 interrupted.
    """
    args = parser.read(argv, check)
    quiet_libraries()
    return guarded(lambda: work(args), parser, args, folder(args))


def run_job(argv: Sequence[str] | None = None, program: str = "stillroom run") -> int:
    """Run the main job; the exit code is that of `_run`, like those of all commands."""

    def work(args: argparse.Namespace) -> None:
        from .pipeline import run_main_job

        run_main_job(main_job(args), Console(args.verbose))

    def run_folder(args: argparse.Namespace) -> str:
        return str(main_job(args).run_dir())

    return _run(argv, job_parser(program), lambda args: main_job(args).faults(), work, run_folder)


def run_text_to_sql(argv: Sequence[str] | None = None, program: str = "text_to_sql.py") -> int:
    """Run the text-to-SQL job, as `examples/text_to_sql.py` does."""
    from .pipeline.text_to_sql.options import text_to_sql_job, text_to_sql_parser

    def work(args: argparse.Namespace) -> None:
        from .pipeline.text_to_sql.run import run_text_to_sql_job

        run_text_to_sql_job(text_to_sql_job(args), Console(args.verbose))

    return _run(
        argv,
        text_to_sql_parser(program),
        lambda args: model_faults("teacher", text_to_sql_job(args).teacher),
        work,
        lambda args: text_to_sql_job(args).folder(),
    )


def run_chat(argv: Sequence[str] | None = None) -> int:
    """Open the chat page over a student."""
    from .pipeline.commands.chat import chat, chat_faults, chat_parser

    return _run(argv, chat_parser(), chat_faults, chat)


def run_cache_logits(argv: Sequence[str] | None = None) -> int:
    """Keep a teacher's logits for a file of training examples."""
    from .pipeline.commands.cache_logits import cache_faults, cache_logits, cache_parser

    return _run(argv, cache_parser(), cache_faults, cache_logits, lambda args: args.output)


def run_distill(argv: Sequence[str] | None = None) -> int:
    """Distil a student by a JSON file of settings."""
    from .pipeline.commands.distill import distill_faults, distill_file, distill_parser

    return _run(argv, distill_parser(), distill_faults, distill_file)


def run_easydistill(argv: Sequence[str] | None = None) -> int:
    """Run an EasyDistill configuration."""
    from .pipeline.easydistill.run import easydistill_main

    return easydistill_main(argv)


def run_system1(argv: Sequence[str] | None = None) -> int:
    """Distil a student that follows instructions, and score it."""
    return _run_system("system1", argv)


def run_system2(argv: Sequence[str] | None = None) -> int:
    """Distil a student that reasons in steps, and score it."""
    return _run_system("system2", argv)


def _run_system(mode: Literal["system1", "system2"], argv: Sequence[str] | None) -> int:
    from .pipeline.systems.run import run_systems_job, systems_faults, systems_parser

    return _run(
        argv,
        systems_parser(mode),
        lambda args: systems_faults(args, mode),
        lambda args: run_systems_job(args, mode),
        lambda args: args.output_dir or f"outputs/{mode}",
    )


def run_export(argv: Sequence[str] | None = None) -> int:
    """Export a checkpoint for fast serving on CPUs."""
    parser = CommandParser(
        "stillroom export",
        "Lay a checkpoint out for ONNX Runtime on CPUs and compare the two.",
        (
            "stillroom export outputs/elements/student",
            "stillroom export outputs/elements/student --int8 --output small",
        ),
    )
    parser.add_argument("checkpoint", help="a checkpoint folder")
    sizes = parser.add_mutually_exclusive_group()
    for dtype, help_text in (
        ("int8", "a quarter of the size; the loss is told"),
        ("int4", "a sixth of the size, with a larger loss"),
    ):
        sizes.add_argument(
            f"--{dtype}", dest="dtype", action="store_const", const=dtype, default="float32",
            help=help_text,
        )  # fmt: skip
    parser.add_argument(
        "--output", type=text, help="folder to write; default: export, in the checkpoint"
    )
    parser.add_argument(
        "--prompts", type=text, help="JSON Lines with prompt and target, to measure a loss on"
    )
    add_verbose(parser)

    def export(args: argparse.Namespace) -> None:
        console = Console(args.verbose)
        from .inference.onnx_export.export import export_checkpoint

        with console.timed("export") as words:
            made = export_checkpoint(
                args.checkpoint, dtype=args.dtype, output=args.output, prompts=args.prompts
            )
            sizes = f"{made.bytes_before / 1e6:.1f} MB -> {made.bytes_after / 1e6:.1f} MB"
            words += [f"{made.dtype}, {sizes}", f"in {made.folder}"]
        first, *rest = made.loss.lines()
        console.line(
            "check" if args.dtype == "float32" else "loss", f"{first} ({made.prompts_from})"
        )
        for line in rest:
            console.line("", line)

    return _run(argv, parser, _export_faults, export)


def _export_faults(args: argparse.Namespace) -> list[str]:
    faults = model_faults("checkpoint", args.checkpoint, hub=False)
    if args.prompts is not None and not Path(args.prompts).is_file():
        faults.append(f"--prompts is {args.prompts!r}; there is no such file")
    return faults + (output_faults("output", args.output) if args.output is not None else [])


def run_label(argv: Sequence[str] | None = None) -> int:
    """Let a teacher answer the records of a file."""
    from .pipeline.commands.label import label_faults, label_file, label_parser

    return _run(argv, label_parser(), label_faults, label_file, lambda args: args.output)


def run_expand(argv: Sequence[str] | None = None) -> int:
    """Let a teacher write more records like those of a file."""
    from .pipeline.commands.label import expand_faults, expand_file, expand_parser

    return _run(argv, expand_parser(), expand_faults, expand_file, lambda args: args.output)


def run_models(argv: Sequence[str] | None = None) -> int:
    """List, add, find and remove pretrained models."""
    from .pipeline.commands.models import models_faults, models_parser, run_models

    return _run(argv, models_parser(), models_faults, run_models)


def run_ask(argv: Sequence[str] | None = None) -> int:
    """Answer questions over a table, without training."""
    from .pipeline.commands.ask import ask_faults, ask_parser, ask_questions

    return _run(argv, ask_parser(), ask_faults, ask_questions)


def run_update(argv: Sequence[str] | None = None) -> int:
    """Put new rows behind a student, without training."""
    from .pipeline.commands.update import update, update_faults, update_parser

    return _run(argv, update_parser(), update_faults, update)


def run_pipeline(argv: Sequence[str] | None = None) -> int:
    """Run, show and verify pipelines of records."""
    from .pipeline.commands.pipeline import pipeline_main

    return pipeline_main(argv)


def run_registry(argv: Sequence[str] | None = None) -> int:
    """List the steps and models that pipelines in files can name."""
    from .pipeline.commands.registry import registry_main

    return registry_main(argv)


def run_agent(argv: Sequence[str] | None = None) -> int:
    """Distil an agent for a task in words."""
    from .pipeline.commands.agent import agent_main

    return agent_main(argv)


def run_serve(argv: Sequence[str] | None = None) -> int:
    """Serve a student over HTTP."""
    from .pipeline.commands.serve import serve, serve_faults, serve_parser

    return _run(argv, serve_parser(), serve_faults, serve)


def run_mcp(argv: Sequence[str] | None = None) -> int:
    """Offer a student and its table as tools of the Model Context Protocol."""
    from .pipeline.commands.serve import mcp, mcp_faults, mcp_parser

    return _run(argv, mcp_parser(), mcp_faults, mcp)


def run_keys(argv: Sequence[str] | None = None) -> int:
    """Make, list and remove the keys of the server's users."""
    from .pipeline.commands.serve import keys_main

    return keys_main(argv)


def run_compare(argv: Sequence[str] | None = None) -> int:
    """Compare models on the same records; with `--gate`, exit code 1 where one is not promoted."""
    from .pipeline.model_comparison.command import (
        compare_faults,
        compare_models_of,
        compare_parser,
    )

    promoted: list[bool] = []
    code = _run(
        argv,
        compare_parser(),
        compare_faults,
        lambda args: promoted.append(compare_models_of(args)),
    )
    return code if code or all(promoted) else EXIT_FAILED


def run_filter(argv: Sequence[str] | None = None) -> int:
    """Make, verify and use packages that score or classify articles."""
    from .pipeline.commands.filter import filter_main

    return filter_main(argv)


COMMANDS: Final[dict[str, tuple[Callable[[Sequence[str]], int], str]]] = {
    "run": (run_job, "from a table to a student that answers, proven against its teacher"),
    "ask": (run_ask, "ask a table in ordinary words, without training"),
    "update": (run_update, "put new rows behind a student, without training"),
    "chat": (run_chat, "chat with a student in the browser"),
    "serve": (run_serve, "serve a student over HTTP, in the shapes that stock clients speak"),
    "mcp": (run_mcp, "offer a student and its table as tools of the Model Context Protocol"),
    "keys": (run_keys, "keys of those who may use the server: add, list, remove"),
    "label": (run_label, "let a teacher answer the records of a file"),
    "expand": (run_expand, "let a teacher write more records like those of a file"),
    "distill": (run_distill, "distil a student by a JSON file of settings"),
    "cache-logits": (run_cache_logits, "keep a teacher's logits, to train students without it"),
    "compare": (run_compare, "is a model better, not worse or worse than another, and is it sure?"),
    "system1": (run_system1, "distil a student that follows instructions, and score it"),
    "system2": (run_system2, "distil a student that reasons in steps, and score it"),
    "easydistill": (run_easydistill, "run an EasyDistill configuration"),
    "pipeline": (run_pipeline, "run, show and verify pipelines of records in YAML files"),
    "registry": (run_registry, "list the steps and models of such pipelines"),
    "agent": (run_agent, "distil a small agent for a task in words"),
    "filter": (run_filter, "make, verify and use packages that score or classify articles"),
    "export": (run_export, "export a checkpoint for fast serving on CPUs"),
    "models": (run_models, "pretrained models on this machine: list, add, path, remove"),
}
"""Command -> what runs it, and its line in the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    work = _command(arguments[0]) if arguments else None
    if work is not None:
        try:
            code = work(arguments[1:])
            sys.stdout.flush()
            return code
        except Refused as refused:
            return int(str(refused.code))
        except BrokenPipeError:
            # The reader of the output, such as head, has ended. Python flushes the rest of the
            # output at its exit, which would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_FAILED
    width = max(map(len, COMMANDS)) + 2
    parser = CommandParser(
        "stillroom",
        "A small, local specialist from your own table, proven against its teacher.",
        ("stillroom run --data mine.csv", "stillroom run --help"),
    )
    parser.usage = "stillroom COMMAND [options]"
    parser.add_argument("--version", action="version", version=f"stillroom {__version__}")
    lines = [f"  {name:<{width}}{told}" for name, (_, told) in COMMANDS.items()]
    parser.description = "\n".join([parser.description or "", "", "commands:", *lines])
    _, left = parser.parse_known_args(arguments)
    if not left:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    near = nearest(left[0].lower(), COMMANDS)
    hint = f"; the nearest is {near}" if near else f"; there are {', '.join(COMMANDS)}"
    print(f"stillroom: there is no command {left[0]!r}{hint}", file=sys.stderr)
    return EXIT_USAGE


def _command(word: str) -> Callable[[Sequence[str]], int] | None:
    """Find what runs a command: ours, or one of LLM Distillery under its own name."""
    if word in COMMANDS:
        return COMMANDS[word][0]
    spelling = spelling_of(word)
    return None if spelling is None else spelling.load()


def _also(given: str) -> tuple[str, tuple[str, ...]]:
    column, equals, words = given.partition("=")
    if not equals or not column.strip() or not listed(words):
        raise argparse.ArgumentTypeError(f"{given!r}; write COLUMN=WORDS, e.g. area=size,how big")
    return column.strip(), listed(words)


if __name__ == "__main__":
    sys.exit(main())
