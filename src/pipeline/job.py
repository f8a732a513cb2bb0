"""What the main job is asked to do: plain values, one field per option of the command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ConfigError

ELEMENTS = Path(__file__).resolve().parents[1] / "data" / "elements.csv"
"""The bundled table: what a job without data is about."""
STARTER = "starter"
"""Teacher that is trained from scratch on the table."""


@dataclass(frozen=True)
class Recipe:
    """How long and how fast things are trained; the defaults were tuned on the bundled table's
    size."""

    teacher_exposures: float = 49.0
    """How often the teacher sees each fact, all tasks and phrasings together."""
    student_exposures: float = 23.5
    """How often each student sees each fact."""
    batch_tokens: int = 2048
    """Tokens per optimizer step; the batch is made as large as they allow, 64 examples at most."""
    teacher_least_steps: int = 800
    """Optimizer steps of the teacher on the smallest table: what judging takes however few the
    facts."""
    student_least_steps: int = 400
    """Optimizer steps of each student on the smallest table."""
    learning_rate: float = 4.8e-3
    """Of embeddings and norms (AdamW)."""
    matrix_learning_rate: float = 2.4e-3
    """Of the matrices inside the layers (Muon)."""
    decay_ratio: float = 0.6
    """Share of the steps in which the learning rates fall. Judging answers is learned late and in
    small steps: falling rates from the middle on were worth more than higher ones."""
    temperature: float = 1.0
    alpha: float = 0.5

    def scaled(self, effort: float) -> Recipe:
        """Give the recipe with so many times the steps; below 1 for a quick look.

        Raises:
            ConfigError: `effort` is not above 0.
        """
        if not 0.0 < effort < float("inf"):
            raise ConfigError([f"effort is {effort!r}; allowed is a number above 0"])
        return replace(
            self,
            teacher_exposures=self.teacher_exposures * effort,
            student_exposures=self.student_exposures * effort,
            teacher_least_steps=max(1, round(self.teacher_least_steps * effort)),
            student_least_steps=max(1, round(self.student_least_steps * effort)),
        )


@dataclass(frozen=True)
class MainJob:
    """What is made from what. Field names are the command's options."""

    data: str = str(ELEMENTS)
    """File, folder, pattern, SQLite file or SQLAlchemy URL."""
    query: str | None = None
    """SELECT, for a database."""
    table: str | None = None
    """Table to read whole, for a database."""
    records_path: str | None = None
    """Keys that lead to the records in nested JSON."""
    question: str | None = None
    answer: str | None = None
    context: str | None = None
    key: str | None = None
    """Column that names a record."""
    columns: tuple[str, ...] | None = None
    """Columns to ask about."""
    rows: int | None = None
    """Read the first so many records; None for all."""
    templates: tuple[str, ...] | None = None
    """Question templates with {key} and {label}."""
    also_called: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> what people say for it too, e.g. `{"area": ("size", "how big")}`."""
    teacher: str = STARTER
    """`starter`, a checkpoint folder, or the name of a causal model on the hub."""
    student: str | None = None
    """A folder or name; None makes the student from every second layer of the teacher."""
    gold_share: float = 0.5
    """Share of the facts whose gold answers the student may see; the teacher labels the rest."""
    seed: int = 0
    output_dir: str | None = None
    """Run folder; `outputs/<name of the data>` when None."""
    max_minutes: float | None = 60.0
    """A job that is estimated to take longer is refused before it begins, or asked for at a
    terminal; None for no limit."""
    device: str | None = None
    controls: bool = True
    """Train the control rows too."""
    recipe: Recipe = field(default_factory=Recipe)

    def run_dir(self) -> Path:
        """Give the folder that everything is written to."""
        if self.output_dir:
            return Path(self.output_dir)
        name = Path(self.data.split("://")[-1].split("?")[0]).name.split(".")[0]
        return Path("outputs") / (self.table or name or "run")
