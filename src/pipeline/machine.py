"""What this machine has: cores, memory, disk, bf16, ports. Nothing heavy is loaded."""

from __future__ import annotations

import math
import os
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import Final

_CPU_BF16: Final = ("avx512_bf16", "amx_bf16", "bf16")
"""Flags of processors that multiply in bfloat16; the last is ARM's."""


def machine_memory() -> float:
    """Return the bytes of memory of this machine or its container; infinity if unknown."""
    found = [math.inf]
    if sys.platform != "win32":
        found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit:
            found.append(float(limit.read()))
    except (OSError, ValueError):  # no container, or "max"
        pass
    return min(found)


def free_memory() -> float | None:
    """Return the bytes of memory that programs can still take; None where it is not known."""
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", told, re.MULTILINE)
    if found is None:
        return None
    free = 1024.0 * int(found[1])
    try:
        used = float(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return free
    return max(0.0, min(free, machine_memory() - used))


def usable_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_bf16() -> str | None:
    """Name the processor's instructions for bfloat16; None where it has none or says nothing."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", told, re.MULTILINE)
    flags = line[1].split() if line else []
    return next((name for name in _CPU_BF16 if name in flags), None)


def free_disk(folder: str | Path) -> int:
    """Return the free bytes of the disk that holds a folder, or the nearest folder above it."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def is_port_free(port: int) -> bool:
    """Tell whether a TCP port of 127.0.0.1 can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
