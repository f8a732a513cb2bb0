"""The key-value cache of an exported model; every row starts in column 0.

ONNX Runtime's attention takes rows of different lengths and writes new keys and values in place, so
rows need no padding. When a row is removed, the last row takes its place.

Sizes: B rows in use, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

_FIRST_COLUMNS = 128


class SlotCache:
    """Buffers (rows, heads, columns, size), two per attention layer."""

    def __init__(self, buffers: int, heads: int, size: int, most_columns: int) -> None:
        """Make an empty cache.

        Args:
            buffers: Number of buffers.
            heads: Key-value heads of each.
            size: Size of a head.
            most_columns: Context length of the model.
        """
        self.buffers = [torch.empty(0, heads, 0, size) for _ in range(buffers)]
        self.lengths: list[int] = []
        """Tokens of each row."""
        self._most_columns = most_columns

    @property
    def rows(self) -> int:
        """Number of rows in use."""
        return len(self.lengths)

    @property
    def columns(self) -> int:
        """Tokens that a row can hold before the buffers grow."""
        return self.buffers[0].shape[2]

    @property
    def tokens(self) -> int:
        """Tokens in the cache."""
        return sum(self.lengths)

    def add(self, lengths: Sequence[int]) -> int:
        """Append rows and return the number of the first; the caller writes columns 0 to
        `length`."""
        first = self.rows
        self._reserve(first + len(lengths), max(lengths))
        self.lengths += lengths
        return first

    def advance(self) -> None:
        """Add a column to every row; the caller writes it."""
        self.lengths = [length + 1 for length in self.lengths]
        self._reserve(self.rows, max(self.lengths))

    def repeat(self, row: int, copies: int) -> None:
        """Append copies of a row, 0 or more."""
        if copies == 0:
            return
        length = self.lengths[row]
        first = self.add([length] * copies)
        for buffer in self.buffers:
            buffer[first : first + copies, :, :length] = buffer[row, :, :length]

    def drop(self, row: int) -> None:
        """Remove a row; the last row takes its number."""
        length = self.lengths.pop()
        last = len(self.lengths)
        if row == last:
            return
        self.lengths[row] = length
        for buffer in self.buffers:
            buffer[row, :, :length] = buffer[last, :, :length]

    def _reserve(self, rows: int, columns: int) -> None:
        """Grow the buffers by doubling."""
        had_rows, _, had_columns, _ = self.buffers[0].shape
        if rows <= had_rows and columns <= had_columns:
            return
        rows = had_rows if rows <= had_rows else max(rows, 2 * had_rows)
        if columns > had_columns:
            columns = max(columns, 2 * had_columns, _FIRST_COLUMNS)
        columns = max(had_columns, min(columns, self._most_columns))
        used = min(self.rows, had_rows)
        for number, old in enumerate(self.buffers):
            new = old.new_empty(rows, old.shape[1], columns, old.shape[3])
            new[:used, :, :had_columns] = old[:used]
            self.buffers[number] = new
