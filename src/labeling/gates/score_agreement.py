"""Whether the scores, or answers, of teacher and student agree; over a stage, see `reports`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...errors import ConfigError
from ...inference.system_pair.final_answers import final_answer, same_answer
from .record_values import read_number, read_text
from .verdict import OK, Verdict

ROUNDING: Final = 1e-12
"""Added to a largest difference: in floats 0.8 - 0.7 > 0.1."""


@dataclass(frozen=True)
class ScoreAgreementGate:
    """Passes records whose two scores differ by little."""

    epsilon: float
    """Largest difference, 0 or more."""
    teacher_score_field: str = "teacher_score"
    student_score_field: str = "student_score"
    name: str = "score_agreement"

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise ConfigError([f"epsilon is {self.epsilon}; allowed is 0 or more"])

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Check a record.

        Returns:
            A verdict with `ok`, `disagree`, or what is wrong with a score: `missing <field>`,
            `<field> not_finite`, `<field> not_a_number`.
        """
        scores = []
        for field in (self.teacher_score_field, self.student_score_field):
            score, reason = read_number(record, field)
            if score is None:
                return Verdict(self.name, False, _named(reason, field))
            scores.append(score)
        passed = abs(scores[0] - scores[1]) <= self.epsilon + ROUNDING
        return Verdict(self.name, passed, OK if passed else "disagree")


@dataclass(frozen=True)
class AnswerAgreementGate:
    """Passes records to which teacher and student give the same final answer."""

    teacher_field: str = "generation"
    student_field: str = "student_generation"
    name: str = "answer_agreement"

    def judge(self, record: Mapping[str, Any]) -> Verdict:
        """Check a record: equal as numbers, or as words without regard to case.

        Returns:
            A verdict with `ok`, `disagree`, `<field> empty_output` or what is wrong with a text:
            `missing <field>`, `<field> not_finite`, `<field> not_text`.
        """
        answers = []
        for field in (self.teacher_field, self.student_field):
            text, reason = read_text(record, field)
            if text is None:
                return Verdict(self.name, False, _named(reason, field))
            answers.append(final_answer(text))
            if not answers[-1]:
                return Verdict(self.name, False, f"{field} empty_output")
        passed = same_answer(*answers)
        return Verdict(self.name, passed, OK if passed else "disagree")


def _named(reason: str, field: str) -> str:
    return reason if reason.startswith("missing") else f"{field} {reason}"
