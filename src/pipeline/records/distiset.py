"""`Distiset`: the rows that a pipeline ends with, read from disk as they are needed."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Self, overload

from ...errors import ConfigError, DataNotFoundError, MissingDependencyError
from ...files import read_json, write_json
from .row_codec import Row, decode_rows, encode_rows, parquet_bytes, read_parquet
from .stage_store import StageStore
from .step import Record

INFO_FILE = "distiset.json"
ROWS_PER_FILE = 5000


class Rows(Sequence[Record]):
    """Records in the shards of files; one shard is in memory at a time.

    Args:
        files: Files of rows.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        """Count the rows of each file."""
        import pyarrow.parquet as pq

        self.files = list(files)
        self._ends = list(accumulate(pq.read_metadata(file).num_rows for file in self.files))
        self._read: tuple[int, list[Record]] | None = None

    @classmethod
    def of_stage(cls, folder: Path, shards: Sequence[int]) -> Self:
        """Take the rows of a stage."""
        records = (StageStore(folder).record(shard) for shard in shards)
        return cls([folder / record["rows"]["file"] for record in records if record])

    def __len__(self) -> int:
        """Count the records."""
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        """Give a record, or a list of several."""
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        if place < 0:
            place += len(self)
        if not 0 <= place < len(self):
            raise IndexError(f"there are {len(self)} records; {place} was asked for")
        shard = bisect_right(self._ends, place)
        return self._shard(shard)[place - (self._ends[shard - 1] if shard else 0)]

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in order."""
        for shard in range(len(self.files)):
            yield from self._shard(shard)

    @property
    def column_names(self) -> list[str]:
        """Names of all columns, in the order in which they first occur."""
        return list(dict.fromkeys(key for record in self for key in record))

    def _shard(self, shard: int) -> list[Record]:
        if self._read is None or self._read[0] != shard:
            rows = decode_rows(read_parquet(self.files[shard]))
            self._read = (shard, [row.record for row in rows])
        return self._read[1]


class Distiset(dict[str, dict[str, Sequence[Record]]]):
    """Name of a last step (`default` where there is one only) -> part -> records.

    >>> Distiset({"default": {"train": [{"a": 1}]}})["default"]["train"][0]
    {'a': 1}
    """

    def __init__(
        self,
        parts: Mapping[str, Mapping[str, Sequence[Record]]] | None = None,
        *,
        run_id: str | None = None,
        folder: Path | None = None,
        partial: bool = False,
        accounting: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep the records, and which run they come from.

        Args:
            parts: The records.
            run_id: Id of the run.
            folder: Folder of the run.
            partial: Whether the run was ended early.
            accounting: Counts of each stage.
        """
        super().__init__({name: dict(split) for name, split in (parts or {}).items()})
        self.run_id, self.folder, self.partial = run_id, folder, partial
        self.accounting = dict(accounting or {})

    def train_test_split(
        self, train_size: float, shuffle: bool = True, seed: int | None = None
    ) -> Distiset:
        """Split `train` of each entry into `train` and `test`.

        Args:
            train_size: Share of the records for `train`, above 0 and below 1.
            shuffle: Choose at random; otherwise the first records are for `train`.
            seed: Of the choice; None is 0, so that equal records are split alike.

        Returns:
            A new set.
        """
        if not 0 < train_size < 1:
            raise ConfigError([f"train_size is {train_size}; allowed is above 0 and below 1"])
        split: dict[str, dict[str, Sequence[Record]]] = {}
        for name, parts in self.items():
            records = [record for part in parts.values() for record in part]
            order = list(range(len(records)))
            if shuffle:
                random.Random(seed or 0).shuffle(order)
            cut = round(len(records) * train_size)
            split[name] = {
                "train": [records[i] for i in sorted(order[:cut])],
                "test": [records[i] for i in sorted(order[cut:])],
            }
        return self._like(split)

    def save_to_disk(self, distiset_path: str | Path) -> None:
        """Write the records as Parquet files: `<path>/<name>/<part>-00000.parquet`, ...

        Args:
            distiset_path: A folder that is empty or missing.
        """
        folder = Path(distiset_path)
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError([f"{folder} is not empty; name another folder"])
        listed: dict[str, dict[str, list[str]]] = {}
        for name, parts in self.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            listed[name] = {}
            for part, records in parts.items():
                listed[name][part] = _write_part(folder, f"{name}/{part}", records)
        write_json(folder / INFO_FILE, {
            "schema_version": 1,
            "run_id": self.run_id,
            "partial": self.partial,
            "accounting": self.accounting,
            "files": listed,
        })  # fmt: skip

    @classmethod
    def load_from_disk(cls, distiset_path: str | Path) -> Distiset:
        """Open what `save_to_disk` wrote.

        Raises:
            DataNotFoundError: There is none.
        """
        folder = Path(distiset_path)
        if not (folder / INFO_FILE).is_file():
            raise DataNotFoundError(f"{folder} holds no Distiset: {INFO_FILE} is missing")
        info = read_json(folder / INFO_FILE)
        parts = {
            name: {part: Rows([folder / file for file in files]) for part, files in split.items()}
            for name, split in info["files"].items()
        }
        return cls(
            parts, run_id=info["run_id"], partial=info["partial"], accounting=info["accounting"]
        )

    def push_to_hub(
        self,
        repo_id: str,
        private: bool = False,
        token: str | None = None,
        commit_message: str | None = None,
    ) -> None:
        """Upload the records to a data set of the Hugging Face hub; each entry is a configuration.

        Args:
            repo_id: `owner/name` of the data set.
            private: Whether a new data set is private.
            token: Of the hub; None takes the one that is logged in.
            commit_message: Of the upload.

        Raises:
            MissingDependencyError: `datasets` is not installed.
        """
        try:
            from datasets import Dataset, DatasetDict
        except ImportError:
            raise MissingDependencyError("datasets", "hub") from None
        message = commit_message or f"Records of the run {self.run_id}"
        for name, parts in self.items():
            frames = DatasetDict({part: Dataset.from_list(list(r)) for part, r in parts.items()})
            frames.push_to_hub(
                repo_id, config_name=name, private=private, token=token, commit_message=message
            )

    def _like(self, parts: Mapping[str, Mapping[str, Sequence[Record]]]) -> Distiset:
        return Distiset(
            parts,
            run_id=self.run_id,
            folder=self.folder,
            partial=self.partial,
            accounting=self.accounting,
        )


def _write_part(folder: Path, name: str, records: Sequence[Record]) -> list[str]:
    files = []
    for number, start in enumerate(range(0, max(len(records), 1), ROWS_PER_FILE)):
        chunk = records[start : start + ROWS_PER_FILE]
        table, faults = encode_rows([Row(str(start + i), r) for i, r in enumerate(chunk)])
        if faults:
            place, reason = next(iter(faults.items()))
            raise ConfigError([f"record {start + place} of {name} cannot be written: {reason}"])
        files.append(f"{name}-{number:05d}.parquet")
        (folder / files[-1]).write_bytes(parquet_bytes(table))
    return files
