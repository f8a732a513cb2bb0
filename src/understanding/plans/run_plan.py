"""Run plans over a typed table: the values of the answer, and the cells it rests on.

A question has thousands of candidates, so they are run here, over columns that are kept in memory:
a statement of DuckDB takes longer than a hundred of these. `run_sql` runs a plan in DuckDB; a test
holds the two against each other.
"""

from __future__ import annotations

import math
from collections import Counter
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
"""Cells of an answer that are named at most."""
EQUAL: Final = 1e-9
"""Relative difference of numbers that are called equal."""
NEAR: Final = 1e-8
"""Difference of numbers near 0 that are called equal."""
TIED: Final = 1e-9
"""Relative difference of totals that share the first place: less than that is rounding."""


@dataclass(frozen=True)
class Answer:
    """What a plan gives.

    Attributes:
        values: Texts, in the order of the rows.
        number: The value as a number, where it was computed.
        rows: Rows that it rests on, counted from 0.
        column: Column whose cells it rests on; None where only rows were counted.
    """

    values: tuple[str, ...]
    number: float | None = None
    rows: tuple[int, ...] = ()
    column: int | None = None


class PlanRunner:
    """Runs plans over one table; sets of rows that occur in several plans are found once."""

    def __init__(self, table: TypedTable) -> None:
        """Prepare a runner for a table."""
        self.table = table
        self._found: dict[Rows, Indexes] = {}

    def rows(self, rows: Rows) -> Indexes:
        """Find the rows, in the order of the table."""
        found = self._found.get(rows)
        if found is None:
            found = self._found[rows] = self._find(rows)
        return found

    def run(self, plan: Plan) -> Answer | None:
        """Run a plan; None where it has no answer, as the average of nothing."""
        match plan:
            case Cells(rows, column):
                return self._cells(self.rows(rows), column)
            case Count(rows):
                there = self.rows(rows)
                return _number(float(len(there)), there)
            case Distinct(rows, column):
                there = self._filled(self.rows(rows), column)
                folded = self.table.columns[column].folded
                return _number(float(len({folded[row] for row in there})), there, column)
            case Total(rows, column, function):
                return self._total(self.rows(rows), column, function)
            case Often(rows, column, most):
                return self._often(self.rows(rows), column, most)
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
                folded = self.table.columns[column].folded
                same = self.table.columns[column].rows_of.get(folded[there[0]], [])
                return np.array([row for row in same if row != there[0]], dtype=np.int64)

    def _holds(self, where: Where) -> NDArray[np.bool_]:
        column = self.table.columns[where.column]
        value = where.value
        held = np.zeros(self.table.length, dtype=bool)
        match where.operator:
            case "is":
                held[column.rows_of.get(str(value), [])] = True
            case "not":
                held = column.filled.copy()
                held[column.rows_of.get(str(value), [])] = False
            case "has" | "lacks":
                held[_having(column, str(value))] = True
                if where.operator == "lacks":
                    held = ~held
            case "filled":
                held = column.filled.copy()
            case "empty":
                held = ~column.filled
            case operator:
                held = _compare(column, operator, value)
        return held

    def _filled(self, rows: Indexes, column: int) -> Indexes:
        return rows[self.table.columns[column].filled[rows]]

    def _cells(self, rows: Indexes, column: int) -> Answer | None:
        there = self._filled(rows, column)
        if not len(there):
            return None
        texts = self.table.columns[column].texts
        values = tuple(dict.fromkeys(texts[row] for row in there))
        return Answer(values, None, _cited(there), column)

    def _total(self, rows: Indexes, column: int, function: str) -> Answer | None:
        numbers = self.table.columns[column].numbers[rows]
        known = ~np.isnan(numbers)
        if not known.any():
            return None
        there, numbers = rows[known], numbers[known]
        if function in ("highest", "lowest"):
            best = numbers.max() if function == "highest" else numbers.min()
            return self._cells(there[numbers == best], column)
        value = math.fsum(numbers) / (len(numbers) if function == "average" else 1)
        return _number(value, there, column)

    def _often(self, rows: Indexes, column: int, most: bool) -> Answer | None:
        there = self._filled(rows, column)
        folded = self.table.columns[column].folded
        count = Counter(folded[row] for row in there)
        if len(count) < 2:
            return None
        best = max(count.values()) if most else min(count.values())
        kept = [row for row in there if count[folded[row]] == best]
        return self._cells(np.array(kept, dtype=np.int64), column)

    def _group(self, plan: Group) -> Answer | None:
        there = self.rows(plan.rows)
        numbers = self.table.columns[plan.column].numbers
        folded = self.table.columns[plan.by].folded
        sums: dict[str, list[float]] = {}
        for row in there:
            if folded[row] and not np.isnan(numbers[row]):
                sums.setdefault(folded[row], []).append(float(numbers[row]))
        if len(sums) < 2:
            return None
        totals = {
            name: math.fsum(all_) / (len(all_) if plan.function == "average" else 1)
            for name, all_ in sums.items()
        }
        best = max(totals.values()) if plan.highest else min(totals.values())
        first = {name for name, one in totals.items() if abs(one - best) <= TIED * abs(best)}
        kept = [row for row in there if folded[row] in first]
        return self._cells(np.array(kept, dtype=np.int64), plan.by)

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
        return _number(abs(first[0] - second[0]), there, column)

    def _span(self, rows: Rows, start: int, end: int) -> Answer | None:
        there = self.rows(rows)
        if not len(there):
            return None
        row = there[0]
        apart = self.table.columns[end].order[row] - self.table.columns[start].order[row]
        return None if np.isnan(apart) else _number(abs(float(apart)), there[:1], end)

    def _compared(self, one: Rows, other: Rows, column: int | None, more: bool) -> Answer | None:
        first, second = self._scalar(one, column), self._scalar(other, column)
        if first is None or second is None:
            return None
        holds = first[0] > second[0] if more else first[0] < second[0]
        there = np.concatenate([first[1], second[1]])
        return Answer(("yes" if holds else "no",), None, _cited(there), column)


def _cited(rows: Indexes) -> tuple[int, ...]:
    return tuple(rows[:MOST_CELLS].tolist())


def _number(value: float, rows: Indexes, column: int | None = None) -> Answer:
    return Answer((number_text(value),), value, _cited(rows), column)


def number_text(value: float) -> str:
    """Write a number: whole where it is, else to six digits, of large ones to two decimals.

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


def _having(column: Column, phrase: str) -> list[int]:
    parts = words(phrase)
    if not parts:
        return []
    values = min((column.rows_of_word.get(word, []) for word in parts), key=len)
    if len(parts) > 1:
        joined = f" {' '.join(parts)} "
        values = [one for one in values if joined in f" {' '.join(words(one))} "]
    return [row for value in values for row in column.rows_of[value]]


def _compare(column: Column, operator: str, value: str | float | Day) -> NDArray[np.bool_]:
    if isinstance(value, Day):
        if operator == "=":
            return np.array([d is not None and value.covers(d) for d in column.days], dtype=bool)
        order = column.dates
        operator, bound = day_bound(operator, value)
    else:
        order, bound = column.numbers, float(value)
    with np.errstate(invalid="ignore"):
        held: NDArray[np.bool_] = {
            "<": order < bound,
            "<=": order <= bound,
            ">": order > bound,
            ">=": order >= bound,
            "=": np.abs(order - bound) <= NEAR + EQUAL * abs(bound),
        }[operator]
    return held


def day_bound(operator: str, day: Day) -> tuple[str, float]:
    """Give the comparison, and the number of years to compare with, of a date.

    A year is left with its last day: after 1990 begins in 1991, until 1990 ends with it. So is a
    month.
    """
    last = 0.0 if day.day else (1 / 12 if day.month else 1.0) - 1e-6
    if operator == ">":
        return ">", day.ordinal + last
    if operator == "<=":
        return ("<" if last else "<="), day.ordinal + last
    return operator, day.ordinal
