"""Commands: an options parser, a check before anything heavy is loaded, and the work.

With `--json` the value that the work returns is printed as one JSON document on standard output,
and everything else that it prints goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from ..console import quiet_libraries
from ..errors import did_you_mean
from .options import EXIT_FAILED, EXIT_USAGE, CommandParser, Refused, guarded


@dataclass(frozen=True)
class Verdict:
    """A result that means no, such as a gate that refuses: it is printed, and the exit code is 1.

    A plain value means yes.
    """

    told: Any
    """The result, as JSON values."""
    reason: str = ""
    """Sentence for standard error."""


Reader = Callable[
    [CommandParser, Sequence[str] | None, Callable[[argparse.Namespace], Sequence[str]]],
    argparse.Namespace,
]
"""Reads options from the words behind a command, as `CommandParser.read` does."""


@dataclass(frozen=True)
class Command:
    """A command, called with the words behind its name; returns the exit code."""

    parser: Callable[[], CommandParser]
    work: Callable[[argparse.Namespace], object]
    """Returns the result for `--json`, or a `Verdict`; None where there is nothing to tell."""
    check: Callable[[argparse.Namespace], Sequence[str]] = lambda _: ()
    """Lists the faults of the options that are found without loading anything heavy."""
    folder: Callable[[argparse.Namespace], str | None] = lambda _: None
    """The folder that keeps the finished steps when the command is interrupted."""
    config_code: int = EXIT_FAILED
    """Exit code for settings with faults."""
    prints_json: bool = False
    """Whether the work prints its JSON itself: a line per answer, or where a server listens."""
    read: Reader = CommandParser.read
    """Reads the options, with faults of the check."""
    prefix: str = "stillroom: "
    """Start of each line of an error."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Read the options and run the command.

        Args:
            argv: The words behind the command; None takes those of this process.

        Returns:
            0 done, 1 failed, 2 wrong options, 130 interrupted.
        """
        parser = self.parser()
        args = self.read(parser, argv, self.check)
        quiet_libraries()
        return perform(
            lambda: self.work(args),
            parser,
            args,
            self.folder(args),
            config_code=self.config_code,
            prefix=self.prefix,
            prints_json=self.prints_json,
        )


def perform(
    work: Callable[[], object],
    parser: CommandParser,
    args: argparse.Namespace,
    folder: str | None = None,
    *,
    config_code: int = EXIT_FAILED,
    prefix: str = "stillroom: ",
    prints_json: bool = False,
) -> int:
    """Run the work of a command, print its result or its errors, and give the exit code.

    Args:
        work: Returns the result, as in `Command`.
        parser: Parser of the command.
        args: The options; with `json`, the result is printed as JSON.
        folder: As in `guarded`.
        config_code: As in `guarded`.
        prefix: As in `guarded`.
        prints_json: As in `Command`.
    """
    as_json = getattr(args, "json", False) and not prints_json
    results: list[object] = []

    def watched() -> None:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            results.append(work())

    code = guarded(watched, parser, args, folder, config_code=config_code, prefix=prefix)
    if code:
        return code
    result = results[0]
    verdict = result if isinstance(result, Verdict) else None
    if as_json:
        print_json(result if verdict is None else verdict.told)
    if verdict is None:
        return 0
    if verdict.reason:
        print(prefix + verdict.reason, file=sys.stderr)
    return EXIT_FAILED


def refuse_as_written(messages: Callable[[argparse.Namespace], Sequence[str]]) -> Reader:
    """Make a reader that prints faults as they are, in the words of another program.

    Args:
        messages: Lists them; the exit code is then that of wrong options.
    """

    def read(
        parser: CommandParser,
        argv: Sequence[str] | None,
        check: Callable[[argparse.Namespace], Sequence[str]],
    ) -> argparse.Namespace:
        args = parser.read(argv, check)
        wrong = messages(args)
        if wrong:
            print("\n".join(wrong), file=sys.stderr)
            raise Refused(EXIT_USAGE)
        return args

    return read


def print_json(value: object) -> None:
    """Print a value as one JSON document on standard output.

    Paths become texts, dataclasses objects, and numbers that JSON does not have (NaN, infinity)
    null.
    """
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False), flush=True)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (str, int, type(None))):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    return str(value)


@dataclass(frozen=True)
class Group:
    """A command made of actions, such as `stillroom filter label`."""

    program: str
    told: str
    """What the command is about."""
    actions: Mapping[str, tuple[Command, str]]
    """Action -> its command, and its line in the help."""
    examples: tuple[str, ...]

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run the action that the first word names, or print the help.

        Returns:
            The exit code of the action; 2 where there is none.
        """
        words = list(sys.argv[1:] if argv is None else argv)
        if words and words[0] in self.actions:
            return self.actions[words[0]][0](words[1:])
        width = max(map(len, self.actions)) + 2
        lines = [f"  {name:<{width}}{told}" for name, (_, told) in self.actions.items()]
        parser = CommandParser(self.program, "\n".join([self.told, "", *lines]), self.examples)
        parser.usage = f"{self.program} {{{','.join(self.actions)}}} [options]"
        _, left = parser.parse_known_args(words)
        if not left:
            parser.print_help(sys.stderr)
            return EXIT_USAGE
        near = did_you_mean(left[0], self.actions, what="action")
        print(f"{self.program}: there is no action {left[0]!r}; {near}", file=sys.stderr)
        return EXIT_USAGE
