"""`batches.jsonl`: the provider's batches of a folder, so that a crash pays for none twice.

{"t": "planned", "label": l, "keys": {key: most}}    before anything is sent
{"t": "uploaded", "label": l, "file": "file-1"}
{"t": "created", "label": l, "id": "batch-1"}
{"t": "over", "label": l}                            its answers are in the journal
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...errors import DataError

BATCHES_FILE: Final = "batches.jsonl"


@dataclass
class LoggedBatch:
    """A batch that is not over."""

    label: str
    keys: Mapping[str, float]
    """Key of each request -> its largest possible cost."""
    file_id: str | None = None
    """None if the process died before or during the upload."""
    id: str | None = None
    """None if it is not known whether the provider has the batch."""


class BatchLog:
    """The file; written by the process that has the folder's journal open."""

    def __init__(self, folder: Path) -> None:
        """Read the file, if it is there; a line that was cut off is dropped.

        Raises:
            DataError: A line is damaged.
        """
        self.path = folder / BATCHES_FILE
        self.open: dict[str, LoggedBatch] = {}
        """Label -> batch that is not over."""
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError) as fault:
                raise DataError(
                    f"the line is damaged: {fault}", path=self.path, line=number
                ) from fault

    @property
    def held(self) -> dict[str, str]:
        """Key of every request whose answer the provider may have -> name of its batch."""
        return {
            key: batch.id or batch.label
            for batch in self.open.values()
            if batch.file_id is not None
            for key in batch.keys
        }

    def planned(self, label: str, keys: Mapping[str, float]) -> LoggedBatch:
        """Write that a batch is about to be uploaded."""
        self._write({"t": "planned", "label": label, "keys": dict(keys)})
        return self.open[label]

    def uploaded(self, batch: LoggedBatch, file_id: str) -> None:
        """Write that its file is uploaded, and the batch about to be created."""
        self._write({"t": "uploaded", "label": batch.label, "file": file_id})

    def created(self, batch: LoggedBatch, batch_id: str) -> None:
        """Write the id of the batch."""
        self._write({"t": "created", "label": batch.label, "id": batch_id})

    def over(self, batch: LoggedBatch) -> None:
        """Write that nothing more is to be had from the batch."""
        self._write({"t": "over", "label": batch.label})

    def _write(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line) + "\n"
        with open(self.path, "a", encoding="utf-8", newline="\n") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        kind, label = line["t"], line["label"]
        if kind == "planned":
            self.open[label] = LoggedBatch(label, line["keys"])
        elif kind == "uploaded":
            self.open[label].file_id = line["file"]
        elif kind == "created":
            self.open[label].id = line["id"]
        elif kind == "over":
            del self.open[label]
        else:
            raise ValueError(f"unknown kind {kind!r}")
