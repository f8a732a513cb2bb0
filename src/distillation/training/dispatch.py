"""The models of a training, and the items, batches and vocabulary of each kind of student.

| student | records | a training item | batch |
|---|---|---|---|
| causal | `training_data.py` | prompt and completion in one row | `batching.Collator` |
| encoder-decoder | the same | prompt for one half, completion for the other | `PairCollator` |
| classifier | `classifier_data.py` | a text and a class | `TextCollator` |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...errors import ConfigError, VocabularyError
from ...inference.checkpoints.architectures import ModelKind
from ...records import Example
from ..batches.batching import (
    Collator,
    TokenizedExample,
    collator_for,
    padding_id,
    tokenize_examples,
)
from ..batches.classifier_data import (
    TextCollator,
    TokenizedText,
    classified_examples,
    shared_classes,
    tokenize_texts,
)
from ..batches.encoder_decoder_data import pair_collator_for, tokenize_pairs
from ..batches.model_kinds import TASK_KINDS, model_kind
from ..batches.packing import PackingCollator
from ..batches.text_alignment import AlignedCollator, align_examples
from ..batches.vocabulary import compare_vocabularies, shared_vocabulary, token_count
from ..setting_names import Task, TooLong
from ..training_data import Record, training_examples

TrainingItem = TokenizedExample | TokenizedText
AnyCollator = Callable[[Sequence[Any]], dict[str, Tensor]]


@dataclass(frozen=True)
class Models:
    """Student, teacher and their tokenizers, all of transformers."""

    student: Any
    tokenizer: Any
    """The student's."""
    teacher: Any = None
    """A model that runs beside the student; None without a teacher, or with a cache of it."""
    teacher_tokenizer: Any = None
    """Tokenizer of the teacher; None if it is unknown."""
    own_tokens: bool = False
    """Whether the teacher reads the text with its own tokenizer."""

    @property
    def kind(self) -> ModelKind:
        """The student's kind."""
        return model_kind(self.student)

    @property
    def own_tokenizer(self) -> Any:  # noqa: ANN401
        """Tokenizer of a teacher with tokens of its own; None if teacher and student share ids."""
        if not self.own_tokens:
            return None
        return self.tokenizer if self.teacher_tokenizer is None else self.teacher_tokenizer

    def require_task(self, task: Task) -> None:
        """Check that the models are of one kind that the task trains.

        Raises:
            ConfigError: They are not.
        """
        models = (self.student, self.teacher)
        kinds = {type(model).__name__: model_kind(model) for model in models if model is not None}
        wrong = [name for name, kind in kinds.items() if kind not in TASK_KINDS[task]]
        if wrong:
            needed = "a classifier" if task == "classification" else "a model that writes text"
            raise ConfigError([f"task {task!r} needs {needed}, not {' and '.join(wrong)}"])
        if len(set(kinds.values())) > 1:
            raise ConfigError([f"teacher and student are models of different kinds: {kinds}"])

    def longest_example(self, limit: int) -> int:
        """Return the most tokens of an example: `limit`, or fewer if the models' positions do."""
        configs = [model.config for model in (self.student, self.teacher) if model is not None]
        positions = [getattr(config, "max_position_embeddings", None) for config in configs]
        return min([limit, *(int(most) for most in positions if most)])


def examples_of(records: Iterable[Record], task: Task) -> list[Example]:
    """Convert records to examples, in the shapes of the task.

    Raises:
        DataError: A record cannot be used (`EmptyDataError`: there are none).
    """
    return classified_examples(records) if task == "classification" else training_examples(records)


def items_of(
    examples: Sequence[Example],
    models: Models,
    *,
    max_length: int,
    too_long: TooLong,
    labels_needed: bool,
) -> list[Any]:
    """Turn examples into token ids as the student reads them.

    Args:
        examples: From `examples_of`.
        models: The student's kind decides.
        max_length: Most tokens of an item; of an encoder-decoder's item most in either half.
        too_long: Whether longer examples are an error or cut.
        labels_needed: Whether a text without a class is an error.

    Returns:
        `TokenizedExample`s, or `TokenizedText`s for a classifier.

    Raises:
        ConfigError: Only a causal student can have a teacher with a tokenizer of its own.
        DataError: An example cannot be used, or is too long.
    """
    kind, tokenizer = models.kind, models.tokenizer
    if models.own_tokens and kind != "causal":
        raise ConfigError(
            [f"objective 'universal_logit' is for causal models; {type(models.student).__name__} is"
             f" a {kind} model"]
        )  # fmt: skip
    limits: dict[str, Any] = {"max_length": max_length, "too_long": too_long}
    if kind == "classifier":
        classes = shared_classes(models.teacher, models.student)
        return list(
            tokenize_texts(examples, tokenizer, classes, labels_needed=labels_needed, **limits)
        )
    if kind == "encoder_decoder":
        return list(tokenize_pairs(examples, tokenizer, **limits))
    items = tokenize_examples(examples, tokenizer, **limits)
    if not models.own_tokens:
        return list(items)
    return list(align_examples(examples, items, tokenizer, models.own_tokenizer, **limits))


def vocabulary_of(items: Sequence[TrainingItem], models: Models) -> int | None:
    """Return V_eff, the number of ids that count in the student's head.

    Returns:
        None for a classifier, whose head has no ids.

    Raises:
        VocabularyError: Ids mean different tokens to teacher and student, or the data has ids that
            they do not share.
    """
    student, teacher = models.student, None if models.own_tokens else models.teacher
    tokens = token_count(models.tokenizer)
    if teacher is not None and models.teacher_tokenizer is not None:
        tokens = compare_vocabularies(models.teacher_tokenizer, models.tokenizer)
    if models.kind == "classifier":
        readers = [student] if teacher is None else [teacher, student]
        vocabulary = min(tokens, *(model.config.vocab_size for model in readers))
    else:
        vocabulary = shared_vocabulary(tokens, student if teacher is None else teacher, student)
    largest = max(max(item.input_ids) for item in items)
    if largest >= vocabulary:
        raise VocabularyError(
            f"the data uses token id {largest}, but teacher and student share only ids below "
            f"{vocabulary}; use the teacher's tokenizer, or train with alpha=0"
        )
    return None if models.kind == "classifier" else vocabulary


def collator_of(models: Models, *, packing: bool = False) -> AnyCollator:
    """Make the collator of a training; with `packing`, examples share rows.

    Raises:
        ConfigError: Only a causal model can be given packed rows.
    """
    kind, tokenizer, student = models.kind, models.tokenizer, models.student
    if packing and kind != "causal":
        raise ConfigError([f"packing is for causal models; {type(student).__name__} is {kind}"])
    if kind == "encoder_decoder":
        return pair_collator_for(tokenizer, student)
    if kind == "classifier":
        return TextCollator(padding_id(tokenizer))
    causal: Collator | PackingCollator = collator_for(tokenizer)
    if packing:
        causal = PackingCollator(causal.pad_id, width=student.config.hidden_size)
    if not models.own_tokens:
        return causal
    return AlignedCollator(causal, padding_id(models.own_tokenizer))


def count_supervised(items: Sequence[TrainingItem], student: Any) -> int:  # noqa: ANN401
    """Count the predictions that one pass over the data trains."""
    # A causal model does not predict the first token of a plain text; a decoder predicts all.
    first = 1 if model_kind(student) == "causal" else 0
    return sum(
        len(item.input_ids) - max(item.prompt_length, first)
        if isinstance(item, TokenizedExample)
        else 1
        for item in items
    )
