"""The teacher's side of a batch from a cache, found by what a sequence is and never by its place.

The key is taken from the token ids of each batch, so shuffling, packing, accumulation, another
batch size and a resumed epoch change nothing. That costs some microseconds a sequence, and no
column beside the labels has to find its way through loaders and processes.

Sizes: N supervised positions of a batch in reading order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ConfigError, DataError
from ..batches.forward import Batch, document_spans
from ..batches.model_kinds import model_kind
from ..losses.teacher_rows import SparseTeacherRows
from ..setting_names import IGNORED
from .cache_format import sequence_key
from .cache_reader import Rows, TeacherCache, Tempered


class CachedTeacher:
    """A `TeacherSignal` that reads a cache; no teacher is loaded.

    Args:
        cache: Of the same tokenised data.
        loss_fn: As `DistillationLoss`; its temperature at each batch is the one that is read, also
            under a schedule.

    Raises:
        ConfigError: The loss cannot be trained from this cache.
    """

    def __init__(self, cache: TeacherCache, loss_fn: Any) -> None:  # noqa: ANN401
        """Check that loss and cache fit."""
        self.cache = cache
        self.loss_fn: Tempered = loss_fn
        self._require_fit()

    def rows(self, batch: Batch) -> SparseTeacherRows:
        """Read the rows of a batch, on its device.

        Raises:
            ConfigError: The loss now has a temperature that the cache does not hold.
            DataError: A sequence or a position is not in the cache.
        """
        self._require_fit()
        device = batch["labels"].device
        wanted = self._wanted({name: batch[name].cpu() for name in batch})
        found = self.cache.gather(wanted, self.loss_fn.temperature)
        return SparseTeacherRows(
            found.ids.to(device), found.log_kept.to(device), found.log_tail.to(device)
        )

    def _wanted(self, batch: Batch) -> list[Rows]:
        """Find each document of a batch in the cache, in reading order."""
        input_ids, labels = batch["input_ids"].numpy(), batch["labels"].numpy()  # (B, T)
        wanted = []
        for row, start, stop, _ in document_spans(batch):
            positions = np.flatnonzero(labels[row, start:stop] != IGNORED)
            if start == 0:  # nothing predicts the first token of a row: the shift leaves it out
                positions = positions[positions > 0]
            if len(positions) == 0:
                continue
            rows = self.cache.rows_of(sequence_key(input_ids[row, start:stop]), positions)
            if rows is None:
                raise DataError(
                    f"holds nothing for the {stop - start} tokens at place {start} of row {row} of "
                    "a batch, or not for all that is supervised there; build it from the data that "
                    "is trained on",
                    path=self.cache.folder,
                )
            wanted.append(rows)
        return wanted

    def _require_fit(self) -> None:
        faults = self.cache.loss_faults(self.loss_fn)
        if faults:
            raise ConfigError(faults)


def cache_faults(
    cache: TeacherCache,
    loss_fn: Any,  # noqa: ANN401 - a user's own loss need not be `Tempered`
    student: Any,  # noqa: ANN401 - transformers is untyped
    vocabulary: int,
) -> list[str]:
    """List why a student cannot be trained from a cache; empty when all is well.

    Args:
        cache: An opened one.
        loss_fn: What is trained on.
        student: A model with a head.
        vocabulary: Ids that are to count.
    """
    if (kind := model_kind(student)) != "causal":
        return [f"{type(student).__name__} is a {kind} model; a teacher cache is for causal ones"]
    faults = cache.loss_faults(loss_fn) if hasattr(loss_fn, "objective") else []
    rows = len(student.get_output_embeddings().weight)
    if not vocabulary == cache.vocabulary <= rows:
        faults.append(
            f"the teacher cache {cache.folder} is over {cache.vocabulary} ids; the run is over "
            f"{vocabulary}, and the student's head has {rows} rows"
        )
    return faults
