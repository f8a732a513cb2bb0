"""`WriteQualityReport`: how many records were kept, ran, matched, and how they were judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....labeling.batch.label_run import Prices
from ....labeling.reports.quality import QualityFields, QualityReport
from ..step import Record
from .report_step import StageReportStep, read_prices


class WriteQualityReport(StageReportStep):
    """Writes `quality_report.json`, which `evaluate_quality_gate` reads."""

    reject_reason_field: str = "reject_reason"
    exec_pass_field: str = "exec_pass"
    exec_error_field: str = "exec_error"
    gold_match_field: str = "gold_match"
    empty_match_field: str = "empty_match"
    judge_score_field: str = "judge_score"
    keep_field: str = "keep"
    selected_field: str = "selected"
    prices: Prices | Mapping[str, float] | None = None
    """What a million tokens of prompts and of answers cost (`prompt`, `completion`), for the field
    `cost`; None leaves it null."""
    currency: str | None = None
    """Currency of the prices, such as "USD"."""

    def __post_init__(self) -> None:
        """Check the prices."""
        super().__post_init__()
        self._prices = read_prices(self.prices)

    @property
    def report_path(self) -> Path:
        """`<stage>/quality_report.json`."""
        return Path(self.stage) / "quality_report.json"

    def begin(self) -> None:
        """Begin without records."""
        fields = QualityFields(
            reject_reason=self.column(self.reject_reason_field),
            exec_pass=self.column(self.exec_pass_field),
            exec_error=self.column(self.exec_error_field),
            gold_match=self.column(self.gold_match_field),
            empty_match=self.column(self.empty_match_field),
            judge_score=self.column(self.judge_score_field),
            keep=self.column(self.keep_field),
            selected=self.column(self.selected_field),
        )
        self._quality = QualityReport(fields, prices=self._prices, currency=self.currency)

    def observe(self, rows: Sequence[Record]) -> None:
        """Take note of a batch."""
        self._quality.add(rows)

    def body(self, path: Path) -> Mapping[str, Any]:
        """Give the fields of the report."""
        return self._quality.report()
