"""Cells: the plain value of a cell in a record, and the two texts made of it.

In records a value is None, bool, int, float, str, or a list or dict of these: plain JSON. Other
types are spelled as follows:

- dates and times are ISO 8601 text, in UTC or with their offset where they have a time zone;
- decimal numbers are text with their exact digits;
- floats of 16 and 32 bits are the shortest digits of their own width: 2.55 stays 2.55;
- bytes are `{"$bytes": "<hex>"}`.

NaN becomes null and is counted. Infinities stay floats; writing them as JSON is refused.

`pair_text` is exact: the pairs of a loader hold texts as they are written, and `True`. `cell_text`
is tidy: questions about a table and their answers hold one line, and `yes`.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
import unicodedata
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import DataError
from .column_names import without_invisible
from .read_report import ReadReport


def plain_value(value: Any, report: ReadReport | None = None) -> Any:  # noqa: ANN401 - any cell
    """Convert a cell of any Python type to a plain value.

    Args:
        value: Cell, as a database driver, pandas or Arrow gives it.
        report: Counts NaN cells.

    Raises:
        TypeError: The type has no plain form.
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
    """Convert a scalar or an array of numpy or pandas to plain values.

    A float narrower than 64 bits keeps its own shortest digits, which `tolist` would widen.
    """
    if type(value).__name__ == "NAType":
        return None
    dtype: Any = getattr(value, "dtype", None)
    kind = getattr(dtype, "kind", "")
    if getattr(value, "ndim", 0):
        if kind == "f" and hasattr(value, "to_numpy"):  # iterating in pandas widens floats
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
    """Convert a narrower float to the double that has the same shortest decimal digits.

    A float32 of 2.55 holds 2.549999952316284; its shortest digits are 2.55, and so is the result.
    """
    return float(str(value))


def duration_text(count: int, per_second: int) -> str:
    """Write a duration as ISO 8601 seconds: `PT90.5S`.

    Args:
        count: Duration in units.
        per_second: Units in a second, a power of ten.
    """
    seconds, rest = divmod(abs(count), per_second)
    digits = len(str(per_second)) - 1
    fraction = f".{rest:0{digits}d}".rstrip("0") if rest else ""
    return f"{'-' if count < 0 else ''}PT{seconds}{fraction}S"


def pair_text(value: Any) -> str | None:  # noqa: ANN401 - any cell
    """Write a cell exactly, for a question-answer pair; None for a null or blank cell.

    Texts stay as written. Numbers and booleans have Python's spelling (`True`). A list of plain
    values is joined by ", "; other nested values are JSON with sorted keys.
    """
    value = plain_value(value)
    if value is None:
        return None
    if isinstance(value, list) and not any(v is None or isinstance(v, (list, dict)) for v in value):
        text = ", ".join(map(str, value))
    elif isinstance(value, (list, dict)):
        text = json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""
    else:
        text = str(value)
    return text if text.strip() else None


def cell_text(value: Any) -> str | None:  # noqa: ANN401 - any cell
    """Write a cell as a question and its answer hold it; None for a null or blank cell.

    Blanks are single spaces and invisible characters are removed. Booleans read yes and no. Lists
    of plain values are joined by ", "; other nested values are compact JSON.
    """
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        if all(not isinstance(v, (list, tuple, Mapping)) for v in value):
            return ", ".join(t for t in map(cell_text, value) if t) or None
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str) if value else None
    if type(value).__module__.startswith(("numpy", "pandas")):
        return cell_text(plain_value(value))
    return re.sub(r"\s+", " ", without_invisible(str(value))).strip() or None


def compared(text: str) -> str:
    """Write a text for comparison: in one Unicode form (NFC), case folded.

    >>> compared("M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller") == compared("Mu\u0308LLER")
    True
    """
    return unicodedata.normalize("NFC", text).casefold()


def flatten_record(
    record: Mapping[str, Any], *, path: str | Path | None = None, row: int | None = None
) -> dict[str, Any]:
    """Flatten nested objects to dotted columns.

    >>> flatten_record({"name": {"en": "Chad"}, "area": 1})
    {'name.en': 'Chad', 'area': 1}

    Args:
        record: Record with nested objects.
        path: File, for messages.
        row: Record number, for messages.

    Raises:
        DataError: Two values would get the same name, as in `{"a.b": 1, "a": {"b": 2}}`.
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
