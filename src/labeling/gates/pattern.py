"""A gate for a regular expression, matched in linear time.

Patterns are matched by Rust's engine, which has no backtracking: `(a+)+$` takes as long as `a+$`.
Look-around and back references, which no linear engine has, are refused. The time is at most
proportional to the length of the text times that of the pattern with its counts written out; both
are limited, which bounds it to some two seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import SchemaError

from ...errors import ConfigError
from ...inference.constrained.regex_checks import MOST_PATTERN, matches
from .record_values import read_text
from .verdict import OK, Verdict

MOST_CHARACTERS: Final = 50_000
"""Most characters of a text that is searched."""
_MOST_PARTS: Final = 2_000
"""Most characters and sets of a pattern with its counts written out."""
_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(?:\d+,)?(\d+)?,?\}|.", re.DOTALL)


@dataclass(frozen=True)
class PatternGate:
    """Passes texts in which a pattern is found, or is not found."""

    pattern: str
    """A regular expression, searched anywhere in the text; `^...$` for the whole text."""
    text_field: str = "generation"
    wanted: bool = True
    """Whether the pattern must be found; False if it must not."""
    name: str = "pattern"

    def __post_init__(self) -> None:
        """Refuse a pattern that cannot be matched in linear time."""
        if len(self.pattern) > MOST_PATTERN or _written_out(self.pattern) > _MOST_PARTS:
            raise ConfigError([
                f"pattern {self.pattern[:200]!r} is too long; allowed are {MOST_PATTERN} "
                f"characters, and {_MOST_PARTS} with the counts in {{n,m}} written out"
            ])  # fmt: skip
        try:
            matches(self.pattern, "")
        except SchemaError as fault:
            raise ConfigError([
                f"pattern {self.pattern[:200]!r} is too large when it is compiled; use smaller "
                "counts in {n,m}"
            ]) from fault  # fmt: skip

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Check a record.

        Returns:
            A verdict with `ok`, `pattern_not_found`, `pattern_found`, `too_long`, `not_finite`,
            `not_text` or `missing <field>`.
        """
        text, reason = read_text(record, self.text_field)
        if text is not None:
            reason = self._reason(text)
        return Verdict(self.name, reason == OK, reason)

    def _reason(self, text: str) -> str:
        if len(text) > MOST_CHARACTERS:
            return "too_long"
        if matches(self.pattern, text) == self.wanted:
            return OK
        return "pattern_not_found" if self.wanted else "pattern_found"


def _written_out(pattern: str) -> int:
    """Count the parts of a pattern with its counts written out, such as 6 for `(ab{2}){2}`."""
    sizes, last = [0], 0
    for found in _PART.finditer(pattern):
        part = found[0]
        if part == "(":
            sizes.append(0)
            last = 0
        elif part == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif found[1] is not None:
            sizes[-1] += last * (min(int(found[1][:9]), _MOST_PARTS + 1) - 1)
            last *= int(found[1][:9])
        else:
            last = 1
            sizes[-1] += 1
    return sum(sizes)
