"""Splitting SQL text into statements, by a tokenizer that knows quotes and comments.

The tokenizer is SQLite's (sqlite.org/lang_comment.html, lang_keywords.html): texts in `'`, names in
`"`, `` ` `` and `[ ]`, comments from `--` to the end of the line and from `/*` to `*/` or the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<nothing>[ \t\n\f\r]+|--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/)?)"
    r"|(?P<quoted>'(?:[^']|'')*'?|\"(?:[^\"]|\"\")*\"?|`(?:[^`]|``)*`?|\[[^\]]*\]?)"
    r"|(?P<word>[^\W\d][\w$]*)"
    r"|(?P<end>;)"
    r"|(?P<other>[\w.]+|.)",
    re.DOTALL,
)
"""Every character belongs to a token, and every token ends in linear time."""


@dataclass(frozen=True)
class Statement:
    """One statement of a text."""

    text: str
    """From its first to its last token, without the semicolon and comments around it."""
    keyword: str
    """Its first word in capitals; empty if it begins with something else."""
    ordered: bool
    """Whether the outermost query has ORDER BY."""


def split_statements(sql: str) -> list[Statement]:
    """Split a text into its statements; those without a token do not count.

    >>> [one.text for one in split_statements("SELECT ';' -- a; b\\n ; ; /* c */ SELECT 2")]
    ["SELECT ';'", 'SELECT 2']
    >>> split_statements("-- only a comment\\n;")
    []
    """
    return [
        Statement(sql[parts[0].start() : parts[-1].end()], _keyword(parts), _is_ordered(parts))
        for parts in _statements(sql)
    ]


def _statements(sql: str) -> Iterator[list[re.Match[str]]]:
    parts: list[re.Match[str]] = []
    for found in _TOKEN.finditer(sql):
        if found.lastgroup == "end":
            if parts:
                yield parts
            parts = []
        elif found.lastgroup != "nothing":
            parts.append(found)
    if parts:
        yield parts


def _keyword(parts: list[re.Match[str]]) -> str:
    return parts[0][0].upper() if parts[0].lastgroup == "word" else ""


def _is_ordered(parts: list[re.Match[str]]) -> bool:
    """Say whether ORDER BY stands outside of all parentheses."""
    depth, before = 0, ""
    for part in parts:
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        word = part[0].upper() if part.lastgroup == "word" else ""
        if depth == 0 and (before, word) == ("ORDER", "BY"):
            return True
        before = word
    return False
