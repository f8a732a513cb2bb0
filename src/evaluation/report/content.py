"""What a report says: a title, a conclusion, and sections of blocks.

    report = Report("A student of stars.csv", ("It is right ...", "It takes ..."), sections)
    write_report(report, "outputs/stars")        # report.html, report.json, report.md

The three files are made from the same object. A section without data says why in `missing`, and
what to run to get it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Paragraph:
    """A sentence or several."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Terms with their values."""

    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """Cells as texts; the first column names the row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """One bar, with its interval if there is one."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    is_main: bool = False
    """Whether it is the one that the report is about."""


@dataclass(frozen=True)
class Bars:
    """Horizontal bars on one scale that starts at 0."""

    caption: str
    bars: tuple[Bar, ...]
    unit: str = "%"
    most: float | None = None
    """End of the scale; None takes the longest bar."""


@dataclass(frozen=True)
class Line:
    """A line through points; with `is_points` the points alone."""

    name: str
    points: tuple[tuple[float, float], ...]
    is_points: bool = False
    labels: tuple[str, ...] = ()
    """Text at each point; empty for none."""


@dataclass(frozen=True)
class Lines:
    """Lines over one pair of axes."""

    caption: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_range: tuple[float, float] | None = None
    """None takes that of the points."""
    y_range: tuple[float, float] | None = None
    diagonal: bool = False
    """Whether to draw where both axes have the same value."""


@dataclass(frozen=True)
class Matrix:
    """Shares, 0 to 1, of rows and columns with the same names."""

    caption: str
    names: tuple[str, ...]
    cells: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Said:
    """What one model answered."""

    model: str
    text: str
    right: bool | None = None
    """None where an answer is neither right nor wrong, such as a score."""


@dataclass(frozen=True)
class Asked:
    """A question, its right answer, and what models answered."""

    question: str
    gold: str
    said: tuple[Said, ...]
    category: str = ""
    gold_name: str = "right answer"
    """What `gold` is called."""


@dataclass(frozen=True)
class Answers:
    """Questions with answers, side by side."""

    asked: tuple[Asked, ...]


Block = Paragraph | Bullets | Facts | Table | Bars | Lines | Matrix | Answers


@dataclass(frozen=True)
class Section:
    """A part of the report with its heading."""

    name: str
    """For links: lower case, without blanks."""
    title: str
    look: str
    """One sentence that says what to look at."""
    blocks: tuple[Block, ...] = ()
    missing: str = ""
    """Why there is no data, and what to run to get it; empty where there is some."""


@dataclass(frozen=True)
class Report:
    """Everything that a report says."""

    title: str
    conclusion: tuple[str, ...]
    """Two sentences."""
    sections: tuple[Section, ...]
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """The same measurements as JSON values, by name."""

    def to_dict(self) -> dict[str, Any]:
        """Give the report as JSON values; each block names its kind."""
        return {
            "schema_version": SCHEMA_VERSION,
            "title": self.title,
            "conclusion": list(self.conclusion),
            "numbers": dict(self.numbers),
            "sections": [
                {
                    "name": section.name,
                    "title": section.title,
                    "look": section.look,
                    "missing": section.missing,
                    "blocks": [
                        {"kind": type(block).__name__.lower(), **asdict(block)}
                        for block in section.blocks
                    ],
                }
                for section in self.sections
            ],
        }


def section(
    name: str, title: str, look: str, blocks: Sequence[Block | None], missing: str = ""
) -> Section:
    """Make a section of the blocks that there are; without any, of the reason."""
    there = tuple(block for block in blocks if block is not None)
    return Section(name, title, look, there, "" if there else missing)
