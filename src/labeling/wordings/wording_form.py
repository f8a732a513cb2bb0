"""The form of a wording: which texts of a teacher are one question about one record."""

from __future__ import annotations

import re
from typing import Final

from ..tasks.duplicates import words_of

MOST_WORDS: Final = 30
"""Of a wording without the record's name."""
LEAST_WORDS: Final = 2
_MARKS: Final = "?\uff1f\u061f\u037e"
"""Question marks of Latin, CJK, Arabic and Greek script."""
_LINE_START: Final = re.compile(
    r"^\s*(?:(?:[-*\u2022]|\(?\d{1,2}[.):]|[Qq](?:uestion)?\s*\d*[:.])\s+)+"
)
_QUOTES: Final = "\"'`\u201c\u201d\u201e\u00ab\u00bb*_ "


def read_lines(text: str) -> list[str]:
    """Split a teacher's answer into wordings; numbers, bullets and quotes are removed.

    >>> read_lines('1. "What is X?"\\n- How big is X?\\n\\n')
    ['What is X?', 'How big is X?']
    """
    lines = (_LINE_START.sub("", line.replace("**", "")).strip(_QUOTES)
             for line in text.splitlines())  # fmt: skip
    return [line for line in lines if line]


def as_wording(line: str, key: str) -> str:
    """Put `{key}` in place of the record's name, in whichever case it is written.

    >>> as_wording("How tall is the lighthouse?", "Lighthouse")
    'How tall is the {key}?'
    """
    line = line.replace("{", "(").replace("}", ")")
    return re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", "{key}", line, flags=re.IGNORECASE)


def form_fault(wording: str, cell: str = "", template: str = "") -> str | None:
    """Find what is wrong with the form of a teacher's wording.

    Args:
        wording: With `{key}` for the record.
        cell: The cell that the question asks for; it must not be told. Empty is not checked.
        template: The question that was reworded; other numbers than its own are refused, because
            small teachers invent answers and years.

    Returns:
        The reason for refusing it; None for none.

    >>> form_fault("What does it cost?"), form_fault("Is {key} dear? What does it cost?")
    ('the record is not named once', 'more than one question, or none')
    """
    if wording.count("{key}") != 1:
        return "the record is not named once"
    marks = sum(wording.count(mark) for mark in _MARKS)
    if marks != 1 or wording[-1] not in _MARKS or re.search(r"[.!:;]\s", wording):
        return "more than one question, or none"
    said = words_of(wording.replace("{key}", " "))
    if not LEAST_WORDS <= len(said) <= MOST_WORDS:
        return "too short or too long"
    told = words_of(cell)
    if told and told not in (["yes"], ["no"]) and holds(said, told):
        return "it tells the answer"
    known = set(words_of(template))
    if any(any(c.isdigit() for c in word) and word not in known for word in said):
        return "it holds a number of its own"
    return None


def holds(words: list[str], part: list[str]) -> bool:
    """Return whether words occur in this order, side by side, among others."""
    width = len(part)
    return any(words[at : at + width] == part for at in range(len(words) - width + 1))


def says(answer: str, cell: str, others: frozenset[str] = frozenset()) -> bool:
    """Return whether an answer says a cell, alone or in a sentence, and no other value beside it.

    Args:
        answer: Of a teacher.
        cell: The right answer.
        others: Values of the column.

    >>> says("The price is 24.90 EUR.", "24.90 EUR")
    True
    >>> says("red or blue", "red", frozenset({"blue"}))
    False
    """
    said, right = words_of(answer), words_of(cell)
    if not right or said == right:
        return said == right and (bool(right) or answer.strip() == cell.strip())
    if not holds(said, right):
        return False
    wrong = (words_of(other) for other in others)
    return not any(o and o != right and not holds(right, o) and holds(said, o) for o in wrong)
