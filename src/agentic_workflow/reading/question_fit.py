"""Check a reading against its question: what the ranker of `understanding` cannot promise.

The ranker finds the likeliest reading. A question may still name something that the table does not
have: "gold chloride" is not gold, "Oxigen" may not be oxygen, and the area of Vienna is not that of
Austria.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from ...understanding.plans.list_plans import Candidate, Condition, Question
from ...understanding.practice.beside_names import beside_names
from ...understanding.ranker.features import Parts, take_apart
from ...understanding.table.typed_table import Column, TypedTable
from ...understanding.table.values import Day, days, fold, quantities, stem, to_number, words
from ..text_matching import unspaced
from .plain_words import FRAMING_UNSPACED

SURE = 0.95
"""Least similarity at which a word of the question and one of the table are the same word."""
_BEGINNING = 5
"""Least letters of a word that is the beginning of a word of a label."""
_CODE = 6
"""Most characters of the values in a column of short codes."""


@dataclass(frozen=True)
class Fit:
    """How well a reading fits its question."""

    left: tuple[str, ...]
    """Content words of the question that the reading does not explain."""
    beside: tuple[str, ...]
    """Words that may make the name of a record the name of something else, or no name."""
    framed: tuple[str, ...]
    """Plain words of the question that the reading does not explain."""
    guessed: tuple[str, ...]
    """Values of the reading that the question does not clearly name, e.g. similar spellings."""
    named: bool
    """Whether the question names the columns of the reading, apart from conditions."""

    @property
    def exact(self) -> bool:
        """Whether the question names all parts of the reading, and no content word is left over."""
        return self.named and not self.left and not self.guessed


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
    asked = {n for n in (parts.target, parts.order) if n is not None}
    used = asked | {one.column for one in parts.conditions}
    for number in used if table.key is None else used | {table.key}:
        known |= label_stems(table.columns[number])
    covered = {place for one in candidate.conditions for place in range(one.start, one.end)}
    measured = _measured(question, parts)
    rest = [
        place
        for place, word in enumerate(question.words)
        if place not in covered
        and word not in measured
        and not _is_known(stems[place], known)
        and not _inside_run(word, known)
    ]
    left = [place for place in rest if question.words[place] not in plain]
    named = all(label_stems(table.columns[n]) & set(stems) for n in asked)
    told = named and parts.target not in (None, table.key)
    names = [one for one in candidate.conditions if _names_record(one, parts, table)]
    beside = {place for one in names for place in _beside(question, left, one, plain, told)}
    if names:
        beside |= set(_joined(question, left, plain))
    beside |= {one.start for one in candidate.conditions if _is_common(question, one, table, plain)}
    return Fit(
        tuple(question.words[place] for place in left),
        tuple(question.words[place] for place in sorted(beside)),
        tuple(question.words[place] for place in rest if place not in left),
        _guessed(question, candidate, names, table, plain),
        named,
    )


def _names_record(one: Condition, parts: Parts, table: TypedTable) -> bool:
    """Tell whether a condition names a record: by its key, or by a value that only it has."""
    column, value = table.columns[one.where.column], str(one.where.value)
    if one.start < 0 or one.where.column == table.key:
        return one.start >= 0
    alone = len(column.rows_of_item.get(value, column.rows_of.get(value, ()))) == 1
    return alone and parts.target not in (table.key, one.where.column)


def _beside(
    question: Question, left: Sequence[int], name: Condition, plain: Container[str], told: bool
) -> Iterable[int]:
    """Yield the places of unexplained words on either side of a name that may belong to it.

    A word directly beside the name does, unless people put it there in other questions. One that is
    apart, as in "the daughter of gold", does if the column that is asked for is told by another
    word.
    """
    usual = beside_names()
    owned = question.words[name.end - 1].endswith("'s")
    for places, near, apart in (
        (range(name.start - 1, -1, -1), usual.before, False),
        (range(name.end, len(question.words)), usual.after, owned),
    ):
        for place in places:
            word = question.words[place]
            if word in plain:
                apart = True
                continue
            if place in left and (told if apart else stem(word) not in near):
                yield place
            break


def _joined(question: Question, left: Sequence[int], plain: Container[str]) -> Iterable[int]:
    """Yield the places of unexplained words that a word such as `and` joins to what is asked."""
    for step in (-1, 1):
        for place in left:
            beside = place + step
            while 0 <= beside < len(question.words) and question.words[beside] in plain:
                if stem(question.words[beside]) in beside_names().between:
                    yield place
                beside += step


def _is_known(word: str, known: set[str]) -> bool:
    """Tell whether a stem is known or, as `remot` of `remotely`, the beginning of a known one."""
    return word in known or (len(word) >= _BEGINNING and any(one.startswith(word) for one in known))


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


def _measured(question: Question, parts: Parts) -> set[str]:
    """Return the words for numbers and dates that the reading uses."""
    values = {one.value for one in parts.conditions if not isinstance(one.value, str)}
    dates = {part for value in values if isinstance(value, Day) for part in value.parts}
    numbers = {float(value) for value in values if not isinstance(value, Day)}
    found: set[str] = set()
    for one in quantities(question.text):
        if one.number in numbers:
            found |= set(words(question.text.casefold()[one.start : one.end]))
    for day, start, end in days(question.text):
        if day in values:
            found |= set(words(fold(question.text)[start:end]))
    return found | {word for word in question.words if to_number(word) in numbers | dates}


def _guessed(
    question: Question,
    candidate: Candidate,
    names: Sequence[Condition],
    table: TypedTable,
    plain: Container[str],
) -> tuple[str, ...]:
    alike = {(m.column, m.start, m.end): m.alike for m in question.mentions}
    keys = {(m.start, m.end) for m in question.mentions if m.column == table.key and m.whole}
    stems = {stem(word) for word in question.words}
    found = []
    for one in candidate.conditions:
        if one.start < 0:
            continue
        where, place = one.where, (one.start, one.end)
        said, phrase = question.words[one.start : one.end], str(where.value)
        column, is_key = table.columns[where.column], where.column == table.key
        called = is_key or bool(label_stems(column) & stems)
        if (
            alike.get((where.column, *place), 1.0) < SURE
            or (is_key and not _said_whole(said, phrase))
            or not _spelt(question.text, phrase, column)
            or _is_common(question, one, table, plain)
            or (one in names and not called and place not in keys and _is_another(column, table))
        ):
            found.append(phrase)
    return tuple(found)


def _is_common(
    question: Question, one: Condition, table: TypedTable, plain: Container[str]
) -> bool:
    """Tell whether a name is a common word that the question does not use as a name."""
    if one.end - one.start != 1 or question.words[one.start] not in plain:
        return False
    column, said = table.columns[one.where.column], {stem(word) for word in question.words}
    called = one.where.column == table.key or bool(label_stems(column) & said)
    return not is_name(question.text, str(one.where.value), called)


def _is_another(column: Column, table: TypedTable) -> bool:
    """Tell whether a value of a column is a thing of its own, as a capital is beside its country.

    A question about it is not about its record: the area of Vienna is not that of Austria. A short
    code means its record, and a record whose key is a code is called by its other names.
    """
    if table.key is None or table.columns[table.key].is_code:
        return False
    return max(map(len, column.rows_of)) > _CODE


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
