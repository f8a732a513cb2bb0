"""The `stillroom` command: `stillroom run --data mine.csv`, `stillroom chat`, `stillroom
--help`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from . import __version__
from .errors import nearest

GROUPS: Final = (
    "make a student",
    "use it",
    "prove it, and renew it",
    "records, articles and agents",
    "this machine",
)
_MAKE, _USE, _PROVE, _RECORDS, _MACHINE = GROUPS


@dataclass(frozen=True)
class Entry:
    """A command as it stands in the help. Its module is loaded when the command is typed."""

    name: str
    group: str
    """One of `GROUPS`."""
    told: str
    """Its line in the help."""
    home: str
    """`module:name` of a function below `stillroom.pipeline` that takes the words behind the
    command and returns the exit code, such as a `pipeline.command.Command`."""

    def load(self) -> Callable[[Sequence[str]], int]:
        """Import what runs the command."""
        module, _, name = self.home.partition(":")
        found: Callable[[Sequence[str]], int] = getattr(
            import_module(f"{__package__}.pipeline.{module}"), name
        )
        return found


_ENTRIES: Final = (
    Entry("init", _MAKE, "look at a table, and write a file of options with the guesses explained",
          "commands.init:INIT"),
    Entry("prepare", _MAKE, "clean, deduplicate and split records, and say what was dropped",
          "commands.prepare:PREPARE"),
    Entry("run", _MAKE, "from a table to a student that answers, proven against its teacher",
          "commands.run:RUN"),
    Entry("label", _MAKE, "let a teacher answer the records of a file", "commands.label:LABEL"),
    Entry("expand", _MAKE, "let a teacher write more records like those of a file",
          "commands.label:EXPAND"),
    Entry("cache-logits", _MAKE, "keep a teacher's logits, to train students without it",
          "commands.cache_logits:CACHE_LOGITS"),
    Entry("distill", _MAKE, "distil a student by a JSON file of settings",
          "commands.distill:DISTILL"),
    Entry("system1", _MAKE, "distil a student that follows instructions, and score it",
          "systems.run:SYSTEM1"),
    Entry("system2", _MAKE, "distil a student that reasons in steps, and score it",
          "systems.run:SYSTEM2"),
    Entry("easydistill", _MAKE, "run an EasyDistill configuration",
          "easydistill.run:EASYDISTILL"),
    Entry("ask", _USE, "ask a table in ordinary words, without training", "commands.ask:ASK"),
    Entry("update", _USE, "put new rows behind a student, without training",
          "commands.update:UPDATE"),
    Entry("chat", _USE, "chat with a student in the browser", "commands.chat:CHAT"),
    Entry("serve", _USE, "serve a student over HTTP, in the shapes that stock clients speak",
          "commands.serve:SERVE"),
    Entry("mcp", _USE, "offer a student and its table as tools of the Model Context Protocol",
          "commands.serve:MCP"),
    Entry("keys", _USE, "keys of those who may use the server: add, list, remove",
          "commands.serve:KEYS"),
    Entry("export", _USE, "export a checkpoint for fast serving on CPUs",
          "commands.export:EXPORT"),
    Entry("report", _PROVE, "the report of a finished run: a page, JSON and Markdown",
          "run_report.report_command:REPORT"),
    Entry("evaluate", _PROVE, "score a student on questions with answers, or on public tasks",
          "run_report.evaluate_command:EVALUATE"),
    Entry("compare", _PROVE,
          "is a model better, not worse or worse than another, and is it sure?",
          "model_comparison.command:COMPARE"),
    Entry("sweep", _PROVE, "train students with other settings, and say which one to take",
          "sweeps.command:SWEEP"),
    Entry("renew", _PROVE, "train a student on what people said about its answers, or go back",
          "renewal.command:RENEW"),
    Entry("filter", _RECORDS, "make, verify and use packages that score or classify articles",
          "commands.filters.actions:FILTER"),
    Entry("pipeline", _RECORDS, "run, show and verify pipelines of records in YAML files",
          "commands.pipeline:PIPELINE"),
    Entry("registry", _RECORDS, "list the steps and models of such pipelines",
          "commands.registry:REGISTRY"),
    Entry("agent", _RECORDS, "distil a small agent for a task in words",
          "commands.agent:AGENT"),
    Entry("doctor", _MACHINE, "what this machine can do, and which settings follow",
          "commands.doctor:DOCTOR"),
    Entry("models", _MACHINE, "pretrained models on this machine: list, add, path, remove",
          "commands.models:MODELS"),
)  # fmt: skip
"""One row per command, in the order of the help within its group."""
COMMANDS: Final[dict[str, Entry]] = {entry.name: entry for entry in _ENTRIES}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    found = _command(words[0]) if words else None
    if found is not None:
        return _run(found, words[1:])
    if not words:
        from .pipeline.commands.first_steps import first_steps

        print("\n".join(first_steps(Path())), file=sys.stderr)
        return 2
    if words[0].startswith("-"):
        return _help(words)
    near = nearest(words[0].lower(), COMMANDS)
    hint = f"; the nearest is {near}" if near else f"; there are {', '.join(COMMANDS)}"
    print(f"stillroom: there is no command {words[0]!r}{hint}", file=sys.stderr)
    return 2


def _command(word: str) -> Callable[[Sequence[str]], int] | None:
    """Find what runs a command: ours, or one of LLM Distillery under its own name."""
    if word in COMMANDS:
        return COMMANDS[word].load()
    from .pipeline.llm_distillery.spellings import spelling_of

    spelling = spelling_of(word)
    return None if spelling is None else spelling.load()


def _run(command: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    from .pipeline.options import EXIT_FAILED, Refused

    try:
        code = command(words)
        sys.stdout.flush()
        return code
    except Refused as refused:
        return int(str(refused.code))
    except BrokenPipeError:
        # The reader of the output, such as head, has ended. Python flushes the rest of the
        # output at its exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def _help(words: Sequence[str]) -> int:
    """Print the help or the version, or refuse another option."""
    from .pipeline.options import CommandParser

    parser = CommandParser(
        "stillroom",
        "A small, local specialist from your own table, proven against its teacher.",
        ("stillroom init mine.csv", "stillroom run mine.yaml", "stillroom run --help"),
    )
    parser.usage = "stillroom COMMAND [options]"
    parser.add_argument("--version", action="version", version=f"stillroom {__version__}")
    width = max(map(len, COMMANDS)) + 2
    lines = [parser.description or "", "", "commands:"]
    for group in GROUPS:
        entries = [one for one in COMMANDS.values() if one.group == group]
        lines += ["", f"{group}:", *(f"  {one.name:<{width}}{one.told}" for one in entries)]
    parser.description = "\n".join(lines)
    parser.parse_args(words)  # exits for --help, --version and unknown options
    return 0


if __name__ == "__main__":
    sys.exit(main())
