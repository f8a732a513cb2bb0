"""Splits by hash: the part of a record follows from its key alone, so it never changes.

A record that is added, removed or moved to another file leaves the parts of all others as they are.
Equal keys are always in the same part. To keep the records of a group together, give the key of the
group.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal

from ...errors import ConfigError, IdentityError
from ...records import split_position

Part = Literal["train", "val", "test"]
_ROUNDING: Final = 1e-9
"""Shares that add up to 1 may miss it by this much."""


@dataclass(frozen=True)
class HashSplit:
    """The parts of a list of keys."""

    parts: tuple[Part, ...]
    """One for each key, in the order given."""
    moved: tuple[str, ...]
    """What was moved into a part that would have been empty, one sentence each."""


def split_key(record: Mapping[str, Any], id_field: str = "sample_id") -> str:
    """Return the text whose hash decides the part of a record.

    Args:
        record: A record.
        id_field: Field of its id. A record whose id is missing or null has its own JSON as key,
            with sorted keys and letters as they are.

    Raises:
        IdentityError: The record has no id, and its values are not finite or not JSON; or the key
            cannot be written in UTF-8.

    >>> split_key({"q": "caf\u00e9", "a": 1})
    '{"a":1,"q":"caf\u00e9"}'
    """
    name = record.get(id_field)
    try:
        if isinstance(name, float) and not math.isfinite(name):
            raise ValueError("the id is not finite")
        key = (
            str(name)
            if name is not None
            else json.dumps(
                record,
                sort_keys=True,
                ensure_ascii=False,
                separators=(",", ":"),
                allow_nan=False,
            )
        )
        key.encode("utf-8")
    except (TypeError, UnicodeEncodeError) as fault:
        raise IdentityError(
            f"the record cannot be a key of the split ({fault}); give it a {id_field!r}",
            field=id_field,
            reason="not_json",
        ) from fault
    except ValueError as fault:
        raise IdentityError(
            f"the record holds NaN or an infinity and has no {id_field!r} of its own; write null "
            "where there is no number",
            field=id_field,
            reason="not_finite",
        ) from fault
    return key


def split_part(key: str, train: float = 0.9, val: float | None = None) -> Part:
    """Return the part of one key.

    Args:
        key: From `split_key`.
        train: Share of the training part; at most 0: nothing, at least 1: everything.
        val: Share of the validation part, the rest is "test"; None: there are two parts, "train"
            and "val".

    Raises:
        ConfigError: A share is not a number, or `val` is negative or leaves the range 0 to 1
            together with `train`.
    """
    _check_shares(train, val)
    return part_at(split_position(key), train, val)


def hash_split(keys: Sequence[str], train: float = 0.9, val: float | None = None) -> HashSplit:
    """Split keys by hash, and leave no part of a small set empty.

    Where a part with a share above 0 would be empty, the nearest key of the part beside it moves
    over: the one with the largest position moves from "train", the one with the smallest to it. Of
    two keys, with three parts, one is in "train" and one in "test".

    Args:
        keys: From `split_key`; equal keys stay together.
        train: As in `split_part`.
        val: As in `split_part`.

    Raises:
        ConfigError: A share is not allowed; see `split_part`.

    >>> hash_split(["a", "b"], 0.9).parts
    ('val', 'train')
    """
    _check_shares(train, val)
    positions = [split_position(key) for key in keys]
    borders = split_borders(sorted(positions), train, val)
    parts = tuple(part_between(position, borders) for position in positions)
    told = dict.fromkeys(
        f"key {key!r} moved from {part_at(p, train, val)} to {now}, which would have been empty"
        for key, p, now in zip(keys, positions, parts, strict=True)
        if part_at(p, train, val) != now
    )
    return HashSplit(parts, tuple(told))


def split_borders(
    positions: Iterable[float], train: float = 0.9, val: float | None = None
) -> tuple[float, float]:
    """Give the positions at which "val" and "test" begin, by the rule of `hash_split`.

    Args:
        positions: Positions of all keys in ascending order, equal ones any number of times; they
            are read twice.
        train: As in `split_part`.
        val: As in `split_part`.

    Raises:
        ConfigError: A share is not allowed; see `split_part`.
    """
    _check_shares(train, val)
    count = end_train = end_val = 0
    for position, _ in groupby(positions):
        part = part_at(position, train, val)
        count += 1
        end_train += part == "train"
        end_val += part != "test"
    ends = _without_empty_parts(end_train, end_val, count, train, val)
    at = dict.fromkeys(ends, math.inf)
    for rank, (position, _) in enumerate(groupby(positions)):
        if rank in at:
            at[rank] = position
    return at[ends[0]], at[ends[1]]


def part_between(position: float, borders: tuple[float, float]) -> Part:
    """Return the part of a position, by the borders that `split_borders` gave."""
    return "train" if position < borders[0] else "val" if position < borders[1] else "test"


def part_at(position: float, train: float, val: float | None) -> Part:
    """Return the part of a position, 0 to 1."""
    train_share, val_share, test_share = split_shares(train, val)
    if train_share == 1 or position < train_share:
        return "train"
    return "val" if test_share == 0 or position < train_share + val_share else "test"


def split_shares(train: float, val: float | None) -> tuple[float, float, float]:
    """Return the shares of train, val and test, 0 to 1 each."""
    first = min(max(train, 0.0), 1.0)
    second = 1 - first if val is None else val
    rest = 1 - first - second
    return first, second, rest if val is not None and rest > _ROUNDING else 0.0


def _without_empty_parts(
    end_train: int, end_val: int, count: int, train: float, val: float | None
) -> tuple[int, int]:
    """Move the borders between the parts so that each part with a share has a key.

    Args:
        end_train: Number of keys in train.
        end_val: Number of keys in train and val.
        count: Number of keys.
        train: As in `split_part`.
        val: As in `split_part`.
    """
    in_train, in_val, in_test = (int(share > 0) for share in split_shares(train, val))
    if count < 2:
        return end_train, end_val
    if in_train + in_val + in_test > count:
        in_val = 0
    end_train = min(max(end_train, in_train), count - in_val - in_test)
    return end_train, min(max(end_val, end_train + in_val), count - in_test)


def _check_shares(train: float, val: float | None) -> None:
    faults = [
        f"{name} is {share!r}; give a finite number"
        for name, share in {"train": train, "val": val}.items()
        if share is not None and not math.isfinite(share)
    ]
    if not faults and val is not None and (val < 0 or max(train, 0.0) + val > 1 + _ROUNDING):
        faults = [f"train {train!r} and val {val!r}: shares are at least 0 and add up to 1 or less"]
    if faults:
        raise ConfigError(faults)
