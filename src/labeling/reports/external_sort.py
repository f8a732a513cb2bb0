"""Sort any number of keys of one length in bounded memory: sorted runs on disk, then merged.

Keys are compared as bytes. `float_key` writes a number so that this is the order of numbers.
"""

from __future__ import annotations

import heapq
import shutil
import struct
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_BLOCK_KEYS: Final = 2048
"""Keys that are read from a run at once."""
_SIGN: Final = 1 << 63


class ExternalSort:
    """Collects keys, then gives them in order; a run in memory takes some 75 bytes a key."""

    def __init__(self, width: int, *, run_keys: int = 1 << 17, fan_in: int = 32) -> None:
        """Begin without keys.

        Args:
            width: Bytes of a key, 1 or more.
            run_keys: Most keys in memory; so many make a run on disk.
            fan_in: Runs that are merged at once, 2 or more.
        """
        self.count = 0
        """Number of keys."""
        self._width = width
        self._run_keys = run_keys
        self._fan_in = fan_in
        self._keys: list[bytes] = []
        self._folder: Path | None = None
        self._levels: list[list[Path]] = []
        self._files = 0

    def add(self, key: bytes) -> None:
        """Take a key."""
        self._keys.append(key)
        self.count += 1
        if len(self._keys) >= self._run_keys:
            self._put(0, iter(sorted(self._keys)))
            self._keys = []

    def __iter__(self) -> Iterator[bytes]:
        """Give all keys in ascending order, equal ones as often as they were added."""
        runs = [self._read(path) for level in self._levels for path in level]
        return heapq.merge(*runs, sorted(self._keys))

    def _put(self, level: int, keys: Iterator[bytes]) -> None:
        """Write a run; a full level is merged into one run of the next."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="stillroom-sort-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / f"run-{self._files:06d}"
        self._files += 1
        with open(path, "wb") as run:
            run.writelines(keys)
        if level == len(self._levels):
            self._levels.append([])
        full = self._levels[level]
        full.append(path)
        if len(full) == self._fan_in:
            self._put(level + 1, heapq.merge(*map(self._read, full)))
            for merged in full:
                merged.unlink()
            self._levels[level] = []

    def _read(self, path: Path) -> Iterator[bytes]:
        with open(path, "rb") as run:
            while block := run.read(self._width * _BLOCK_KEYS):
                for start in range(0, len(block), self._width):
                    yield block[start : start + self._width]


def float_key(value: float) -> bytes:
    """Write a finite number as 8 bytes whose order is that of the numbers; -0.0 counts as 0.0.

    >>> float_key(-2.0) < float_key(-1.0) < float_key(0.0) < float_key(1e-300) < float_key(3.0)
    True
    """
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))
    return struct.pack(">Q", bits ^ (_SIGN | (_SIGN - 1) if bits & _SIGN else _SIGN))


def key_float(key: bytes) -> float:
    """Read what `float_key` wrote.

    >>> key_float(float_key(-0.1))
    -0.1
    """
    (bits,) = struct.unpack(">Q", key)
    bits ^= _SIGN if bits & _SIGN else _SIGN | (_SIGN - 1)
    value: float = struct.unpack(">d", struct.pack(">Q", bits))[0]
    return value
