r"""Whether a backslash takes the meaning from the next character: the file itself decides.

Quotes inside cells are doubled (RFC 4180) or escaped by a backslash, as MySQL, Hive and many
scripts write them. A file that reads whole with doubled quotes is read so, whatever backslashes its
texts hold; one that does not, but reads whole with escapes, is read with these. To know it, the
whole file is read, but only where a backslash stands before a character that needs an escape.

A backslash before any other character is kept as it is, for nothing was escaped: `C:\new`, `\N`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from ..options import ReadOptions

ESCAPE = "\\"


def has_escapes(text: str, options: ReadOptions, sep: str) -> bool:
    """Say whether a backslash stands before a character that needs an escape."""
    return ESCAPE in text and _sign(sep, options.quote or "").search(text) is not None


@cache
def _sign(sep: str, quote: str) -> re.Pattern[str]:
    return re.compile(rf"\\[{re.escape(sep + quote)}\\\r\n]")


def keep_plain_escapes(lines: Iterable[str], options: ReadOptions, sep: str) -> Iterator[str]:
    """Double the escape characters that escape nothing, so that the csv module keeps them."""
    escape = options.escape or ""
    special = re.escape(sep + (options.quote or "") + escape)
    pair = re.compile(rf"{re.escape(escape)}([^\r\n]?)")
    needed = re.compile(rf"[{special}]?")

    def kept(match: re.Match[str]) -> str:
        whole = match.group()
        return whole if needed.fullmatch(match[1]) else escape + whole

    for line in lines:
        yield pair.sub(kept, line) if escape in line else line
