"""A run's folder: which stages are done, so that an interrupted run goes on and a finished one
starts anew.

A stage is skipped only within one interrupted run, and only while settings, data, prompts and
versions are the same.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .files import read_json, write_json

PROGRESS_FILE = "progress.json"
STALE = ("controls", "metrics.json", "report.html", "scores.png")
"""What is about the models of an earlier run, and is not written again by every run."""


class RunFolder:
    """Remembers the finished stages of a run.

    Args:
        path: The run's folder; made when the run begins.
        identity: Hash of everything that decides the result.
    """

    def __init__(self, path: str | Path, identity: str) -> None:
        """Read what an earlier run left."""
        self.path = Path(path)
        self.identity = identity
        self._done: dict[str, Any] = {}
        self.resumed = False

    def is_broken_off(self) -> bool:
        """Say whether the folder holds an interrupted run with the same identity."""
        earlier = self._earlier()
        return earlier.get("identity") == self.identity and earlier.get("status") == "running"

    def begin(self) -> bool:
        """Start or go on; True when an interrupted run with the same identity is continued.

        A run that starts removes what an earlier one measured and its controls, so that no number
        in the folder is of other models than those in it.
        """
        self.resumed = self.is_broken_off()
        self._done = dict(self._earlier()["done"]) if self.resumed else {}
        if not self.resumed and (self.path / PROGRESS_FILE).is_file():
            for name in STALE:
                shutil.rmtree(self.path / name, ignore_errors=True)
                with suppress(FileNotFoundError, NotADirectoryError):
                    (self.path / name).unlink()
        self._write("running")
        return self.resumed

    def _earlier(self) -> dict[str, Any]:
        try:
            return dict(read_json(self.path / PROGRESS_FILE))
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def is_done(self, stage: str) -> bool:
        """Say whether a stage was finished in this run, before an interruption."""
        return stage in self._done

    def done(self, stage: str) -> None:
        """Mark a stage as finished; its files are whole by now."""
        self._done[stage] = True
        self._write("running")

    def finish(self) -> None:
        """Mark the run as complete: the same command starts anew from here."""
        self._write("complete")

    def _write(self, status: str) -> None:
        write_json(
            self.path / PROGRESS_FILE,
            {
                "schema_version": 1,
                "status": status,
                "identity": self.identity,
                "updated_at": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
                "done": self._done,
            },
        )
