"""Names of columns without the characters that nobody sees, which keep a name from being found."""

from __future__ import annotations

import re

_NOWHERE = re.compile("[\ufeff\u200b\u2060\u00ad]")
"""Byte-order mark, zero-width space, word joiner and soft hyphen: they mean nothing in a name."""
_ODD_BLANK = re.compile(r"[^\S \t\r\n]")
_AT_END = "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069"
"""Joiners and marks of direction: inside a word they have a meaning, at its ends they have none."""


def without_invisible(text: str) -> str:
    """Take out byte-order marks, zero-width spaces and other characters without a meaning.

    >>> without_invisible("Ap\\u200bple\\ufeff")
    'Apple'
    """
    return text if text.isascii() else _NOWHERE.sub("", text)


def clean_name(name: str) -> str:
    """Take invisible characters off a name; a name that has none stays as it is.

    >>> clean_name("\\ufeffname"), clean_name("name\\xa0"), clean_name(" name ")
    ('name', 'name', ' name ')
    """
    if name.isascii():
        return name
    clean = _ODD_BLANK.sub(" ", without_invisible(name)).strip(_AT_END)
    return name if clean == name else clean.strip()
