"""A report of what a reader skipped, filled, renamed or dropped."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from .options import advise

logger = logging.getLogger(__name__)


@dataclass
class ReadReport:
    """Counts and notes of one read."""

    files: int = 0
    """Files or queries read, also in part."""
    records: int = 0
    """Records yielded."""
    blank_lines: int = 0
    """Blank CSV or JSON lines skipped."""
    comment_lines: int = 0
    """CSV lines skipped because of `comment=`."""
    skipped_lines: int = 0
    """CSV lines skipped because of `skip_lines=`."""
    padded_rows: int = 0
    """Short CSV rows filled up with null."""
    trimmed_rows: int = 0
    """CSV rows with surplus empty cells, which were cut off."""
    extended_rows: int = 0
    """Rows whose surplus cells were kept in the column `_extra`."""
    null_marks: Counter[str] = field(default_factory=Counter)
    """Null mark, such as `NULL` -> number of cells that it made null."""
    null_floats: int = 0
    """Floating-point cells that were NaN and became null."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Column name -> records dropped because it was null."""
    filled: Counter[str] = field(default_factory=Counter)
    """Column name -> nulls that became the empty text."""
    notes: list[str] = field(default_factory=list)
    """Renamed columns, detected tables and other decisions, in words."""

    quiet: bool = False
    """Log nothing, for a read that only inspects the file."""

    def note(self, text: str) -> None:
        """Record a decision once, and log it as a warning."""
        if text in self.notes:
            return
        self.notes.append(text)
        if not self.quiet:
            logger.warning("%s", text)

    def faults(self) -> list[str]:
        """Describe the counts that are not zero."""
        words = {
            "blank_lines": "blank lines passed over",
            "comment_lines": "comment lines passed over",
            "skipped_lines": "lines skipped before the header",
            "padded_rows": "short rows filled up with null",
            "trimmed_rows": "rows with surplus empty cells cut to the header",
            "extended_rows": "rows with surplus cells kept in '_extra'",
            "null_floats": "NaN cells became null",
        }
        lines = [
            f"{getattr(self, name)} {text}" for name, text in words.items() if getattr(self, name)
        ]
        if self.null_marks:
            shown = ", ".join(
                f"{n} cell{'s' * (n != 1)} {mark!r}" for mark, n in sorted(self.null_marks.items())
            )
            lines.append(f"{shown} became null; if they are values, {advise(keep_null_marks=True)}")
        lines += [f"{n} records dropped: {c!r} is null" for c, n in sorted(self.dropped.items())]
        lines += [f"{n} nulls in {c!r} became empty text" for c, n in sorted(self.filled.items())]
        return lines

    def log(self, source: str) -> None:
        """Log one line about a finished read, at WARNING where anything was skipped or dropped.

        Args:
            source: Name of the file, pattern or database.
        """
        faults = self.faults()
        level = logging.WARNING if faults else logging.INFO
        details = "; ".join(faults) if faults else "nothing passed over"
        logger.log(level, "%s: %d records; %s", source, self.records, details)
