"""The files of a stage: its rows, its losses and, per shard, the record that makes it done.

    <run>/<stage>/rows-00000.parquet     the rows that the stage passes on
    <run>/<stage>/losses-00000.parquet   rows that it rejected or failed on; absent where none
    <run>/<stage>/shard-00000.json       counts per step, and the sha256 of both files

The record is written last and deleted first, so a shard with a record is whole. Records carry a
seal, the hash of their own content, so that a changed byte in them is found as well.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa

from ...errors import DataError, UnreadableFileError
from ...files import atomic_path, file_sha256, write_json
from ...records import sha256_text, stable_json
from .row_codec import Row, decode_rows, json_text, parquet_bytes, read_parquet

SHARD_FILE: Final = re.compile(r"^(?:rows|losses|shard)-(\d{5,})\.(?:parquet|json)$")
TEMPORARY: Final = re.compile(r"\.(?:tmp|old)-\d+$")
STATE: Final = "state"
"""Folder of an ordered stage's state; what lies in it is not an artefact."""
_SEAL: Final = "seal"
_LOSSES: Final = pa.schema([
    (name, pa.string()) for name in ("step", "kind", "reason", "row", "record")
])  # fmt: skip


@dataclass(frozen=True)
class LostRow:
    """A row that a stage did not pass on."""

    step: str
    kind: Literal["rejected", "dead"]
    reason: str
    row_id: str
    record: Mapping[str, Any]


class StageStore:
    """The folder of a stage.

    Args:
        folder: Made when the first shard is written.
    """

    def __init__(self, folder: Path) -> None:
        """Name the folder."""
        self.folder = folder

    def record(self, shard: int) -> dict[str, Any] | None:
        """Read the record of a shard; None where the shard is not done or its record is broken."""
        path = self._path("shard", shard, "json")
        try:
            found = read_sealed(path)
        except (FileNotFoundError, DataError):
            return None
        files = [found["rows"], *([found["losses"]] if found["losses"] else [])]
        return found if all((self.folder / part["file"]).is_file() for part in files) else None

    def shards(self) -> list[int]:
        """List the shards that are done, in order."""
        return [shard for shard in self._numbers("shard") if self.record(shard) is not None]

    def write(
        self,
        shard: int,
        told: Mapping[str, Any],
        table: Any,  # noqa: ANN401 - pyarrow has no types
        losses: Sequence[LostRow],
        may_differ: frozenset[str] | None = None,
    ) -> dict[str, Any]:
        """Write a shard, in place of an earlier one.

        Args:
            shard: Its number.
            told: What its record says beside the files.
            table: Its rows, from `encode_rows`.
            losses: The rows that it does not pass on.
            may_differ: Keep the shard that is there if it is the same but for these keys of its
                record; None always writes.

        Returns:
            Its record.
        """
        parts = {"rows": parquet_bytes(table), "losses": None}
        if losses:
            parts["losses"] = parquet_bytes(_losses_table(losses))
        counts = {"rows": table.num_rows, "losses": len(losses)}
        files = {
            part: None if content is None else {
                "file": self._path(part, shard, "parquet").name,
                "count": counts[part],
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for part, content in parts.items()
        }  # fmt: skip
        record = {**told, **files}
        there = None if may_differ is None else self.record(shard)
        if (
            there is not None
            and may_differ is not None
            and all(
                there.get(key) == value for key, value in record.items() if key not in may_differ
            )
        ):
            return there
        self._path("shard", shard, "json").unlink(missing_ok=True)
        for part, content in parts.items():
            path = self._path(part, shard, "parquet")
            if content is None:
                path.unlink(missing_ok=True)
                continue
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
        return write_sealed(self._path("shard", shard, "json"), record)

    def rows(self, shard: int) -> list[Row]:
        """Read the rows of a shard.

        Raises:
            UnreadableFileError: The shard is not there, or its file is not the one that was
                written.
        """
        record = self.record(shard)
        if record is None:
            raise UnreadableFileError(
                "the shard is missing; run the pipeline again", path=self.folder
            )
        path = self.folder / record["rows"]["file"]
        if file_sha256(path) != record["rows"]["sha256"]:
            raise UnreadableFileError(
                "the file was changed after it was written; delete it and run the pipeline again",
                path=path,
            )
        return decode_rows(read_parquet(path))

    def losses(self, shard: int) -> list[LostRow]:
        """Read the rows that a shard did not pass on."""
        record = self.record(shard)
        if record is None or record["losses"] is None:
            return []
        table = read_parquet(self.folder / record["losses"]["file"])
        return [
            LostRow(r["step"], r["kind"], r["reason"], r["row"], json.loads(r["record"]))
            for r in table.to_pylist()
        ]

    def drop(self, first: int = 0) -> None:
        """Delete the shards from a number on."""
        if not self.folder.is_dir():
            return
        for part in ("shard", "losses", "rows"):
            for number in self._numbers(part):
                if number >= first:
                    ending = "json" if part == "shard" else "parquet"
                    self._path(part, number, ending).unlink(missing_ok=True)

    def clean(self) -> None:
        """Delete what a killed run left half written."""
        if not self.folder.is_dir():
            return
        for path in list(self.folder.iterdir()):
            if TEMPORARY.search(path.name):
                shutil.rmtree(path, ignore_errors=True)
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _numbers(self, part: str) -> Iterator[int]:
        if self.folder.is_dir():
            for path in sorted(self.folder.glob(f"{part}-*")):
                found = SHARD_FILE.match(path.name)
                if found:
                    yield int(found[1])

    def _path(self, part: str, shard: int, ending: str) -> Path:
        return self.folder / f"{part}-{shard:05d}.{ending}"


def write_sealed(path: Path, value: Mapping[str, Any]) -> dict[str, Any]:
    """Write a JSON file that carries the hash of its content; return what is in it."""
    plain = {key: v for key, v in value.items() if key != _SEAL}
    sealed = {**plain, _SEAL: sha256_text(stable_json(plain))}
    write_json(path, sealed)
    return sealed


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a file that `write_sealed` wrote.

    Raises:
        FileNotFoundError: There is none.
        UnreadableFileError: It is not as it was written.
    """
    raw = path.read_bytes()
    try:
        value = json.loads(raw)
        plain = {key: v for key, v in value.items() if key != _SEAL}
        written = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
        whole = value[_SEAL] == sha256_text(stable_json(plain)) and written.encode() == raw
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise UnreadableFileError("the file is not as it was written", path=path)
    return dict(value)


def _losses_table(losses: Sequence[LostRow]) -> Any:  # noqa: ANN401 - pyarrow has no types
    return pa.Table.from_pylist(
        [
            {
                "step": loss.step,
                "kind": loss.kind,
                "reason": loss.reason.encode("utf-8", "replace").decode("utf-8"),
                "row": loss.row_id,
                "record": json_text(loss.record),
            }
            for loss in losses
        ],
        schema=_LOSSES,
    )
