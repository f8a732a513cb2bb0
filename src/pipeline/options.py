"""The parser of all commands, the types of their options, and the reporting of errors.

All faults of a command are reported at once, before heavy libraries are imported: the type of an
option returns a `Fault` instead of a value, so argparse continues, and `CommandParser.read` prints
all faults.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from ..console import Console
from ..errors import ConfigError, StillroomError, nearest

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXITS: Final[dict[int, str]] = {
    0: "done",
    EXIT_FAILED: "failed, or a file, folder, model or server cannot be used",
    EXIT_USAGE: "wrong options",
    EXIT_INTERRUPTED: "interrupted by Ctrl-C",
}
"""Exit code -> what it means, as the help of each command tells it."""
LARGEST_SEED: Final = 2**32 - 1
"""Largest seed that all random generators accept."""
_DEVICE: Final = re.compile(r"auto|cpu|(cuda|mps|xpu)(:\d+)?")


class Fault(str):
    """What is wrong with the value of an option; a message starts with the option's name."""

    __slots__ = ()


class Refused(SystemExit):
    """Raised after the faults of a command were printed, instead of running it.

    The exit code is 2 for wrong values of options, and 1 for files, folders or models that cannot
    be used.
    """


class CommandParser(argparse.ArgumentParser):
    """A parser that reports all faults at once, and suggests the nearest name for unknown options.

    Args:
        program: The command as it is typed.
        description: What the command does.
        examples: Complete command lines, which are shown below the options.
        exits: Exit code -> what it means, where it differs from `EXITS`.
    """

    def __init__(
        self,
        program: str,
        description: str,
        examples: Sequence[str] = (),
        exits: Mapping[int, str] | None = None,
    ) -> None:
        """Make a parser without options."""
        self.examples = tuple(examples)
        shown = "".join(f"\n  {example}" for example in examples)
        codes = "".join(
            f"\n  {code:<4} {told}" for code, told in {**EXITS, **(exits or {})}.items()
        )
        super().__init__(
            program,
            description=description,
            epilog=f"examples:{shown}\n\nexit codes:{codes}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def read(
        self,
        argv: Sequence[str] | None,
        check: Callable[[argparse.Namespace], Sequence[str]] = lambda _: (),
    ) -> argparse.Namespace:
        """Read the options of a command.

        Args:
            argv: Arguments after the command; None takes those of this process.
            check: Lists further faults, or raises a `StillroomError`. Values with faults are
                replaced by the defaults for it. It must not load heavy libraries.

        Raises:
            Refused: There are faults, all of which were printed.
        """
        args, left = self.parse_known_intermixed_args(argv)
        wrong = [*self._value_faults(args), *map(self._unknown, left)]
        found = [self.in_options(fault) for fault in faults_of(lambda: check(args))]
        if wrong or found:
            self._tell([*wrong, *found])
            raise Refused(EXIT_USAGE if wrong else EXIT_FAILED)
        return args

    def error(self, message: str) -> NoReturn:
        """Print the error that argparse found."""
        self._tell([message])
        raise Refused(EXIT_USAGE)

    def _tell(self, faults: Sequence[str]) -> None:
        lines = [f"stillroom: {fault}" for fault in faults]
        print("\n".join([*lines, f"{self.prog} --help lists the options"]), file=sys.stderr)

    def in_options(self, fault: str) -> str:
        """Replace keywords by command-line options, at the start of a fault and in its advice.

        >>> parser = CommandParser("stillroom run", "")
        >>> _ = parser.add_argument("--gold-share")
        >>> parser.in_options("gold_share is 3; allowed is 0 to 1")
        '--gold-share is 3; allowed is 0 to 1'
        >>> parser.in_options("there are few facts; set gold_share=1")
        'there are few facts; pass --gold-share 1'
        """
        found = re.match(r"([a-z]\w*)(?: (?=(?:is|are) )|=(?=\S))", fault)
        flags = self._flags()
        if found is not None and found[1] in flags:
            fault = f"{flags[found[1]]} {fault[found.end() :]}"

        def passed(advice: re.Match[str]) -> str:
            known = flags.get(advice[1])
            if known is None:
                return advice[0]
            return f"pass {known}" if advice[2] == "True" else f"pass {known} {advice[2]}"

        return re.sub(r"\bset ([a-z]\w*)=(\S+?)(?=[\s;,.]|$)", passed, fault)

    def _flags(self) -> Mapping[str, str]:
        return {
            action.dest: action.option_strings[-1]
            for action in self._actions
            if action.option_strings
        }

    def _value_faults(self, args: argparse.Namespace) -> list[str]:
        """List the faults of values, and replace these values by the defaults."""
        flags, faults = self._flags(), []
        for name, value in list(vars(args).items()):
            values = value if isinstance(value, list) else [value]
            wrong = [one for one in values if isinstance(one, Fault)]
            if not wrong:
                continue
            faults += [f"{flags.get(name, name)} {one}" for one in wrong]
            default = self.get_default(name)
            if default is argparse.SUPPRESS:
                delattr(args, name)
            else:
                setattr(args, name, default)
        return faults

    def _unknown(self, word: str) -> str:
        flags = self._flags()
        if not word.startswith("-"):
            if "data" in flags and os.path.exists(word):
                return f"{word!r} stands alone; write --data {word}"
            return f"{word!r} stands alone; write the option that it belongs to before it"
        name = word.partition("=")[0]
        near = [flag for flag in flags.values() if len(flag) > 4 and name.startswith(flag)]
        found = near[0] if near else nearest(name, flags.values())
        return f"there is no option {name}" + (f"; the nearest is {found}" if found else "")


Action = tuple[Callable[[], CommandParser], Callable[[argparse.Namespace, Console], object], str]
"""An action of a group: its parser, what it does (it returns what `--json` prints), and its line in
the group's help."""


def guarded(
    work: Callable[[], object],
    parser: CommandParser,
    args: argparse.Namespace,
    folder: str | None = None,
    *,
    config_code: int = EXIT_FAILED,
    prefix: str = "stillroom: ",
) -> int:
    """Run a command, and print its errors without a traceback.

    Args:
        work: Function that does the work.
        parser: Parser of the command; messages name its options instead of keywords.
        args: The options; with `verbose`, errors are raised instead of printed.
        folder: Folder that keeps the finished steps of an interrupted command.
        config_code: Exit code for a configuration with faults.
        prefix: Start of each line.

    Returns:
        The exit code.
    """
    try:
        work()
    except KeyboardInterrupt:
        if folder is not None and Path(folder).exists():
            print(f"\ninterrupted; {folder} keeps the finished steps and the checkpoints.\n"
                  "The same command goes on from them.", file=sys.stderr)  # fmt: skip
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except (StillroomError, OSError) as fault:
        if args.verbose:
            raise
        lines = [str(fault)]
        if isinstance(fault, ConfigError):
            lines = fault.faults
        elif not isinstance(fault, StillroomError):
            place = f"{fault.filename}: " if fault.filename else ""
            lines = [f"{place}{fault.strerror or fault} (-v shows where)"]
        print("\n".join(prefix + parser.in_options(line) for line in lines), file=sys.stderr)
        return config_code if isinstance(fault, ConfigError) else EXIT_FAILED
    return 0


def faults_of(check: Callable[[], Sequence[str] | object]) -> list[str]:
    """List the faults that a check returns or raises."""
    try:
        found = check()
    except ConfigError as fault:
        return fault.faults
    except StillroomError as fault:
        return [str(fault)]
    return [str(one) for one in found] if isinstance(found, (list, tuple)) else []


def is_number(
    value: object, least: float = -math.inf, most: float = math.inf, *, above: bool = False
) -> bool:
    """Tell whether a value is a finite number from `least` to `most`; with `above`, not `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return least <= value <= most and not (above and value == least)


def number(
    least: float = -math.inf, most: float = math.inf, *, above: bool = False
) -> Callable[[str], float | Fault]:
    """Make the type of an option that takes a finite number.

    Args:
        least: Smallest allowed number.
        most: Largest allowed number.
        above: Whether `least` itself is excluded.
    """
    if most < math.inf:
        allowed = f"{'above ' if above else ''}{least:g} to {most:g}"
    else:
        allowed = f"a number above {least:g}" if above else f"a number from {least:g} on"

    def read(text: str) -> float | Fault:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if is_number(value, least, most, above=above):
            return value
        return Fault(f"is {text!r}; allowed is {allowed}")

    return read


def whole_number(least: int, most: int | None = None) -> Callable[[str], int | Fault]:
    """Make the type of an option that takes a whole number from `least` to `most`."""
    allowed = f"a whole number from {least} on" if most is None else f"{least} to {most}"

    def read(text: str) -> int | Fault:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            return Fault(f"is {text!r}; allowed is {allowed}")
        return value

    return read


seed: Final = whole_number(0, LARGEST_SEED)
"""Type of an option that takes a random seed."""


def is_device(name: object) -> bool:
    """Tell whether a text names a kind of device; this machine may lack it."""
    return isinstance(name, str) and _DEVICE.fullmatch(name) is not None


def device(text: str) -> str:
    """Read the name of a device."""
    if is_device(text):
        return text
    return Fault(f"is {text!r}; allowed are cpu, cuda, cuda:1 and so on")


def one_of(*words: str) -> Callable[[str], str]:
    """Make the type of an option that takes one of some words."""

    def read(text: str) -> str:
        if text in words:
            return text
        near = nearest(text, words)
        hint = f"; the nearest is {near}" if near else ""
        return Fault(f"is {text!r}; allowed are {', '.join(words)}{hint}")

    return read


def text(given: str) -> str:
    """Read a text that is not empty, such as the name of a file."""
    return given if given.strip() and "\0" not in given else Fault("is empty; give a name")


def listed(words: str) -> tuple[str, ...]:
    """Split a text at commas, without blanks around the parts and without empty parts."""
    return tuple(part.strip() for part in words.split(",") if part.strip())


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Add `-v`."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show messages of libraries, and tracebacks"
    )


def add_json(parser: argparse.ArgumentParser, told: str = "") -> None:
    """Add `--json`.

    Args:
        parser: Parser of the command.
        told: What is printed, where it is not one document with the result.
    """
    default = "print the result as one JSON document, and all else on standard error"
    parser.add_argument("--json", action="store_true", help=told or default)
