"""Finding the table in a JSON document that is not a list of objects, in any of these orientations.

    {"name": {"0": "Ann", "1": "Bob"}}                    df.to_json(), orient "columns"
    {"0": {"name": "Ann"}, "1": {"name": "Bob"}}          orient "index"; or objects by name
    {"columns": ["name"], "data": [["Ann"], ["Bob"]]}     orient "split" or "tight", query results
    [["name", "age"], ["Ann", 30], ["Bob", 40]]           lists, perhaps with names first
    {"name": ["Ann", "Bob"], "age": [30, 40]}             lists by column
    {"status": "ok", "data": {"items": [{"name": "Ann"}]}}  below wrappers

A document with two possible readings is refused, and the message says what to pass for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import DataError, EmptyDataError
from ..options import ReadOptions, advise

RECORD_LISTS = frozenset({"messages", "conversations", "chosen", "rejected", "choices", "tools"})
"""Lists of objects under these keys are parts of one record, never the table."""
_WRAPPER_NAMES = """
    data result results response items records rows payload body value values entries hits
    _embedded features docs documents content contents list objects output table dataset d
"""
_WRAPPERS = frozenset(_WRAPPER_NAMES.split())
"""Keys that programs and services put around a table."""
_MOST_WRAPPERS = 2
_HEADERS = ("columns", "header", "headers", "fields", "names", "column_names")
_ROWS = ("data", "rows", "values", "records", "items")
_NAMES_OF_FIELDS = ("name", "id", "field", "key", "label", "title")
_WHOLE = re.compile(r"\d+")
_MOMENT = re.compile(r"-?\d{10,}|\d{4}-\d\d-\d\d.*")
ONE_RECORD = "if the document is one record"


@dataclass(frozen=True)
class JsonTable:
    """A table that was found in a document."""

    records: list[Any]
    how: str
    """The decision in words, with `{at}` for its place; empty where there was none."""
    at: tuple[str, ...] = ()
    """Keys that lead to the table."""
    parents: Mapping[str, Any] | None = None
    """Fields of the enclosing objects; None where its records are not in a list."""


def find_table(document: Mapping[str, Any], options: ReadOptions, path: Path) -> JsonTable | None:
    """Find the one table in a document; None where the document is a record itself.

    Args:
        document: Content of the file.
        options: `header` and `ragged`, for rows that are lists.
        path: Name for messages.

    Raises:
        DataError: There are several, or it is uncertain; the message says what to pass.
    """
    found = _table_of(document, options, path) or _below(document, options, path, _MOST_WRAPPERS)
    if found is None:
        found = _by_name(document, path)
    if found is None:
        _refuse_uncertain(document, path)
    return found


def table_at(value: Any, options: ReadOptions, path: Path) -> JsonTable | None:  # noqa: ANN401
    """Find a table in the value at `records_path`; None for a list of objects or one object.

    Raises:
        DataError: The rows are lists without column names.
    """
    if isinstance(value, list):
        return _arrays(value, options, path) if _all_are(value, list) else None
    if isinstance(value, dict):
        found = _split(value, path) or _columns(value, path) or _by_row_number(value)
        return found or _by_name(value, path, refuse=False)
    return None


def records_of_arrays(
    rows: Sequence[Any], options: ReadOptions, path: Path
) -> tuple[list[dict[str, Any]], str]:
    """Convert rows that are lists to records.

    Args:
        rows: Lists; the first may name the columns.
        options: `header` says whether the first row names the columns, or gives their names; None
            detects it. `ragged="pad"` fills up short rows.
        path: Name for messages.

    Returns:
        The records, and the decision in words.

    Raises:
        DataError: A row is not a list or does not fit the names, or it is uncertain what the first
            row is.
    """
    header = options.header
    if header is None:
        header = _first_row_names(rows, path)
    if isinstance(header, tuple):
        return _named_rows(list(header), rows, 1, options, path), ""
    if header:
        names = _names(rows[0], path)
        return _named_rows(names, rows[1:], 2, options, path), "the first list names the columns"
    width = max((len(row) for row in rows if isinstance(row, list)), default=0)
    names = [f"column_{i}" for i in range(1, width + 1)]
    return _named_rows(names, rows, 1, options, path), "the columns have no names"


def _first_row_names(rows: Sequence[Any], path: Path) -> bool:
    """Say whether the first row names the columns: texts above values of other types."""
    first, rest = rows[0], [row for row in rows[1:] if isinstance(row, list)]
    texts = bool(first) and all(isinstance(cell, str) and cell.strip() for cell in first)
    if not texts or len(set(first)) != len(first):
        if any(isinstance(cell, str) and cell.strip() for cell in first):
            raise DataError(
                "the records are lists without column names; put a list of names first, "
                f"or {advise(header=False)} to number the columns",
                path=path,
            )
        return False  # numbers are no names
    for place in range(len(first)):
        below = [row[place] for row in rest if place < len(row) and row[place] is not None]
        if below and not any(isinstance(cell, str) for cell in below):
            return True
    raise DataError(
        "the records are lists, and it is uncertain whether the first names the columns; "
        f"{advise(header=True)} if it does, {advise(header=False)} if it is a record",
        path=path,
    )


def _named_rows(
    names: list[str], rows: Sequence[Any], first: int, options: ReadOptions, path: Path
) -> list[dict[str, Any]]:
    records = []
    for number, row in enumerate(rows, first):
        if not isinstance(row, list):
            raise DataError("this row is no list, the others are", path=path, row=number)
        cells = row
        if len(row) < len(names) and options.ragged != "error":
            cells = row + [None] * (len(names) - len(row))
        if len(cells) != len(names):
            raise DataError(
                f"the row has {len(row)} cells, the columns are {len(names)}; "
                f"{advise(ragged='pad')} to fill up short rows",
                path=path,
                row=number,
            )
        records.append(dict(zip(names, cells, strict=True)))
    return records


def _names(given: Any, path: Path) -> list[str]:  # noqa: ANN401 - any JSON value
    """Read column names: texts, numbers, lists of levels, or objects with a name."""
    names = []
    for one in given if isinstance(given, list) else []:
        name = one
        if isinstance(one, dict):
            name = next((one[key] for key in _NAMES_OF_FIELDS if key in one), None)
        elif isinstance(one, list):
            name = ".".join(str(level) for level in one if str(level))
        names.append(str(name))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError("two columns have this name; rename one", path=path, column=twice[0])
    return names


def _table_of(document: Mapping[str, Any], options: ReadOptions, path: Path) -> JsonTable | None:
    """Read an object that is itself a table in an unmistakable form."""
    found = _split(document, path) or _columns(document, path) or _by_row_number(document)
    return found or _one_list(document, options, path)


def _one_list(document: Mapping[str, Any], options: ReadOptions, path: Path) -> JsonTable | None:
    """Find the one list of objects in an object, or a list of lists under a wrapper's name."""
    lists = {
        key: value
        for key, value in document.items()
        if key not in RECORD_LISTS and _all_are(value, dict)
    }
    if len(lists) > 1:
        names = ", ".join(f"{key!r} ({len(value)} objects)" for key, value in lists.items())
        raise DataError(
            f"several lists could be the table: {names}; choose one: "
            f"{advise(records_path=next(iter(lists)))}, or {_one_record()}",
            path=path,
        )
    for key, value in lists.items():
        return JsonTable(
            value, f"took the {len(value)} objects{{at}} for the records", (key,), document
        )
    for key, value in document.items():
        if _is_wrapper(key, document) and _all_are(value, list):
            return _placed(_arrays(value, options, path), (key,), document)
    return None


def _arrays(rows: list[Any], options: ReadOptions, path: Path) -> JsonTable:
    records, decided = records_of_arrays(rows, options, path)
    how = f"took the {len(records)} lists{{at}} for the records, {decided}" if decided else ""
    return JsonTable(records, how)


def _below(
    document: Mapping[str, Any], options: ReadOptions, path: Path, depth: int
) -> JsonTable | None:
    """Find the table below the keys of wrappers."""
    found = []
    for key, value in document.items():
        if depth and isinstance(value, dict) and _is_wrapper(key, document):
            inner = _table_of(value, options, path) or _below(value, options, path, depth - 1)
            inner = inner or (_by_name(value, path) if len(value) > 1 else None)
            if inner is not None:
                found.append(_placed(inner, (key,), document))
    if len(found) > 1:
        raise _several([table.at for table in found], path)
    return found[0] if found else None


def _placed(table: JsonTable, at: tuple[str, ...], around: Mapping[str, Any]) -> JsonTable:
    return JsonTable(table.records, table.how, at + table.at, {**around, **(table.parents or {})})


def _is_wrapper(key: str, document: Mapping[str, Any]) -> bool:
    return key not in RECORD_LISTS and (key.lower() in _WRAPPERS or len(document) == 1)


def _split(document: Mapping[str, Any], path: Path) -> JsonTable | None:
    """Read names of columns beside rows: `{"columns": [...], "data": [[...], ...]}`."""
    header = next((k for k in _HEADERS if isinstance(document.get(k), list) and document[k]), None)
    rows_key = next((k for k in _ROWS if isinstance(document.get(k), list) and k != header), None)
    if header is None or rows_key is None:
        return None
    rows, given = document[rows_key], document[header]
    if not all(isinstance(row, list) and len(row) == len(given) for row in rows):
        return None
    if not rows:
        raise EmptyDataError("there are no records, only column names", path=path)
    names = _names(given, path)
    records = [dict(zip(names, row, strict=True)) for row in rows]
    index = document.get("index")
    if isinstance(index, list) and len(index) == len(rows) and header == "columns":
        labels = [" ".join(map(str, i)) if isinstance(i, list) else str(i) for i in index]
        given_names = document.get("index_names")
        name = given_names[0] if isinstance(given_names, list) and given_names else None
        records = _with_labels(records, labels, str(name or "index"))
    how = (
        f"took the {len(records)} lists of {rows_key!r}{{at}} for the records, named by {header!r}"
    )
    return JsonTable(records, how)


def _columns(document: Mapping[str, Any], path: Path) -> JsonTable | None:
    """Read lists by column: `{"name": ["Ann", "Bob"], "age": [30, 40]}`."""
    lists = [v for k, v in document.items() if isinstance(v, list) and k not in RECORD_LISTS]
    if (
        not lists
        or len(lists) < len(document)
        or any(isinstance(c, dict) for v in lists for c in v)
    ):
        return None
    if not any(all(not isinstance(cell, list) for cell in column) for column in lists):
        return None  # lists of lists, below a wrapper or other keys
    lengths = {len(column) for column in lists}
    if len(lengths) > 1:
        told = ", ".join(f"{k!r} has {len(v)}" for k, v in document.items())
        raise DataError(
            f"the lists are not columns of one table, as they differ in length: {told}; "
            f"{_one_record()}",
            path=path,
        )
    if lengths == {0}:
        raise EmptyDataError("there are no records, only column names", path=path)
    records = [dict(zip(document, row, strict=True)) for row in zip(*lists, strict=True)]
    names = ", ".join(map(repr, list(document)[:8]))
    return JsonTable(records, f"took the lists{{at}} for the columns {names}")


def _by_row_number(document: Mapping[str, Any]) -> JsonTable | None:
    """Read an object of objects where the keys of one level are row numbers."""
    inner = _inner_keys(document)
    if inner is None:
        return None
    outside, inside = _are_row_labels(list(document)), _are_row_labels(inner)
    cells = [cell for column in document.values() for cell in column.values()]
    if inside and not outside and not all(isinstance(cell, dict) for cell in cells):
        return _transposed(document, inner)
    if outside and not inside:
        return _objects(document, "index")
    return None


def _by_name(document: Mapping[str, Any], path: Path, *, refuse: bool = True) -> JsonTable | None:
    """Read an object of objects by its values: those of one column have the same type.

    Args:
        document: Objects under keys.
        path: Name for messages.
        refuse: Raise where both readings fit, or neither; otherwise give None.

    Raises:
        DataError: It may be a table, and it is uncertain which.
    """
    inner = _inner_keys(document)
    if inner is None or len(document) < 2:
        return None
    if len(inner) * len(document) >= 2 * sum(len(v) for v in document.values()):
        return None  # few keys occur twice: these are parts of one record
    by_record = all(
        len({_kind(v[key]) for v in document.values() if v.get(key) is not None}) <= 1
        for key in inner
    )
    by_column = all(
        len({_kind(cell) for cell in v.values() if cell is not None}) <= 1
        for v in document.values()
    )
    if by_record and not by_column:
        return _objects(document, "key")
    whole = all(set(value) == set(inner) for value in document.values())
    if by_column and not by_record and whole:
        return _transposed(document, inner)
    unclear = (by_column and by_record) or (whole and len(inner) > 1)
    if not refuse or not unclear:
        return None
    raise DataError(
        f"the objects under {', '.join(map(repr, list(document)[:3]))} could be records or columns "
        f"of a table; {advise(records_path='*')} if each is a record, or {_one_record()}; pandas "
        "writes an unambiguous table with df.to_json(path, orient='records')",
        path=path,
    )


def _objects(document: Mapping[str, Any], name: str) -> JsonTable:
    records = _with_labels([dict(v) for v in document.values()], list(document), name)
    return JsonTable(
        records, f"took the {len(records)} objects{{at}}, one for each key, for the records"
    )


def keyed_records(document: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the values of an object; values that are objects get their key as a column."""
    for key, value in document.items():
        yield {_free("key", value): key, **value} if isinstance(value, dict) else value


def _transposed(document: Mapping[str, Any], labels: list[str]) -> JsonTable:
    records = [{name: column.get(i) for name, column in document.items()} for i in labels]
    names = ", ".join(map(repr, list(document)[:8]))
    how = f"took the objects{{at}} for the columns {names}"
    return JsonTable(_with_labels(records, labels, "index"), how)


def _inner_keys(document: Mapping[str, Any]) -> list[str] | None:
    """List the keys of the inner objects in order; None where a value is not an object."""
    if not document or not all(isinstance(v, dict) and v for v in document.values()):
        return None
    return list(dict.fromkeys(key for value in document.values() for key in value))


def _are_row_labels(labels: Sequence[str]) -> bool:
    """Say whether labels are row numbers or the timestamps of a pandas time index.

    Years do not count as row numbers, as they may be columns.
    """
    return _number_rows(labels) or all(_MOMENT.fullmatch(label) for label in labels)


def _number_rows(labels: Sequence[str]) -> bool:
    whole = all(_WHOLE.fullmatch(label) for label in labels)
    return whole and max(map(int, labels), default=0) < 100 + 10 * len(labels)


def _with_labels(
    records: list[dict[str, Any]], labels: Sequence[str], name: str
) -> list[dict[str, Any]]:
    """Add their labels to records as a column, unless these are row numbers or already in it."""
    if _number_rows(labels):
        return records
    if any(
        all(str(record.get(column)) == label for record, label in zip(records, labels, strict=True))
        for column in records[0]
    ):
        return records  # a column has the labels already
    free = _free(name, {column for record in records for column in record})
    return [{free: label, **record} for record, label in zip(records, labels, strict=True)]


def _free(name: str, taken: Any) -> str:  # noqa: ANN401 - any container of texts
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _kind(value: Any) -> str:  # noqa: ANN401 - any JSON value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "number" if number else type(value).__name__


def _all_are(value: Any, kind: type) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, list) and bool(value) and all(isinstance(v, kind) for v in value)


def _refuse_uncertain(document: Mapping[str, Any], path: Path) -> None:
    """Refuse a document that may hold its table below a key that is not a wrapper."""
    places = list(_lists_below(document, (), 3))
    if len(places) > 1:
        raise _several(places, path)
    if places:
        at = ".".join(places[0])
        raise DataError(
            f"the table may be the list under {at!r}; {advise(records_path=at)} if it is, or "
            f"{_one_record()}",
            path=path,
        )


def _lists_below(
    document: Mapping[str, Any], at: tuple[str, ...], depth: int
) -> Iterator[tuple[str, ...]]:
    for key, value in document.items():
        if key in RECORD_LISTS:
            continue
        if at and _all_are(value, dict) and len(value) > 1:
            yield (*at, key)
        elif depth and isinstance(value, dict):
            yield from _lists_below(value, (*at, key), depth - 1)


def _several(places: Sequence[tuple[str, ...]], path: Path) -> DataError:
    names = ", ".join(repr(".".join(place)) for place in places)
    return DataError(
        f"several parts could be the table: {names}; choose one: "
        f"{advise(records_path='.'.join(places[0]))}, or {_one_record()}",
        path=path,
    )


def _one_record() -> str:
    return f"{advise(records_path='$')} {ONE_RECORD}"
