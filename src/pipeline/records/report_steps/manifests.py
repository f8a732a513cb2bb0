"""`WriteManifest`: what a stage holds, with hashes of its records and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....data.identity.sample_ids import FIELDS, sample_id
from ....errors import StillroomError
from ....labeling.reports.manifest import Manifest, list_inputs, list_shards
from ..step import Record
from .report_step import StageReportStep


class WriteManifest(StageReportStep):
    """Writes `manifest.json`: count, columns, ids, and hashes of records, shards and inputs."""

    output_dir: str = "artifacts/manifests"
    sample_id_field: str = "sample_id"
    """Column of the ids."""

    @property
    def report_path(self) -> Path:
        """`<stage>/manifest.json`."""
        return Path(self.stage) / "manifest.json"

    def begin(self) -> None:
        """Begin without records."""
        self._manifest = Manifest(self.column(self.sample_id_field), version_of=self._version)

    def observe(self, rows: Sequence[Record]) -> None:
        """Take note of a batch."""
        self._manifest.add(rows)

    def body(self, path: Path) -> Mapping[str, Any]:
        """Give the fields of the manifest."""
        context = self._context
        folder = context.folder or Path()
        return {
            **self._manifest.report(),
            "shards": list_shards(folder, context.shards, path.parent),
            "inputs": list_inputs(context.inputs, path.parent),
        }

    def _version(self, record: Mapping[str, Any]) -> str | None:
        """Tell by which definition the id of a record was made; None if by none."""
        for version in FIELDS:
            try:
                if sample_id(record, version) == record.get(self.column(self.sample_id_field)):
                    return version
            except StillroomError:  # it lacks the fields that the id is made of
                continue
        return None
