"""Conditions that identify the records of a table without a key: `opponent is Lions and year is
1999`.

A condition gives the values of one or two columns; it identifies a record that alone meets it.
Where a table allows no such condition, records are identified by their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from ..readers.cells import compared

MOST_CONDITION_COLUMNS = 12
"""Columns used in conditions: those with the most different values."""
MOST_CONDITION_CHARS = 60
"""Longer values are not repeated in a question."""

Texts = Mapping[str, Sequence[str | None]]
"""Column name -> text of the cell in each record, None for an empty one."""


def unique_conditions(
    texts: Texts, asked: Sequence[str], labels: Mapping[str, str]
) -> list[dict[str, str]]:
    """Find for each cell a condition on other columns that only its record meets.

    One column is preferred to two, and columns with more different values to others, so that the
    questions of a table are alike.

    Args:
        texts: The columns for conditions, and those asked about.
        asked: Columns to ask about.
        labels: Column name -> words used for it.

    Returns:
        For each record: column asked about -> condition. Cells without a value or a condition are
        absent.
    """
    count = len(next(iter(texts.values()), ()))
    found: list[dict[str, str]] = [{} for _ in range(count)]
    open_cells = {name: {i for i in range(count) if texts[name][i] is not None} for name in asked}
    for columns in _candidates(texts):
        targets = [name for name in asked if name not in columns and open_cells[name]]
        if not targets:
            continue
        for i in _told_apart(texts, columns):
            for name in targets:
                if i in open_cells[name]:
                    open_cells[name].discard(i)
                    found[i][name] = " and ".join(
                        f"{labels[column]} is {texts[column][i]}" for column in columns
                    )
    return found


def _candidates(texts: Texts) -> Iterator[tuple[str, ...]]:
    """Yield single columns, then pairs; those with the most different values first."""
    different = {
        name: len({compared(t) for t in column if t is not None and _fits(t)})
        for name, column in texts.items()
    }
    ranked = sorted((n for n in texts if different[n]), key=lambda name: -different[name])
    chosen = ranked[:MOST_CONDITION_COLUMNS]
    yield from ((name,) for name in chosen)
    order = {name: i for i, name in enumerate(texts)}
    for pair in sorted(combinations(chosen, 2), key=lambda p: -different[p[0]] * different[p[1]]):
        first, second = sorted(pair, key=lambda name: order[name])
        yield first, second


def _told_apart(texts: Texts, columns: tuple[str, ...]) -> list[int]:
    """List the records whose values in these columns no other record has."""
    values: list[tuple[str, ...] | None] = []
    for cells in zip(*(texts[name] for name in columns), strict=True):
        there = [cell for cell in cells if cell is not None and _fits(cell)]
        values.append(tuple(map(compared, there)) if len(there) == len(cells) else None)
    counts = Counter(value for value in values if value is not None)
    return [i for i, value in enumerate(values) if value is not None and counts[value] == 1]


def _fits(text: str) -> bool:
    return len(text) <= MOST_CONDITION_CHARS
