"""Cache a teacher's logits for some records, so that students can be trained without the teacher.

cache_teacher_logits(CacheSettings(teacher="./teacher", output_dir="./cache"), records)
ModelDistiller(DistillationConfig("./teacher", "./student", teacher_cache="./cache"))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, get_args

import torch

from ...errors import ConfigError, VocabularyError
from ...inference.checkpoints.load_student import (
    Checkpoint,
    choose_device,
    choose_training_dtype,
    load_checkpoint,
    package_versions,
)
from ...inference.prompt_tokens.prompt_ids import prompts_hash
from ..batches.batching import TokenizedExample, collator_for, tokenize_examples
from ..batches.vocabulary import shared_vocabulary, token_count
from ..runtime_patches import keep_freed_memory
from ..setting_names import TooLong
from ..training_data import Record, training_examples
from .cache_build import BATCH_TOKENS, BuildResult, build_cache, plan_sequences, sequences_hash
from .cache_format import (
    CacheSpec,
    Selection,
    TeacherIdentity,
    grid_faults,
    known_identity,
    vocabulary_sha256,
)


@dataclass(frozen=True)
class CacheSettings:
    """Settings for building a teacher cache.

    Raises:
        ConfigError: Settings are out of range; lists all faults.
    """

    teacher: str
    """Checkpoint folder, or name on the hub."""
    output_dir: str
    """Folder of the cache."""
    _: KW_ONLY
    top_k: int = 64
    """Ids kept per position; for random sampling the number of draws."""
    temperatures: tuple[float, ...] = (1.0, 2.0, 4.0)
    """Temperatures that a student can be trained with."""
    selection: Selection = "top_k_tail"
    """How ids are chosen. `random_sampling` is unbiased, but only for `forward_kl` and at a single
    temperature."""
    max_length: int = 512
    """Most tokens of a sequence, as in the training; at most the positions of the teacher."""
    too_long: TooLong = "truncate"
    """What to do with longer sequences, as in the training."""
    dtype: str | None = None
    """Precision, `bfloat16` or `float32`; None chooses it by the device, as in a training."""
    device: str | None = None
    """`cpu`, `cuda`, ...; None takes CUDA if it is available."""
    batch_tokens: int = BATCH_TOKENS
    """Most tokens of a forward pass, padding included."""
    share: tuple[int, int] = (1, 1)
    """(i, n), counted from 1: this is process i of n and builds every n-th part."""
    progress: bool = True
    """Whether to show a progress bar."""

    def __post_init__(self) -> None:
        """Check all settings that do not depend on the teacher."""
        faults = grid_faults(self.temperatures, self.selection)
        allowed: dict[str, tuple[object, ...]] = {
            "selection": get_args(Selection),
            "too_long": get_args(TooLong),
            "dtype": (None, "bfloat16", "float32"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                faults.append(f"{name} is {getattr(self, name)!r}; allowed are {values}")
        for name, least in {"top_k": 1, "max_length": 2, "batch_tokens": 1}.items():
            if getattr(self, name) < least:
                faults.append(f"{name} is {getattr(self, name)!r}; allowed is {least} or more")
        if not 1 <= self.share[0] <= self.share[1]:
            faults.append(f"share is {self.share[0]}/{self.share[1]}; allowed is 1/n to n/n")
        if faults:
            raise ConfigError(faults)


def cache_teacher_logits(settings: CacheSettings, records: Iterable[Record]) -> BuildResult:
    """Build a teacher cache, or its missing parts.

    Args:
        settings: The settings.
        records: The records that `ModelDistiller.distill` will get.

    Raises:
        ConfigError: The folder holds another cache, or settings do not fit the teacher.
        DataError: A record cannot be used (`EmptyDataError`: there are none).
        ModelNotFoundError: The teacher does not exist.
        CheckpointError: The checkpoint is damaged or unsafe, or the logits are not finite.
        VocabularyError: The tokenizer gives ids that the teacher's head does not have.
    """
    examples = training_examples(records)
    device = choose_device(settings.device)
    dtype = getattr(torch, settings.dtype) if settings.dtype else choose_training_dtype(device)
    wide = torch.float32 if dtype == torch.float32 else None
    teacher = load_checkpoint(settings.teacher, device=device, dtype=wide)
    positions = getattr(teacher.model.config, "max_position_embeddings", None)
    limit = min(settings.max_length, positions or settings.max_length)
    items = tokenize_examples(
        examples, teacher.tokenizer, max_length=limit, too_long=settings.too_long
    )
    vocabulary = _vocabulary(teacher, items)
    sequences = plan_sequences(items)
    spec = CacheSpec(
        teacher=_identity(settings.teacher, teacher.model, dtype),
        tokenizer_sha256=vocabulary_sha256(teacher.tokenizer, vocabulary),
        template_sha256=prompts_hash(teacher.tokenizer),
        vocab_size=vocabulary,
        data_hash=sequences_hash(sequences),
        k=settings.top_k,
        selection=settings.selection,
        temperatures=tuple(float(value) for value in settings.temperatures),
        max_length=limit,
        too_long=settings.too_long,
    )
    if device.type == "cpu":
        keep_freed_memory()
    return build_cache(
        settings.output_dir,
        teacher.model,
        sequences,
        spec,
        versions=package_versions(),
        pad_id=collator_for(teacher.tokenizer).pad_id,
        autocast_dtype=dtype if dtype == torch.bfloat16 else None,
        batch_tokens=settings.batch_tokens,
        share=settings.share,
        progress=settings.progress,
    )


def _identity(name: str, model: Any, dtype: torch.dtype) -> TeacherIdentity:  # noqa: ANN401
    method = getattr(model, "quantization_method", None)
    known = known_identity(name, getattr(model.config, "_commit_hash", None))
    quantisation = None if method is None else str(getattr(method, "value", method))
    arithmetic = str(dtype).removeprefix("torch.")
    return TeacherIdentity(**known, dtype=arithmetic, quantisation=quantisation)


def _vocabulary(teacher: Checkpoint, items: Sequence[TokenizedExample]) -> int:
    """Return the number of ids that tokenizer and head share; refuse data with other ids."""
    vocabulary = shared_vocabulary(token_count(teacher.tokenizer), teacher.model, teacher.model)
    largest = max(max(item.input_ids) for item in items)
    if largest >= vocabulary:
        raise VocabularyError(
            f"the data uses token id {largest}, but the head of {teacher.name} has only "
            f"{vocabulary} rows; its tokenizer belongs to another model"
        )
    return vocabulary
