"""The plan for writing and checking wordings, and the result for each wording."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

from ...errors import require_settings
from ...files import read_json_lines, write_json_lines
from ...tables import FactTable

Origin = Literal["teacher", "frame", "label frame"]
"""Source of a wording: a teacher, a frame without the column's name, or a frame with it."""
_WRITTEN: Final[Mapping[Origin, str]] = {
    "teacher": "by the teacher",
    "frame": "from frames",
    "label frame": "from frames with the column's name",
}
DUPLICATE: Final = "it is a duplicate"
OTHER_COLUMN: Final = "another column is as near to it"
OTHER_KIND: Final = "it asks for another kind of value"
TWICE: Final = "it was written for two columns"
UNKNOWN: Final = "the teacher knows no record of this column"
DISAGREES: Final = "the teacher's answers are not the cells"
MANY: Final = "there are enough for this column"
NO_TIME: Final = "the time was used up"
STOPPED: Final = "the teacher stopped answering"
UNJUDGED: Final = frozenset({MANY, NO_TIME, STOPPED})
"""Reasons that do not mean that a wording is bad."""
TRIED_ROWS: Final = 3
"""Records that are tried for each known record that is needed."""
TRIED_WORDINGS: Final = 2
"""Most wordings that are checked for each wording that is wanted."""


@dataclass(frozen=True)
class WordingPlan:
    """How many wordings to write, and how strictly to check them."""

    wanted: int = 40
    """Number of accepted wordings per column; no more are checked after them."""
    calls: int = 12
    """Calls of the writer per column; 0 uses frames only."""
    per_call: int = 8
    """Wordings that each call asks for."""
    frames: bool = True
    """Whether to use the project's frames, which are English."""
    margin: float = 0.02
    """Least lead of a teacher's wording: its cosine to its own column minus the next highest."""
    records: int = 4
    """Number of records that the teacher answers each wording for."""
    least_agreement: float = 0.75
    """Least share of right answers, above 0 to 1."""
    most_minutes: float | None = 10.0
    """Minutes after which no more wordings are checked; None sets no limit."""
    seed: int = 0
    """Seed of the records and of the order of the wordings."""

    def __post_init__(self) -> None:
        """Refuse settings out of range, all at once."""
        minutes = self.most_minutes
        checks = (
            ("wanted", self.wanted >= 1, "1 or more"),
            ("calls", self.calls >= 0, "0 or more"),
            ("per_call", self.per_call >= 1, "1 or more"),
            ("margin", -2 <= self.margin <= 2, "-2 to 2"),
            ("records", self.records >= 1, "1 or more"),
            ("least_agreement", 0 < self.least_agreement <= 1, "above 0 to 1"),
            ("most_minutes", minutes is None or minutes > 0, "above 0, or None"),
        )
        require_settings(self, checks)

    def most_calls(self, table: FactTable, *, writes: bool, checks: bool) -> tuple[int, int]:
        """Count the most calls that a table can need, for an estimate of the time.

        Args:
            table: The table.
            writes: Whether there is a writer.
            checks: Whether there is a teacher that answers the wordings.

        Returns:
            Calls that write (about 15 tokens per wording), and calls that answer a question.
        """
        columns = sum(bool(column.templates) for column in table.columns)
        per_column = self.records * (TRIED_ROWS + TRIED_WORDINGS * self.wanted)
        return self.calls * columns * writes, per_column * columns * checks


@dataclass(frozen=True)
class WordingResult:
    """A wording, and why it was accepted or rejected."""

    column: str
    wording: str
    """With `{key}` for the record."""
    origin: Origin
    reason: str | None = None
    """Why it was rejected; None if it was accepted."""
    margin: float | None = None
    """Its cosine to its own column minus the next highest; None if its meaning was not judged."""
    agreement: float | None = None
    """Share of right answers, 0 to 1; None if the teacher did not answer it."""


@dataclass(frozen=True)
class Wordings:
    """The outcome of `write_wordings`."""

    results: tuple[WordingResult, ...]
    calls: Mapping[str, int] = field(default_factory=dict)
    """Number of calls that wrote (`written`) and answered (`asked`), including cached ones."""
    message: str = ""
    """Why the run ended early; empty if it did not."""

    @property
    def templates(self) -> dict[str, tuple[str, ...]]:
        """Column -> its accepted wordings, with `{key}` for the record."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for one in self.results:
            if one.reason is None:
                found[one.column].append(one.wording)
        return {column: tuple(wordings) for column, wordings in found.items()}

    def describe(self) -> str:
        """Describe the outcome in one line."""
        why = f" ({self.message})" if self.message else ""
        counts = sorted(map(len, self.templates.values()))
        if not counts:
            return f"no further wordings{why}"
        by = Counter(one.origin for one in self.results if one.reason is None)
        told = ", ".join(f"{by[origin]:,} {words}" for origin, words in _WRITTEN.items()
                         if by[origin])  # fmt: skip
        rejected = sum(one.reason not in {None, *UNJUDGED} for one in self.results)
        each = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else f"{counts[0]}"
        return (
            f"{sum(counts):,} wordings of {len(counts)} columns, {each} each: {told}; "
            f"{rejected:,} rejected{why}"
        )

    def write(self, path: str | Path) -> None:
        """Write all results as JSON Lines, atomically."""
        write_json_lines(Path(path), [asdict(one) for one in self.results])

    @classmethod
    def read(cls, path: str | Path) -> Wordings:
        """Read the results that `write` wrote."""
        return cls(tuple(WordingResult(**one) for one in read_json_lines(path)))
