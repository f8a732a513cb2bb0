"""Settings of the text-to-SQL job: plain values, one field per option of the example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...errors import ConfigError
from ..options import LARGEST_SEED, is_number

DEFAULT_FOLDER: Final = "outputs/text_to_sql"


@dataclass(frozen=True)
class TextToSqlJob:
    """Settings of the job.

    Raises:
        ConfigError: Values are out of range; lists all faults.
    """

    teacher: str = "smollm2"
    """Alias, folder or hub name of a causal model, which is taught first."""
    questions: int = 1000
    """Training questions in all, about the databases to train on."""
    gold_share: float = 0.6
    """Share of them that teach the teacher, with gold SQL; the teacher answers the others."""
    measured: int = 100
    """Questions about the databases that nobody is trained on."""
    effort: float = 1.0
    """Factor on the steps of all trainings."""
    batch: int = 16
    """Examples per optimizer step."""
    teacher_passes: float = 2.0
    """How often the teacher sees each question with gold SQL."""
    student_passes: float = 1.0
    """How often each student sees each question."""
    teacher_rate: float = 2e-3
    """Learning rate of the teacher's adapter."""
    student_rate: float = 7e-4
    """Learning rate of each student."""
    lora_rank: int = 16
    """Rank of the teacher's adapter; its alpha is twice the rank. 0 trains all weights."""
    temperature: float = 1.0
    """Temperature of the soft targets."""
    alpha: float = 0.5
    """Weight of the soft targets, 0 to 1."""
    min_score: float = 1.0
    """Least score of a teacher's answer that the student learns from: 1.0 gives gold's rows, 0.5
    runs."""
    max_new_tokens: int = 96
    """Most tokens of an answer."""
    seed: int = 0
    """Seed of questions and trainings, 0 to 4,294,967,295."""
    output_dir: str | None = None
    """Run folder; None takes `outputs/text_to_sql`."""
    max_minutes: float | None = 45.0
    """Longest estimated time in minutes; None sets no limit."""
    device: str | None = None
    """`cpu` or `cuda`; None takes CUDA if it is available."""
    threads: int | None = None
    """Number of torch threads; None takes `OMP_NUM_THREADS`, else the number of idle cores."""

    def __post_init__(self) -> None:
        """Refuse values out of range, all at once."""
        whole = ("questions", "measured", "batch", "max_new_tokens")
        above = ("effort", "teacher_passes", "student_passes", "teacher_rate", "student_rate",
                 "temperature")  # fmt: skip
        checks = [
            *((name, type(getattr(self, name)) is int and getattr(self, name) >= 1,
               "a whole number from 1 on") for name in whole),
            *((name, is_number(getattr(self, name), 0, above=True), "a number above 0")
              for name in above),
            ("gold_share", is_number(self.gold_share, 0, 1) and 0 < self.gold_share < 1,
             "between 0 and 1"),
            ("alpha", is_number(self.alpha, 0, 1), "0 to 1"),
            ("min_score", is_number(self.min_score, 0, 1), "0 to 1"),
            ("lora_rank", type(self.lora_rank) is int and self.lora_rank >= 0,
             "a whole number from 0 on"),
            ("seed", type(self.seed) is int and 0 <= self.seed <= LARGEST_SEED,
             f"0 to {LARGEST_SEED}"),
        ]  # fmt: skip
        faults = [
            f"{name} is {getattr(self, name)!r}; allowed is {allowed}"
            for name, fine, allowed in checks
            if not fine
        ]
        if faults:
            raise ConfigError(faults)

    def folder(self) -> str:
        """Return the run folder."""
        return self.output_dir or DEFAULT_FOLDER

    @property
    def taught(self) -> int:
        """Count the questions with gold SQL, 1 or more."""
        return max(1, round(self.questions * self.gold_share))

    @property
    def asked(self) -> int:
        """Count the questions that the teacher answers, 1 or more."""
        return max(1, self.questions - self.taught)

    @property
    def teacher_steps(self) -> int:
        """Count the optimizer steps of the teacher."""
        return max(1, round(self.effort * self.taught * self.teacher_passes / self.batch))

    @property
    def student_steps(self) -> int:
        """Count the optimizer steps of each student."""
        return max(1, round(self.effort * self.questions * self.student_passes / self.batch))
