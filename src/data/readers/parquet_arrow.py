"""Records from Parquet and Arrow files (IPC file, IPC stream, Feather version 2), batch by batch.

Checksums are verified where the file has them; an encrypted or damaged file is refused.
INT96 timestamps, an old type that Spark and Impala write, are read to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import DataError, EmptyDataError, UnreadableFileError
from .arrow_values import PlainFormError, plain_list, timestamp_text
from .column_names import check_columns
from .compression import seekable
from .options import ReadOptions, advise
from .read_report import ReadReport

BATCH_ROWS = 8192
MAX_UNPACKED_BYTES = 1 << 30
MAX_UNPACKED_RATIO = 1000
"""A row group above both limits is refused: a few kilobytes can unpack to more than the memory."""
ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError)
_INT64 = 1 << 64


def iter_parquet(
    path: Path, options: ReadOptions, report: ReadReport
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the records of a Parquet file.

    Args:
        path: File, packed or not.
        options: `columns`.
        report: Counts are added to it.

    Yields:
        Record number counted from 1, record.

    Raises:
        UnreadableFileError: The file is damaged, encrypted, or would exhaust the memory.
        UnknownColumnError: `columns` names one that is not there.
    """
    with seekable(path) as stream:
        try:
            file = _open_parquet(stream)
        except ARROW_ERRORS as fault:
            raise _fault(path, fault) from fault
        _check_unpacked_size(path, file.metadata, stream.seek(0, 2))
        names = _chosen(path, file.schema_arrow.names, options)
        row = 0
        int96, nested = _int96_columns(file)
        for name in nested:
            report.note(f"{path}: nested INT96 timestamps in {name!r} are read to the microsecond")
        for batches in _batches(path, stream, file, options, bool(int96 or nested)):
            values = []
            for name in names:
                if name in int96:
                    arrays = [batch.column(name) for batch in batches]
                    values.append(_int96_texts(path, row, name, arrays))
                else:
                    array = batches[1 if name in nested else 0].column(name)
                    values.append(_plain(path, row, name, array, report))
            for cells in zip(*values, strict=True):
                row += 1
                yield row, dict(zip(names, cells, strict=True))


def iter_arrow(
    path: Path, options: ReadOptions, report: ReadReport
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the records of an Arrow IPC file or stream, or a Feather file of version 2.

    Args:
        path: File, packed or not.
        options: `columns`.
        report: Counts are added to it.

    Yields:
        Record number counted from 1, record.

    Raises:
        UnreadableFileError: The file is damaged or cut off.
        UnknownColumnError: `columns` names one that is not there.
    """
    with seekable(path) as stream:
        try:
            schema, batches, is_file = _open_ipc(stream)
        except ARROW_ERRORS as fault:
            raise _fault(path, fault) from fault
        names = _chosen(path, schema.names, options)
        row = 0
        while True:
            try:
                batch = next(batches, None)
            except ARROW_ERRORS as fault:
                raise _fault(path, fault, row + 1) from fault
            if batch is None:
                break
            values = [_plain(path, row, name, batch.column(name), report) for name in names]
            for cells in zip(*values, strict=True):
                row += 1
                yield row, dict(zip(names, cells, strict=True))
        if not is_file and not _ends_well(stream):
            report.note(f"{path}: the Arrow stream has no end mark; it may have been cut off")


def dataset_records(dataset: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - no types
    """List the records of a `datasets.Dataset` as plain values, as reading its files gives them."""
    records: list[dict[str, Any]] = []
    report = ReadReport(quiet=True)
    for table in dataset.with_format("arrow").iter(batch_size=BATCH_ROWS):
        for batch in table.combine_chunks().to_batches():
            columns = [plain_list(column, report) for column in batch.columns]
            names = batch.schema.names
            records += [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return records


def column_names(path: Path, *, parquet: bool) -> list[str]:
    """Name the columns of a Parquet or Arrow file, also one without records.

    Args:
        path: File, packed or not.
        parquet: It is Parquet; otherwise Arrow.
    """
    with seekable(path) as stream:
        if parquet:
            return list(_open_parquet(stream).schema_arrow.names)
        return list(_open_ipc(stream)[0].names)


def _open_parquet(stream: IO[bytes], unit: str | None = None) -> Any:  # noqa: ANN401
    return pq.ParquetFile(
        stream, page_checksum_verification=True, pre_buffer=False, coerce_int96_timestamp_unit=unit
    )


def _batches(
    path: Path,
    stream: IO[bytes],
    file: Any,  # noqa: ANN401
    options: ReadOptions,
    int96: bool,
) -> Iterator[tuple[Any, ...]]:
    """Yield batches; for INT96 columns, the same rows in ns, us and ms."""
    names = None if options.columns is None else list(options.columns)
    files = [file]
    if int96:
        files += [_open_parquet(stream, unit) for unit in ("us", "ms")]
    row = 0
    try:
        readers = [
            f.iter_batches(batch_size=BATCH_ROWS, columns=names, use_threads=False) for f in files
        ]
        for batches in zip(*readers, strict=True):
            yield batches
            row += batches[0].num_rows
    except ARROW_ERRORS as fault:
        if isinstance(fault, DataError):
            raise
        raise _fault(path, fault, row + 1) from fault
    groups = range(file.metadata.num_row_groups)
    promised = sum(file.metadata.row_group(i).num_rows for i in groups)
    if row != promised:
        raise UnreadableFileError(f"the file should have {promised} records, not {row}", path=path)


def _open_ipc(stream: IO[bytes]) -> tuple[Any, Iterator[Any], bool]:
    """Open an IPC file or stream: its schema, its batches, and whether it is a file."""
    is_file = stream.read(6) == b"ARROW1"
    stream.seek(0)
    if is_file:
        file = pa.ipc.open_file(stream)
        return file.schema, (file.get_batch(i) for i in range(file.num_record_batches)), True
    reader = pa.ipc.open_stream(stream)
    return reader.schema, iter(reader), False


def _ends_well(stream: IO[bytes]) -> bool:
    """Look for the end mark of an IPC stream; a cut-off file has none."""
    stream.seek(0, 2)
    stream.seek(max(stream.tell() - 8, 0))
    return stream.read() == b"\xff\xff\xff\xff\0\0\0\0"


def _chosen(path: Path, names: list[str], options: ReadOptions) -> list[str]:
    if not names:
        raise EmptyDataError("the table has no columns", path=path)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError("two columns have this name; rename one", path=path, column=twice[0])
    check_columns(path, names, options.columns or ())
    return list(options.columns or names)


def _plain(path: Path, row: int, name: str, array: Any, report: ReadReport) -> list[Any]:  # noqa: ANN401
    try:
        return plain_list(array, report)
    except (PlainFormError, TypeError, *ARROW_ERRORS) as fault:
        raise DataError(
            f"in the {len(array)} records from here: {fault}", path=path, row=row + 1, column=name
        ) from fault


def _int96_columns(file: Any) -> tuple[set[str], set[str]]:  # noqa: ANN401
    """Name the INT96 columns, and the columns with nested INT96 values."""
    schema = file.schema
    columns = [schema.column(i) for i in range(len(schema))]
    paths = {column.path for column in columns if column.physical_type == "INT96"}
    whole = paths & set(file.schema_arrow.names)
    return whole, {path.split(".")[0] for path in paths - whole}


def _int96_texts(path: Path, row: int, name: str, arrays: list[Any]) -> list[Any]:
    """Compose INT96 timestamps of nanoseconds, which wrap around in 64 bits, and microseconds.

    Milliseconds show whether the microseconds have wrapped too; such a date is out of range.
    """
    texts: list[Any] = []
    counts = [array.view(pa.int64()).to_pylist() for array in arrays]
    for offset, (ns, us, ms) in enumerate(zip(*counts, strict=True), 1):
        if ns is None:
            texts.append(None)
            continue
        if us // 1000 != ms:
            raise DataError(
                "the INT96 timestamp is out of range (its writer overflowed); to choose other "
                f"columns, {advise('columns')}",
                path=path,
                row=row + offset,
                column=name,
            )
        exact = us * 1000 + (ns - us * 1000) % _INT64
        texts.append(timestamp_text(exact, 10**9))
    return texts


def _check_unpacked_size(path: Path, metadata: Any, packed: int) -> None:  # noqa: ANN401
    """Refuse row groups that would exhaust the memory.

    Only whole row groups: asking for the size of an encrypted column ends the process with a C++
    exception that pyarrow does not catch.
    """
    for group in range(metadata.num_row_groups):
        unpacked = metadata.row_group(group).total_byte_size
        if unpacked > MAX_UNPACKED_BYTES and unpacked > packed * MAX_UNPACKED_RATIO:
            raise UnreadableFileError(
                f"{packed} bytes would unpack to {unpacked} and fill the memory; refused", path=path
            )


def _fault(path: Path, fault: BaseException, row: int | None = None) -> UnreadableFileError:
    text = str(fault).strip() or type(fault).__name__
    if "ncrypt" in text or "ecrypt" in text:
        text = "the file is encrypted; decrypt it with the tool and the keys it was written with"
    elif isinstance(fault, MemoryError):
        text = f"there is not enough memory to unpack it ({text})"
    elif "CRC checksum" in text:
        text = f"the data is damaged: {text}"
    else:
        text = f"cannot be read: {text}"
    return UnreadableFileError(text, path=path, row=row)
