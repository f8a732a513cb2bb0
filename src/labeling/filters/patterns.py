"""Regular expressions of users, which may take exponential time: matched with a limit of time.

The library `regex` reads the patterns of `re`, is faster at alternatives of words, and can stop a
search; `re` cannot be stopped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import regex

from ...errors import DataError

SEARCH_S: Final = 0.005
"""Seconds of processor time for all patterns on one article; a usual article takes some 0.0001."""

PATTERN_TIME: Final = "pattern_time"
"""Reason of an article that cannot be shortened in that time."""


class PatternTimeError(DataError):
    """The patterns of a filter take too long on an article."""


class SearchTime:
    """Processor time that is left for the searches on one article."""

    def __init__(self, seconds: float = SEARCH_S) -> None:
        """Set the time; what passes between searches does not count."""
        self._left = seconds

    def search(self, pattern: Any, text: str, start: int = 0, stop: int | None = None) -> Any:  # noqa: ANN401 - regex is untyped
        """Find the first match in a part of a text; None where there is none.

        Raises:
            PatternTimeError: The time is up.
        """
        end = len(text) if stop is None else stop
        started = time.process_time()  # the clock that `regex` goes by
        try:
            found = pattern.search(text, start, end, timeout=max(self._left, 1e-6))
        except TimeoutError:
            raise PatternTimeError(
                f"the pattern {pattern.pattern[:200]!r} takes too long on the article; repeats "
                "inside of repeats, such as (a+)+, are the usual cause"
            ) from None
        self._left -= time.process_time() - started
        return found


@lru_cache(maxsize=256)
def compile_pattern(pattern: str, *, lines: bool = False) -> Any:  # noqa: ANN401 - regex is untyped
    """Compile one pattern, which ignores case.

    Args:
        pattern: As for `re`.
        lines: Whether `^` and `$` are the ends of lines instead of those of the text.

    Raises:
        re.error: It is no regular expression.
    """
    re.compile(pattern)  # The rules, and the words of the fault, are those of Python.
    try:
        return regex.compile(pattern, regex.IGNORECASE | (regex.MULTILINE if lines else 0))
    except regex.error as fault:
        raise re.error(str(fault), pattern) from fault


def join_patterns(patterns: Sequence[str], *, lines: bool = False) -> Any:  # noqa: ANN401 - regex is untyped
    """Compile patterns of which one must match; None where there are none.

    Raises:
        re.error: One is no regular expression; the error is that of the pattern itself.
    """
    for one in patterns:
        compile_pattern(one)
    joined = "|".join(f"(?:{one})" for one in patterns)
    return compile_pattern(joined, lines=lines) if patterns else None
