"""Run plans over a typed table; an answer has its values and the cells that support it.

A question has thousands of candidate plans, so they are run on NumPy columns in memory; one DuckDB
statement takes longer than a hundred of these. `run_sql` runs a plan in DuckDB, and a test checks
that both give the same answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..table.typed_table import Column, TypedTable
from ..table.values import Day, words
from .language import (
    All,
    At,
    Beside,
    Both,
    Cells,
    Compared,
    Count,
    Difference,
    Distinct,
    Either,
    Exists,
    Group,
    Like,
    Often,
    Plan,
    Rows,
    Span,
    Top,
    Total,
    Where,
)  # fmt: skip

Indexes = NDArray[np.int64]
MOST_CELLS: Final = 1000
"""Most cells that are cited for an answer."""
MOST_BYTES: Final = 128 << 20
"""Bytes of row sets that a runner caches."""
FEW: Final = 32
"""Up to this many cells are read in a Python loop instead of NumPy."""
EQUAL: Final = 1e-9
"""Relative tolerance within which two numbers are equal."""
NEAR: Final = 1e-8
"""Absolute tolerance within which two numbers are equal."""
TIED: Final = 1e-9
"""Relative tolerance within which two group totals are tied; smaller differences are rounding."""


@dataclass(frozen=True)
class Answer:
    """The answer of a plan.

    Attributes:
        values: The different texts of the answer, in the order of the rows.
        number: The value as a number if it was computed, else None.
        rows: Rows that support the answer, counted from 0; `MOST_CELLS` at most.
        column: Column whose cells support the answer; None if rows were only counted.
    """

    values: tuple[str, ...]
    number: float | None = None
    rows: tuple[int, ...] = ()
    column: int | None = None


@dataclass(frozen=True)
class _Kept:
    """A set of rows, and those of them that an answer cites."""

    rows: Indexes
    cited: tuple[int, ...]


@dataclass(frozen=True)
class _Coded:
    """The cells of a column as integer codes, numbered from 0 in order of first occurrence."""

    codes: Indexes
    known: dict[str, int]

    @property
    def count(self) -> int:
        """Number of different cells."""
        return len(self.known)

    @property
    def empty(self) -> int:
        """Code of an empty cell; -1 if no cell is empty."""
        return self.known.get("", -1)

    @classmethod
    def of(cls, texts: Sequence[str]) -> _Coded:
        known: dict[str, int] = {}
        codes = [known.setdefault(text, len(known)) for text in texts]
        return cls(np.array(codes, dtype=np.int64), known)


class PlanRunner:
    """Runs plans over one table and caches the row sets that plans share.

    Args:
        table: The table.
        most_bytes: Size of the cache of row sets, in bytes; a full cache is emptied.
    """

    def __init__(self, table: TypedTable, most_bytes: int = MOST_BYTES) -> None:
        """Prepare a runner for a table."""
        self.table, self.most_bytes = table, most_bytes
        self._longest: int | None = None
        self._found: dict[Rows, Indexes] = {}
        self._last: tuple[Rows | None, Indexes] = (None, np.arange(0))
        self._kept: dict[Rows, dict[tuple[int, bool], _Kept]] = {}
        self._last_kept: tuple[Rows | None, dict[tuple[int, bool], _Kept]] = (None, {})
        self._fixed: dict[tuple[Plan, int | None], Answer | None] = {}
        self._held = 0
        self._folded: dict[int, _Coded] = {}
        self._texts: dict[int, _Coded] = {}
        self._spoken: dict[str, str] = {}
        self._days: dict[int, NDArray[np.int64]] = {}
        self._counted: tuple[_Kept, Indexes, Indexes] | None = None

    def rows(self, rows: Rows) -> Indexes:
        """Return the numbers of the rows that a form selects, in the order of the table."""
        # Most plans are run right after another one over the same rows.
        if rows is self._last[0]:
            return self._last[1]
        found = self._found.get(rows)
        if found is None:
            found = self._find(rows)
            self._hold(found.nbytes)
            self._found[rows] = found
        self._last = rows, found
        return found

    def run(self, plan: Plan, longest: int | None = None) -> Answer | None:
        """Run a plan.

        Args:
            plan: The plan.
            longest: Most values of an answer that lists cells; None for no limit.

        Returns:
            The answer; None if there is none, as for the average of no numbers, or if it would
            have more than `longest` values.
        """
        self._longest = longest
        if not _is_of_all(plan):
            return self._run(plan)
        # Plans over all rows are the same for every question, so their answers are cached.
        if (plan, longest) not in self._fixed:
            self._fixed[plan, longest] = self._run(plan)
        return self._fixed[plan, longest]

    def _hold(self, size: int) -> None:
        """Count `size` more cached bytes; empty the cache when it exceeds `most_bytes`."""
        self._held += size
        if self._held > self.most_bytes:
            self._found.clear()
            self._kept.clear()
            self._last_kept = (None, {})
            self._held = size

    def _run(self, plan: Plan) -> Answer | None:
        match plan:
            case Cells(rows, column):
                there = self.rows(rows)
                if len(there) <= FEW:
                    return self._few_cells(there.tolist(), column)
                return self._cells(self._filled(rows, column), column)
            case Count(rows):
                there = self.rows(rows)
                return _number(float(len(there)), _cited(there))
            case Distinct(rows, column):
                kept = self._filled(rows, column)
                coded = self._coded(column)
                seen = np.zeros(coded.count, dtype=bool)
                seen[coded.codes[kept.rows]] = True
                return _number(float(seen.sum()), kept.cited, column)
            case Total(rows, column, function):
                return self._total(rows, column, function)
            case Often(rows, column, most):
                return self._often(self._filled(rows, column), column, most)
            case Group():
                return self._group(plan)
            case Difference(one, other, column):
                return self._difference(one, other, column)
            case Span(rows, start, end):
                return self._span(rows, start, end)
            case Exists(rows):
                there = self.rows(rows)
                return Answer(("yes" if len(there) else "no",), None, _cited(there))
            case Compared(one, other, column, more):
                return self._compared(one, other, column, more)

    def _find(self, rows: Rows) -> Indexes:
        match rows:
            case All():
                return np.arange(self.table.length)
            case Where():
                return np.flatnonzero(self._holds(rows))
            case Both(conditions):
                held = self._holds(conditions[0])
                for one in conditions[1:]:
                    held = held & self._holds(one)
                return np.flatnonzero(held)
            case Either(conditions):
                held = self._holds(conditions[0])
                for one in conditions[1:]:
                    held = held | self._holds(one)
                return np.flatnonzero(held)
            case Top(of, column, highest, count):
                there = self.rows(of)
                order = self.table.columns[column].order[there]
                known = ~np.isnan(order)
                if not known.any():
                    return there[:0]
                if count > 1:
                    there, order = there[known], order[known]
                    ranked = np.argsort(-order if highest else order, kind="stable")
                    return np.sort(there[ranked[:count]])
                best = order[known].max() if highest else order[known].min()
                return np.asarray(there[order == best])
            case At(of, place):
                there = self.rows(of)
                inside = -len(there) <= place < len(there)
                return there[[place]] if inside else there[:0]
            case Beside(of, step):
                there = self.rows(of)
                at = int(there[0]) + step if len(there) and step < 0 else (
                    int(there[-1]) + step if len(there) else -1
                )  # fmt: skip
                inside = 0 <= at < self.table.length
                return np.array([at] if inside else [], dtype=np.int64)
            case Like(of, column):
                there = self.rows(of)
                if not len(there):
                    return there
                coded = self._coded(column)
                code = coded.codes[there[0]]
                same = coded.codes == (-1 if code == coded.empty else code)
                same[there[0]] = False
                return np.flatnonzero(same)

    def _holds(self, where: Where) -> NDArray[np.bool_]:
        column = self.table.columns[where.column]
        value = where.value
        held = np.zeros(self.table.length, dtype=bool)
        match where.operator:
            case "is":
                held = self._is(where.column, str(value))
            case "not":
                held = column.filled & ~self._is(where.column, str(value))
            case "has" | "lacks":
                held[self._having(column, str(value))] = True
                if where.operator == "lacks":
                    held = ~held
            case "filled":
                held = column.filled.copy()
            case "empty":
                held = ~column.filled
            case "=" if isinstance(value, Day):
                held = self._covered(where.column, value)
            case operator:
                held = _compare(column, operator, value)
        return held

    def _is(self, column: int, value: str) -> NDArray[np.bool_]:
        coded = self._coded(column)
        return np.asarray(coded.codes == (coded.known.get(value, -1) if value else -1))

    def _covered(self, column: int, day: Day) -> NDArray[np.bool_]:
        """Mark the rows whose date lies in a day, month or year."""
        if column not in self._days:
            days = self.table.columns[column].days
            self._days[column] = np.array(
                [(-1, -1, -1) if one is None else one.parts for one in days], dtype=np.int64
            ).reshape(-1, 3)
        parts = self._days[column]
        held = parts[:, 0] >= 0
        for place, part in enumerate(day.parts):
            if part:
                held &= parts[:, place] == part
        return np.asarray(held)

    def _having(self, column: Column, phrase: str) -> list[int]:
        parts = words(phrase)
        if not parts:
            return []
        values = min((column.rows_of_word.get(word, []) for word in parts), key=len)
        if len(parts) > 1:
            joined = f" {' '.join(parts)} "
            values = [one for one in values if joined in self._words_of(one)]
        return [row for value in values for row in column.rows_of[value]]

    def _words_of(self, text: str) -> str:
        spoken = self._spoken.get(text)
        if spoken is None:
            spoken = self._spoken[text] = f" {' '.join(words(text))} "
        return spoken

    def _filled(self, rows: Rows, column: int) -> _Kept:
        """Return the rows with a value in a column, and cache them."""
        return self._keep(rows, column, False)

    def _numbered(self, rows: Rows, column: int) -> _Kept:
        """Return the rows with a number in a column, and cache them."""
        return self._keep(rows, column, True)

    def _keep(self, rows: Rows, column: int, numbers: bool) -> _Kept:
        if rows is not self._last_kept[0]:
            self._last_kept = rows, self._kept.setdefault(rows, {})
        of_rows = self._last_kept[1]
        kept = of_rows.get((column, numbers))
        if kept is None:
            there, of = self.rows(rows), self.table.columns[column]
            there = there[~np.isnan(of.numbers[there]) if numbers else of.filled[there]]
            kept = _Kept(there, _cited(there))
            self._hold(there.nbytes + 8 * len(kept.cited))
            of_rows[column, numbers] = kept
        return kept

    def _coded(self, column: int) -> _Coded:
        """Return the folded cells of a column as integer codes."""
        if column not in self._folded:
            self._folded[column] = _Coded.of(self.table.columns[column].folded)
        return self._folded[column]

    def _few_cells(self, rows: list[int], column: int) -> Answer | None:
        texts = self.table.columns[column].texts
        there = [row for row in rows if texts[row]]
        values = tuple(dict.fromkeys([texts[row] for row in there]))
        return Answer(values, None, tuple(there), column) if there else None

    def _cells(self, kept: _Kept, column: int) -> Answer | None:
        there = kept.rows
        if not len(there):
            return None
        texts = self.table.columns[column].texts
        if self._is_too_long(len(there), column):
            return None
        if len(there) <= FEW:
            return self._few_cells(there.tolist(), column)
        if column not in self._texts:
            self._texts[column] = _Coded.of(texts)
        coded = self._texts[column]
        if self._longest is not None:
            seen = np.zeros(coded.count, dtype=bool)
            seen[coded.codes[there]] = True
            if seen.sum() > self._longest:
                return None
        first = np.full(coded.count, -1)
        # Of several assignments to one code the last stays; in reverse, that is the first row.
        first[coded.codes[there][::-1]] = there[::-1]
        values = tuple(texts[row] for row in np.sort(first[first >= 0]).tolist())
        return Answer(values, None, kept.cited, column)

    def _is_too_long(self, cells: int, column: int) -> bool:
        """Tell whether a column without repeated values gives more cells than are allowed."""
        return (
            self._longest is not None
            and cells > self._longest
            and self.table.columns[column].is_key
        )

    def _some(self, there: Indexes, column: int) -> Answer | None:
        return self._cells(_Kept(there, _cited(there)), column)

    def _total(self, rows: Rows, column: int, function: str) -> Answer | None:
        kept = self._numbered(rows, column)
        if not len(kept.rows):
            return None
        numbers = self.table.columns[column].numbers[kept.rows]
        if function in ("highest", "lowest"):
            best = numbers.max() if function == "highest" else numbers.min()
            return self._some(kept.rows[numbers == best], column)
        value = numbers.sum() if function == "sum" else numbers.mean()
        return _number(float(value), kept.cited, column)

    def _often(self, kept: _Kept, column: int, most: bool) -> Answer | None:
        if self._is_too_long(len(kept.rows), column):
            return None
        # Plans for the most and the least frequent value follow each other, so keep the counts.
        if self._counted is None or self._counted[0] is not kept:
            coded = self._coded(column)
            codes = coded.codes[kept.rows]
            self._counted = kept, codes, np.bincount(codes, minlength=coded.count)
        _, codes, times = self._counted
        there = times[times > 0]
        if len(there) < 2:
            return None
        best = there.max() if most else there.min()
        if self._longest is not None and (there == best).sum() > self._longest:
            return None
        return self._some(kept.rows[times[codes] == best], column)

    def _group(self, plan: Group) -> Answer | None:
        there, coded = self.rows(plan.rows), self._coded(plan.by)
        numbers = self.table.columns[plan.column].numbers[there]
        codes = coded.codes[there]
        named = codes != coded.empty
        known = named & ~np.isnan(numbers)
        times = np.bincount(codes[known], minlength=coded.count)
        groups = times > 0
        if groups.sum() < 2:
            return None
        sums = np.bincount(codes[known], weights=numbers[known], minlength=coded.count)
        worth = sums if plan.function == "sum" else sums / np.maximum(times, 1)
        best = worth[groups].max() if plan.highest else worth[groups].min()
        first = groups & (np.abs(worth - best) <= TIED * abs(best))
        return self._some(there[named & first[codes]], plan.by)

    def _scalar(self, rows: Rows, column: int | None) -> tuple[float, Indexes] | None:
        there = self.rows(rows)
        if column is None:
            return float(len(there)), there
        order = self.table.columns[column].order[there]
        known = ~np.isnan(order)
        return (float(order[known][0]), there[known][:1]) if known.any() else None

    def _difference(self, one: Rows, other: Rows, column: int | None) -> Answer | None:
        first, second = self._scalar(one, column), self._scalar(other, column)
        if first is None or second is None:
            return None
        there = np.concatenate([first[1], second[1]])
        return _number(abs(first[0] - second[0]), _cited(there), column)

    def _span(self, rows: Rows, start: int, end: int) -> Answer | None:
        there = self.rows(rows)
        if not len(there):
            return None
        row = there[0]
        apart = self.table.columns[end].order[row] - self.table.columns[start].order[row]
        return None if np.isnan(apart) else _number(abs(float(apart)), _cited(there[:1]), end)

    def _compared(self, one: Rows, other: Rows, column: int | None, more: bool) -> Answer | None:
        first, second = self._scalar(one, column), self._scalar(other, column)
        if first is None or second is None:
            return None
        holds = first[0] > second[0] if more else first[0] < second[0]
        there = np.concatenate([first[1], second[1]])
        return Answer(("yes" if holds else "no",), None, _cited(there), column)


def _cited(rows: Indexes) -> tuple[int, ...]:
    return tuple(rows[:MOST_CELLS].tolist())


def _number(value: float, cited: tuple[int, ...], column: int | None = None) -> Answer:
    return Answer((number_text(value),), value, cited, column)


def _is_of_all(plan: Plan) -> bool:
    """Tell whether a plan selects from all rows, so that it holds nothing from the question."""
    rows = getattr(plan, "rows", None)
    return isinstance(rows, All) or (isinstance(rows, (Top, At)) and isinstance(rows.rows, All))


def number_text(value: float) -> str:
    """Write a number: whole numbers without decimals, others to six significant digits.

    Large numbers get as many digits as two decimals need.

    >>> number_text(3.0), number_text(2 / 3), number_text(1234567.891), number_text(0.1 + 0.2)
    ('3', '0.666667', '1234567.89', '0.3')
    """
    if not math.isfinite(value):
        return str(value)
    if value == int(value):
        return str(int(value))
    digits = max(6, len(str(int(abs(value)))) + 2)
    return np.format_float_positional(
        float(f"{value:.{digits}g}"), precision=digits, fractional=False, trim="-"
    )


def _compare(column: Column, operator: str, value: str | float | Day) -> NDArray[np.bool_]:
    if isinstance(value, Day):
        order = column.dates
        operator, bound = day_bound(operator, value)
    else:
        order, bound = column.numbers, float(value)
    with np.errstate(invalid="ignore"):
        match operator:
            case "<":
                held = order < bound
            case "<=":
                held = order <= bound
            case ">":
                held = order > bound
            case ">=":
                held = order >= bound
            case _:
                held = np.abs(order - bound) <= NEAR + EQUAL * abs(bound)
    return np.asarray(held)


def day_bound(operator: str, day: Day) -> tuple[str, float]:
    """Translate a comparison with a date into a comparison with a number of years.

    Years and months are compared by their end where that is meant: `> 1990` means from 1991 on,
    and `<= 1990` includes all of 1990.

    Returns:
        The operator and the number to compare `Column.dates` with.
    """
    last = 0.0 if day.day else (1 / 12 if day.month else 1.0) - 1e-6
    if operator == ">":
        return ">", day.ordinal + last
    if operator == "<=":
        return ("<" if last else "<="), day.ordinal + last
    return operator, day.ordinal
