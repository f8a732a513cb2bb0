"""Find the values of a table that a question names: whole, in part, or misspelled."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import DamerauLevenshtein

from ..table.typed_table import Column, TypedTable
from ..table.values import fold, stem, words

LONGEST: Final = 10
"""Most words of a phrase that is looked up."""
_LEAST_LETTERS: Final = 5
"""Least letters of a word whose spelling is corrected."""
_ALIKE: Final = 0.74
"""Least Damerau-Levenshtein similarity of a misspelled word and its correction."""
_LEAST_PART: Final = 4
"""Least letters of a word that matches as the beginning or end of another."""
_PART: Final = 0.4
"""Least share of the longer word's letters that the shorter word must have."""
_INITIALS: Final = 0.8
"""Similarity of a value to its initials."""
_MARK: Final = 0.45
"""Similarity of a short mark, such as H, to a word that begins with it, such as home."""
PASSING: Final = 0.4
"""Similarity of a value that is spelled like a common word, such as the code IS."""


@dataclass(frozen=True)
class Mention:
    """A value that the question names.

    Attributes:
        column: Number of the column that holds it.
        phrase: The folded words as they stand in the table.
        start: Index of its first word in the question.
        end: Index after its last word in the question.
        whole: Whether it is a whole cell, or a whole item of a cell that lists several.
        alike: 1 if the words are those of the table, less if they had to be corrected.
        coverage: Share of a cell's words that it has, in the cell where that is highest.
    """

    column: int
    phrase: str
    start: int
    end: int
    whole: bool
    alike: float
    coverage: float

    @property
    def is_name(self) -> bool:
        """Whether it is a whole cell of several words, so that its words mean nothing else.

        Neither the Bell nor the 7 of "Bell Tower 7" is then looked for in other columns.
        """
        several = self.end - self.start > 1 and not self.phrase.replace(" ", "").isdigit()
        return several and self.whole and self.alike == 1.0

    def has_inside(self, other: Mention) -> bool:
        """Tell whether another mention is a part of this one."""
        inside = self.start <= other.start and other.end <= self.end
        return inside and other.end - other.start < self.end - self.start


def find_values(
    question: list[str],
    table: TypedTable,
    common: Container[str] = (),
    known: Container[str] = (),
    codes: Container[str] = (),
) -> list[Mention]:
    """Find the values of each column that a question names, longest phrases first.

    Args:
        question: Folded words of the question.
        table: The table.
        common: Words without content of their own, such as articles; one matches only a whole
            cell, and only if the question names nothing else.
        known: Words that are usual in questions; they are not taken for misspelled values.
        codes: Common words that are written like codes, see `written_as_codes`; they match whole
            cells as other words do.
    """
    labels = {stem(word) for column in table.columns for word in words(column.label)}
    spelled = [_in_table(word, table, common, known, labels) for word in question]
    found: list[Mention] = []
    for number, column in enumerate(table.columns):
        taken: list[tuple[int, int]] = []
        for length in range(min(LONGEST, len(question)), 0, -1):
            for start in range(len(question) - length + 1):
                end = start + length
                if any(a <= start and end <= b for a, b in taken):
                    continue
                mention = _mention(
                    number, column, question, spelled, start, end, common, labels, codes
                )
                if mention is not None:
                    taken.append((start, end))
                    found.append(mention)
    for number, column in enumerate(table.columns):
        found += _shortened(number, column, question, found, table, common, codes, labels)
    sure = [one for one in found if one.alike > PASSING] or found
    names = [one for one in sure if one.is_name]
    return sorted(
        [one for one in sure if one.whole or not any(name.has_inside(one) for name in names)],
        key=lambda m: (-(m.end - m.start) * m.alike, not m.whole, m.column),
    )


def _shortened(
    number: int,
    column: Column,
    question: list[str],
    found: list[Mention],
    table: TypedTable,
    common: Container[str],
    codes: Container[str],
    labels: set[str],
) -> list[Mention]:
    """Find values by their initials, such as UK, and short marks by a word, such as H by home."""
    mentions = []
    short = column.rows_of if column.is_mark else {}
    for place, word in enumerate(question):
        if not word.isalpha() or (word in common and word not in codes):
            continue
        value = column.initials.get(word) if word not in table.words else None
        alike = _INITIALS
        if value is None and len(word) > _LEAST_LETTERS - 2 and stem(word) not in labels:
            if any(one.start <= place < one.end and one.alike >= _INITIALS for one in found):
                continue
            value, alike = next((one for one in short if word.startswith(one)), None), _MARK
        if value is not None:
            mentions.append(Mention(number, value, place, place + 1, True, alike, 1.0))
    return mentions


def written_as_codes(text: str, common: Container[str]) -> frozenset[str]:
    """Return the common words, folded, that a question writes with a capital after its first word.

    If no common word is in lower case, as in a title, there are none.

    >>> sorted(written_as_codes("What is the area of AT?", {"what", "is", "the", "of", "at"}))
    ['at']
    """
    said = [(word, fold(word)) for word in re.findall(r"\w+", text)[1:]]
    said = [(word, folded) for word, folded in said if folded in common]
    if not any(word[0].islower() for word, _ in said):
        return frozenset()
    return frozenset(folded for word, folded in said if word[0].isupper())


def _mention(
    number: int,
    column: Column,
    question: list[str],
    spelled: list[tuple[str, float]],
    start: int,
    end: int,
    common: Container[str],
    labels: set[str],
    codes: Container[str],
) -> Mention | None:
    if spelled[start][0] in common or spelled[end - 1][0] in common:
        if end - start == 1:
            phrase = spelled[start][0]
            # In lower case, only the last word may be such a value: "which countries are ..." does
            # not mean the code ARE.
            last = end == len(question)
            if (last or phrase in codes) and (
                phrase in column.rows_of or phrase in column.rows_of_item
            ):
                alike = 1.0 if phrase in codes else PASSING
                return Mention(number, phrase, start, end, True, alike, 1.0)
            return None
        if question[start:end] != [word for word, _ in spelled[start:end]]:
            return None
    parts = [word for word, _ in spelled[start:end]]
    alike = min(score for _, score in spelled[start:end])
    if not all(word in column.rows_of_word for word in parts):
        return None
    values = min((column.rows_of_word[word] for word in parts), key=len)
    phrase = " ".join(parts)
    joined = f" {phrase} "
    coverage, whole = 0.0, False
    for value in values:
        spoken = words(value)
        if joined in f" {' '.join(spoken)} ":
            coverage = max(coverage, len(parts) / len(spoken))
            whole = whole or len(spoken) == len(parts)
    if not coverage:
        return None
    whole = whole or phrase in column.rows_of_item
    if not whole and (parts[0] in common or parts[-1] in common):
        return None
    if not whole and all(word in common or stem(word) in labels for word in parts):
        # "which plant" means any record, not those whose name has the word.
        return None
    return Mention(number, phrase, start, end, whole, alike, coverage)


def _in_table(
    word: str,
    table: TypedTable,
    common: Container[str],
    known: Container[str],
    labels: Container[str],
) -> tuple[str, float]:
    """Correct a word to one of the table; return it with its similarity, 1 if it is unchanged."""
    there = table.words
    if word in there or word in common or len(word) < 4 or word[0].isdigit():
        return word, 1.0
    root = stem(word)
    for other in (word[:-2] if word.endswith("'s") else word, root, root + "e", root + "s"):
        # The word code is not the airport COD, though cars are a car.
        if other in there and (len(other) >= _LEAST_PART or word == other + "s"):
            return other, 0.97
    # The atomic of "atomic mass" is the name of a column, not a part of the value "diatomic".
    if word in known or root in labels or len(word) < _LEAST_LETTERS:
        return word, 1.0
    part = _longest_part(word, there)
    if part is not None:
        return part
    # A code with another number is another code: srv19 is not a misspelled srv09.
    number = _digits(word)
    near = process.extractOne(
        word,
        [other for other in there if _digits(other) == number] if number else there.keys(),
        scorer=DamerauLevenshtein.normalized_similarity,
        score_cutoff=_ALIKE,
    )
    if near is None or len(near[0]) < _LEAST_LETTERS or _digits(near[0]) != number:
        return word, 1.0
    return near[0], 0.9 * float(near[1])


def _digits(word: str) -> str:
    return "".join(letter for letter in word if letter.isdigit())


def _longest_part(word: str, there: Mapping[str, int]) -> tuple[str, float] | None:
    """Find a word of the table that begins or ends with this word, or the other way round.

    Examples are rain in rainy, Hund in Hunden and Bagger in Minibagger.
    """
    best: tuple[float, str] | None = None
    for other in there:
        short, long = (word, other) if len(word) < len(other) else (other, word)
        if len(short) < _LEAST_PART or not (long.startswith(short) or long.endswith(short)):
            continue
        # A short word of the table is no part of a long word: carp is not in carpenter.
        short_in_long = short is other and len(short) < _LEAST_LETTERS and len(long) > 7
        if short.isdigit() or short_in_long or (_digits(short) not in ("", _digits(long))):
            continue
        found = (len(short) / len(long), other)
        if best is None or found > best:
            best = found
    return None if best is None or best[0] < _PART else (best[1], 0.6 + 0.3 * best[0])
