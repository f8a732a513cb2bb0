"""Records from anything: `iter_records` one by one, `read_table` as a list.

for record in iter_records("facts.csv.gz"): ...
records = read_table("postgresql+psycopg://host/shop", query="SELECT name, price FROM products")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import ConfigError, DataError, EmptyDataError
from .cells import flatten_record
from .column_names import check_columns
from .csv.reader import CsvTable
from .database import is_url, iter_query, shown_name, table_query
from .excel import iter_excel
from .file_kinds import kind_of
from .json.reader import iter_json
from .options import ReadOptions, read_options
from .parquet_arrow import ARROW_ERRORS, column_names, iter_arrow, iter_parquet
from .read_report import ReadReport
from .sources import SourceFile, find_files


class SourcedRecord(NamedTuple):
    """A record and its origin."""

    path: str
    """File or database."""
    row: int
    """Record number in the file counted from 1, the header not counted."""
    record: dict[str, Any]


def iter_records(
    source: str | Path,
    *,
    query: str | None = None,
    table: str | None = None,
    report: ReadReport | None = None,
    **options: Any,  # noqa: ANN401 - the fields of ReadOptions
) -> Iterator[dict[str, Any]]:
    """Read records one by one.

    Args:
        source: File (CSV, TSV, JSON, JSON Lines, Parquet, Arrow, Feather, SQLite, Excel; also
            compressed by gzip, zstd, bzip2 or xz), folder, pattern, or SQLAlchemy URL.
        query: SELECT, for a database.
        table: Table to read whole, for a database.
        report: Counts what was skipped or changed; this is logged at the end in any case.
        **options: Fields of `ReadOptions`, e.g. `sep=";"`, `records_path="elements"`.

    Yields:
        Column name -> plain value, as `cells` describes; CSV cells are text as written, or None.

    Raises:
        DataError: The data cannot be used; the message names file, row and column.
        DataNotFoundError: There is no such file.
        ConfigError: An option is unknown or out of range.
    """
    records = iter_sourced_records(source, query=query, table=table, report=report, **options)
    return (sourced.record for sourced in records)


def iter_sourced_records(
    source: str | Path,
    *,
    query: str | None = None,
    table: str | None = None,
    report: ReadReport | None = None,
    **options: Any,  # noqa: ANN401 - the fields of ReadOptions
) -> Iterator[SourcedRecord]:
    """Read records one by one with their file and row number; otherwise as `iter_records`."""
    chosen = read_options(options)  # here, so that the call itself raises for a wrong option
    counts = ReadReport() if report is None else report
    return _all_records(str(source), query, table, chosen, counts)


def read_table(
    source: str | Path,
    *,
    query: str | None = None,
    table: str | None = None,
    report: ReadReport | None = None,
    **options: Any,  # noqa: ANN401 - the fields of ReadOptions
) -> list[dict[str, Any]]:
    """Read all records into a list; otherwise as `iter_records`.

    Raises:
        EmptyDataError: There is no record.
    """
    records = list(iter_records(source, query=query, table=table, report=report, **options))
    if not records:
        raise EmptyDataError(
            "there are no records, only column names or nothing", path=shown_name(str(source))
        )
    return records


def columns_of(
    source: str | Path,
    *,
    query: str | None = None,
    table: str | None = None,
    **options: Any,  # noqa: ANN401 - the fields of ReadOptions
) -> tuple[list[str], set[str]]:
    """Name the columns of a source, also one without records, and the kinds of its files.

    Args:
        source: As in `iter_records`.
        query: SELECT, for a database.
        table: Table, for a database.
        **options: Fields of `ReadOptions`.

    Returns:
        Columns of the first file, empty for JSON and databases; kinds of all files.
    """
    chosen = read_options(options)
    quiet = ReadReport(quiet=True)
    files = list(open_source(str(source), query, table, chosen, quiet))
    file, kind = files[0]
    names: list[str] = []
    if kind == "csv":
        names = CsvTable(file.path, chosen, quiet).columns
    elif kind in ("parquet", "arrow") and not chosen.flatten:
        with suppress(*ARROW_ERRORS):  # reading the records reports them
            names = column_names(file.path, parquet=kind == "parquet")
    if chosen.columns is not None:
        names = list(chosen.columns)
    return names, {kind for _, kind in files}


def open_source(
    source: str, query: str | None, table: str | None, options: ReadOptions, report: ReadReport
) -> Iterator[tuple[SourceFile, str]]:
    """List the files to read with their kinds; any database is of kind "sqlite".

    Raises:
        ConfigError: `query` or `table` is given for a file that is not a database.
    """
    if is_url(source):
        scheme = source.split("://", 1)[0].lower()
        if scheme in ("http", "https", "ftp", "s3", "gs", "hf", "file"):
            raise DataError(
                f"{scheme}:// is not read; download the file and pass its path on this machine"
            )
        yield SourceFile(Path(source)), "sqlite"
        return
    for file in find_files(source, report):
        kind = kind_of(file.path, options)
        if kind != "sqlite" and (query is not None or table is not None):
            raise ConfigError([
                f"query= and table= are for databases (--query, --table); {file.path} is {kind}"
            ])  # fmt: skip
        yield file, kind


def _all_records(
    source: str, query: str | None, table: str | None, options: ReadOptions, report: ReadReport
) -> Iterator[SourcedRecord]:
    for file, kind in open_source(source, query, table, options, report):
        yield from records_of(file, kind, options, report, database=(source, query, table))
    report.log(shown_name(source))


def records_of(
    file: SourceFile,
    kind: str,
    options: ReadOptions,
    report: ReadReport,
    *,
    database: tuple[str, str | None, str | None] = ("", None, None),
) -> Iterator[SourcedRecord]:
    """Read one of the files that `open_source` lists.

    Args:
        file: The file.
        kind: Its kind.
        options: Policies.
        report: Counts what was skipped or changed.
        database: URL, query and table of a database.
    """
    report.files += 1
    inner = _reader_options(options, file)
    source, query, table = database
    address = source if is_url(source) else str(file.path)
    name = shown_name(address)
    if kind == "sqlite":
        text = query if query is not None else table_query(address, table)
        records = iter_query(address, text, report)
    elif kind == "csv":
        records = _csv_records(CsvTable(file.path, inner, report), inner)
    else:
        records = _ITERATORS[kind](file.path, inner, report)
    missing, record = set(options.columns or ()), dict[str, Any]()
    for row, record in records:
        if file.partitions or options.flatten or options.columns is not None:
            record = _finish(record, file, row, options)
            missing.difference_update(record)
            record = {c: record.get(c) for c in options.columns or record}
        report.records += 1
        yield SourcedRecord(name, row, record)
    if missing and record:
        check_columns(name, sorted(set(record) - missing), tuple(sorted(missing)))


def _reader_options(options: ReadOptions, file: SourceFile) -> ReadOptions:
    """Leave out the columns that are added later: dotted ones and those of folder names."""
    if options.columns is None:
        return options
    columns = tuple(name for name in options.columns if name not in file.partitions)
    return replace(options, columns=None if options.flatten else columns or None)


def _csv_records(table: CsvTable, options: ReadOptions) -> Iterator[tuple[int, dict[str, Any]]]:
    check_columns(table.path, table.columns, options.columns or ())
    for batch in table.batches():
        first = table.row - len(batch[0]) + 1
        for row, cells in enumerate(zip(*batch, strict=True), first):
            yield row, {n: cell or None for n, cell in zip(table.columns, cells, strict=True)}


_ITERATORS = {"json": iter_json, "parquet": iter_parquet, "arrow": iter_arrow, "excel": iter_excel}


def _finish(
    record: Mapping[str, Any], file: SourceFile, row: int, options: ReadOptions
) -> dict[str, Any]:
    """Flatten a record, and add the columns of folder names."""
    finished = dict(record)
    if options.flatten:
        finished = flatten_record(record, path=file.path, row=row)
    for name, value in file.partitions.items():
        if name in finished and str(finished[name]) != str(value):
            raise DataError(
                f"the folder name says {value!r}, the record {finished[name]!r}",
                path=file.path,
                row=row,
                column=name,
            )
        finished.setdefault(name, value)
    return finished
