"""Train from a teacher cache: check that it fits a run, and read its rows for each batch.

A sequence is looked up by the hash of its token ids in the batch. The result therefore does not
depend on shuffling, packing, gradient accumulation, batch size or resuming, and the data needs no
additional column. A look-up takes some microseconds per sequence.

Sizes: N supervised positions of a batch in reading order.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import ConfigError, DataError
from ...inference.checkpoints.load_student import package_versions
from ...inference.prompt_tokens.prompt_ids import prompts_hash
from ...records import Source
from ..batches.batching import TokenizedExample
from ..batches.forward import Batch, document_spans
from ..batches.model_kinds import model_kind
from ..batches.vocabulary import token_count
from ..losses.rows import SparseTeacherRows
from ..setting_names import IGNORED
from .cache_build import plan_sequences, sequences_hash
from .cache_format import differences, known_identity, sequence_key, vocabulary_sha256
from .cache_reader import Rows, TeacherCache, Tempered

logger = logging.getLogger(__name__)


class CachedTeacher:
    """A `TeacherSignal` that reads a cache instead of running a teacher.

    Args:
        cache: A cache of the same tokenised data.
        loss_fn: A loss such as `DistillationLoss`; its temperature is read for each batch, so a
            schedule may change it.

    Raises:
        ConfigError: The loss cannot be computed from this cache.
    """

    def __init__(self, cache: TeacherCache, loss_fn: Any) -> None:  # noqa: ANN401
        """Check that the loss can be computed from the cache."""
        self.cache = cache
        self.loss_fn: Tempered = loss_fn
        self._require_fit()

    def rows(self, batch: Batch) -> SparseTeacherRows:
        """Read the rows of a batch, on its device.

        Raises:
            ConfigError: The loss has changed to a temperature that the cache does not hold.
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
            if start == 0:  # the causal shift drops the first token of a row: nothing predicts it
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
    """List why a student cannot be trained from a cache; empty if it can."""
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


def require_fit(
    cache: TeacherCache,
    items: Sequence[TokenizedExample],
    *,
    teacher_name: str,
    teacher_model: Any,  # noqa: ANN401 - transformers is untyped
    student: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    loss_fn: Any,  # noqa: ANN401 - a user's own loss need not be `Tempered`
    limits: Mapping[str, int | str],
    sources: Mapping[str, Source | None] | None = None,
) -> None:
    """Refuse a cache of another teacher, tokenizer, prompt or data before the first step.

    A teacher that is not loaded is compared by what `known_identity` says about it.

    Args:
        cache: An opened cache.
        items: The tokenised examples.
        teacher_name: Folder of the teacher, or its name on the hub.
        teacher_model: The teacher if it is loaded, else None.
        student: A causal model.
        tokenizer: Tokenizer of the student.
        loss_fn: The loss of the training.
        limits: `max_length` and `too_long` with which the examples were tokenised.
        sources: Example id -> where it came from, for messages.

    Raises:
        ConfigError: The cache does not fit; lists all differences.
        DataError: A supervised position is not in the cache.
    """
    commit = getattr(getattr(teacher_model, "config", None), "_commit_hash", None)
    run = {
        "teacher": known_identity(teacher_name, commit),
        "tokenizer_sha256": vocabulary_sha256(tokenizer, cache.vocabulary),
        "template_sha256": prompts_hash(tokenizer),
        "vocab_size": min(cache.vocabulary, token_count(tokenizer)),
        "data_hash": sequences_hash(plan_sequences(items)),
        **limits,
    }
    faults = cache.differences(run) + cache_faults(cache, loss_fn, student, cache.vocabulary)
    if faults:
        raise ConfigError([f"the teacher cache {cache.folder} is not of this run", *faults])
    cache.check(items, sources)
    for line in differences(cache.manifest.versions, package_versions(), "versions."):
        # Other package versions do not change the stored numbers, so the cache can be used.
        logger.info("%s: %s", cache.folder, line)
