"""Cells: what a value becomes in a record, and what text it has in a question-answer pair.

In records a value is None, bool, int, float, str, or a list or dict of these: plain JSON, with
four spellings:

- dates and times are ISO 8601 text, moments with a time zone in UTC or with their offset;
- decimal numbers are their exact digits as text;
- floats of 16 and 32 bits are the shortest digits of their own width: 2.55 stays 2.55;
- bytes are `{"$bytes": "<hex>"}`.

NaN is null and is counted. Infinities stay floats; they have no JSON and are refused where JSON is
written.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from .read_report import ReadReport


def plain_value(value: Any, report: ReadReport | None = None) -> Any:  # noqa: ANN401 - any cell
    """Turn a cell of any Python type into a plain value.

    Args:
        value: Cell, as a database driver, pandas or Arrow gives it.
        report: NaN cells are counted in it.

    Raises:
        TypeError: There is no plain form of the type.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            if report is not None:
                report.null_floats += 1
            return None
        return float(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f") if not value.is_nan() else None
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return None if value != value else value.isoformat()  # pandas' NaT is a datetime
    if isinstance(value, datetime.timedelta):
        return duration_text(int(value / datetime.timedelta(microseconds=1)), 10**6)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": bytes(value).hex()}
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): plain_value(v, report) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(v, report) for v in value]
    if type(value).__module__.startswith(("numpy", "pandas")):
        return _plain_numpy(value, report)
    raise TypeError(f"{type(value).__name__} has no plain form; convert it to text at the source")


def _plain_numpy(value: Any, report: ReadReport | None) -> Any:  # noqa: ANN401 - any cell
    """Turn a scalar or an array of numpy or pandas into plain values.

    A float narrower than 64 bits keeps its own shortest digits, which `tolist` would widen.
    """
    if type(value).__name__ == "NAType":
        return None
    dtype: Any = getattr(value, "dtype", None)
    kind = getattr(dtype, "kind", "")
    if getattr(value, "ndim", 0):
        if kind == "f" and hasattr(value, "to_numpy"):  # what pandas iterates over is widened
            value = value.to_numpy(dtype=f"float{8 * dtype.itemsize}", na_value=math.nan)
        return [plain_value(item, report) for item in value]
    if hasattr(value, "shape") and hasattr(value, "item") and not _is_scalar(value):
        return plain_value(value[()], report)  # an array without a dimension
    if kind == "f":
        return plain_value(shortest_double(value), report)
    if kind == "M":
        return None if value != value else str(value)
    if kind == "m":
        nanoseconds = value.astype("timedelta64[ns]").astype("int64").item()
        return None if value != value else duration_text(nanoseconds, 10**9)
    if hasattr(value, "tolist"):
        return plain_value(value.tolist(), report)
    raise TypeError(f"{type(value).__name__} has no plain form; convert it to text at the source")


def _is_scalar(value: Any) -> bool:  # noqa: ANN401 - a numpy value
    return any(kind.__name__ == "generic" for kind in type(value).__mro__)


def shortest_double(value: Any) -> float:  # noqa: ANN401 - a numpy scalar of any width
    """Give the double that is spelt with the fewest digits that tell a narrower float apart.

    A float32 of 2.55 holds 2.549999952316284; its digits are 2.55, and so is the double given.
    """
    return float(str(value))


def duration_text(count: int, per_second: int) -> str:
    """Write a length of time as ISO 8601 seconds: `PT90.5S`.

    Args:
        count: Length in units.
        per_second: Units in a second, a power of ten.
    """
    seconds, rest = divmod(abs(count), per_second)
    digits = len(str(per_second)) - 1
    fraction = f".{rest:0{digits}d}".rstrip("0") if rest else ""
    return f"{'-' if count < 0 else ''}PT{seconds}{fraction}S"


def pair_text(value: Any) -> str | None:  # noqa: ANN401 - any cell
    """Write a cell as it stands in a question-answer pair; None for null and blank.

    Texts stay as written. Numbers and booleans are Python's spelling (`True`). A list of plain
    values is joined by ", "; anything else nested is JSON with sorted keys.
    """
    value = plain_value(value)
    if value is None:
        return None
    if isinstance(value, str):
        text = value
    elif isinstance(value, list) and not any(
        v is None or isinstance(v, (list, dict)) for v in value
    ):
        text = ", ".join(str(v) for v in value)
    elif isinstance(value, (list, dict)):
        text = json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""
    else:
        text = str(value)
    return None if not text or text.isspace() else text


def flatten_record(
    record: Mapping[str, Any], *, path: str | Path | None = None, row: int | None = None
) -> dict[str, Any]:
    """Turn nested objects into dotted columns.

    >>> flatten_record({"name": {"en": "Chad"}, "area": 1})
    {'name.en': 'Chad', 'area': 1}

    Args:
        record: Record with nested objects.
        path: File, for messages.
        row: Record number, for messages.

    Raises:
        DataError: Two values would get one name, as in `{"a.b": 1, "a": {"b": 2}}`.
    """
    flat: dict[str, Any] = {}
    for name, value in record.items():
        nested = isinstance(value, Mapping) and value and set(value) != {"$bytes"}
        parts = (
            {f"{name}.{k}": v for k, v in flatten_record(value, path=path, row=row).items()}
            if nested
            else {name: value}
        )
        for key, cell in parts.items():
            if key in flat:
                raise DataError(
                    "two values get this name when nested objects are flattened",
                    path=path,
                    row=row,
                    column=key,
                )
            flat[key] = cell
    return flat


def own_names(columns: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Spell the names of columns as a table does, where they differ in Unicode form only.

    Args:
        columns: Columns of the table.
        wanted: Names that a user gave; those that the table does not have stay as they are.
    """
    if all(name in columns for name in wanted):
        return list(wanted)
    forms: dict[str, list[str]] = {}
    for column in columns:
        forms.setdefault(unicodedata.normalize("NFC", column), []).append(column)
    found = [forms.get(unicodedata.normalize("NFC", name), []) for name in wanted]
    return [
        own[0] if name not in columns and len(own) == 1 else name
        for name, own in zip(wanted, found, strict=True)
    ]


def list_columns(columns: Sequence[str]) -> str:
    """Name the columns of a table in a message."""
    return ", ".join(map(repr, columns)) if columns else "none"
