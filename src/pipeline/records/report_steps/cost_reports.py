"""`WriteCostReport`: what the answers of a run cost, per record and per kept record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....labeling.batch.label_run import Prices
from ....labeling.gates.record_values import read_flag
from ....labeling.reports.cost import cost_report
from ....labeling.reports.token_statistics import TokenSums
from ..step import Record
from .report_step import ReportStep, read_prices
from .run_tokens import tokens_of_run


class WriteCostReport(ReportStep):
    """Writes `cost_report.json`; as the last step of a pipeline, its records are those kept."""

    report_name: str = "cost_report.json"
    """Name of the file."""
    prices: Prices | Mapping[str, Any] | None = None
    """What a million tokens of prompts and of answers cost: `{"prompt": 0.5, "completion": 1.5}`,
    or such prices by the name of the step; None leaves the money null."""
    currency: str | None = None
    """Currency of the prices, such as "USD"."""
    keep_field: str = "keep"
    """Column that says whether a record is kept; where no record has it, all are."""

    def __post_init__(self) -> None:
        """Check the prices."""
        super().__post_init__()
        self._prices: Prices | dict[str, Prices] | None
        given = self.prices
        if isinstance(given, Mapping) and any(isinstance(p, Mapping) for p in given.values()):
            read = {step: read_prices(price) for step, price in given.items()}
            self._prices = {step: price for step, price in read.items() if price is not None}
        else:
            self._prices = read_prices(given)

    @property
    def report_path(self) -> Path:
        """The file, which belongs to the whole run."""
        return Path(self.report_name)

    def begin(self) -> None:
        """Begin without records."""
        self._tokens = TokenSums()
        self._seen = self._flagged = self._kept = 0

    def observe(self, rows: Sequence[Record]) -> None:
        """Take note of a batch."""
        keep = self.column(self.keep_field)
        for row in rows:
            self._seen += 1
            self._flagged += keep in row
            self._kept += read_flag(row, keep)[0] is True
            self._tokens.add(row)

    def body(self, path: Path) -> Mapping[str, Any]:
        """Give the fields of the report."""
        tokens = tokens_of_run(self._context) or self._tokens
        kept = self._kept if self._flagged else self._seen
        return cost_report(tokens, tokens.records, kept, self._prices, self.currency)
