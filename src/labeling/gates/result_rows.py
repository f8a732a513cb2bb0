"""Comparing the rows of two results, and the signature of a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...records import sha256_text, stable_json

Row = Sequence[Any]


@dataclass(frozen=True)
class ResultKey:
    """Stands for the rows of a result, so that they need not be kept; equal keys, equal rows."""

    count: int
    """Number of rows."""
    in_order: str
    """Hash of the rows in their order."""
    in_any_order: str
    """Hash of the rows, each as often as it is there."""

    def matches(self, other: ResultKey, *, ordered: bool) -> bool:
        """Say whether two results have the same rows, in the same order if it counts."""
        return self.in_order == other.in_order if ordered else (
            self.in_any_order == other.in_any_order
        )  # fmt: skip


def result_key(rows: Sequence[Row]) -> ResultKey:
    """Make the key of a result.

    Numbers are equal by value (1 = 1.0), a text never equals a number, and null equals null.
    The names of columns do not count, their order does.

    >>> result_key([[1], ["a"]]).matches(result_key([["a"], [1.0]]), ordered=False)
    True
    >>> result_key([[1]]).matches(result_key([["1"]]), ordered=False)
    False
    """
    lines = [repr([_by_value(cell) for cell in row]) for row in rows]
    return ResultKey(len(lines), _hash(lines), _hash(sorted(lines)))


def result_signature(rows: Sequence[Row], *, normalize_order: bool = True) -> str:
    """Hash the rows as FastDistill does: sha256 of their stable JSON.

    Args:
        rows: Cells are null, numbers, texts, and blobs as `{"$bytes": hex}`.
        normalize_order: Whether rows are first sorted by the list of `str(cell)`.

    >>> result_signature([])[:16]
    '4f53cda18c2baa0c'
    """
    lists = [list(row) for row in rows]
    if normalize_order:
        lists.sort(key=lambda row: [str(cell) for cell in row])
    return sha256_text(stable_json(lists))


def _by_value(cell: object) -> object:
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _hash(lines: Sequence[str]) -> str:
    return sha256_text("".join(f"{line}\n" for line in lines))
