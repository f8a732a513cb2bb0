"""Names of columns: cleaned of invisible characters, found as a user spells them, or refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ...errors import UnknownColumnError

_NOWHERE = re.compile("[\ufeff\u200b\u2060\u00ad]")
"""Byte-order mark, zero-width space, word joiner and soft hyphen: no meaning inside a name."""
_ODD_BLANK = re.compile(r"[^\S \t\r\n]")
_AT_END = "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069"
"""Joiners and direction marks: they matter inside a word, not at its ends."""


def without_invisible(text: str) -> str:
    """Remove byte-order marks, zero-width spaces and other characters without a meaning.

    >>> without_invisible("Ap\\u200bple\\ufeff")
    'Apple'
    """
    return text if text.isascii() else _NOWHERE.sub("", text)


def clean_name(name: str) -> str:
    """Remove invisible characters from a name; a name that has none stays as it is.

    >>> clean_name("\\ufeffname"), clean_name("name\\xa0"), clean_name(" name ")
    ('name', 'name', ' name ')
    """
    if name.isascii():
        return name
    clean = _ODD_BLANK.sub(" ", without_invisible(name)).strip(_AT_END)
    return name if clean == name else clean.strip()


def own_names(columns: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Spell column names as the table does where they differ only in their Unicode form.

    Args:
        columns: Columns of the table.
        wanted: Names that a user gave; names that the table does not have stay as they are.
    """
    if all(name in columns for name in wanted):
        return list(wanted)
    forms: dict[str, list[str]] = {}
    for column in columns:
        forms.setdefault(unicodedata.normalize("NFC", column), []).append(column)
    found = [forms.get(unicodedata.normalize("NFC", name), []) for name in wanted]
    return [
        own[0] if name not in columns and len(own) == 1 else name
        for name, own in zip(wanted, found, strict=True)
    ]


def list_columns(columns: Sequence[str]) -> str:
    """Name the columns of a table in a message."""
    return ", ".join(map(repr, columns)) if columns else "none"


def check_columns(path: str | Path, columns: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse columns that a table does not have.

    Raises:
        UnknownColumnError: A wanted column is missing; the message lists the columns.
    """
    for name in wanted:
        if name not in columns:
            raise UnknownColumnError(
                f"there is no such column; there are {list_columns(columns)}",
                path=path,
                column=name,
            )
