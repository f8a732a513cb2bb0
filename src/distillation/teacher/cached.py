"""A teacher cache in the place of a teacher: whether it fits a run, and its rows of a batch.

A sequence is looked up by the hash of its token ids, taken from each batch. So shuffling, packing,
accumulation, another batch size and a resumed epoch change nothing, and no column has to pass
through loaders and processes. It costs some microseconds per sequence.

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
    """A `TeacherSignal` that reads a cache; no teacher is loaded.

    Args:
        cache: Of the same tokenised data.
        loss_fn: As `DistillationLoss`; its temperature is read at each batch, so a schedule may
            change it.

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
    """List why a student cannot be trained from a cache; empty when it can."""
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
    """Refuse a cache of another teacher, tokenizer, prompt or data, before the first step.

    A teacher that is not loaded is compared as far as it is known, see `known_identity`.

    Args:
        cache: An opened one.
        items: The tokenised examples.
        teacher_name: Folder or name on the hub.
        teacher_model: The teacher where it is loaded; else None.
        student: A causal model.
        tokenizer: The student's.
        loss_fn: What is trained on.
        limits: `max_length` and `too_long` that the examples were tokenised with.
        sources: Example id -> where it came from, for messages.

    Raises:
        ConfigError: Something differs; everything that does is listed.
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
        # Stored numbers do not change with a package, so this is no reason to build again.
        logger.info("%s: %s", cache.folder, line)
