"""How many threads a job computes with: as many as there are idle cores, and never fewer than one.

Threads of OpenMP wait for each other several times per layer. Beside another busy program one of
them is always late, and a step of two threads takes several times as long as a step of one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..console import Console

VARIABLE: Final = "OMP_NUM_THREADS"
MEASURED_S: Final = 0.2
"""How long the cores are watched."""
_STAT: Final = Path("/proc/stat")
_IDLE: Final = (3, 4)
"""Places of idle and of waiting for a disk among the times of a line of /proc/stat."""


@contextmanager
def job_threads(asked: int | None, console: Console, *, kept: int | None = None) -> Iterator[int]:
    """Compute with as many threads as there are idle cores; afterwards with as many as before.

    Fewer than torch's own number are said in a line. This loads torch.

    Args:
        asked: This many, whatever else is running. Without it `OMP_NUM_THREADS` decides, then
            `kept`, then what is idle now.
        console: Prints the line.
        kept: As many as the interrupted run had that goes on: results differ in their last digits
            with the number of threads.

    Yields:
        The number.
    """
    import torch

    before = torch.get_num_threads()
    threads, why = _choose(asked, kept, before)
    if threads != before:
        torch.set_num_threads(threads)
        console.line("threads", f"{threads} instead of {before}: {why}")
    try:
        yield threads
    finally:
        torch.set_num_threads(before)


def _choose(asked: int | None, kept: int | None, most: int) -> tuple[int, str]:
    if asked is not None:
        return asked, "as asked"
    if VARIABLE in os.environ or (most == 1 and kept is None):
        return most, ""
    if kept is not None:
        return kept, "as the run had before its interruption"
    idle = idle_cores()
    if idle is None:
        return most, ""
    told = f"of {os.cpu_count()} cores {idle:.1f} are idle; --threads or {VARIABLE} decides instead"
    return max(1, min(most, round(idle))), told


def idle_cores() -> float | None:
    """Measure how many cores are idle on the average of `MEASURED_S`.

    From /proc/stat where there is one, else from the load of the last minute; None where neither
    is known.
    """
    cores = os.cpu_count() or 1
    before = _times()
    if before is None:
        if not hasattr(os, "getloadavg"):
            return None
        return max(0.0, cores - os.getloadavg()[0])
    time.sleep(MEASURED_S)
    after = _times() or before
    idle, whole = (now - then for now, then in zip(after, before, strict=True))
    return cores * idle / whole if whole > 0 else None


def _times() -> tuple[int, int] | None:
    """Read the idle time and the whole time of all cores together, in ticks."""
    try:
        first = _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return None
    times = [int(value) for value in first[1:9]]  # those of guests are part of the user's
    return sum(times[place] for place in _IDLE), sum(times)
