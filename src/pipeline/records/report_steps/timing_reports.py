"""`MarkTime` and `WriteTimingReport`: where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ....errors import ConfigError, DataError
from ....labeling.reports.derived_metrics import (
    pipeline_kept_samples_per_hour,
    teacher_tokens_per_sec,
)
from ....labeling.reports.timing import TimingReport
from ....labeling.reports.token_statistics import TokenSums
from ..step import Record, Step
from .report_step import ReportStep
from .run_tokens import tokens_of_run


class MarkTime(Step):
    """Notes the time at which a batch comes by, in each of its records."""

    label: str
    """Name of the mark, such as "teacher"."""
    timing_field: str = "timing"
    """Column of the marks: an object of label -> seconds since 1970."""

    def __post_init__(self) -> None:
        """Refuse to be without a label."""
        super().__post_init__()
        if not self.label:
            raise ConfigError(["MarkTime requires label to be set."])

    @property
    def outputs(self) -> list[str]:
        """The column of the marks."""
        return [self.timing_field]

    @property
    def time_columns(self) -> list[str]:
        """The column of the marks."""
        return [self.timing_field]

    def process(self, *inputs: list[Record]) -> Iterator[list[Record]]:
        """Mark a batch, all of its records with the same time."""
        (records,) = inputs
        now = time.time()
        yield [self._marked(record, now) for record in records]

    def _marked(self, record: Record, now: float) -> Record:
        marks = record.get(self.timing_field)
        if marks is None:
            marks = {}
        if not isinstance(marks, Mapping):
            raise DataError(f"column {self.timing_field!r} holds {marks!r}; MarkTime needs it")
        return {**record, self.timing_field: {**marks, self.label: now}}


class WriteTimingReport(ReportStep):
    """Writes `timing_report.json`: times between marks, and the rates that follow from them."""

    report_name: str = "timing_report.json"
    """Name of the file."""
    ordered_labels: list[str]
    """Labels of `MarkTime` steps, in the order in which records pass them."""
    timing_field: str = "timing"
    """Column of the marks."""
    teacher_label: str = "teacher"
    """Label after the teacher, for `teacher_tokens_per_sec`."""
    teacher_step: str | None = None
    """Step whose output tokens count for it; None takes the first that asked a model."""

    def __post_init__(self) -> None:
        """Check the labels."""
        super().__post_init__()
        TimingReport(self.ordered_labels)

    @property
    def report_path(self) -> Path:
        """The file, which belongs to the whole run."""
        return Path(self.report_name)

    def begin(self) -> None:
        """Begin without records."""
        self._timing = TimingReport(self.ordered_labels, self.column(self.timing_field))
        self._tokens = TokenSums()

    def observe(self, rows: Sequence[Record]) -> None:
        """Take note of a batch."""
        self._timing.add(rows)
        for row in rows:
            self._tokens.add(row)

    def body(self, path: Path) -> Mapping[str, Any]:
        """Give the fields of the report."""
        found = self._timing.report()
        tokens = tokens_of_run(self._context) or self._tokens
        step = self.teacher_step or next(iter(tokens.steps), "")
        written = tokens.steps[step][1] if step in tokens.steps else None
        busy_s = found["busy_s"].get(self.teacher_label)
        kept = self._timing.total.count
        return {
            **found,
            "output_tokens": written,
            "kept": kept,
            "teacher_tokens_per_sec": teacher_tokens_per_sec(written, busy_s),
            "pipeline_kept_samples_per_hour": pipeline_kept_samples_per_hour(kept, found["wall_s"]),
        }
