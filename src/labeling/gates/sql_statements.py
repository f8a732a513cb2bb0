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
    return list(_statements(sql))


def _statements(sql: str) -> Iterator[Statement]:
    """Yield the statements; keeps nothing of the tokens, of which there may be many."""
    start, end, keyword, ordered, depth, before = -1, 0, "", False, 0, ""
    for found in _TOKEN.finditer(sql):
        kind, text = found.lastgroup, found[0]
        if kind == "nothing":
            continue
        if kind == "end":
            if start >= 0:
                yield Statement(sql[start:end], keyword, ordered)
            start, keyword, ordered, depth, before = -1, "", False, 0, ""
            continue
        word = text.upper() if kind == "word" else ""
        if start < 0:
            start, keyword = found.start(), word
        end = found.end()
        depth += {"(": 1, ")": -1}.get(text, 0)
        ordered = ordered or (depth == 0 and (before, word) == ("ORDER", "BY"))
        before = word
    if start >= 0:
        yield Statement(sql[start:end], keyword, ordered)
