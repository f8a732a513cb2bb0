"""Choose the number of threads of a job: as many as there are idle cores, and at least one.

OpenMP threads wait for each other several times per layer. If another program keeps a core busy,
one thread is always late, and a step with two threads takes several times as long as with one.
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
"""Seconds over which the load of the cores is measured."""
_STAT: Final = Path("/proc/stat")
_IDLE: Final = (3, 4)
"""Indices of the idle time and of the time waiting for I/O in a line of /proc/stat."""


@contextmanager
def job_threads(asked: int | None, console: Console, *, kept: int | None = None) -> Iterator[int]:
    """Set the number of torch threads until the end of the block, and restore it afterwards.

    A line is printed if the number changes. This function loads torch.

    Args:
        asked: Number of threads. None takes `OMP_NUM_THREADS` if it is set, else `kept`, else the
            number of idle cores.
        console: Prints the line.
        kept: Number of threads of an interrupted run that is continued; with another number,
            results differ in their last digits.

    Yields:
        The number of threads.
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
    """Measure the mean number of idle cores over `MEASURED_S` seconds.

    Returns:
        The number from /proc/stat if there is one, else from the load average of the last minute;
        None if neither is known.
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
    """Read the idle time and the total time of all cores together, in ticks."""
    try:
        first = _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return None
    times = [int(value) for value in first[1:9]]  # user time includes the time of guests
    return sum(times[place] for place in _IDLE), sum(times)
