"""The `stillroom` command: `stillroom run --data mine.csv`, `stillroom chat`, `stillroom
--help`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from . import __version__
from .console import Console, quiet_libraries
from .errors import StillroomError

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def job_parser(program: str) -> argparse.ArgumentParser:
    """Make the parser of the main job's options."""
    parser = argparse.ArgumentParser(
        program,
        description="From a table to a student that answers, proven against its teacher.",
    )
    add = parser.add_argument
    add("--data", help="file, folder, pattern or database URL; default: the bundled elements")
    add("--query", help="SELECT, for a database")
    add("--table", help="table to read whole, for a database")
    add("--records-path", help="keys that lead to the records in nested JSON, e.g. data.items")
    add("--question", help="column that holds questions")
    add("--answer", help="column that holds their answers")
    add("--context", help="column with a text for each question")
    add("--key", help="column that names a record")
    add("--columns", help="columns to ask about, separated by commas")
    add("--rows", type=_count, metavar="N", help="read the first N records only")
    add(
        "--also-called", action="append", default=[], metavar="COLUMN=WORDS", type=_also,
        help="what people say for a column too, separated by commas; may be given again",
    )  # fmt: skip
    add("--teacher", default="starter", help="starter, a folder, or a model of the hub")
    add("--student", help="a folder or a model of the hub; default: made from the teacher")
    add("--gold-share", type=float, default=0.5, help="share of facts with gold answers, 0 to 1")
    add("--temperature", type=float, help="of the soft targets")
    add("--alpha", type=float, help="weight of the soft targets, 0 to 1")
    add("--effort", type=float, default=1.0, help="multiply the steps; 0.1 for a quick look")
    add(
        "--max-minutes", type=_minutes, default=60.0, metavar="M",
        help="a job that is estimated to take longer asks first, or is refused; default 60",
    )  # fmt: skip
    add("--yes", action="store_true", help="train however long it takes; asks nothing")
    add("--seed", type=int, default=0)
    add("--output-dir", help="run folder; default outputs/<name of the data>")
    add("--device", help="cpu or cuda; default: CUDA where there is one")
    add("--no-controls", action="store_true", help="train the student only")
    add("-v", "--verbose", action="store_true", help="show what libraries say, and tracebacks")
    return parser


def run_job(argv: Sequence[str] | None = None, program: str = "stillroom run") -> int:
    """Run the main job as a command.

    Returns:
        0 done, 1 failed, 2 wrong options, 130 interrupted.
    """
    args = job_parser(program).parse_args(argv)
    quiet_libraries()
    from .pipeline import MainJob, Recipe, run_main_job
    from .pipeline.job import ELEMENTS

    if args.effort <= 0:
        print(f"stillroom: --effort is {args.effort}; allowed is a number above 0", file=sys.stderr)
        return EXIT_USAGE
    changed = {n: v for n in ("temperature", "alpha") if (v := getattr(args, n)) is not None}
    job = MainJob(
        data=args.data or str(ELEMENTS),
        query=args.query,
        table=args.table,
        records_path=args.records_path,
        question=args.question,
        answer=args.answer,
        context=args.context,
        key=args.key,
        columns=_listed(args.columns) if args.columns else None,
        rows=args.rows,
        also_called=dict(args.also_called),
        teacher=args.teacher,
        student=args.student,
        gold_share=args.gold_share,
        seed=args.seed,
        output_dir=args.output_dir,
        max_minutes=None if args.yes else args.max_minutes,
        device=args.device,
        controls=not args.no_controls,
        recipe=dataclasses.replace(Recipe().scaled(args.effort), **changed),
    )
    console = Console(args.verbose)
    return _guarded(lambda: run_main_job(job, console), args.verbose, str(job.run_dir()))


def run_chat(argv: Sequence[str] | None = None) -> int:
    """Open the chat page over a student."""
    parser = argparse.ArgumentParser("stillroom chat", description="Chat with a student.")
    parser.add_argument("checkpoint", nargs="?", help="default: the newest outputs/*/student")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args(argv)
    quiet_libraries()
    Console(args.verbose)

    def chat() -> None:
        from .agentic_workflow.agent import MultiAgentWorkflow
        from .agentic_workflow.chat_ui import launch, newest_student

        launch(MultiAgentWorkflow(args.checkpoint or newest_student()))

    return _guarded(chat, args.verbose, None)


def run_cache_logits(argv: Sequence[str] | None = None) -> int:
    """Keep a teacher's logits for a file of training examples."""
    from .pipeline.logits_caching import cache_logits, cache_parser

    args = cache_parser().parse_args(argv)
    quiet_libraries()
    return _guarded(lambda: cache_logits(args), args.verbose, args.output)


def run_distill(argv: Sequence[str] | None = None) -> int:
    """Distil a student by a JSON file of settings."""
    from .pipeline.distilling import distill_file, distill_parser

    args = distill_parser().parse_args(argv)
    quiet_libraries()
    return _guarded(lambda: distill_file(args), args.verbose, None)


def run_easydistill(argv: Sequence[str] | None = None) -> int:
    """Run an EasyDistill configuration."""
    from .pipeline.easydistill import easydistill_main

    return easydistill_main(argv)


def run_system1(argv: Sequence[str] | None = None) -> int:
    """Distil a student that follows instructions, and score it."""
    return _run_system("system1", argv)


def run_system2(argv: Sequence[str] | None = None) -> int:
    """Distil a student that reasons in steps, and score it."""
    return _run_system("system2", argv)


def _run_system(mode: Literal["system1", "system2"], argv: Sequence[str] | None) -> int:
    from .pipeline.systems_job import run_systems_job, systems_parser

    args = systems_parser(mode).parse_args(argv)
    quiet_libraries()
    return _guarded(lambda: run_systems_job(args, mode), args.verbose, args.output_dir)


def run_export(argv: Sequence[str] | None = None) -> int:
    """Export a checkpoint for fast serving on CPUs."""
    parser = argparse.ArgumentParser(
        "stillroom export",
        description="Lay a checkpoint out for ONNX Runtime on CPUs and compare the two.",
    )
    parser.add_argument("checkpoint", help="a checkpoint folder")
    parser.add_argument(
        "--int8", action="store_true", help="a quarter of the size; the loss is told"
    )
    parser.add_argument("--output", help="folder to write; default: export, in the checkpoint")
    parser.add_argument("--prompts", help="JSON Lines with prompt and target, to measure a loss on")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args(argv)
    quiet_libraries()
    console = Console(args.verbose)

    def export() -> None:
        from .inference.exporting import export_checkpoint

        with console.timed("export") as words:
            dtype: Literal["int8", "float32"] = "int8" if args.int8 else "float32"
            made = export_checkpoint(
                args.checkpoint, dtype=dtype, output=args.output, prompts=args.prompts
            )
            sizes = f"{made.bytes_before / 1e6:.1f} MB -> {made.bytes_after / 1e6:.1f} MB"
            words += [f"{made.dtype}, {sizes}", f"in {made.folder}"]
        first, *rest = made.loss.lines()
        console.line("loss" if args.int8 else "check", f"{first} ({made.prompts_from})")
        for line in rest:
            console.line("", line)

    return _guarded(export, args.verbose, None)


def run_label(argv: Sequence[str] | None = None) -> int:
    """Let a teacher answer the records of a file."""
    from .pipeline.labeling_job import label_file, label_parser

    args = label_parser().parse_args(argv)
    quiet_libraries()
    return _guarded(lambda: label_file(args), args.verbose, args.output)


def run_expand(argv: Sequence[str] | None = None) -> int:
    """Let a teacher write more records like those of a file."""
    from .pipeline.labeling_job import expand_file, expand_parser

    args = expand_parser().parse_args(argv)
    quiet_libraries()
    return _guarded(lambda: expand_file(args), args.verbose, args.output)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "cache-logits": run_cache_logits,
        "chat": run_chat,
        "distill": run_distill,
        "easydistill": run_easydistill,
        "expand": run_expand,
        "export": run_export,
        "label": run_label,
        "run": run_job,
        "system1": run_system1,
        "system2": run_system2,
    }
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    parser = argparse.ArgumentParser(
        "stillroom",
        description="A small, local specialist from your own table, proven against its teacher.",
        epilog="stillroom COMMAND --help lists the options of a command",
    )
    parser.add_argument("--version", action="version", version=f"stillroom {__version__}")
    parser.add_argument("command", choices=sorted(commands), help="what to do")
    parser.parse_args(arguments)
    return EXIT_USAGE


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed is a whole number from 1")
    return int(text)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0.0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}; allowed is a number above 0, or --yes")
    return minutes


def _also(text: str) -> tuple[str, tuple[str, ...]]:
    column, equals, words = text.partition("=")
    if not equals or not column.strip() or not _listed(words):
        raise argparse.ArgumentTypeError(f"{text!r}; write COLUMN=WORDS, e.g. area=size,how big")
    return column.strip(), _listed(words)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _guarded(work: Callable[[], object], verbose: bool, folder: str | None) -> int:
    """Turn a user's mistakes into one sentence, and an interruption into a way to go on."""
    try:
        work()
    except KeyboardInterrupt:
        if folder is not None and Path(folder).exists():
            print(f"\ninterrupted; {folder} keeps the finished steps and the checkpoints.",
                  file=sys.stderr)  # fmt: skip
            print("The same command goes on from them.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except StillroomError as fault:
        if verbose:
            raise
        print(f"stillroom: {fault}", file=sys.stderr)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
