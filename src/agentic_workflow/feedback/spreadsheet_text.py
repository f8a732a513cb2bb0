"""Texts in CSV files that are opened in a spreadsheet: no text becomes a formula there.

Source: OWASP, "CSV Injection".
"""

from __future__ import annotations

import re
from typing import Final

_FORMULA: Final = re.compile(r"^\s*[=+\-@\t\r\n|%＝＋－＠]")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?")


def is_formula(text: str) -> bool:
    """Tell whether a spreadsheet would compute a text; numbers are no formulas.

    >>> [is_formula(text) for text in ("=1+1", "-5", "-5+2", "gold")]
    [True, False, True, False]
    """
    return bool(_FORMULA.match(text)) and not _NUMBER.fullmatch(text)


def without_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would compute.

    >>> [without_formula(text) for text in ("=1+1", "@SUM(A1)", "-5", "-5+2", "gold")]
    ["'=1+1", "'@SUM(A1)", '-5', "'-5+2", 'gold']
    """
    return f"'{text}" if is_formula(text) else text


def as_text(cell: str) -> str:
    """Take back the apostrophe of `without_formula`.

    >>> as_text("'=1+1"), as_text("'tis")
    ('=1+1', "'tis")
    """
    return cell[1:] if cell.startswith("'") and is_formula(cell[1:]) else cell
