"""A key-value cache of sequences that may join and leave, in buffers that are written in place.

A row is one sequence. All rows end in the same column: one slice writes the newest token of every
row, one slice reads all earlier ones, and rows of equal length need no mask. A row that starts
later has unread columns before it, where the attention bias is minus infinity.

Sizes: B rows in use, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_FIRST_COLUMNS = 128
_SPARE = 1 / 4
"""Part of the columns that is reserved beyond the need, and freed at least by a shift."""
_ABSENT = float("-inf")


class RowCache:
    """Buffers (rows, heads, columns, size), one or more per attention layer."""

    def __init__(
        self, shapes: Sequence[tuple[int, int]], dtype: torch.dtype, device: torch.device
    ) -> None:
        """Make an empty cache.

        Args:
            shapes: Heads and head size of each buffer.
            dtype: Type of keys and values.
            device: Device of the buffers.
        """
        self.buffers = [torch.zeros(0, h, 0, d, dtype=dtype, device=device) for h, d in shapes]
        self.end = 0
        """Column after the newest tokens."""
        self._starts: list[int] = []
        self._bias = torch.zeros(0, 0, dtype=dtype, device=device)
        self._positions = torch.zeros(0, dtype=torch.int64, device=device)

    @property
    def rows(self) -> int:
        """Number of rows in use."""
        return len(self._starts)

    @property
    def first(self) -> int:
        """First column that any row reads."""
        return min(self._starts)

    @property
    def tokens(self) -> int:
        """Tokens in the cache."""
        return sum(self.end - start for start in self._starts)

    def add(self, lengths: Sequence[int]) -> list[int]:
        """Append rows; the caller writes columns `end - length` to `end` of each.

        Args:
            lengths: Tokens of each new row, 1 or more.

        Returns:
            The numbers of the new rows.
        """
        longest = max(lengths)
        if longest > self.end:
            self._shift(longest - self.end)
        self._reserve(self.rows + len(lengths), self.end)
        added = list(range(self.rows, self.rows + len(lengths)))
        self._starts += [self.end - length for length in lengths]
        self._write_starts(added)
        return added

    def advance(self) -> None:
        """Add a column for the next token of every row; the caller writes column `end - 1`."""
        if self.end == self._bias.shape[1]:
            # Shifting left copies all rows, so it must free many columns.
            if self.first >= _SPARE * self.end:
                self._shift(-self.first)
                self._shrink()
            else:
                self._reserve(self.rows, self.end + 1)
        self.end += 1

    def drop(self, row: int) -> None:
        """Remove a row; the last row takes its number."""
        last = self.rows - 1
        if row != last:
            begin = self._starts[last]
            for buffer in self.buffers:
                buffer[row, :, begin : self.end] = buffer[last, :, begin : self.end]
            self._starts[row] = begin
        self._starts.pop()
        if not self._starts:
            self.end = 0
        self._write_starts([row] if row != last else [])

    def positions(self) -> Tensor:
        """Return the positions (B,) of the tokens in column `end - 1`, from 0 in each row."""
        return self.end - 1 - self._positions

    def bias(self) -> Tensor | None:
        """Return the attention bias (B, end - first), 0 or minus infinity; None if all rows start
        in the same column.
        """
        first = self.first
        if first == max(self._starts):
            return None
        return self._bias[: self.rows, first : self.end]

    def _write_starts(self, rows: Sequence[int]) -> None:
        for row in rows:
            self._bias[row, : self._starts[row]] = _ABSENT
            self._bias[row, self._starts[row] :] = 0
        self._positions = torch.tensor(self._starts, device=self._bias.device)

    def _shift(self, columns: int) -> None:
        """Move all rows to the right, or to the left if negative."""
        first = self.first if self._starts else self.end
        self._reserve(self.rows, self.end + columns)
        for buffer in self.buffers:
            # Stale values stay finite, so that the bias masks them.
            kept = buffer[: self.rows, :, first : self.end].clone()
            buffer[: self.rows, :, first + columns : self.end + columns] = kept
        self.end += columns
        self._starts = [start + columns for start in self._starts]
        self._write_starts(range(self.rows))

    def _reserve(self, rows: int, columns: int) -> None:
        """Grow the buffers where they are too small, by a part more than is needed."""
        had_rows, had_columns = self._bias.shape
        if rows <= had_rows and columns <= had_columns:
            return
        rows = had_rows if rows <= had_rows else max(rows, _with_spare(had_rows))
        if columns > had_columns:
            columns = max(_with_spare(columns), _FIRST_COLUMNS)
        self._resize(rows, max(columns, had_columns))

    def _shrink(self) -> None:
        """Give memory back of which a quarter or less is in use, as after a long sequence."""
        had_rows, had_columns = self._bias.shape
        columns = max(_with_spare(self.end), _FIRST_COLUMNS)
        if 4 * self.rows * columns <= had_rows * had_columns:
            self._resize(self.rows, min(columns, had_columns))

    def _resize(self, rows: int, columns: int) -> None:
        """Move the rows into other buffers; new memory is zero, because garbage may be NaN."""
        used = self.rows
        for number, old in enumerate(self.buffers):
            new = old.new_zeros(rows, old.shape[1], columns, old.shape[3])
            new[:used, :, : self.end] = old[:used, :, : self.end]
            self.buffers[number] = new
        self._bias = self._bias.new_zeros(rows, columns)
        self._write_starts(range(used))


def _with_spare(size: int) -> int:
    return size + max(1, int(_SPARE * size))
