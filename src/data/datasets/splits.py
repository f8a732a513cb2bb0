"""Slices of a data set in the syntax of the `datasets` library: `train[:1000]`, `train[10%:20%]`,
`train[-50:]+train[:50]`.

Percentages are rounded as in that library: to the nearest record, or `(pct1_dropremainder)`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

Record = TypeVar("Record", bound=Any)

_PART = re.compile(
    r"\s*(?P<split>\w+(?:\.\w+)*)"
    r"(?:\[(?:(?P<begin>-?\d+)(?P<begin_unit>%?))?:(?:(?P<end>-?\d+)(?P<end_unit>%?))?\])?"
    r"(?:\((?P<rounding>closest|pct1_dropremainder)\))?\s*"
)


def take_slice(records: Sequence[Record], slice_str: str) -> list[Record]:
    """Take a slice of the records of a file.

    Args:
        records: All of them; a file is the split `train`.
        slice_str: `train`, `train[:N]`, `train[a:b]`, `train[:p%]`, or several joined by `+`.

    Raises:
        ValueError: The slice has another form, or names another split.

    >>> take_slice("abcdefghij", "train[:20%]+train[-1:]")
    ['a', 'b', 'j']
    """
    return [
        record
        for begin, end in slice_bounds(slice_str, len(records))
        for record in records[begin:end]
    ]


def slice_bounds(slice_str: str, total: int) -> list[tuple[int, int]]:
    """Read a slice: the first record and the one after the last, for each of its parts.

    Args:
        slice_str: As in `take_slice`.
        total: Records in the split.

    Raises:
        ValueError: The slice has another form, or names another split than `train`.
    """
    return [_bounds(part, slice_str, total) for part in slice_str.split("+")]


def _bounds(part: str, slice_str: str, total: int) -> tuple[int, int]:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(
            f"slice_str is {slice_str!r}; write train, train[:1000], train[200:300] or train[:10%]"
        )
    if match["split"] != "train":
        raise ValueError(
            f"slice_str is {slice_str!r}; a file has the split 'train' only. To take another file, "
            "name it as source"
        )
    one_percent = match["rounding"] == "pct1_dropremainder"
    begin = _place(match["begin"], match["begin_unit"], total, slice_str, one_percent)
    end = _place(match["end"], match["end_unit"], total, slice_str, one_percent)
    first = 0 if begin is None else begin
    return first, max(first, total if end is None else end)


def _place(
    number: str | None, unit: str | None, total: int, slice_str: str, one_percent: bool
) -> int | None:
    """Convert a number or percentage to the index of a record in the split."""
    if number is None:
        return None
    value = int(number)
    if unit == "%":
        if abs(value) > 100:
            raise ValueError(f"slice_str is {slice_str!r}; percentages go from -100% to 100%")
        value = value * (total // 100) if one_percent else round(value * total / 100)
    if value < 0:
        value = max(0, total + value)
    return min(value, total)
