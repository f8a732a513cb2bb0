"""Records from JSON: a list of objects, one object, JSON Lines, or a table in another orientation.

Lists of objects and JSON Lines are read one record at a time. A single object, and rows that are
lists, are read whole, as `orientation` needs all of them. A scalar, or a list of scalars, is not a
table and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ....errors import DataError, EmptyDataError
from ..compression import iter_chunks, unpacked_name
from ..options import ReadOptions, advise
from ..read_report import ReadReport
from ..text_stream import decode_chunks
from .orientation import ONE_RECORD, find_table, keyed_records, records_of_arrays, table_at
from .stream import JsonStream

_TYPE_NAMES = {
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "NoneType": "null",
    "list": "a list",
}


def iter_json(
    path: Path, options: ReadOptions, report: ReadReport
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the records of a JSON or JSON Lines file.

    Args:
        path: File, packed or not.
        options: `records_path` and `parent_fields` for nested documents.
        report: Counts are added to it.

    Yields:
        Record number counted from 1, record.

    Raises:
        EmptyDataError: There is nothing but blanks.
        UnreadableFileError: It is not JSON, or truncated; the message names row and line.
        DataError: A record is not an object, or the list of records is not found.
    """
    texts = decode_chunks(
        iter_chunks(path), options.encoding, lambda told: report.note(f"{path}: {told}")
    )
    stream = JsonStream(texts, path)
    start = stream.peek()
    if not start:
        raise EmptyDataError("there is nothing but blanks", path=path)
    if options.records_path is not None:
        yield from _numbered(_nested(stream, options, path), path)
    elif start == "[":
        yield from _numbered(_list_of_records(stream, options, report, path), path)
    elif start == "{":
        yield from _numbered(_objects(stream, options, report, path), path)
    else:
        value = stream.value()
        raise DataError(
            f"the document is {_type_name(value)}; a table needs objects, one per record", path=path
        )


def _numbered(values: Iterator[Any], path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for row, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise DataError(
                f"the record is {_type_name(value)}; a table needs objects, one per record",
                path=path,
                row=row,
            )
        yield row, value


def _list_of_records(
    stream: JsonStream, options: ReadOptions, report: ReadReport, path: Path
) -> Iterator[Any]:
    """Read a list of objects one by one, or all rows that are lists (in a list or on lines)."""
    stream.take()
    if stream.peek() in ("{", "]", ""):
        yield from _elements(stream)
        _check_end(stream)
        return
    elements = list(_elements(stream))
    rows = elements
    if stream.peek():  # JSON Lines, a list on each
        if not stream.lines_crossed:
            raise stream.fault("more text after the end of the list")
        rows = [elements, *_documents(stream, report)]
    if not all(isinstance(row, list) for row in rows):
        yield from elements if rows is elements else rows
        return
    records, decided = records_of_arrays(rows, options, path)
    if decided:
        report.note(f"{path}: took the {len(records)} lists for the records; {decided}")
    yield from records


def _check_end(stream: JsonStream) -> None:
    if stream.peek():
        raise stream.fault("more text after the end of the list")


def _elements(stream: JsonStream) -> Iterator[Any]:
    """Yield the elements of a top-level list, after its bracket, as they are read."""
    row = 0
    if stream.peek() == "]":
        stream.take()
    else:
        separator = ","
        while separator == ",":
            row += 1
            stream.row = row
            yield stream.value()
            separator = stream.take()
        if separator != "]":
            what = "is cut off" if not separator else f"has {separator!r} where ',' or ']' belongs"
            raise stream.fault(f"the list {what} after record {row}")
    stream.row = None


def _documents(stream: JsonStream, report: ReadReport | None = None) -> Iterator[Any]:
    """Yield values that follow each other, each on lines of its own."""
    row = 0
    while stream.peek():
        if row and not stream.lines_crossed:
            raise stream.fault("more text on the line after the end of the record")
        if report is not None and row:
            report.blank_lines += stream.lines_crossed - 1
        row += 1
        stream.row = row
        yield stream.value()


def _objects(
    stream: JsonStream, options: ReadOptions, report: ReadReport, path: Path
) -> Iterator[Any]:
    """Read JSON Lines, or one object where there is no second document."""
    documents = _documents(stream, report)
    first = next(documents)
    second = next(documents, None)
    if second is not None:
        yield first
        yield second
        yield from documents
    elif unpacked_name(path).lower().endswith((".jsonl", ".ndjson")):
        yield first
    else:
        yield from _table_in(first, options, report, path)


def _table_in(
    document: Mapping[str, Any], options: ReadOptions, report: ReadReport, path: Path
) -> Iterator[Any]:
    """Yield the records of the one table in a document, or the document as the only record."""
    table = find_table(document, options, path)
    if table is None:
        yield document
        return
    if table.how:
        under = f" under {'.'.join(table.at)!r}" if table.at else ""
        how = table.how.replace("{at}", under)
        report.note(f"{path}: {how}; {advise(records_path='$')} {ONE_RECORD}")
    for record in table.records:
        yield _with_parents(record, dict(table.parents or {}), options.parent_fields)


def _nested(stream: JsonStream, options: ReadOptions, path: Path) -> Iterator[Any]:
    given = options.records_path
    steps = given.split(".") if isinstance(given, str) else list(given or ())
    if steps and steps[0] == "$":
        steps = steps[1:]
    for document in _documents(stream):
        found = False
        table = table_at(_value_at(document, steps), options, path) if steps else None
        if table is not None:
            yield from table.records
            continue
        for record in _walk(document, steps, {}, options.parent_fields):
            found = True
            yield record
        if not found and not _reaches(document, steps):
            keys = ", ".join(map(repr, document)) if isinstance(document, dict) else "no keys"
            raise DataError(
                f"records_path={given!r} leads nowhere; the document has {keys}", path=path
            )


def _walk(
    value: Any,  # noqa: ANN401 - any JSON value
    steps: list[str],
    parents: dict[str, Any],
    parent_fields: tuple[str, ...],
) -> Iterator[Any]:
    """Follow the keys through objects and the elements of lists."""
    if isinstance(value, list):
        for item in value:
            yield from _walk(item, steps, parents, parent_fields)
    elif steps == ["*"] and isinstance(value, dict) and "*" not in value:
        for record in keyed_records(value):
            yield (
                _with_parents(record, parents, parent_fields)
                if isinstance(record, dict)
                else record
            )
    elif not steps:
        yield _with_parents(value, parents, parent_fields) if isinstance(value, dict) else value
    elif isinstance(value, dict) and steps[0] in value:
        here = {**parents, **{k: v for k, v in value.items() if k in parent_fields}}
        yield from _walk(value[steps[0]], steps[1:], here, parent_fields)


def _value_at(value: Any, steps: list[str]) -> Any:  # noqa: ANN401 - any JSON value
    """Follow the keys through objects alone; None where one is missing."""
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _reaches(value: Any, steps: list[str]) -> bool:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return not value or any(_reaches(item, steps) for item in value)
    if not steps:
        return True
    if steps == ["*"] and isinstance(value, dict):
        return True
    return isinstance(value, dict) and steps[0] in value and _reaches(value[steps[0]], steps[1:])


def _with_parents(
    record: dict[str, Any], parents: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    """Add fields of enclosing objects to a record; its own fields take precedence."""
    return {**{name: parents[name] for name in names if name in parents}, **record}


def _type_name(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return _TYPE_NAMES.get(type(value).__name__, type(value).__name__)
