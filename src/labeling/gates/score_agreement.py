"""How far the scores, or answers, of teacher and student agree: per record, and over a stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...errors import ConfigError
from ...inference.system_pair.final_answers import final_answer, same_answer
from .record_values import read_number, read_text
from .verdict import OK, Verdict

_ROUNDING: Final = 1e-12
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
        passed = abs(scores[0] - scores[1]) <= self.epsilon + _ROUNDING
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


def score_agreement(
    teacher: Sequence[Any],
    student: Sequence[Any],
    *,
    agreement_epsilons: Sequence[float] = (0.0, 0.05, 0.1, 0.2),
    pass_threshold: float | None = None,
) -> dict[str, Any]:
    """Compute the fields of `score_agreement.json`, without those of the run.

    Args:
        teacher: Scores, one per record. Nulls, truth values, texts and numbers that are not finite
            count as missing.
        student: Likewise, for the same records.
        agreement_epsilons: Largest differences for which the share of agreeing pairs is given.
        pass_threshold: Score from which a record passes, for `pass_agreement`; None leaves it out.

    Returns:
        `total`, `matched`, `missing`; with a pair also `teacher_mean`, `student_mean`, `mae`,
        `rmse`, `agreement_at_<epsilon>`, `pearson`, `spearman` (None for fewer than two pairs, or
        if one side is constant), and with a threshold `pass_threshold` and `pass_agreement`.

    Raises:
        ValueError: The two are of different length.
    """
    if len(teacher) != len(student):
        raise ValueError(
            f"there are {len(teacher)} scores of the teacher and {len(student)} of the student; "
            "give one of each per record, None where there is none"
        )
    read = [
        (read_number({"": first}, "")[0], read_number({"": second}, "")[0])
        for first, second in zip(teacher, student, strict=True)
    ]
    pairs = [(first, second) for first, second in read if first is not None and second is not None]
    found: dict[str, Any] = {
        "total": len(read),
        "matched": len(pairs),
        "missing": len(read) - len(pairs),
    }
    if not pairs:
        return found
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    errors = [abs(first - second) for first, second in pairs]
    found["teacher_mean"], found["student_mean"] = _mean(ours), _mean(theirs)
    found["mae"] = _mean(errors)
    found["rmse"] = math.sqrt(_mean([error * error for error in errors]))
    for epsilon in agreement_epsilons:
        near = sum(error <= epsilon + _ROUNDING for error in errors)
        found[f"agreement_at_{float(epsilon)}"] = near / len(errors)
    found["pearson"] = _correlation(ours, theirs)
    found["spearman"] = _correlation(_ranks(ours), _ranks(theirs))
    if pass_threshold is not None:
        same = sum((a >= pass_threshold) == (b >= pass_threshold) for a, b in pairs)
        found |= {"pass_threshold": pass_threshold, "pass_agreement": same / len(pairs)}
    return found


def _named(reason: str, field: str) -> str:
    return reason if reason.startswith("missing") else f"{field} {reason}"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Compute Pearson's correlation; None if it is not defined."""
    means = _mean(first), _mean(second)
    a, b = [value - means[0] for value in first], [value - means[1] for value in second]
    spread = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(y * y for y in b))
    if len(set(first)) < 2 or len(set(second)) < 2 or spread == 0.0 or not math.isfinite(spread):
        return None
    return max(-1.0, min(1.0, math.fsum(x * y for x, y in zip(a, b, strict=True)) / spread))


def _ranks(values: Sequence[float]) -> list[float]:
    """Rank values from 1, equal ones with the average of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + 1 + end) / 2
        start = end
    return ranks
