"""Check the form of a wording: whether a teacher's line is one question about one record."""

from __future__ import annotations

import re
from typing import Final

from ..tasks.duplicates import words_of

MOST_WORDS: Final = 30
"""Most words of a wording, without the record's name."""
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
    """Replace the record's name with `{key}`, ignoring case.

    >>> as_wording("How tall is the lighthouse?", "Lighthouse")
    'How tall is the {key}?'
    """
    line = line.replace("{", "(").replace("}", ")")
    return re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", "{key}", line, flags=re.IGNORECASE)


def form_fault(wording: str, cell: str = "", template: str = "") -> str | None:
    """Find what is wrong with the form of a teacher's wording.

    Args:
        wording: With `{key}` for the record.
        cell: The answer, which the wording must not contain. An empty cell is not checked.
        template: The question that was reworded. Words with digits that it does not contain are
            refused, because small teachers invent answers and years.

    Returns:
        The reason for refusing it; None if it is accepted.

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
    """Tell whether `part` occurs in `words` as consecutive words."""
    width = len(part)
    return any(words[at : at + width] == part for at in range(len(words) - width + 1))


def says(answer: str, cell: str, others: frozenset[str] = frozenset()) -> bool:
    """Tell whether an answer contains a cell, alone or in a sentence, and no other value.

    Args:
        answer: A teacher's answer.
        cell: The right answer.
        others: All values of the column.

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
