"""First steps of a pipeline: records from Python, from files, databases and folders, from the hub.

LoadDataFromDicts(data=[{"instruction": "Count users."}])
LoadDataFromFileSystem(data_files="questions.csv.gz", num_examples=100)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from ....data.readers.read_table import iter_records
from ....errors import ConfigError, DataError, MissingDependencyError
from ..step import GeneratorStep, Record
from .fields import names_of


class LoadDataFromDicts(GeneratorStep):
    """Gives records that are in memory.

    >>> list(LoadDataFromDicts(data=[{"a": 1}, {"a": 2}, {"a": 3}], batch_size=2).process())
    [([{'a': 1}, {'a': 2}], False), ([{'a': 3}], True)]
    """

    data: Sequence[Record]

    def __post_init__(self) -> None:
        """Refuse what is no record.

        Raises:
            DataError: An item is no mapping; names it, counted from 1.
        """
        super().__post_init__()
        _require_batch_size(self.batch_size)
        for row, record in enumerate(self.data, 1):
            if not isinstance(record, Mapping):
                raise DataError(
                    f"data holds {record!r:.200}, which is no record; allowed are dicts", row=row
                )

    @property
    def outputs(self) -> list[str]:
        """The fields of the first record."""
        return [str(name) for name in self.data[0]] if self.data else []

    def process(  # type: ignore[override]
        self, offset: int = 0
    ) -> Iterator[tuple[list[Record], bool]]:
        """Yield the records from the one at `offset` on."""
        rest = islice(self.data, offset, None)
        return _batches((dict(record) for record in rest), self.batch_size)


class LoadDataFromFileSystem(GeneratorStep):
    """Reads the records of files, folders, patterns or databases.

    Formats, compression and spellings of null are those of `stillroom.data.readers`: CSV, JSON,
    Parquet, Arrow, Excel, SQLite, and any SQLAlchemy address.
    """

    data_files: str | Sequence[str]
    """One or more sources, read one after the other."""
    filetype: str | None = None
    """Format of the files, as `ReadOptions.format`; None: by their names and contents."""
    num_examples: int | None = None
    """Most records, 0 or more; None reads all."""
    query: str | None = None
    """SELECT, for a database."""
    table: str | None = None
    """Table to read whole, for a database."""
    read_options: Mapping[str, Any] | None = None
    """Further fields of `ReadOptions`, such as `sep` or `records_path`."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        _require_batch_size(self.batch_size)
        _require_count(self.num_examples)
        if not names_of(self.data_files):
            raise ConfigError(["data_files is empty; give at least one file, folder or pattern"])

    def process(  # type: ignore[override]
        self, offset: int = 0
    ) -> Iterator[tuple[list[Record], bool]]:
        """Yield the records from the one at `offset` on.

        Raises:
            DataError: The data cannot be used; the message names file, row and column.
            DataNotFoundError: There is no such file.
        """
        options = {**(self.read_options or {})}
        if self.filetype is not None:
            options["format"] = self.filetype
        sources = [
            iter_records(source, query=self.query, table=self.table, **options)
            for source in names_of(self.data_files)
        ]
        records = chain.from_iterable(sources)
        return _batches(islice(records, offset, self.num_examples), self.batch_size)


class LoadDataFromHub(GeneratorStep):
    """Reads a data set of the Hugging Face hub; needs the network, or its cache."""

    repo_id: str
    """Name of the data set, such as "squad"; also a folder that `datasets` can read."""
    split: str = "train"
    config: str | None = None
    """Name of a configuration of the data set; None takes its default."""
    revision: str | None = None
    """Commit, tag or branch; name a commit to get the same records in each run."""
    streaming: bool = False
    """Read while it is downloaded, instead of downloading it first."""
    num_examples: int | None = None
    """Most records, 0 or more; None reads all."""
    storage_options: Mapping[str, Any] | None = None
    """Options of the file system, for addresses such as s3://."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        _require_batch_size(self.batch_size)
        _require_count(self.num_examples)

    def process(  # type: ignore[override]
        self, offset: int = 0
    ) -> Iterator[tuple[list[Record], bool]]:
        """Yield the records from the one at `offset` on.

        Raises:
            MissingDependencyError: The package `datasets` is not installed.
            DataError: The data set cannot be loaded; the message holds the reason.
        """
        try:
            from datasets import load_dataset
        except ImportError as fault:
            raise MissingDependencyError("datasets", "hub") from fault
        try:
            rows: Iterable[Record] = load_dataset(
                self.repo_id,
                self.config,
                split=self.split,
                revision=self.revision,
                streaming=self.streaming,
                storage_options=self.storage_options and dict(self.storage_options),
            )
        except Exception as fault:
            raise DataError(
                f"the data set {self.repo_id!r} (config {self.config!r}, split {self.split!r}) "
                f"cannot be loaded ({type(fault).__name__}: {fault}); check its name and the "
                "network, or download it and use LoadDataFromFileSystem"
            ) from fault
        return _batches(islice(rows, offset, self.num_examples), self.batch_size)


def _batches(records: Iterable[Record], size: int) -> Iterator[tuple[list[Record], bool]]:
    """Cut records into batches, each with whether it is the last; without any, one is empty."""
    rest = iter(records)
    batch = list(islice(rest, size))
    while following := list(islice(rest, size)):
        yield batch, False
        batch = following
    yield batch, True


def _require_batch_size(size: int) -> None:
    if size < 1:
        raise ConfigError([f"batch_size is {size}; allowed: 1 or more"])


def _require_count(count: int | None) -> None:
    if count is not None and count < 0:
        raise ConfigError([f"num_examples is {count}; allowed: 0 or more, or None"])
