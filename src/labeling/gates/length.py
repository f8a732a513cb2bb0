"""A gate for the length of a text, with the reasons of FastDistill's `RuleFilter`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError
from .record_values import read_text
from .verdict import OK, Verdict


@dataclass(frozen=True)
class LengthGate:
    """Passes texts of a certain length, white space at their ends not counted."""

    text_field: str = "generation"
    min_chars: int = 1
    """Fewest characters, 0 or more; an empty text fails even at 0."""
    max_chars: int | None = None
    """Most characters, `min_chars` or more; None sets no limit."""
    name: str = "length"

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        faults = []
        if self.min_chars < 0:
            faults.append(f"min_chars is {self.min_chars}; allowed is 0 or more")
        if self.max_chars is not None and self.max_chars < self.min_chars:
            faults.append(f"max_chars is {self.max_chars}; allowed is min_chars or more, or None")
        if faults:
            raise ConfigError(faults)

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Check a record.

        Returns:
            A verdict with `ok`, `empty_output` (also without a text), `too_short`, `too_long`,
            `not_finite` or `not_text`.
        """
        text, reason = read_text(record, self.text_field)
        if text is not None:
            reason = length_reason(text.strip(), self.min_chars, self.max_chars)
        elif reason.startswith("missing"):
            reason = "empty_output"
        return Verdict(self.name, reason == OK, reason)


def length_reason(text: str, min_chars: int, max_chars: int | None) -> str:
    """Compare the length of a text with its limits.

    >>> length_reason("", 0, None), length_reason("0", 1, None), length_reason("abc", 1, 2)
    ('empty_output', 'ok', 'too_long')
    """
    if not text:
        return "empty_output"
    if len(text) < min_chars:
        return "too_short"
    return "too_long" if max_chars is not None and len(text) > max_chars else OK
