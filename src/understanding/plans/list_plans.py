"""List the candidate plans of a question, from the values it names and the columns of the table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Final

import numpy as np

from ..mentions.find_values import PASSING, Mention, find_values, written_as_codes
from ..table.typed_table import Column, TypedTable
from ..table.values import Day, Quantity, fold, quantities, spoken_days, stem, word_numbers, words
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
    Operator,
    Plan,
    Rows,
    Span,
    Top,
    Total,
    Where,
)  # fmt: skip
from .run_plan import Answer, PlanRunner

MOST_CONDITIONS: Final = 28
MOST_SETS: Final = 48
MOST_COLUMNS: Final = 3
"""Most columns for which conditions are kept that select the same rows by the same words."""
MOST_TRIPLES: Final = 6
MOST_TOLD: Final = 16
"""Most sets of rows that are only counted or tested for existence, such as empty ones."""
MOST_UNSAID: Final = 0.3
"""Highest weight of a condition that the question gives almost no reason for."""
UNNAMED: Final = 0.5
"""Highest weight of a condition that no word, number or date of the question sets."""
HINTED: Final = 0.45
"""Weight of a condition whose value the question says in other words (a hint)."""
MOST_LISTED: Final = 40
"""Most cells in an answer, where no word of the question selects the rows."""
MOST_NAMED: Final = 400
"""Most cells in an answer, where words of the question select the rows."""


_WRITTEN_DATE: Final = re.compile(
    r"(?<![\d.,/-])(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4})(?![\d/-])"
)
_THOUSANDS: Final = re.compile(r"\d{1,3}\.\d{3}(?![\d.])")


@dataclass(frozen=True)
class Condition:
    """A condition with the words of the question that it comes from.

    Attributes:
        where: The condition.
        start: Index of its first word; -1 if it does not come from words.
        end: Index after its last word; -1 if it does not come from words.
        weight: How strongly the question supports it; higher is stronger.
        source: Index of the number or date of the question that it comes from; -1 for none. Two
            conditions with the same source are not combined.
        alike: 1 if the question has the words of the table, less if they had to be corrected.
        coverage: Share of a cell's words that the question has.
    """

    where: Where
    start: int
    end: int
    weight: float
    source: int = -1
    alike: float = 1.0
    coverage: float = 1.0


@dataclass(frozen=True)
class Candidate:
    """A plan with its answer and the conditions it is built from."""

    plan: Plan
    answer: Answer
    conditions: tuple[Condition, ...]


@dataclass
class Question:
    """A question with the values, numbers and dates that were found in it."""

    text: str
    words: list[str]
    mentions: list[Mention]
    numbers: list[Quantity]
    days: list[Day]
    ordinals: list[int] = field(default_factory=list)
    hints: list[Where] = field(default_factory=list)
    """Conditions whose values the question may say in other words."""


def read_question(
    text: str, table: TypedTable, common: Container[str] = (), known: Container[str] = ()
) -> Question:
    """Find the values, numbers, dates and ordinals that a question names.

    Args:
        text: The question.
        table: The table it is asked about.
        common: As in `find_values`.
        known: As in `find_values`.
    """
    spoken = words(text)
    decimal = table.columns[0].decimal if table.columns else "."
    numbers = list(quantities(text, decimal))
    if decimal == ".":
        # In many countries 50.000 is written for fifty thousand, so both readings are kept.
        numbers += [
            Quantity(one.number * 1000, one.unit, one.start, one.end)
            for one in numbers
            if _THOUSANDS.match(text, one.start)
        ]
    written = list(word_numbers(text))
    mentions = find_values(spoken, table, common, known, written_as_codes(text, common))
    names = {(one.start, one.end): one.phrase for one in mentions if one.is_name}
    named = [word for phrase in names.values() for word in phrase.split()]
    # The numbers of 2012/01/05 are one date, and nothing is compared with them alone; neither is
    # the 2 of 2:40 a value.
    dates = [one.span() for one in _WRITTEN_DATE.finditer(text)]
    clocks = [clock for one in numbers if len(clock := _digits(text, one)) > 1]
    mentions = [
        one for one in mentions
        if not any(set(one.phrase.split()) < set(clock) for clock in clocks)
    ]  # fmt: skip
    numbers = [
        one for one in numbers
        if not _is_part(text[one.start : one.end], named, spoken)
        and not any(start <= one.start < end for start, end in dates)
    ]  # fmt: skip
    return Question(
        text,
        spoken,
        mentions,
        numbers + [one for one in written if one.number not in {n.number for n in numbers}],
        spoken_days(text),
        sorted({int(one.number) for one in written if 1 <= one.number <= 10}),
    )


def _digits(text: str, number: Quantity) -> list[str]:
    """Return the words of a number without its unit, such as 2 and 40 of 2:40."""
    return [word for word in words(text[number.start : number.end]) if word[0].isdigit()]


def _source(day: Day, place: int, question: Question) -> int:
    """Return the source of a date's conditions; a year is the number that it is written as."""
    alone = day.year if not day.month and not day.day else None
    years = [n for n, one in enumerate(question.numbers) if one.number == alone]
    return years[0] if years else len(question.numbers) + place


def _is_part(number: str, named: list[str], spoken: list[str]) -> bool:
    """Tell whether a number of the question is said only as a part of the names that it has."""
    parts = words(number)
    return len(parts) == 1 and 0 < spoken.count(parts[0]) <= named.count(parts[0])


def conditions_of(question: Question, table: TypedTable) -> list[Condition]:
    """List the conditions that the question may set, the highest weight first."""
    found: list[Condition] = []
    asked = fold(question.text)
    written = [_digits(question.text, one) for one in question.numbers]
    days = [(day, _source(day, place, question)) for place, day in enumerate(question.days)]
    for mention in question.mentions:
        column = table.columns[mention.column]
        # The 1960 of a name and that of "after 1960" are one number, which is not used twice.
        parts = mention.phrase.split()
        number = written.index(parts) if parts in written else -1
        weight = (mention.end - mention.start) * mention.alike * (0.6 + 0.4 * mention.coverage)
        here = (mention.start, mention.end)
        spelled = (mention.alike, mention.coverage)
        exact = [value for value in column.rows_of_word.get(parts[0], ()) if words(value) == parts]
        # C++ and C have the same words; prefer the value that stands in the question.
        sure = 0.5 if exact and mention.alike > PASSING else 0.0
        # In a column of lists, a dish whose allergens are "gluten, nuts" has nuts, too.
        one_of_several = mention.phrase in column.rows_of_item
        for value in sorted(exact, key=lambda one: (one not in asked, -len(one)))[:1]:
            if not one_of_several:
                where = Where(mention.column, "is", value)
                found.append(Condition(where, *here, weight + sure, number, *spelled))
                sure = 0.0
        has = Where(mention.column, "has", mention.phrase)
        sure = sure if one_of_several else 0.0
        found.append(Condition(has, *here, weight + sure, number, *spelled))
    for number, column in enumerate(table.columns):
        if column.kind == "date" or column.has_days:
            for day, source in days:
                for operator in _OPERATORS:
                    where = Where(number, operator, day)
                    found.append(Condition(where, -1, -1, 0.9, source))
        if column.kind in ("number", "date") or np.isfinite(column.numbers).mean() > 0.5:
            for place, quantity in enumerate(question.numbers):
                unit = column.named_unit[0] if column.named_unit else column.unit
                if quantity.unit and unit and quantity.unit != unit:
                    continue
                for meant in _meant(quantity, column):
                    for operator in _OPERATORS:
                        where = Where(number, operator, meant)
                        # A unit of the question that is the column's own supports this column.
                        weight = 1.1 if quantity.unit and quantity.unit == unit else 0.8
                        found.append(Condition(where, -1, -1, weight, place))
        if column.kind == "flag":
            for value in column.rows_of:
                found.append(Condition(Where(number, "is", value), -1, -1, 0.4))
        if column.kind == "number" and (column.numbers == 0).any():
            found.append(Condition(Where(number, ">", 0.0), -1, -1, 0.32))
            found.append(Condition(Where(number, "=", 0.0), -1, -1, 0.2))
        if not column.filled.all():
            found.append(Condition(Where(number, "empty"), -1, -1, 0.1))
            found.append(Condition(Where(number, "filled"), -1, -1, 0.1))
    found += [Condition(where, -1, -1, HINTED) for where in question.hints]
    # At equal weight, the column that names the records comes first.
    return sorted(found, key=lambda one: (-one.weight, one.where.column != table.key))


def _meant(quantity: Quantity, column: Column) -> list[float]:
    """Convert a number of the question to the unit of a column; there may be two readings.

    A number without a unit is taken in the column's unit: 50 means 50 kg in a column of kg. A
    two-part time such as 2:40 is read as minutes and seconds, and also as hours and minutes where
    the column's times are long enough.
    """
    if not quantity.unit and column.factor != 1.0:
        return [quantity.number * column.factor]
    if quantity.unit and column.named_unit:
        return [round(quantity.number / column.named_unit[1], 9)]
    hours = quantity.number * 60
    if quantity.unit == "s" and column.unit == "s" and hours <= 2 * np.nanmax(column.numbers):
        return [quantity.number, hours]
    return [quantity.number]


_AT_LEAST: Final[Operator] = ">="
_AT_MOST: Final[Operator] = "<="
_OPERATORS: Final[tuple[Operator, ...]] = ("=", ">", "<", ">=", "<=")


@dataclass
class _Set:
    rows: Rows
    conditions: tuple[Condition, ...]
    size: int
    weight: float
    told: bool = False
    """Whether the rows are only counted or tested for existence, not listed."""


def row_sets(question: Question, table: TypedTable, runner: PlanRunner) -> list[_Set]:
    """List the sets of rows that the question may be about, all rows of the table first."""
    whole = _Set(All(), (), table.length, 0.0)
    singles: list[_Set] = []
    told: list[_Set] = []
    seen: dict[tuple[bytes, int], _Set] = {}
    columns: Counter[tuple[bytes, int, int, int]] = Counter()
    for condition in conditions_of(question, table):
        there = runner.rows(condition.where)
        if not len(there) and condition.weight > UNNAMED:
            told.append(_Set(condition.where, (condition,), 0, condition.weight, told=True))
        if not len(there) or len(there) == table.length:
            continue
        # Keep the same rows once per column that names them, so that the two can be compared, but
        # for few columns: a table may have the same name in forty languages.
        named = condition.weight > MOST_UNSAID
        mark = (there.tobytes(), condition.where.column if named else -1)
        said = (there.tobytes(), condition.start, condition.end, condition.source)
        if mark in seen or (named and columns[said] >= MOST_COLUMNS):
            continue
        columns[said] += 1
        one = _Set(condition.where, (condition,), len(there), condition.weight)
        seen[mark] = one
        singles.append(one)
        if len(singles) >= MOST_CONDITIONS:
            break
    pairs: list[_Set] = []
    for one, other in combinations(singles, 2):
        first, second = one.conditions[0], other.conditions[0]
        if _overlap(first, second):
            continue
        a, b = first.where, second.where
        low, high = sorted((first.weight, second.weight))
        if high == HINTED:
            # Combine hints only with conditions that the question names.
            continue
        weight = one.weight + other.weight
        if a.column == b.column and a.operator in ("is", "has") and b.operator in ("is", "has"):
            either = Either((a, b))
            size = len(runner.rows(either))
            if size < table.length:
                pairs.append(_Set(either, (first, second), size, weight))
        both = Both((a, b))
        there = runner.rows(both)
        named = low > MOST_UNSAID and high > UNNAMED
        if not len(there) and a.column != b.column and named:
            told.append(_Set(both, (first, second), 0, weight, told=True))
        if named and a.column != b.column:
            told += _denied(first, second, weight, runner) + _denied(second, first, weight, runner)
        if not 0 < len(there) < min(one.size, other.size) and not (named and len(there)):
            continue
        mark = (there.tobytes(), -2)
        if mark not in seen or named:
            seen[mark] = _Set(both, (first, second), len(there), weight)
            pairs.append(seen[mark])
    pairs += _between(question, table, runner)
    pairs.sort(key=lambda one: -one.weight)
    sets = [whole, *singles]
    sets += [*_triples(singles, runner), *pairs][: MOST_SETS - len(sets)]
    sets += sorted(told, key=lambda one: -one.weight)[:MOST_TOLD]
    for one in singles[:6]:
        where = one.conditions[0].where
        if where.operator in ("is", "has"):
            negated: Operator = "not" if where.operator == "is" else "lacks"
            without = Where(where.column, negated, where.value)
            sets.append(_Set(without, one.conditions, len(runner.rows(without)), one.weight))
    return sets


def _is_said(one: _Set) -> bool:
    """Tell whether the question gives a reason for each condition of a set of rows."""
    return all(condition.weight > UNNAMED for condition in one.conditions)


def _overlap(one: Condition, other: Condition) -> bool:
    if one.source >= 0 and one.source == other.source:
        return True
    return one.start >= 0 and one.start < other.end and other.start < one.end


def _denied(one: Condition, other: Condition, weight: float, runner: PlanRunner) -> list[_Set]:
    """Make the set of rows that meet `one` but not `other`, for questions like "is it not red?"."""
    if other.where.operator not in ("is", "has"):
        return []
    operator: Operator = "not" if other.where.operator == "is" else "lacks"
    rows = Both((one.where, Where(other.where.column, operator, other.where.value)))
    return [_Set(rows, (one, other), len(runner.rows(rows)), weight - 0.1, told=True)]


def _between(question: Question, table: TypedTable, runner: PlanRunner) -> list[_Set]:
    """List the sets of rows whose number or date lies between two that the question names."""
    found: list[_Set] = []
    for number, column in enumerate(table.columns):
        bounds: list[tuple[float, float | Day]] = []
        if column.kind == "date" or column.has_days:
            bounds = [(day.ordinal, day) for day in question.days if day.year]
        elif column.kind == "number":
            bounds = [(v, v) for q in question.numbers for v in _meant(q, column)[:1]]
        bounds = sorted(dict(bounds).items())
        for (_, low), (_, high) in pairwise(bounds):
            held = tuple(
                Condition(Where(number, operator, value), -1, -1, 0.8)
                for operator, value in ((_AT_LEAST, low), (_AT_MOST, high))
            )
            rows = Both(tuple(one.where for one in held))
            size = len(runner.rows(rows))
            if 0 < size < table.length:
                found.append(_Set(rows, held, size, 1.6))
    return found


def _triples(singles: list[_Set], runner: PlanRunner) -> list[_Set]:
    """List the sets of rows that meet three conditions which the question names."""
    named = [one for one in singles if one.weight > UNNAMED][:8]
    found: list[_Set] = []
    for three in combinations(named, 3):
        held = tuple(one.conditions[0] for one in three)
        if len({one.where.column for one in held}) < 3:
            continue
        if any(_overlap(a, b) for a, b in combinations(held, 2)):
            continue
        rows = Both(tuple(one.where for one in held))
        size = len(runner.rows(rows))
        if size:
            found.append(_Set(rows, held, size, sum(one.weight for one in three)))
    return sorted(found, key=lambda one: -one.weight)[:MOST_TRIPLES]


def _is_shown(plan: Plan, table: TypedTable, codes: Container[int]) -> bool:
    """Tell whether a plan may answer with its column.

    A column of codes is an answer only for records that the question names, as in "the number of
    the drill"; other answers give the names of records.
    """
    if not isinstance(plan, Cells) or plan.column not in codes or table.key is None:
        return True
    rows = plan.rows
    while isinstance(rows, Top | At | Beside | Like):
        rows = rows.rows
    held = rows.conditions if isinstance(rows, Both | Either) else (rows,)
    return any(isinstance(one, Where) and one.column == table.key for one in held)


def _names_flag(one: Condition, spoken: Container[str], table: TypedTable) -> bool:
    """Tell whether a condition is on a column of yes and no that the question names."""
    column = table.columns[one.where.column]
    return column.kind == "flag" and all(stem(word) in spoken for word in words(column.label))


def list_plans(question: Question, table: TypedTable, runner: PlanRunner) -> list[Candidate]:
    """List the plans that a question may mean, each with its answer.

    Plans without an answer, and plans that list more cells than `MOST_LISTED` (`MOST_NAMED` where
    the question names the rows), are left out.
    """
    found: list[Candidate] = []
    codes = {
        n for n, column in enumerate(table.columns) if n != table.key and column.is_code
    }  # fmt: skip
    spoken = {stem(word) for word in question.words}
    for plan, conditions in _plans(question, table, runner):
        if not _is_shown(plan, table, codes):
            continue
        named = any(one.weight > UNNAMED or _names_flag(one, spoken, table) for one in conditions)
        most = MOST_NAMED if named else MOST_LISTED
        answer = runner.run(plan, most)
        if answer is not None and len(answer.values) <= most:
            found.append(Candidate(plan, answer, conditions))
    return found


def _plans(
    question: Question, table: TypedTable, runner: PlanRunner
) -> Iterator[tuple[Plan, tuple[Condition, ...]]]:
    columns = range(len(table.columns))
    ordered = [
        n for n in columns
        if table.columns[n].kind in ("number", "date")
        or np.isfinite(table.columns[n].numbers).mean() > 0.5
    ]  # fmt: skip
    counted = [n for n in ordered if table.columns[n].kind != "date"]
    names = table.key if table.key is not None else 0
    few = sorted(
        {int(n.number) for n in question.numbers if n.number in range(2, 21) and not n.unit}
    )
    by_rows: dict[Rows, _Set] = {}
    for one in row_sets(question, table, runner):
        by_rows.setdefault(one.rows, one)
    sets = list(by_rows.values())
    for place, one in enumerate(sets):
        rows, held = one.rows, one.conditions
        by_name = any(one.where.column == table.key for one in held)
        # Fewer kinds of plans are listed for rows that the question does not name.
        said = not held or max(condition.weight for condition in held) > UNNAMED
        yield Count(rows), held
        if held and not (by_name and len(held) == 1):
            yield Exists(rows), held
        if one.told:
            if one.size:
                yield Cells(rows, names), held
            continue
        for column in columns:
            if held or table.length <= MOST_LISTED:
                yield Cells(rows, column), held
            if said:
                yield Distinct(rows, column), held
            if one.size >= 3:
                yield Often(rows, column, True), held
                if said:
                    yield Often(rows, column, False), held
        for column in counted:
            for function in ("sum", "average"):
                yield Total(rows, column, function), held
        if one.size >= 2:
            for at in [At(rows, end) for end in (0, -1)]:
                for column in columns if said else (names,):
                    yield Cells(at, column), held
            for at in [At(rows, nth - 1) for nth in question.ordinals if 1 < nth <= one.size]:
                for column in columns:
                    yield Cells(at, column), held
            # In a wide table, two records that are compared come late.
            if place < 20 or _is_said(one):
                for by in ordered:
                    for highest in (True, False):
                        top = Top(rows, by, highest)
                        for column in columns if said and place < 8 else sorted({names, by}):
                            yield Cells(top, column), held
                        for top in [Top(rows, by, highest, n) for n in few if n < one.size]:
                            for column in sorted({names, by}):
                                yield Cells(top, column), held
                        for nth in question.ordinals if place < 8 else ():
                            # The second highest is the lowest of the two highest.
                            if 1 < nth <= one.size:
                                top = Top(Top(rows, by, highest, nth), by, not highest)
                                for column in sorted({names, by}):
                                    yield Cells(top, column), held
        if held and said and one.size <= 3:
            for beside in (Beside(rows, 1), Beside(rows, -1)):
                for column in columns:
                    yield Cells(beside, column), held
            for same in columns if len(held) == 1 else ():
                like = Like(rows, same)
                size = len(runner.rows(like))
                if 0 < size <= MOST_LISTED:
                    yield Count(like), held
                    for column in columns:
                        if column != same:
                            yield Cells(like, column), held
            for start, end in combinations(ordered, 2):
                yield Span(rows, start, end), held
        for column in counted:
            if one.size >= 2 and place < 8:
                high, low = Top(rows, column, True), Top(rows, column, False)
                yield Difference(high, low, column), held
    for by in columns:
        if len(table.columns[by].rows_of) <= table.length // 2 + 1:
            for column in counted:
                for highest in (True, False):
                    if column != by:
                        yield Group(All(), by, column, "sum", highest), ()
                        yield Group(All(), by, column, "average", highest), ()
    # Compare only sets of rows that the question names.
    named = [one for one in sets if len(one.conditions) == 1 and one.weight > UNNAMED]
    singles = named[:10]
    for one, other in combinations(singles, 2):
        held = one.conditions + other.conditions
        if _overlap(*held):
            # A record that two columns name by the same words is not compared with itself.
            continue
        yield Difference(one.rows, other.rows, None), held
        yield Compared(one.rows, other.rows, None), held
        if one.size <= 3 and other.size <= 3:
            for column in ordered:
                yield Difference(one.rows, other.rows, column), held
                yield Compared(one.rows, other.rows, column), held
                yield Compared(one.rows, other.rows, column, False), held
