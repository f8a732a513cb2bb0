"""Write records as a data set for a trainer: one file per part of a hash split, and `split.json`.

    write_dataset(records, "out", "messages", ExportFields(), train=0.9)

The part of a record follows from its id alone; a part that would be empty gets the nearest record
(see `hash_split`). So that this needs no memory, the objects are kept in a temporary file until all
are there. The files appear under their names when they are complete.
"""

from __future__ import annotations

import json
import logging
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final

from ....data.identity.hash_split import (
    Part,
    part_at,
    part_between,
    split_borders,
    split_key,
    split_part,
    split_shares,
)
from ....errors import ConfigError, DataError
from ....files import atomic_path
from ....labeling.reports.content_hash import ContentHash, record_digest
from ....labeling.reports.export_forms import Exporter, ExportFields, FormName
from ....labeling.reports.external_sort import ExternalSort, float_key, key_float
from ....labeling.reports.report_files import require_own_report, write_report
from ....records import split_position

logger = logging.getLogger(__name__)
SPLIT_FILE: Final = "split.json"
_LINE: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_HEAD: Final = struct.Struct(">d32sQ")
"""Before each object in the temporary file: its position in the split, 0 to 1, its digest, and its
length in bytes."""


def write_dataset(
    records: Iterable[Mapping[str, Any]],
    folder: str | Path,
    form: FormName,
    fields: ExportFields,
    *,
    train: float = 0.9,
    val: float | None = None,
    sample_id_field: str = "sample_id",
    names: Mapping[Part, str] | None = None,
    run_id: str | None = None,
) -> list[Path]:
    """Write a data set.

    Args:
        records: Records.
        folder: Where the files go.
        form: See `export_forms`.
        fields: Where the parts of an object come from.
        train: Share of the training part, 0 to 1.
        val: Share of the validation part, the rest is a test part; None: there is no test part.
        sample_id_field: Column whose hash decides the part; without it the whole record does.
        names: File names of parts; None takes `file_names`.
        run_id: The run that the data belongs to.

    Returns:
        The files, `split.json` last.

    Raises:
        ConfigError: A setting is out of range, or the folder holds the data of another run.
        DataError: A record lacks what the form needs, or holds NaN; names it.
    """
    files = DatasetFiles(
        Path(folder), form, fields, train=train, val=val, sample_id_field=sample_id_field,
        names=names, run_id=run_id,
    )  # fmt: skip
    with files:
        for record in records:
            files.add(record)
        return files.finish()


def file_names(form: FormName) -> dict[Part, str]:
    """Give the usual file names: Alpaca's are JSON lists, MLX calls its validation `valid`.

    >>> file_names("mlx")["val"]
    'valid.jsonl'
    """
    ending = "json" if form == "alpaca" else "jsonl"
    val = "valid" if form == "mlx" else "val"
    return {"train": f"train.{ending}", "val": f"{val}.{ending}", "test": f"test.{ending}"}


class DatasetFiles:
    """The files of a data set, record by record; see `write_dataset`."""

    def __init__(
        self,
        folder: Path,
        form: FormName,
        fields: ExportFields,
        *,
        train: float = 0.9,
        val: float | None = None,
        sample_id_field: str = "sample_id",
        names: Mapping[Part, str] | None = None,
        run_id: str | None = None,
    ) -> None:
        """Check the settings and the folder; see `write_dataset`."""
        self._exporter = Exporter(form, fields)
        split_part("", train, val)
        self._shares = (train, val)
        self._names = {**file_names(form), **(names or {})}
        if len({*self._names.values(), SPLIT_FILE}) <= len(self._names):
            raise ConfigError([f"the files of a data set need different names: {self._names}"])
        self._folder = folder
        self._id_field = sample_id_field
        self._run_id = run_id
        require_own_report(folder / SPLIT_FILE, run_id)
        folder.mkdir(parents=True, exist_ok=True)
        self._positions = ExternalSort(8)
        self._held: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix=".export-")  # noqa: SIM115

    def __enter__(self) -> DatasetFiles:
        """Use the files."""
        return self

    def __exit__(self, *fault: object) -> None:
        """Drop what is held."""
        self.close()

    def close(self) -> None:
        """Drop what is held."""
        self._held.close()

    def add(self, record: Mapping[str, Any]) -> None:
        """Take a record.

        Raises:
            DataError: It lacks what the form needs, or holds NaN; names it.
        """
        value = self._exporter.export(record)
        name = record.get(self._id_field)
        told = f"number {self._positions.count + 1}" if name is None else repr(name)
        digest = record_digest(value, told)
        position = split_position(split_key(record, self._id_field))
        try:
            line = _LINE.encode(value).encode()
        except UnicodeEncodeError as fault:
            raise DataError(f"record {told}: a text holds half a surrogate pair") from fault
        self._positions.add(float_key(position))
        self._held.write(_HEAD.pack(position, digest, len(line)) + line)

    def finish(self, *, partial: bool = False) -> list[Path]:
        """Write the files.

        Args:
            partial: Whether the run was ended early; `split.json` says so.
        """
        borders = split_borders(_Numbers(self._positions), *self._shares)
        parts: tuple[Part, ...] = ("train", "val")
        if self._shares[1] is not None:
            parts = ("train", "val", "test")
        paths = {part: self._folder / self._names[part] for part in parts}
        counts: Counter[Part] = Counter()
        hashes = {part: ContentHash() for part in parts}
        moved: Counter[str] = Counter()
        with ExitStack() as opened:
            files = {part: opened.enter_context(_part_file(path)) for part, path in paths.items()}
            for position, digest, line in self._objects():
                part, usual = part_between(position, borders), part_at(position, *self._shares)
                moved[f"from {usual} to {part}"] += usual != part
                counts[part] += 1
                hashes[part].add_digest(digest)
                files[part](line)
        moves = {move: count for move, count in moved.items() if count}
        for move, count in moves.items():
            logger.warning("%d record(s) moved %s, which would have been empty", count, move)
        body = {
            "rule": "hash",
            "key": self._id_field,
            "seed": None,
            "ratios": dict(zip(("train", "val", "test"), split_shares(*self._shares), strict=True)),
            "counts": {path.name: counts[part] for part, path in paths.items()},
            "data_hash": {path.name: hashes[part].data_hash for part, path in paths.items()},
            "strata": None,
            "moved": moves,
        }
        split = self._folder / SPLIT_FILE
        return [
            *paths.values(),
            write_report(split, {"run_id": self._run_id}, body, partial=partial),
        ]

    def _objects(self) -> Iterator[tuple[float, bytes, bytes]]:
        """Give position, digest and text of each object."""
        self._held.seek(0)
        while head := self._held.read(_HEAD.size):
            position, digest, length = _HEAD.unpack(head)
            yield position, digest, self._held.read(length)


class _Numbers:
    """The numbers in a sort, which can be read several times."""

    def __init__(self, sort: ExternalSort) -> None:
        self._sort = sort

    def __iter__(self) -> Iterator[float]:
        return map(key_float, self._sort)


@contextmanager
def _part_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Write objects as JSON Lines, or as a JSON list where the file is named so.

    Yields:
        A function that writes one object.
    """
    is_list = path.suffix == ".json"
    with atomic_path(path) as temporary, open(temporary, "wb") as file:

        def write(line: bytes) -> None:
            before = b"" if not is_list else b",\n" if file.tell() else b"[\n"
            file.write(before + line + (b"" if is_list else b"\n"))

        yield write
        if is_list:
            file.write(b"\n]\n" if file.tell() else b"[]\n")
