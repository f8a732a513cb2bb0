"""What the steps that write a report share: its run, its folder, and that no run's is replaced."""

from __future__ import annotations

import dataclasses
import math
import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from ....errors import ConfigError, did_you_mean
from ....labeling.batch.label_run import Prices
from ....labeling.reports.report_files import require_own_report, write_report
from ..step import ObserverStep, Record, RunContext

RUN_ID_ENV: Final = "FASTDISTILL_RUN_ID"
REPORTS: Final = "artifacts/reports"


class RunFolderStep(ObserverStep):
    """Writes files that belong to a run.

    In a pipeline they lie in the run's folder, `<artifacts>/<run_id>/`, unless another `output_dir`
    than the default is given; outside a pipeline they lie in `output_dir`. There, a file of another
    run is never replaced.
    """

    output_dir: str = REPORTS
    """Folder of the files."""

    run_subfolder: ClassVar[str] = ""
    """Folder of the files in the run's folder."""

    def __post_init__(self) -> None:
        """Refuse to be without a folder."""
        super().__post_init__()
        if not self.output_dir:
            raise ConfigError([f"{type(self).__name__} requires output_dir to be set."])
        self._context = RunContext()

    @property
    def named_run(self) -> str | None:
        """The run that the files name: the pipeline's, or else that of `FASTDISTILL_RUN_ID`."""
        return self._context.run_id or os.environ.get(RUN_ID_ENV) or None

    def below(self, path: str | Path) -> Path:
        """Give the place of a file: below the run's folder, or below `output_dir`."""
        explicit = self.output_dir != type(self).output_dir
        if explicit or self._context.folder is None:
            return Path(self.output_dir) / path
        return self._context.folder / self.run_subfolder / path


class ReportStep(RunFolderStep):
    """Writes one JSON report about the records of a stage."""

    run_id: str | None = None
    """Run that the report names; None takes the pipeline's, or else that of `run_id_env`."""
    run_id_env: str = RUN_ID_ENV
    """Environment variable that names the run."""

    @property
    @abstractmethod
    def report_path(self) -> Path:
        """Path of the report below its folder."""

    @property
    def head(self) -> dict[str, Any]:
        """First fields of the report."""
        return {"run_id": self.named_run}

    @abstractmethod
    def begin(self) -> None:
        """Begin a new report."""

    @abstractmethod
    def body(self, path: Path) -> Mapping[str, Any]:
        """Give the fields of the report that will be written to `path`."""

    @property
    def named_run(self) -> str | None:
        """The run that the report names."""
        own = os.environ.get(self.run_id_env) or None
        return self.run_id or (own if self.run_id_env != RUN_ID_ENV else None) or super().named_run

    def start(self, context: RunContext) -> None:
        """Begin a report; see `ObserverStep.start`.

        Raises:
            ConfigError: The file is there and belongs to another run.
        """
        self._context = context
        require_own_report(self.below(self.report_path), self.named_run)
        self.begin()

    def finish(self) -> list[Path]:
        """Write the report."""
        path = self.below(self.report_path)
        return [write_report(path, self.head, self.body(path), partial=self._context.partial)]

    def column(self, field: str) -> str:
        """Give the column of the records that a field of the step stands for."""
        return self.input_mappings.get(field, field)

    def _read(self, row: Record) -> Record:
        """Give the record as it is, since the report is about its columns; see `column`."""
        return row


class StageReportStep(ReportStep):
    """Writes a report that lies in a folder of its stage."""

    stage: str = "stage"
    """Stage that the report names, and folder below the run's."""

    @property
    def head(self) -> dict[str, Any]:
        """First fields of the report."""
        return {"run_id": self.named_run, "stage": self.stage}


def read_prices(prices: Prices | Mapping[str, float] | None) -> Prices | None:
    """Read prices that may come from a file, as `{"prompt": 0.5, "completion": 1.5}`.

    Raises:
        ConfigError: A key is unknown, or a price is negative or not finite.
    """
    if prices is None or isinstance(prices, Prices):
        return prices
    known = [one.name for one in dataclasses.fields(Prices)]
    faults = [f"prices has no {key!r}; {did_you_mean(key, known)}" for key in prices
              if key not in known]  # fmt: skip
    faults += [
        f"the price {key} is {price!r}; allowed is 0 or more"
        for key, price in prices.items()
        if isinstance(price, bool)
        or not isinstance(price, int | float)
        or not 0 <= price < math.inf
    ]
    if faults:
        raise ConfigError(faults)
    return Prices(**prices)
