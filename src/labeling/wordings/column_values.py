"""Find the form of a column's cells: numbers, dates, yes and no, or words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from .question_frames import Values

MOSTLY: Final = 0.8
"""Least share of the cells that must have a form."""
_YES_NO: Final = frozenset({"yes", "no", "y", "n", "true", "false"})
_NUMERAL: Final = re.compile(r"[-+~<>≈]?\d[\d.,'\u00a0\u202f ]*")
_UNIT_WORDS: Final = 2
"""Most words beside a number: `12 km`, `3.50 EUR each`."""
_YEAR: Final = re.compile(r"(1\d|20)\d\d")
_DATE: Final = re.compile(
    r"\d{4}-\d\d?(-\d\d?)?([T ]\d.*)?"  # 2024-05-01, with or without a time
    r"|\d\d?[./-]\d\d?[./-]\d{2,4}"  # 1.5.2024, 05/01/24
    r"|\d\d?[:.h]\d\d( ?[ap]\.?m\.?)?( ?[-\u2013] ?\d\d?[:.h]\d\d)?"  # 9:30, 9:00-17:00
    r"|(\d\d?\.? )?[^\W\d]{3,9}\.? (\d\d?,? )?\d{4}",  # 1 May 2024, May 2024, May 1, 2024
    re.IGNORECASE,
)


def value_forms(cells: Sequence[str]) -> frozenset[Values]:
    """Find the forms of a column's cells; a column of years counts as dates and as numbers.

    >>> sorted(value_forms(["1.2 kg", "0.8 kg"])), sorted(value_forms(["1988", "2003"]))
    (['number'], ['date', 'number'])
    >>> sorted(value_forms(["yes", "No"])), sorted(value_forms(["green", "RAL 7016 grey, matt"]))
    (['yes_no'], ['words'])
    """
    if not cells:
        return frozenset()
    forms: dict[Values, int] = {"number": 0, "date": 0, "yes_no": 0}
    for cell in cells:
        text = cell.strip()
        forms["yes_no"] += text.casefold() in _YES_NO
        forms["date"] += bool(_DATE.fullmatch(text) or _YEAR.fullmatch(text))
        forms["number"] += _is_number(text)
    found = {form for form, count in forms.items() if count >= MOSTLY * len(cells)}
    return frozenset(found or {"words"})


def _is_number(text: str) -> bool:
    """Tell whether a text is one or two numbers with at most two words of a unit."""
    numerals = _NUMERAL.findall(text)
    rest = _NUMERAL.sub(" ", text)
    words = re.findall(r"[^\W\d_]+", rest)
    return 1 <= len(numerals) <= 2 and len(words) <= _UNIT_WORDS and not _DATE.fullmatch(text)
