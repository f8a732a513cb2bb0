"""What steps that ask a model share: the model, the folder of its calls, and how a run ends."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from ....errors import LabelingStoppedError
from ....labeling.batch.label_run import LabelRun, LabelSettings
from ....labeling.batch.open_folder import OpenFolder
from ....labeling.reports.pilot_price import PilotEstimate, estimate_from_pilot, pilot_rows
from ..step import Record, RunContext, Step, step_name
from .call_folders import cache_root, call_folder, close_shared, open_shared
from .llms import LLM, as_llm

logger = logging.getLogger(__name__)


class AskingStep(Step):
    """A step that asks a model; an answer that arrived is never asked for again.

    All steps and runs that share a cache folder share the answers of a model, by prompt, model and
    decode profile. A row whose calls fail is dead, for the kind of the fault. A fault of the model
    itself (its key is refused, the budget is used up, too many rows fail) raises
    `LabelingStoppedError`; the next run continues from there.
    """

    llm: Any
    """The model: a class of `llms`, or what `open_teacher` takes."""
    cache_dir: str | None = None
    """Folder of the answers; None takes the pipeline's, else `FASTDISTILL_CACHE_DIR`."""
    retry_failed: bool = False
    """Whether to ask again for rows that earlier runs lost to faults of the row, such as an empty
    answer; rows lost to a fault that may have passed are asked for again in any case."""

    is_costly: ClassVar[bool] = True
    unhashed: ClassVar[frozenset[str]] = Step.unhashed | {"cache_dir"}
    role: ClassVar[str] = "teacher"
    """Folder of the calls below the cache folder."""
    input_batch_size: int = 200
    """Rows that are asked about together, 1 or more: the calls of one batch end before those of the
    next begin, so many calls at once want large batches. A run stops between two batches."""

    def __post_init__(self) -> None:
        """Take the model; nothing is opened yet."""
        super().__post_init__()
        self.llm = as_llm(self.llm)
        self._run_cache: Path | None = None
        self._folder: OpenFolder | None = None
        self._call_seconds: list[float] = []

    @property
    def model(self) -> LLM:
        """The model."""
        found: LLM = self.llm
        return found

    @property
    def own_name(self) -> str:
        """The step's name in metadata."""
        return self.name or f"{step_name(self)}_0"

    def enter_run(self, context: RunContext) -> None:
        """Take the cache folder of the run."""
        self._run_cache = context.cache_dir

    def load(self) -> None:
        """Open the model and the folder of its calls."""
        self.model.load()
        self.calls()

    def unload(self) -> None:
        """Close the model and the folder."""
        if self._folder is not None:
            self._call_seconds = self._folder.call_seconds(self.model.teacher())
            close_shared(self._folder)
            self._folder = None
        self.model.unload()

    def calls(self) -> OpenFolder:
        """Return the folder of the model's calls, which `unload` closes."""
        if self._folder is None:
            root = cache_root(self.cache_dir, self._run_cache)
            self._folder = open_shared(call_folder(root, self.role, self.model.teacher().name))
        return self._folder

    def estimate(self, pilot: Iterable[Record], rows: int) -> PilotEstimate:
        """Estimate what all rows will cost and how long they will take.

        Args:
            pilot: Records that this step has answered, in this process where times are wanted.
            rows: Number of all rows that the step will be given, those of the pilot included.

        Raises:
            EmptyDataError: No record has token statistics of this step.
        """
        found = pilot_rows(pilot, self.own_name)
        seconds = self._call_seconds
        if self._folder is not None:
            seconds = self._folder.call_seconds(self.model.teacher())
        limits = self.limits()
        return estimate_from_pilot(
            found,
            max(rows * self.records_per_row, len(found)),
            prices=limits.prices,
            price_factor=self.price_factor,
            settings=limits,
            call_seconds=seconds,
            calls_per_row=self.calls_per_record,
        )

    @property
    def records_per_row(self) -> int:
        """Records with statistics of their own that the step makes of a row."""
        return 1

    @property
    def calls_per_record(self) -> int:
        """Calls whose statistics a record holds."""
        return 1

    @property
    def price_factor(self) -> float:
        """Price of an answer divided by that of a single call."""
        return 1.0

    def limits(self) -> LabelSettings:
        """Return the limits of the calls."""
        return self.model.limits.label_settings(retry_failed=self.retry_failed)

    def process(self, *inputs: list[Record]) -> Iterator[list[Record]]:
        """Work on a batch, and yield the records that are not lost; the log counts the others."""
        was_open = self._folder is not None
        try:
            output = self.run_rows(*inputs)
        finally:
            if not was_open:
                self.unload()
        lost = Counter(loss.reason for loss in (*output.dead, *output.rejected))
        if lost:
            told = ", ".join(f"{count} x {reason}" for reason, count in lost.most_common())
            logger.warning("%s lost %d rows: %s", self.own_name, lost.total(), told)
        yield output.records

    def __getstate__(self) -> dict[str, Any]:
        """Leave open folders out of copies and of what is sent to workers."""
        above = getattr(super(), "__getstate__")()  # noqa: B009 - of Step, or of object
        return {**(above or self.__dict__), "_folder": None}


def require_end(run: LabelRun) -> None:
    """Check that a run came to its end.

    Raises:
        LabelingStoppedError: It was stopped; the message says why, and what was done.
    """
    if run.stopped is not None:
        done, all_tasks = run.numbers.labelled + run.numbers.failed, run.numbers.records
        raise LabelingStoppedError(
            f"the model was asked no further ({run.stopped}) after {done} of {all_tasks} calls of "
            f"this batch: {run.message}. Its answers are kept; run again to continue from there"
        )
