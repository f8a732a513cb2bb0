"""Options that several of LLM Distillery's commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from ..options import text


def add_secret(parser: argparse.ArgumentParser, flag: str) -> None:
    """Add an option that takes a secret; it is used, and never written."""
    parser.add_argument(flag, type=text, metavar="SECRET", help="accepted with a warning, as every "
                        "user of the machine sees it in the list of processes")  # fmt: skip


def warn_of_secret(flag: str, instead: str) -> None:
    """Say that a secret on the command line is seen by others, and where it belongs."""
    print(f"stillroom: {flag} is seen by every user of this machine in the list of processes; set "
          f"{instead} instead", file=sys.stderr)  # fmt: skip


def flat(words: Iterable[str | Iterable[str]]) -> list[str]:
    """Join the words of an option that is given several times, each with several words."""
    made: list[str] = []
    for one in words:
        made += [one] if isinstance(one, str) else list(one)
    return made


def package_folder(prompt: str | None) -> str | None:
    """Give the folder of the package that a prompt belongs to; None without a prompt."""
    return None if prompt is None else str(Path(prompt).parent)
