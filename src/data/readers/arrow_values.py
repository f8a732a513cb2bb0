"""Arrow arrays to plain values, exactly, for dates of any year and every digit.

`to_pylist` raises on dates after the year 9999 and on nanoseconds, and gives types that JSON does
not have. So times are written from their integers, and nested types are converted part by part.
"""

from __future__ import annotations

import math
import uuid
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .cells import duration_text, plain_value, shortest_double
from .read_report import ReadReport

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_S = 86_400


class PlainFormError(ValueError):
    """A value in an Arrow array is refused."""


def plain_list(array: Any, report: ReadReport) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
    """Convert an Arrow array to a list of plain values, as `cells` describes them.

    Args:
        array: `pyarrow.Array`, not chunked.
        report: Counts NaN cells.

    Raises:
        PlainFormError: A struct has two fields, or a map two keys, of one name.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _extension(array, report)
    if pa.types.is_dictionary(kind):
        return plain_list(array.dictionary_decode(), report)
    if pa.types.is_run_end_encoded(kind):
        return plain_list(pc.run_end_decode(array), report)
    if pa.types.is_floating(kind):
        return _floats(array, report)
    if pa.types.is_temporal(kind):
        return _times(array)
    if pa.types.is_map(kind):
        return _maps(array, report)
    if pa.types.is_struct(kind):
        return _structs(array, report)
    if pa.types.is_union(kind):
        return _unions(array, report)
    if pa.types.is_nested(kind):
        return _lists(array, report)
    if pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        values: list[Any] = array.to_pylist()
        return values
    return [plain_value(value, report) for value in array.to_pylist()]


def _extension(array: Any, report: ReadReport) -> list[Any]:  # noqa: ANN401
    if array.type.extension_name == "arrow.uuid":
        return [v if v is None else str(uuid.UUID(bytes=v)) for v in array.storage.to_pylist()]
    return plain_list(array.storage, report)


def _floats(array: Any, report: ReadReport) -> list[Any]:  # noqa: ANN401
    """Convert floats; those of 16 and 32 bits keep the shortest digits of their width."""
    if pa.types.is_float32(array.type):
        array = array.cast(pa.string()).cast(pa.float64())
    values = array.to_pylist()
    if pa.types.is_float16(array.type):
        values = [v if v is None else _half_digits(v) for v in values]
    nans = sum(1 for v in values if v is not None and math.isnan(v))
    report.null_floats += nans
    return [None if v is None or math.isnan(v) else float(v) for v in values] if nans else values


@cache
def _half_digits(value: float) -> float:
    return shortest_double(np.float16(value))  # Arrow writes a half with the digits of a double


def _unions(array: Any, report: ReadReport) -> list[Any]:  # noqa: ANN401
    """Read every value as the member of the union that it is stored in."""
    array = pa.concat_arrays([array])  # a slice has the type codes of the whole array
    codes = array.type_codes.to_pylist()
    members = [plain_list(array.field(i), report) for i in range(array.type.num_fields)]
    place = {code: i for i, code in enumerate(array.type.type_codes)}
    dense = array.type.mode == "dense"
    offsets = array.offsets.to_pylist() if dense else range(len(array))
    return [members[place[code]][at] for code, at in zip(codes, offsets, strict=True)]


def _lists(array: Any, report: ReadReport) -> list[Any]:  # noqa: ANN401
    lengths = pc.list_value_length(array).to_pylist()
    flat = plain_list(array.flatten(), report)
    lists: list[Any] = []
    start = 0
    for length in lengths:
        lists.append(None if length is None else flat[start : start + length])
        start += length or 0
    return lists


def _structs(array: Any, report: ReadReport) -> list[Any]:  # noqa: ANN401
    names = [array.type.field(i).name for i in range(array.type.num_fields)]
    if len(set(names)) != len(names):
        raise PlainFormError(f"a struct has two fields of one name: {', '.join(map(repr, names))}")
    children = [plain_list(child, report) for child in array.flatten()]
    valid = array.is_valid().to_pylist()
    rows = zip(*children, strict=True) if children else iter([()] * len(array))
    return [
        dict(zip(names, row, strict=True)) if is_valid else None
        for row, is_valid in zip(rows, valid, strict=True)
    ]


def _maps(array: Any, report: ReadReport) -> list[Any]:  # noqa: ANN401
    """Convert maps with text keys to objects, others to lists of {"key", "value"}."""
    offsets = array.offsets.to_pylist()
    valid = array.is_valid().to_pylist()
    keys, items = plain_list(array.keys, report), plain_list(array.items, report)
    text_keys = pa.types.is_string(array.type.key_type) or pa.types.is_large_string(
        array.type.key_type
    )
    maps: list[Any] = []
    for index, is_valid in enumerate(valid):
        pairs = list(
            zip(
                keys[offsets[index] : offsets[index + 1]],
                items[offsets[index] : offsets[index + 1]],
                strict=True,
            )
        )
        if not is_valid:
            maps.append(None)
        elif not text_keys:
            maps.append([{"key": key, "value": value} for key, value in pairs])
        else:
            if len({key for key, _ in pairs}) != len(pairs):
                raise PlainFormError("a map has the same key twice; one value would be lost")
            maps.append(dict(pairs))
    return maps


def _times(array: Any) -> list[Any]:  # noqa: ANN401
    kind = array.type
    if pa.types.is_interval(kind):
        return [v if v is None else _interval_text(*v) for v in array.to_pylist()]
    wide = not (pa.types.is_date32(kind) or pa.types.is_time32(kind))
    counts = array.view(pa.int64() if wide else pa.int32()).to_pylist()
    if pa.types.is_date32(kind):
        return [v if v is None else date_text(v) for v in counts]
    if pa.types.is_date64(kind):
        return [v if v is None else _date64_text(v) for v in counts]
    per_second = _PER_SECOND[kind.unit]
    if pa.types.is_time(kind):
        return [v if v is None else _time_text(v, per_second) for v in counts]
    if pa.types.is_duration(kind):
        return [v if v is None else duration_text(v, per_second) for v in counts]
    zone = "" if kind.tz is None else "+00:00"  # Arrow stores such timestamps in UTC
    return [v if v is None else timestamp_text(v, per_second) + zone for v in counts]


def date_text(days: int) -> str:
    """Write the date that is `days` after 1970-01-01, in the Gregorian calendar, of any year.

    Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.

    >>> date_text(0), date_text(-719468), date_text(2932897)
    ('1970-01-01', '0000-03-01', '+10000-01-01')
    """
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153  # month counted from March
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    sign = "" if 0 <= year <= 9999 else "-" if year < 0 else "+"
    return f"{sign}{abs(year):04d}-{month:02d}-{day:02d}"


def timestamp_text(count: int, per_second: int) -> str:
    """Write a timestamp as ISO 8601 without a zone.

    Args:
        count: Units after 1970-01-01T00:00:00.
        per_second: Units in a second.

    >>> timestamp_text(1500, 1000)
    '1970-01-01T00:00:01.500000'
    """
    seconds, rest = divmod(count, per_second)
    days, second = divmod(seconds, _DAY_S)
    return f"{date_text(days)}T{_clock_text(second, rest, per_second)}"


def _date64_text(milliseconds: int) -> str:
    if milliseconds % (_DAY_S * 1000):
        return timestamp_text(milliseconds, 1000)
    return date_text(milliseconds // (_DAY_S * 1000))


def _time_text(count: int, per_second: int) -> str:
    second, rest = divmod(count, per_second)
    return _clock_text(second, rest, per_second)


def _clock_text(second: int, rest: int, per_second: int) -> str:
    text = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    if rest:
        nanoseconds = rest * (10**9 // per_second)
        exact = f"{nanoseconds:09d}"
        text += f".{exact if nanoseconds % 1000 else exact[:6]}"  # as datetime writes it
    return text


def _interval_text(months: int, days: int, nanoseconds: int) -> str:
    return f"P{months}M{days}D{duration_text(nanoseconds, 10**9)[1:]}"
