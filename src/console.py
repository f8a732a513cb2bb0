"""Terminal output: one line per step with its time; libraries log only with `verbose`."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

ADVISER = "bitsandbytes"
NAME_WIDTH = 11
BAR_DELAY_S = 1.0
"""Work that takes less time shows no progress bar."""
Item = TypeVar("Item")


def quiet_libraries() -> None:
    """Turn off telemetry, advice and analytics of libraries through their environment variables.

    Call it in a program (not in a library), before torch, transformers or gradio are imported.
    Variables that are already set are not changed.
    """
    for name, value in {
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
    }.items():
        os.environ.setdefault(name, value)
    # At import it advises to install kernels for 4-bit weights on CPUs, which are not used here.
    logging.getLogger(ADVISER).setLevel(logging.ERROR)


class Console:
    """Prints the steps of a program.

    Args:
        verbose: Show warnings and log lines of libraries too.
        as_data: Standard output is for a program, so that all lines go to standard error.
    """

    def __init__(self, verbose: bool = False, *, as_data: bool = False) -> None:
        """Send our own log lines to the terminal and suppress those of libraries."""
        self.verbose = verbose
        self.as_data = as_data
        logging.basicConfig(
            level=logging.INFO if verbose else logging.ERROR, format="  %(name)s: %(message)s"
        )
        ours = logging.getLogger("stillroom")
        ours.setLevel(logging.INFO if verbose else logging.WARNING)
        for handler in [one for one in ours.handlers if isinstance(one, _Notes)]:
            ours.removeHandler(handler)
        ours.addHandler(_Notes(as_data))
        ours.propagate = False
        if verbose:
            logging.getLogger(ADVISER).setLevel(logging.NOTSET)
        else:
            warnings.simplefilter("ignore")

    def head(self, text: str) -> None:
        """Print the first line of a program."""
        print(text, file=self._file(), flush=True)

    def line(self, name: str, text: str, seconds: float | None = None) -> None:
        """Print a step: its name, its result and its duration."""
        took = "" if seconds is None else f"{seconds:8.1f} s"
        print(f"  {name:<{NAME_WIDTH}} {text:<86}{took}".rstrip(), file=self._file(), flush=True)

    def block(self, text: str) -> None:
        """Print several lines, indented."""
        print("\n".join(f"  {line}" for line in text.splitlines()), file=self._file(), flush=True)

    def write(self, text: str) -> None:
        """Print a piece of a streamed answer."""
        print(text, end="", file=self._file(), flush=True)

    def _file(self) -> TextIO:
        return sys.stderr if self.as_data else sys.stdout

    def progress(
        self, items: Iterable[Item], name: str, total: int | None = None
    ) -> Iterator[Item]:
        """Yield the items, and show a progress bar where there is a terminal.

        Args:
            items: Items to work on.
            name: Words before the bar.
            total: Number of items; None where it is not known.
        """
        from tqdm import tqdm

        disable = None if sys.stderr.isatty() else True
        return iter(
            tqdm(items, f"  {name}", total, leave=False, disable=disable, delay=BAR_DELAY_S,
                 mininterval=0.25, unit_scale=True)
        )  # fmt: skip

    @contextmanager
    def busy(self, name: str) -> Iterator[None]:
        """Show at a terminal what is being done, for work without countable steps."""
        if not sys.stderr.isatty():
            yield
            return
        print(f"  {name} ...", end="", file=sys.stderr, flush=True)
        try:
            yield
        finally:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def asks(self) -> bool:
        """Say whether a user at a terminal can be asked."""
        return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()

    def confirm(self, question: str) -> bool:
        """Ask a yes-no question at the terminal; anything but yes is no."""
        try:
            return input(f"  {question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False

    @contextmanager
    def timed(self, name: str) -> Iterator[list[str]]:
        """Time a step; print its name and what the block appended when it ends."""
        began = time.monotonic()
        words: list[str] = []
        yield words
        self.line(name, ", ".join(words), time.monotonic() - began)


class _Notes(logging.Handler):
    """Prints our own warnings as notes."""

    def __init__(self, as_data: bool) -> None:
        super().__init__()
        self.as_data = as_data

    def emit(self, record: logging.LogRecord) -> None:
        file = sys.stderr if self.as_data else sys.stdout
        print(f"  {'note':<{NAME_WIDTH}} {record.getMessage()}", file=file, flush=True)
