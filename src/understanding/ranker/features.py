"""What a ranker sees of a plan beside a question: its structure, and how well the two fit.

Structure is given as a few categories (what is done, to which rows, with which kinds of columns),
fit as numbers: how alike the columns are to the question, how much of the question the conditions
account for, what kind of answer it is.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
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
from ..plans.list_plans import Candidate, Question
from ..table.typed_table import TypedTable
from ..table.values import stem, words

SLOTS: Final = ("outer", "of", "set", "target kind", "order kind", "operators")
"""Categories of a plan."""
COLUMN_FEATURES: Final = 6
"""Numbers that say how alike a column is to the words of a question."""
NUMBERS: Final = 3 * COLUMN_FEATURES + 23
"""Numbers of a plan."""
_KINDS: Final = ("none", "number", "date", "text", "flag")


@dataclass(frozen=True)
class Parts:
    """A plan taken apart: names of its categories, and the columns in their roles."""

    outer: str
    of: str
    set: str
    target: int | None
    order: int | None
    conditions: tuple[Where, ...]


def take_apart(plan: Plan) -> Parts:
    """Take a plan apart into categories and columns."""
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
"""The names of each slot."""
_NUMBERS: Final = tuple({name: n for n, name in enumerate(names)} for names in NAMES)


@lru_cache(maxsize=100_000)
def likeness(one: str, other: str) -> float:
    """Tell how much of the shorter word both have in one piece, from four letters on.

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
    """Tell how alike each column is to the words of the question.

    Args:
        question: The question.
        table: The table.
        common: Words that say nothing alone.

    Returns:
        Columns x `COLUMN_FEATURES`: share of the label's words that are said, whether the whole
        label is said, the likest pair of words, whether one of its values is named, and the first
        and third of them beside the best column's.
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


def content_words(question: Question, common: Container[str]) -> NDArray[np.bool_]:
    """Tell which words of the question say something."""
    return np.array([word not in common for word in question.words], dtype=bool)


def plan_features(
    question: Question,
    table: TypedTable,
    candidates: Sequence[Candidate],
    columns: NDArray[np.float64],
    common: Container[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Give what a ranker sees of each plan.

    Args:
        question: The question.
        table: The table.
        candidates: The plans.
        columns: Of `column_features`.
        common: Words that say nothing alone.

    Returns:
        Categories (plans + 1 x `SLOTS`), columns (plans + 1 x 4: target, order, two conditions;
        -1 where there is none) and numbers (plans + 1 x `NUMBERS`); the last row stands for a
        question that the table cannot answer, its columns are one past the last.
    """
    telling = content_words(question, common)
    label_stems = [
        {stem(word) for label in (column.label, *column.also) for word in words(label)}
        for column in table.columns
    ]
    stems = [stem(word) for word in question.words]
    named = np.array([[word in label for word in stems] for label in label_stems], dtype=bool)
    asked = f" {' '.join(question.words)} "
    none = np.zeros(columns.shape[1])
    categories, roles, numbers = [], [], []
    most = max(1, int(telling.sum()))
    for candidate in candidates:
        parts = take_apart(candidate.plan)
        kinds = [
            "none" if number is None else table.columns[number].kind
            for number in (parts.target, parts.order)
        ]
        operators = " ".join(sorted(one.operator for one in parts.conditions)) or "none"
        operators = operators if operators in _NUMBERS[-1] else "several"
        names = (parts.outer, parts.of, parts.set, *kinds, operators)
        categories.append([_NUMBERS[slot][name] for slot, name in enumerate(names)])
        held_by = [one.column for one in parts.conditions][:2]
        places = [parts.target, parts.order, *held_by]
        roles.append([-1 if one is None else one for one in (*places, None, None)][:4])
        covered = np.zeros(len(question.words), dtype=bool)
        for condition in candidate.conditions:
            if condition.start >= 0:
                covered[condition.start : condition.end] = True
        by_value = covered & telling
        used = [n for n in (parts.target, parts.order) if n is not None]
        used += [one.column for one in parts.conditions]
        by_label = covered.copy()
        for number in used:
            by_label |= named[number]
        by_label &= telling
        target = none if parts.target is None else columns[parts.target]
        order = none if parts.order is None else columns[parts.order]
        held = [columns[one.column] for one in parts.conditions]
        conditions = np.mean(held, axis=0) if held else none
        answer = candidate.answer
        first = answer.values[0] if answer.values else ""
        spoken = " ".join(words(first))
        numbers.append([
            *target, *order, *conditions,
            by_value.sum() / most,
            by_label.sum() / most,
            (telling & ~by_label).sum(),
            sum(one.weight for one in candidate.conditions),
            min((one.weight for one in candidate.conditions), default=0.0),
            min((one.weight / (one.end - one.start) for one in candidate.conditions
                 if one.start >= 0), default=0.0),
            float(parts.of in ("highest", "lowest") and len(answer.rows) > 1),
            sum(one.start < 0 for one in candidate.conditions),
            len(candidate.conditions),
            np.log1p(len(answer.rows)),
            np.log1p(len(answer.values)),
            len(answer.values) == 1,
            answer.number is not None,
            answer.number is not None and answer.number == int(answer.number),
            float(bool(spoken) and f" {spoken} " in asked),
            float(parts.target is not None and parts.target == table.key),
            float(parts.target == 0),
            float(parts.target is not None and parts.target == parts.order),
            float(any(one.column == parts.target for one in parts.conditions)),
            float(any(one.column == parts.order for one in parts.conditions)),
            np.log1p(len(spoken)),
            float(spoken.isdigit()),
            float(len(answer.rows) == 0),
        ])  # fmt: skip
    seen = np.array(numbers, dtype=np.float32).reshape(len(candidates), -1)
    # One more reading: that the table cannot answer. It sees the best of each number there is.
    best = seen.max(axis=0, initial=0.0) if len(seen) else np.zeros(NUMBERS, dtype=np.float32)
    nothing = ("none", "rows", "nested", "none", "none", "none")
    categories.append([_NUMBERS[slot][name] for slot, name in enumerate(nothing)])
    roles.append([len(table.columns)] * 4)
    return (
        np.array(categories, dtype=np.int64),
        np.array(roles, dtype=np.int64),
        np.vstack([seen.reshape(-1, NUMBERS), best]),
    )
