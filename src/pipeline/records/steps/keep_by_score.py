"""Keeping the records whose score is high enough."""

from __future__ import annotations

import math

from ....errors import ConfigError
from ....labeling.gates.record_values import read_number
from ..step import Record, RowStep
from .fields import read_mark, require_field


class KeepByScore(RowStep):
    """Marks the records to keep: finite score, not below the least, not kept out before.

    >>> step = KeepByScore(min_score=0.5)
    >>> records = [{"teacher_score": 0.5}, {"teacher_score": 0.4}, {"teacher_score": None}]
    >>> [(r["keep"], r.get("reject_reason")) for r in next(step.process(records))]
    [(True, None), (False, 'score_too_low'), (False, 'missing teacher_score')]
    """

    score_field: str = "teacher_score"
    keep_field: str = "keep"
    min_score: float = 0.5
    respect_existing_keep: bool = True
    """Whether a record that was kept out before stays so; without the field all are eligible."""
    reject_reason_field: str = "reject_reason"
    """Gets the reason for a record that this step keeps out; others stay as they are."""

    def __post_init__(self) -> None:
        """Refuse a least score that no score can be compared with."""
        super().__post_init__()
        if not math.isfinite(self.min_score):
            raise ConfigError([f"min_score is {self.min_score}; give a finite number"])

    @property
    def inputs(self) -> list[str]:
        """The score."""
        return [self.score_field]

    @property
    def outputs(self) -> list[str]:
        """Whether to keep the record, and why not."""
        return [self.keep_field, self.reject_reason_field]

    def apply(self, record: Record) -> Record:
        """Mark a record.

        Raises:
            IdentityError: There is no score.
            DataError: The existing mark is no truth value.
        """
        require_field("KeepByScore", record, self.score_field)
        if self.respect_existing_keep and self.keep_field in record:
            kept = read_mark(record, self.keep_field)
            if not kept:
                return {**record, self.keep_field: False}
        score, reason = read_number(record, self.score_field)
        if score is not None and score < self.min_score:
            reason = "score_too_low"
        if reason:
            return {**record, self.keep_field: False, self.reject_reason_field: reason}
        return {**record, self.keep_field: True}
