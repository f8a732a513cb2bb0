"""Check a reading against its question: which words of the question does it not explain?

The ranker of `understanding` finds the likeliest reading. This module then checks its words: "gold
chloride" is not gold, "New Mexico" is not Mexico, and a question for the symbol and the price is
not answered by the symbol alone.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from ...understanding.plans.language import At, Cells, Where
from ...understanding.plans.list_plans import Candidate, Question
from ...understanding.ranker.features import Parts, take_apart
from ...understanding.table.typed_table import Column, TypedTable
from ...understanding.table.values import (
    Day,
    days,
    fold,
    quantities,
    stem,
    to_number,
    word_numbers,
    words,
)
from ..text_matching import unspaced
from .plain_words import FRAMING_UNSPACED, TURNING

SURE = 0.95
"""Least similarity at which a word of the question and one of the table are the same word."""
_IDENTIFIES = 0.9
"""Least share of different values in a column whose values identify records."""
_CODE = 6
"""Most characters of the values in a column of codes; a code names a record as its key does."""


@dataclass(frozen=True)
class Fit:
    """How well a reading fits its question."""

    left: tuple[str, ...]
    """Content words of the question that the reading does not explain."""
    framed: tuple[str, ...]
    """Plain words of the question that the reading does not explain; they do no harm."""
    guessed: tuple[str, ...]
    """Values of the reading that the question does not clearly name, e.g. similar spellings."""
    unnamed: tuple[int, ...]
    """Columns of the reading, apart from conditions and key, that the question does not name."""

    @property
    def exact(self) -> bool:
        """Whether the question names all parts of the reading, and no content word is left over."""
        return not self.left and not self.guessed and not self.unnamed


def fit_of(
    question: Question, candidate: Candidate, table: TypedTable, plain: Container[str]
) -> Fit:
    """Compare a reading with the words of its question.

    Args:
        question: The question.
        candidate: The plan of one of its readings.
        table: The table.
        plain: Words without content of their own, such as articles and framing words.
    """
    parts = take_apart(candidate.plan)
    stems = [stem(word) for word in question.words]
    known = _stems([table.name.rsplit(".", 1)[0]])
    used = {n for n in (parts.target, parts.order) if n is not None}
    used |= {one.column for one in parts.conditions}
    for number in used if table.key is None else used | {table.key}:
        known |= label_stems(table.columns[number])
    covered = {
        place for one in candidate.conditions for place in range(max(one.start, 0), max(one.end, 0))
    }
    measured = _measured(question, parts, candidate)
    operators = {one.operator for one in parts.conditions}
    looks_up = parts.outer == "cells" and parts.of == "rows" and operators <= {"is", "has"}
    rest = [
        word
        for place, word in enumerate(question.words)
        if place not in covered
        and stems[place] not in known
        and word not in measured
        and not _inside_run(word, known)
    ]
    left = tuple(w for w in rest if w not in plain and (looks_up or w not in TURNING))
    framed = tuple(w for w in rest if w not in left)
    asked = {n for n in (parts.target, parts.order) if n is not None and n != table.key}
    named = {n for n in asked if label_stems(table.columns[n]) & set(stems)}
    return Fit(
        left, framed, _guessed(question, candidate, parts, table, plain), tuple(asked - named)
    )


def _inside_run(word: str, known: Iterable[str]) -> bool:
    """Tell whether a word in a script without spaces consists of known and framing words."""
    if not unspaced(word):
        return False
    for part in (*sorted(filter(unspaced, known), key=len, reverse=True), *FRAMING_UNSPACED):
        word = word.replace(fold(part), " ")
    return not word.strip()


def label_stems(column: Column) -> set[str]:
    """Return the stems of the words that name a column."""
    return _stems((column.label, *column.also))


def _stems(texts: Iterable[str]) -> set[str]:
    return {stem(word) for text in texts for word in words(text.replace("_", " "))}


def _measured(question: Question, parts: Parts, candidate: Candidate) -> set[str]:
    """Return the words for numbers, dates and ordinals that the reading uses."""
    values = {one.value for one in parts.conditions if not isinstance(one.value, str)}
    dates = {part for value in values if isinstance(value, Day) for part in value.parts}
    numbers = {float(value) for value in values if not isinstance(value, Day)}
    rows = candidate.plan.rows if isinstance(candidate.plan, Cells) else None
    if isinstance(rows, At) and rows.place > 0:
        numbers.add(rows.place + 1.0)
    found: set[str] = set()
    for one in quantities(question.text):
        if one.number in numbers:
            found |= set(words(question.text.casefold()[one.start : one.end]))
    for day, start, end in days(question.text):
        if day in values:
            found |= set(words(fold(question.text)[start:end]))
    for word in question.words:
        number = to_number(word)
        spelt = {one.number for one in word_numbers(word)}
        if spelt & numbers or (number is not None and number in numbers | dates):
            found.add(word)
    return found


def _guessed(
    question: Question,
    candidate: Candidate,
    parts: Parts,
    table: TypedTable,
    plain: Container[str],
) -> tuple[str, ...]:
    alike = {(m.column, m.start, m.end): m.alike for m in question.mentions}
    stems = {stem(word) for word in question.words}
    denied = [w for w in parts.conditions if w.operator in ("not", "lacks")]
    found = [str(where.value) for where in denied if not TURNING & set(question.words)]
    for one in candidate.conditions:
        where, said = one.where, question.words[max(one.start, 0) : max(one.end, 0)]
        if not isinstance(where, Where) or not said:
            continue
        column, phrase = table.columns[where.column], str(where.value)
        labelled = bool(label_stems(column) & stems)
        if (
            alike.get((where.column, one.start, one.end), 1.0) < SURE
            or (where.column == table.key and not _said_whole(said, phrase))
            or not _spelt(question.text, phrase, column)
            or (
                len(said) == 1
                and said[0] in plain
                and not is_name(question.text, phrase, where.column == table.key or labelled)
            )
            or (_stands_for_record(where, parts, table) and not labelled)
        ):
            found.append(phrase)
    return tuple(found)


def rows_of_phrase(column: Column, phrase: str, text: str) -> list[int]:
    """Find the rows whose whole cell has the words of a phrase, spelled as in the text."""
    spoken = phrase.split()
    values = [v for v in column.rows_of_word.get(spoken[0], ()) if words(v) == spoken]
    meant = [value for value in values if _spelt(text, value, column)]
    literal = [value for value in meant if value in fold(text)]
    longest = max(literal or meant, key=len, default=None)
    return [] if longest is None else column.rows_of[longest]


def _spelt(text: str, value: str, column: Column) -> bool:
    """Tell whether a text with the words of a value means the value: C is neither C++ nor C#."""
    said = re.search(rf"(?<!\w){re.escape(value)}(?P<after>.?)", fold(text))
    if said is not None:
        return said["after"] not in ("+", "#")
    spoken = words(value)
    same = [other for other in column.rows_of_word.get(spoken[0], ()) if words(other) == spoken]
    return len(same) < 2 and not {"+", "#"} & set(value)


def is_name(text: str, value: str, may: bool) -> bool:
    """Tell whether a text uses a common word as a name, as in "the year of It".

    Args:
        text: The text.
        value: The word.
        may: Whether a capital letter suffices; otherwise the whole word must be in capitals.
    """
    said = re.search(rf"(?<=[\s'\"“‘`«(]){re.escape(value)}(?!\w)", text, re.IGNORECASE)
    written = said.group() if said else ""
    code = len(written) > 1 and written.isupper() and not text.isupper()
    return code or (may and written[:1].isupper() and written != "I")


def _said_whole(said: Sequence[str], name: str) -> bool:
    """Tell whether words are exactly a name or its possessive; any other ending is a guess."""
    bare = [word.removesuffix("'s") if word.endswith("'s") else word for word in said]
    return bare == words(name) or list(said) == words(name)


def _stands_for_record(where: Where, parts: Parts, table: TypedTable) -> bool:
    """Tell whether a value identifies the record it is used for, as a capital does a country.

    The question may mean the value itself: the area of Vienna is not that of Austria.
    """
    if table.key in (None, where.column, parts.target) or where.operator not in ("is", "has"):
        return False
    if parts.outer != "cells" or parts.target == where.column:
        return False
    column = table.columns[where.column]
    filled = int(column.filled.sum())
    codes = all(len(value) <= _CODE and " " not in value for value in column.rows_of)
    return len(column.rows_of) >= _IDENTIFIES * filled and not codes
