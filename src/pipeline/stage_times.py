"""The seconds of each stage of a run, over its interruptions: `timing.json` in the run folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..files import read_json, write_json

TIMING_FILE: Final = "timing.json"


class StageTimes:
    """Adds up the seconds of each stage over the interruptions of a run."""

    def __init__(self, path: Path, *, resumed: bool) -> None:
        """Read the times of an interrupted run."""
        self._path = path
        self._seconds = read_json(path)["busy_s"] if resumed and path.is_file() else {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage, also where it is interrupted."""
        began = time.monotonic()
        try:
            yield
        finally:
            spent = self._seconds.get(name, 0.0) + time.monotonic() - began
            self._seconds[name] = round(spent, 3)
            write_json(self._path, {"schema_version": 1, "busy_s": self._seconds})
