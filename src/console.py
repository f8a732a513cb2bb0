"""The terminal: one calm line per step with its time; libraries are quiet unless asked to speak."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

ADVISER = "bitsandbytes"
NAME_WIDTH = 11
BAR_DELAY_S = 1.0
"""A bar is shown only where something takes longer."""
Item = TypeVar("Item")


def quiet_libraries() -> None:
    """Set what libraries read when they are imported: no telemetry, no advice, no analytics.

    Call it before torch, transformers or gradio are imported, in a program and not in a library. A
    value that is set already is left alone.
    """
    for name, value in {
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
    }.items():
        os.environ.setdefault(name, value)
    # It advises at import to install kernels for 4-bit weights on CPUs, which nothing here has.
    logging.getLogger(ADVISER).setLevel(logging.ERROR)


class Console:
    """Prints steps.

    Args:
        verbose: Show warnings and log lines of libraries too.
    """

    def __init__(self, verbose: bool = False) -> None:
        """Route our own log lines to the terminal and hold back the libraries'."""
        self.verbose = verbose
        logging.basicConfig(
            level=logging.INFO if verbose else logging.ERROR, format="  %(name)s: %(message)s"
        )
        ours = logging.getLogger("stillroom")
        ours.setLevel(logging.INFO if verbose else logging.WARNING)
        if not any(isinstance(h, _Notes) for h in ours.handlers):
            ours.addHandler(_Notes())
            ours.propagate = False
        if verbose:
            logging.getLogger(ADVISER).setLevel(logging.NOTSET)
        else:
            warnings.simplefilter("ignore")

    def head(self, text: str) -> None:
        """Print the first line of a program."""
        print(text, flush=True)

    def line(self, name: str, text: str, seconds: float | None = None) -> None:
        """Print a step: its name, what was done, how long it took."""
        took = "" if seconds is None else f"{seconds:8.1f} s"
        print(f"  {name:<{NAME_WIDTH}} {text:<86}{took}".rstrip(), flush=True)

    def block(self, text: str) -> None:
        """Print several lines, indented."""
        print("\n".join(f"  {line}" for line in text.splitlines()), flush=True)

    def write(self, text: str) -> None:
        """Print a piece of a streamed answer."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def progress(
        self, items: Iterable[Item], name: str, total: int | None = None
    ) -> Iterator[Item]:
        """Give items on and show a bar at a terminal meanwhile; a short work shows none.

        Args:
            items: What is worked on.
            name: Words before the bar.
            total: How many there are, where that is known.
        """
        from tqdm import (
            tqdm,
        )  # here, because `stillroom --help` must load nothing that it can spare

        disable = None if sys.stderr.isatty() else True
        return iter(
            tqdm(items, f"  {name}", total, leave=False, disable=disable, delay=BAR_DELAY_S,
                 mininterval=0.25, unit_scale=True)
        )  # fmt: skip

    @contextmanager
    def busy(self, name: str) -> Iterator[None]:
        """Say at a terminal what is being done while a work without countable steps goes on."""
        if not sys.stderr.isatty():
            yield
            return
        print(f"  {name} ...", end="", file=sys.stderr, flush=True)
        try:
            yield
        finally:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def asks(self) -> bool:
        """Tell whether somebody sits at the terminal who can be asked."""
        return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()

    def confirm(self, question: str) -> bool:
        """Ask a question at the terminal; anything but yes is no."""
        try:
            return input(f"  {question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False

    @contextmanager
    def timed(self, name: str) -> Iterator[list[str]]:
        """Time a step; what the block appends is printed behind its name when it ends."""
        began = time.monotonic()
        words: list[str] = []
        yield words
        self.line(name, ", ".join(words), time.monotonic() - began)


class _Notes(logging.Handler):
    """Prints our own warnings as lines of the run."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"  {'note':<{NAME_WIDTH}} {record.getMessage()}", flush=True)
