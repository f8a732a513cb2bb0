"""Decide in code whether an answer, a summary or a claim agrees with the record.

The rules are strict about numbers, names and negations, and lenient about wording.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...tables import TableRow
from ..reading.table_reader import Match, TableReader
from ..text_matching import (
    STOP_WORDS,
    as_number,
    clean,
    contains_words,
    fold,
    numbers,
    tokens,
    words,
)

_NEGATION = re.compile(r"\b(?:not|no|never|neither|nor|isn|aren|wasn|doesn|don|cannot|without)\b")
_LONG = 8
"""A value with at least this many words is a sentence and is compared by its words."""
_LONGEST_NAME = 6
"""Most words of a value that is searched in a text."""
_SAME_WORDS = 0.9
"""Share of words two sentences must have in common."""
_MORE_WORDS = 12
"""Most words that an answer may have in addition to those of the value."""
_SHORT = 3
"""Values of at most this many characters are compared with their case: "In" is not "in"."""


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    agrees: bool | None
    """None if code cannot decide."""
    reason: str
    """The reason, in one sentence without a full stop."""


def answers_agree(answer: str, value: str) -> bool:
    """Tell whether an answer agrees with a value.

    Args:
        answer: The answer of the student, or the value that a user claims.
        value: The text in the record.

    >>> answers_agree("au.", "Au"), answers_agree("The symbol is Au", "Au")
    (True, True)
    >>> answers_agree("1000", "1,000.0"), answers_agree("not Au", "Au")
    (True, False)
    """
    said, right = clean(answer), clean(value)
    if not said or not right:
        return said == right and answer.strip() == value.strip()
    if fold(said) == fold(right):
        return True
    number = as_number(right)
    if number is not None:
        return as_number(said) == number or (numbers(said) == [number] and not _negates(said))
    if _negates(said) != _negates(right):
        return False
    said_words, right_words = words(said), words(right)
    if said_words == right_words:
        return _marks(said) == _marks(right)
    if len(right_words) >= _LONG:
        return _same_sentence(said_words, right_words) and numbers(said) == numbers(right)
    if len(said_words) > len(right_words) + _MORE_WORDS:
        return False
    if len(right) <= _SHORT:  # "I" and "In" are words too, so case counts
        return re.search(rf"(?<!\w){re.escape(right)}(?!\w)", said) is not None
    return contains_words(said_words, right_words)


def check_answer(answer: str, match: Match, reader: TableReader) -> Finding:
    """Compare an answer with the record that a question asks for.

    Returns:
        The finding; undecided if no record has a value.
    """
    rows = [row for row in match.rows if match.value_of(row)]
    if match.column is None or not rows:
        return Finding(None, f"row {match.row.row} has no value to compare the answer with")
    for row in rows:
        value = match.value_of(row) or ""
        if answers_agree(answer, value):
            rival = _rival(answer, value, match.column.name, reader)
            if rival is None:
                return Finding(True, f"row {row.row} says {record_says(match)}")
            return Finding(False, f"names {rival} as well as {value}")
    return Finding(False, f"row {rows[0].row} says {record_says(match)}")


def check_summary(text: str, row: TableRow, reader: TableReader) -> Finding:
    """Compare a summary with its record.

    All numbers must be in the record, a column that is mentioned must have the record's value, and
    no value of another record may appear in its place.
    """
    own = [row.key, *row.values.values()]
    allowed = {number for value in own for number in numbers(value)}
    strange = [number for number in numbers(text) if number not in allowed]
    if strange:
        return Finding(False, f"row {row.row} holds no number {strange[0]:g}")
    labels = {c.name: c.label for c in reader.table.columns}
    swapped = _swapped_number(text, row, labels)
    if swapped:
        return Finding(False, f"row {row.row} says {swapped}")
    said = {c.name for c in reader.columns_said(text)}
    mentioned = 0
    for name, value in row.values.items():
        if _mentions(text, value):
            mentioned += 1
            continue
        label = labels.get(name, name)
        if name in said and not _inside_other(label, own):
            return Finding(False, f"row {row.row} says {label} = {value}")
        rival = _other_value(text, value, name, reader, own)
        if rival is not None:
            return Finding(False, f"row {row.row} says {label} = {value}, not {rival}")
    if not mentioned:
        return Finding(False, f"it contains none of the values of row {row.row}")
    return Finding(
        True, f"{mentioned} of {len(row.values)} values of row {row.row} and no other values"
    )


def check_numbers(text: str, original: str) -> Finding:
    """Compare a summary of the user's own text with that text; it must not add numbers."""
    strange = [number for number in numbers(text) if number not in set(numbers(original))]
    if strange:
        return Finding(False, f"the text holds no number {strange[0]:g}")
    return Finding(None, "no record to compare it with; all its numbers are in the text")


def record_says(match: Match) -> str:
    """Write what the record says: `symbol = Au`."""
    if match.column is None:
        return "nothing about that"
    return f"{match.column.label} = {' or '.join(dict.fromkeys(match.values())) or 'nothing'}"


def _negates(text: str) -> bool:
    return _NEGATION.search(text.lower()) is not None


def _marks(text: str) -> str:
    """Return the symbols that change a meaning: C, C++ and C#; 5 and -5; 5 and 5 %."""
    return "".join(c for c in text if c in "+#%<>=*°$€£") + ("-" if text.startswith("-") else "")


def _same_sentence(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shared = len(set(one) & set(other))
    return 2 * shared >= _SAME_WORDS * (len(set(one)) + len(set(other)))


def _mentions(text: str, value: str) -> bool:
    number = as_number(value)
    if number is not None:
        return number in numbers(text)
    if len(value) <= _SHORT:
        return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None
    return contains_words(words(text), words(value))


def _swapped_number(text: str, row: TableRow, labels: dict[str, str]) -> str:
    """Find a label followed by a number that is not the record's; return the right number."""
    by_length = sorted(labels.values(), key=len, reverse=True)
    said = re.compile("|".join(rf"\b{re.escape(label)}\b" for label in by_length), re.IGNORECASE)
    places = [*said.finditer(text)] if labels else []
    names = {label.lower(): name for name, label in labels.items()}
    for i, place in enumerate(places):
        name = names[place.group().lower()]
        value = row.values.get(name, "")
        end = places[i + 1].start() if i + 1 < len(places) else len(text)
        after = numbers(re.split(r"[;.!?]\s|,\s", text[place.end() : end])[0])
        number = as_number(value)
        if number is not None and after and after[0] != number:
            return f"{labels[name]} = {value}"
    return ""


def _inside_other(label: str, own: list[str]) -> bool:
    """Tell whether a label also stands in a value of the record, so that it may mean that value."""
    return any(contains_words(words(value), words(label)) for value in own)


def _rival(answer: str, value: str, column: str, reader: TableReader) -> str | None:
    """Find another value of the column that is the whole answer or a part of it."""
    said = clean(answer)
    if words(said) != words(value) and reader.column_values.get(column, {}).get(words(said)):
        return said
    return _other_value(answer, value, column, reader)


def _other_value(
    text: str, value: str, column: str, reader: TableReader, own: list[str] | None = None
) -> str | None:
    """Find a value of the same column, but of another record, in a text."""
    known = reader.column_values.get(column, {})
    found = tokens(text)
    own_words = [words(v) for v in (own or [value])]
    first = 0
    while first < len(found):
        step = 1
        for size in range(min(_LONGEST_NAME, len(found) - first), 0, -1):
            part = tuple(token.text for token in found[first : first + size])
            spelt = text[found[first].start : found[first + size - 1].end]
            if part not in known or not _is_name(spelt, known[part]):
                continue
            if not any(contains_words(mine, part) for mine in own_words):
                return spelt
            step = size
            break
        first += step
    return None


def _is_name(spelt: str, spellings: set[str]) -> bool:
    """Tell whether words are a value and not ordinary words; short values must match in case."""
    if as_number(spelt) is not None or fold(spelt) in STOP_WORDS:
        return False
    return len(spelt) > _SHORT or spelt in spellings
