"""Definition of a run: a table, its gold answers, a seed, a system and its settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Student = Literal["small", "tiny", "half of teacher"]
Labels = Literal["gold", "teacher", "teacher, each", "gold or teacher"]
Source = Literal["none", "cache", "model"]


@dataclass(frozen=True)
class Recipe:
    """How a student is trained."""

    student: Student = "small"
    labels: Labels = "teacher"
    """The text that is trained on: `gold` where it is known and nothing else; the `teacher`'s text
    for every question; `teacher, each`, its text for every varied copy of a question; `gold or
    teacher`, gold where it is known."""
    source: Source = "none"
    """Of soft targets."""
    alpha: float = 0.0
    temperature: float = 1.0
    objective: str = "forward_kl"
    alpha_end: float | None = None
    temperature_end: float | None = None
    calibrated: bool = False
    """Whether the teacher was brought to the right confidence on the validation questions."""
    steps: int = 300
    rate: float = 8e-3
    """Of Muon; AdamW has three quarters of it."""

    @property
    def name(self) -> str:
        """The settings that differ from the first recipe there is, as a file name."""
        plain = asdict(Recipe())
        told = [f"{k}={v}" for k, v in asdict(self).items() if v != plain[k]]
        return ",".join(told).replace(" ", "_") or "plain"

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Cell:
    """A task with the gold that is there, and a seed: one teacher and all that learns from it."""

    task: str
    gold: str
    seed: int

    @property
    def folder(self) -> str:
        """Where its runs are kept."""
        return f"{self.task}/{self.gold.replace(' ', '-')}/{self.seed}"


@dataclass(frozen=True)
class Shape:
    """Of a Llama decoder with tied embeddings."""

    width: int
    layers: int
    heads: int


TEACHER: Final = Shape(128, 3, 2)
STUDENTS: Final = {"small": Shape(64, 2, 1), "tiny": Shape(32, 2, 1)}
VOCABULARY: Final = 768
"""Tokens; a teacher of 0.66M and a small student of 0.14M parameters."""
MAX_LENGTH: Final = 40
"""Tokens of question and answer; of longer questions the beginning is cut."""
BATCH_SIZE: Final = 64
TEMPERATURES: Final = (1.0, 1.5, 2.0, 4.0)
"""Of the teacher cache."""
KEPT: Final = 64
"""Ids that the cache keeps per position."""

TEACHER_STEPS: Final = {"banking77": 240, "chinook": 120, "countries": 300}
TEACHER_RATES: Final = {"5%": 4e-3}
"""Where it is not `TEACHER_RATE`."""
TEACHER_RATE: Final = 6e-3
