"""Records into Parquet and back, equal to what they were.

A column whose values are all texts, all whole numbers, all finite floats or all booleans is a typed
Arrow column, which any other program reads. Every other column is JSON text, and its field says so.
So `1` and `1.0`, `""`, null and a missing key stay different things, nested values are kept, and
keys stay in the order in which the first record that has them came.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from .step import Record

ROW_COLUMN: Final = "__row__"
"""Column of the row ids."""
CODEC: Final = b"1"
"""Version of this form, in the file's metadata."""

_TYPES: Final[dict[type, Any]] = {
    str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64(),
}  # fmt: skip
_PLAIN: Final = frozenset({str, bool, int, type(None)})
_JSON: Final = frozenset({str, bool, int, float, dict, list})
_REFUSED: Final = (TypeError, ValueError, RecursionError)


class _Missing:
    """Stands where a record lacks a key."""


_MISSING: Final = _Missing()


class Row(NamedTuple):
    """A record and its id in the run."""

    row_id: str
    """Number of the row at its source, with `.k` appended where one row became several."""
    record: Record


def plain_json(value: Any, place: str = "$") -> Any:  # noqa: ANN401 - any value
    """Turn a value into one that JSON has.

    Dates and times become ISO 8601, bytes `{"$bytes": <hex>}`, tuples lists, paths texts, scalars
    and arrays of NumPy plain numbers and lists. Keys that are numbers or truth values become texts.

    Args:
        value: A value.
        place: Its place in the record, for messages.

    Raises:
        ValueError: A number is NaN or infinite; the message begins with `not_finite`.
        TypeError: There is no such form; the message begins with `not_json`.

    >>> plain_json({"when": datetime.date(2026, 1, 2), 1: (b"a",)})
    {'when': '2026-01-02', '1': [{'$bytes': '61'}]}
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"not_finite: {place} is {value}")
        return float(value)
    if isinstance(value, Mapping):
        plain = {_key(key, place): plain_json(v, f"{place}.{key}") for key, v in value.items()}
        if len(plain) < len(value):
            raise TypeError(f"not_json: two keys of {place} are the same text")
        return plain
    if isinstance(value, list | tuple):
        return [plain_json(v, f"{place}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": bytes(value).hex()}
    if isinstance(value, str | bool | int):
        return next(base(value) for base in (str, bool, int) if isinstance(value, base))
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays
        return plain_json(value.tolist(), place)
    raise TypeError(f"not_json: {place} is of type {kind.__name__}")


def encode_rows(rows: Sequence[Row]) -> tuple[Any, dict[int, str]]:
    """Write rows as an Arrow table.

    Args:
        rows: Rows; their records may have other keys and types.

    Returns:
        The `pyarrow.Table` of the rows that can be written, in their order, and for each of the
        others its place and why not.
    """
    try:
        return _table(rows), {}
    except _REFUSED:
        faults, kept = {}, []
        for place, row in enumerate(rows):
            try:
                _dumps(row.record)
                kept.append(Row(row.row_id, plain_json(row.record)))
            except _REFUSED as fault:
                faults[place] = str(fault) or type(fault).__name__
        return _table(kept), faults


def decode_rows(table: Any) -> list[Row]:  # noqa: ANN401 - pyarrow has no types
    """Read rows from an Arrow table that `encode_rows` wrote.

    Raises:
        ValueError: The table was written by something else.
    """
    if (table.schema.metadata or {}).get(b"stillroom.codec") != CODEC:
        raise ValueError("the table holds no records of a pipeline")
    keys, columns, some_missing = [], [], False
    for index, field in enumerate(table.schema):
        if field.name == ROW_COLUMN:
            row_ids = table.column(index).to_pylist()
            continue
        told = field.metadata or {}
        values = table.column(index).to_pylist()
        missing = told[b"absent"] == b"missing"
        if told[b"form"] == b"json":
            values = [_MISSING if v is None else json.loads(v) for v in values]
        elif missing and table.column(index).null_count:
            values = [_MISSING if v is None else v for v in values]
        some_missing = some_missing or (missing and table.column(index).null_count > 0)
        keys.append(json.loads(told[b"key"]))
        columns.append(values)
    if not keys:
        return [Row(row_id, {}) for row_id in row_ids]
    records = (dict(zip(keys, cells, strict=True)) for cells in zip(*columns, strict=True))
    if some_missing:
        records = ({k: v for k, v in r.items() if v is not _MISSING} for r in records)
    return [Row(row_id, record) for row_id, record in zip(row_ids, records, strict=True)]


def parquet_bytes(table: Any) -> bytes:  # noqa: ANN401 - pyarrow has no types
    """Write a table as a Parquet file in memory; equal tables give equal bytes."""
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream, compression="zstd", write_statistics=False)
    return bytes(stream.getvalue())


def read_parquet(path: Path) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Read the table of a file of `parquet_bytes`."""
    return pq.ParquetFile(path).read(use_threads=False)


def json_text(value: Any) -> str:  # noqa: ANN401 - any value
    """Write any value as JSON for people to read, also one that JSON does not have.

    NaN and infinities become `{"$float": "nan"}`, other values their `repr` as `{"$repr": ...}`.
    """
    return _dumps(_told(value))


def _told(value: Any) -> Any:  # noqa: ANN401 - any value
    if isinstance(value, Mapping):
        return {str(key): _told(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_told(v) for v in value]
    try:
        return plain_json(value)
    except ValueError:
        return {"$float": str(value)}
    except TypeError:
        return {"$repr": f"a {type(value).__name__}"}


def _table(rows: Sequence[Row]) -> Any:  # noqa: ANN401 - pyarrow has no types
    fields = [pa.field(ROW_COLUMN, pa.string(), nullable=False)]
    arrays = [pa.array([row.row_id for row in rows], pa.string())]
    records = [row.record for row in rows]
    for key in dict.fromkeys(key for record in records for key in record):
        values = [record.get(key, _MISSING) for record in records]
        if type(key) is not str:
            raise TypeError("not_json: a key is no text")
        array, told = _column(values)
        name = _column_name(key)
        told["key"] = json.dumps(key)
        fields.append(pa.field(name, array.type, metadata=told))
        arrays.append(array)
    schema = pa.schema(fields, metadata={"stillroom.codec": CODEC})
    return pa.Table.from_arrays(arrays, schema=schema)


def _column(values: list[Any]) -> tuple[Any, dict[str, str]]:
    """Give the Arrow array of a column, and how it is to be read."""
    kinds = set(map(type, values))
    has_missing, has_null = _Missing in kinds, type(None) in kinds
    kinds -= {_Missing, type(None)}
    if not kinds <= _JSON:
        return _column([v if v is _MISSING else plain_json(v) for v in values])
    if len(kinds) == 1 and not (has_missing and has_null):
        kind = next(iter(kinds))
        typed = _typed(values, kind, has_missing)
        if typed is not None:
            return typed, {"form": "typed", "absent": "missing" if has_missing else "null"}
    texts = [None if v is _MISSING else _dumps(v) for v in values]
    return pa.array(texts, pa.string()), {"form": "json", "absent": "missing"}


def _typed(values: list[Any], kind: type, has_missing: bool) -> Any | None:  # noqa: ANN401
    """Give a typed array; None where a value does not fit into it."""
    if kind not in _TYPES:
        return None
    if kind is float and not all(math.isfinite(v) for v in values if type(v) is float):
        raise ValueError("not_finite")
    if has_missing:
        values = [None if v is _MISSING else v for v in values]
    try:
        return pa.array(values, _TYPES[kind])
    except (UnicodeEncodeError, OverflowError, pa.ArrowInvalid):
        return None


def _dumps(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Write JSON that UTF-8 can hold; refuse what would come back as something else."""
    text = json.dumps(plain_json(value), ensure_ascii=False, allow_nan=False)
    if text.isascii() or not _has_surrogate(text):
        return text
    return json.dumps(plain_json(value), ensure_ascii=True, allow_nan=False)


def _has_surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _column_name(key: str) -> str:
    """Name a column by its key, or by the JSON of the key where the key cannot stand in a file."""
    odd = not key or key == ROW_COLUMN or "\0" in key or key.startswith("json:")
    return f"json:{json.dumps(key)}" if odd or _has_surrogate(key) else key


def _key(key: Any, place: str) -> str:  # noqa: ANN401 - any key
    if isinstance(key, str):
        return str(key)
    if isinstance(key, bool) or key is None:
        return json.dumps(key)
    if isinstance(key, int):
        return str(key)
    raise TypeError(f"not_json: a key of {place} is of type {type(key).__name__}")
