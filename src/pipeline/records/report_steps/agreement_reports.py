"""`WriteScoreAgreementReport`: how far a student's scores are from its teacher's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from ....labeling.reports.score_agreement import EPSILONS, ScoreAgreement
from ..step import Record
from .report_step import StageReportStep


class WriteScoreAgreementReport(StageReportStep):
    """Writes `score_agreement.json`."""

    stage: str = "score_agreement"
    teacher_score_field: str = "teacher_score"
    student_score_field: str = "student_score"
    agreement_epsilons: list[float] = field(default_factory=lambda: list(EPSILONS))
    """Largest differences for which the share of agreeing records is given, 0 or more."""
    pass_threshold: float | None = None
    """Score from which a record passes; None leaves this comparison out."""

    def __post_init__(self) -> None:
        """Check the largest differences."""
        super().__post_init__()
        ScoreAgreement(self.agreement_epsilons)

    @property
    def report_path(self) -> Path:
        """`<stage>/score_agreement.json`."""
        return Path(self.stage) / "score_agreement.json"

    def begin(self) -> None:
        """Begin without records."""
        self._agreement = ScoreAgreement(self.agreement_epsilons, self.pass_threshold)

    def observe(self, rows: Sequence[Record]) -> None:
        """Take note of a batch."""
        teacher, student = (
            self.column(self.teacher_score_field),
            self.column(self.student_score_field),
        )
        for row in rows:
            self._agreement.add(row.get(teacher), row.get(student))

    def body(self, path: Path) -> Mapping[str, Any]:
        """Give the fields of the report."""
        return self._agreement.report()
