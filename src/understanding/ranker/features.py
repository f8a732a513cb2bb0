"""Features of a plan and its question for the ranker.

The structure of a plan is a few categories: the operation, how its rows are selected, and the kinds
of its columns. How well it fits the question is a vector of numbers: how similar its columns are to
the words of the question, how much of the question its conditions account for, and what its answer
is like.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..plans.language import (
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
from ..plans.list_plans import Candidate, Condition, Question
from ..table.typed_table import TypedTable
from ..table.values import stem, words

SLOTS: Final = ("outer", "of", "set", "target kind", "order kind", "operators")
"""Categorical features of a plan."""
COLUMN_FEATURES: Final = 6
"""Number of features of a column, see `column_features`."""
NUMBERS: Final = 3 * COLUMN_FEATURES + 25
"""Number of numeric features of a plan."""
_KINDS: Final = ("none", "number", "date", "text", "flag")


@dataclass(frozen=True)
class Parts:
    """The parts of a plan: names of its categories, its columns by role, and its conditions."""

    outer: str
    of: str
    set: str
    target: int | None
    order: int | None
    conditions: tuple[Where, ...]


def take_apart(plan: Plan) -> Parts:
    """Split a plan into its categories, columns and conditions."""
    match plan:
        case Cells(rows, column):
            of, order, base = _rows(rows)
            return Parts("cells", of, *_set(base), column, order, _wheres(base))
        case Count(rows):
            of, order, base = _rows(rows)
            return Parts("count", of, *_set(base), None, order, _wheres(base))
        case Exists(rows):
            return Parts("exists", "rows", *_set(rows), None, None, _wheres(rows))
        case Distinct(rows, column):
            return Parts("distinct", "rows", *_set(rows), column, None, _wheres(rows))
        case Often(rows, column, most):
            name = "most often" if most else "least often"
            return Parts(name, "rows", *_set(rows), column, None, _wheres(rows))
        case Total(rows, column, function):
            return Parts(function, "rows", *_set(rows), column, None, _wheres(rows))
        case Group(rows, by, column, function, highest):
            name = f"group {function} {'highest' if highest else 'lowest'}"
            return Parts(name, "rows", *_set(rows), by, column, _wheres(rows))
        case Difference(one, other, column):
            name = "difference of counts" if column is None else "difference"
            of, _, base = _rows(one)
            held = _wheres(base) + _wheres(_rows(other)[2])
            return Parts(name, of, *_set(base), None, column, held)
        case Compared(one, other, column, more):
            name = "compared counts" if column is None else "compared"
            held = _wheres(one) + _wheres(other)
            return Parts(f"{name} {'more' if more else 'less'}", "rows", "two", None, column, held)
        case Span(rows, start, end):
            return Parts("span", "rows", *_set(rows), start, end, _wheres(rows))


def _rows(rows: Rows) -> tuple[str, int | None, Rows]:
    match rows:
        case Top(of, column, highest, count):
            name = "highest" if highest else "lowest"
            return (name if count == 1 else f"{name} few"), column, of
        case At(of, place):
            return (f"at {place}" if place in (0, -1, 1, 2) else "at later"), None, of
        case Beside(of, step):
            return ("below" if step > 0 else "above"), None, of
        case Like(of, column):
            return "like", column, of
        case _:
            return "rows", None, rows


def _set(rows: Rows) -> tuple[str]:
    match rows:
        case All():
            return ("all",)
        case Where():
            return ("one",)
        case Both():
            return ("both",)
        case Either():
            return ("either",)
        case _:
            return ("nested",)


def _wheres(rows: Rows) -> tuple[Where, ...]:
    match rows:
        case Where():
            return (rows,)
        case Both(conditions) | Either(conditions):
            return conditions
        case _:
            return ()


_OPERATORS: Final = ("is", "not", "has", "lacks", "<", "<=", ">", ">=", "=", "filled", "empty")
_PAIRS: Final = (
    "none",
    *(
        " ".join(sorted(pair))
        for size in (1, 2)
        for pair in combinations_with_replacement(_OPERATORS, size)
    ),
    "several",
)
NAMES: Final[tuple[tuple[str, ...], ...]] = (
    ("cells", "count", "exists", "distinct", "most often", "least often", "sum", "average",
     "highest", "lowest", "group sum highest", "group sum lowest", "group average highest",
     "group average lowest", "difference", "difference of counts", "span", "compared more",
     "compared less", "compared counts more", "compared counts less", "none"),
    ("rows", "highest", "lowest", "highest few", "lowest few", "at 0", "at -1", "at 1", "at 2",
     "at later", "below", "above", "like"),
    ("all", "one", "both", "either", "nested", "two"),
    _KINDS, _KINDS, _PAIRS,
)  # fmt: skip
"""Possible values of each of `SLOTS`."""
_NUMBERS: Final = tuple({name: n for n, name in enumerate(names)} for names in NAMES)


@lru_cache(maxsize=100_000)
def likeness(one: str, other: str) -> float:
    """Return the share of the shorter word that is a common substring of at least four letters.

    >>> likeness("gewartet", "wartung"), likeness("cost", "price")
    (0.5714285714285714, 0.0)
    """
    short, long = sorted((one, other), key=len)
    for length in range(len(short), 3, -1):
        if any(short[at : at + length] in long for at in range(len(short) - length + 1)):
            return length / len(short)
    return 0.0


def column_features(
    question: Question, table: TypedTable, common: Container[str]
) -> NDArray[np.float64]:
    """Compute how similar each column is to the words of the question.

    Args:
        question: The question.
        table: The table.
        common: Words without content of their own, such as articles.

    Returns:
        Columns x `COLUMN_FEATURES`: share of the label's words that the question has, whether it
        has the whole label, highest `likeness` of two words, whether it names a value of the
        column, and the first and third feature minus those of the best column.
    """
    stems = [stem(word) for word in question.words]
    there = set(stems)
    asked = [word for word in question.words if word not in common and len(word) > 3]
    mentioned = {mention.column for mention in question.mentions}
    rows = []
    for number, column in enumerate(table.columns):
        best, phrase, alike = 0.0, 0.0, 0.0
        for label in (column.label, *column.also):
            written = words(label)
            spoken = [stem(word) for word in written]
            if not spoken:
                continue
            said = [word for word in spoken if word in there]
            telling = [word for word in said if word not in common]
            best = max(best, (len(said) + len(telling)) / (2 * len(spoken)))
            phrase = max(phrase, float(f" {' '.join(spoken)} " in f" {' '.join(stems)} "))
            for word in written:
                if word not in common:
                    alike = max([alike, *(likeness(word, one) for one in asked)])
        rows.append((best, phrase, alike, float(number in mentioned)))
    full = np.array(rows, dtype=np.float64).reshape(-1, 4)
    centred = full - full.max(axis=0, keepdims=True) if len(full) else full
    return np.concatenate([full, centred[:, [0, 2]]], axis=1)


class _Words:
    """The words of a question as bit sets: the content words, and those in each column's label."""

    def __init__(self, question: Question, table: TypedTable, common: Container[str]) -> None:
        stems = [stem(word) for word in question.words]
        labels = [
            {stem(word) for label in (column.label, *column.also) for word in words(label)}
            for column in table.columns
        ]
        self.telling = _bits(word not in common for word in question.words)
        self.named = [_bits(word in label for word in stems) for label in labels]
        self.most = max(1, self.telling.bit_count())
        self.asked = f" {' '.join(question.words)} "
        kinds = [*(column.kind for column in table.columns), "none"]
        self.kinds = [_NUMBERS[3][kind] for kind in kinds]


def _bits(flags: Iterable[bool]) -> int:
    return sum(1 << place for place, flag in enumerate(flags) if flag)


@dataclass(frozen=True)
class _Held:
    """The conditions of a plan.

    Attributes:
        number: Number of this tuple of conditions among those of all plans.
        operators: Category of their operators.
        columns: Their columns.
        places: Their first two columns; -1 where there is none.
        labels: Bit set of the question's words that are in the labels of their columns.
    """

    number: int
    operators: int
    columns: tuple[int, ...]
    places: tuple[int, int]
    labels: int

    @classmethod
    def of(cls, conditions: tuple[Where, ...], number: int, seen: _Words) -> _Held:
        operators = " ".join(sorted(one.operator for one in conditions)) or "none"
        known = _NUMBERS[-1]
        columns = tuple(one.column for one in conditions)
        labels = 0
        for column in columns:
            labels |= seen.named[column]
        first, second = (*columns[:2], -1, -1)[:2]
        operator = known.get(operators, known["several"])
        return cls(number, operator, columns, (first, second), labels)

    def mean(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average the features of the columns; the last row of `columns` stands for no column."""
        held = [columns[column] for column in self.columns]
        return np.asarray(np.mean(held, axis=0) if held else columns[-1])


@dataclass(frozen=True)
class _Fit:
    """How the conditions of a plan fit the question.

    Attributes:
        covered: Bit set of the question's words that they come from.
        numbers: Sum and minimum of their weights, least weight per word, how many do not come from
            words, and how many there are; least similarity and coverage of those that do.
    """

    covered: int
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, conditions: Sequence[Condition], seen: _Words) -> _Fit:
        said = [one for one in conditions if one.start >= 0]
        covered = 0
        for one in said:
            covered |= (1 << one.end) - (1 << one.start)
        weights = [one.weight for one in conditions]
        return cls(covered, (
            sum(weights), min(weights, default=0.0),
            min((one.weight / (one.end - one.start) for one in said), default=0.0),
            float(len(conditions) - len(said)), float(len(conditions)),
            min((one.alike for one in said), default=1.0),
            min((one.coverage for one in said), default=1.0),
        ))  # fmt: skip


def plan_features(
    question: Question,
    table: TypedTable,
    candidates: Sequence[Candidate],
    columns: NDArray[np.float64],
    common: Container[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Compute the features of each plan.

    Args:
        question: The question.
        table: The table.
        candidates: The plans.
        columns: Result of `column_features`.
        common: Words without content of their own, such as articles.

    Returns:
        Categories, (plans + 1) x `SLOTS`; columns, (plans + 1) x 4: target, order and those of two
        conditions, -1 where there is none; and numbers, (plans + 1) x `NUMBERS`. The last row is
        for "the table cannot answer"; its columns are the number of columns, which is the row of
        the question among the encoder's vectors.
    """
    seen_words = _Words(question, table, common)
    fits: dict[int, _Fit] = {}
    held_by: dict[tuple[Where, ...], _Held] = {}
    firsts: dict[str, tuple[float, float, float]] = {}
    categories: list[tuple[int, ...]] = []
    roles, numbers, means = [], [], []
    for candidate in candidates:
        parts, answer = take_apart(candidate.plan), candidate.answer
        target, order = parts.target, parts.order
        held = held_by.get(parts.conditions)
        if held is None:
            held = held_by[parts.conditions] = _Held.of(parts.conditions, len(held_by), seen_words)
        # Plans over the same rows share one tuple of conditions, so its identity is the key.
        fit = fits.get(id(candidate.conditions))
        if fit is None:
            fit = fits[id(candidate.conditions)] = _Fit.of(candidate.conditions, seen_words)
        first = answer.values[0] if answer.values else ""
        spoken = firsts.get(first)
        if spoken is None:
            said = " ".join(words(first))
            spoken = firsts[first] = (
                float(bool(said) and f" {said} " in seen_words.asked),
                math.log1p(len(said)), float(said.isdigit()),
            )  # fmt: skip
        categories.append((
            _NUMBERS[0][parts.outer], _NUMBERS[1][parts.of], _NUMBERS[2][parts.set],
            seen_words.kinds[-1 if target is None else target],
            seen_words.kinds[-1 if order is None else order], held.operators,
        ))  # fmt: skip
        places = (-1 if target is None else target, -1 if order is None else order)
        roles.append((*places, *held.places))
        means.append(held.number)
        labelled = fit.covered | held.labels
        if target is not None:
            labelled |= seen_words.named[target]
        if order is not None:
            labelled |= seen_words.named[order]
        labelled &= seen_words.telling
        cells, values, number = len(answer.rows), len(answer.values), answer.number
        numbers.append((
            (fit.covered & seen_words.telling).bit_count() / seen_words.most,
            labelled.bit_count() / seen_words.most,
            (seen_words.telling & ~labelled).bit_count(),
            *fit.numbers[:3],
            parts.of in ("highest", "lowest") and cells > 1,
            *fit.numbers[3:5],
            math.log1p(cells),
            math.log1p(values),
            values == 1,
            number is not None,
            number is not None and number == int(number),
            spoken[0],
            target is not None and target == table.key,
            target == 0,
            target is not None and target == order,
            target in held.columns,
            order in held.columns,
            *spoken[1:],
            cells == 0,
            *fit.numbers[5:],
        ))  # fmt: skip
    # The features of no column, index -1, are zeros.
    of_column = np.vstack([columns, np.zeros(columns.shape[1])])
    of_held = np.array([one.mean(of_column) for one in held_by.values()])
    of_held = of_held.reshape(-1, columns.shape[1])
    places_of = np.array(roles, dtype=np.int64).reshape(-1, 4)
    seen = np.concatenate([
        of_column[places_of[:, 0]], of_column[places_of[:, 1]],
        of_held[np.array(means, dtype=np.int64)],
        np.array(numbers, dtype=np.float64).reshape(-1, NUMBERS - 3 * columns.shape[1]),
    ], axis=1).astype(np.float32)  # fmt: skip
    # The row for "the table cannot answer" has the maximum of each number over the plans.
    best = seen.max(axis=0, initial=0.0) if len(seen) else np.zeros(NUMBERS, dtype=np.float32)
    nothing = ("none", "rows", "nested", "none", "none", "none")
    categories.append(tuple(_NUMBERS[slot][name] for slot, name in enumerate(nothing)))
    roles.append((len(table.columns),) * 4)
    return (
        np.array(categories, dtype=np.int64),
        np.array(roles, dtype=np.int64),
        np.vstack([seen.reshape(-1, NUMBERS), best]),
    )
