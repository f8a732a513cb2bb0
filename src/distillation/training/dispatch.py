"""The training items, batches and vocabulary of each kind of student.

| student | records | a training item | batch |
|---|---|---|---|
| causal | `training_data.py` | prompt and completion in one row | `batching.Collator` |
| encoder-decoder | the same | prompt for one half, completion for the other | `PairCollator` |
| classifier | `classifier_data.py` | a text and a class | `TextCollator` |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor

from ...errors import ConfigError, VocabularyError
from ...records import Example
from ..batches.batching import (
    Collator,
    TokenizedExample,
    Tokenizer,
    collator_for,
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
from ..batches.vocabulary import compare_vocabularies, shared_vocabulary
from ..setting_names import Task, TooLong
from ..training_data import Record, training_examples

TrainingItem = TokenizedExample | TokenizedText
AnyCollator = Callable[[Sequence[Any]], dict[str, Tensor]]


def examples_of(records: Iterable[Record], task: Task) -> list[Example]:
    """Convert records to examples, in the shapes of the task.

    Raises:
        DataError: A record cannot be used (`EmptyDataError`: there are none).
    """
    return classified_examples(records) if task == "classification" else training_examples(records)


def require_task(task: Task, *models: Any) -> None:  # noqa: ANN401 - transformers is untyped
    """Check that student and teacher, None skipped, are of one kind that the task trains.

    Raises:
        ConfigError: They are not.
    """
    kinds = {type(model).__name__: model_kind(model) for model in models if model is not None}
    wrong = [name for name, kind in kinds.items() if kind not in TASK_KINDS[task]]
    if wrong:
        needed = "a classifier" if task == "classification" else "a model that writes text"
        raise ConfigError([f"task {task!r} needs {needed}, not {' and '.join(wrong)}"])
    if len(set(kinds.values())) > 1:
        raise ConfigError([f"teacher and student are of unlike kinds: {kinds}"])


def longest_example(limit: int, *models: Any) -> int:  # noqa: ANN401
    """Give the most tokens of an example that the settings' limit and the models allow.

    Args:
        limit: Of the settings.
        models: Student and teacher; None is skipped.
    """
    positions = [
        model.config.max_position_embeddings
        for model in models
        if model is not None and getattr(model.config, "max_position_embeddings", None)
    ]
    return min([limit, *map(int, positions)])


def items_of(
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    student: Any,  # noqa: ANN401
    *,
    teacher: Any = None,  # noqa: ANN401
    teacher_tokenizer: Tokenizer | None = None,
    max_length: int,
    too_long: TooLong,
    labels_needed: bool,
) -> list[Any]:
    """Turn examples into token ids as the student reads them.

    Args:
        examples: From `examples_of`.
        tokenizer: The student's.
        student: Its kind decides.
        teacher: Its classes are compared with the student's; None without a teacher.
        teacher_tokenizer: Of a teacher that reads in its own tokens; None where ids are shared.
        max_length: Most tokens of an item; of an encoder-decoder's item most in either half.
        too_long: Whether longer examples are an error or cut.
        labels_needed: Whether a text without a class is an error.

    Returns:
        `TokenizedExample`s, or `TokenizedText`s for a classifier.

    Raises:
        ConfigError: Only a causal student can have a teacher with a tokenizer of its own.
        DataError: An example cannot be used, or is too long.
    """
    kind = model_kind(student)
    if teacher_tokenizer is not None and kind != "causal":
        raise ConfigError(
            [f"objective 'universal_logit' is for causal models; {type(student).__name__} is a "
             f"{kind} model"]
        )  # fmt: skip
    limits: dict[str, Any] = {"max_length": max_length, "too_long": too_long}
    if kind == "classifier":
        classes = shared_classes(teacher, student)
        return list(
            tokenize_texts(examples, tokenizer, classes, labels_needed=labels_needed, **limits)
        )
    if kind == "encoder_decoder":
        return list(tokenize_pairs(examples, tokenizer, **limits))
    items = tokenize_examples(examples, tokenizer, **limits)
    if teacher_tokenizer is None:
        return list(items)
    return list(align_examples(examples, items, tokenizer, teacher_tokenizer, **limits))


def vocabulary_of(
    items: Sequence[TrainingItem],
    tokenizer: Tokenizer,
    student: Any,  # noqa: ANN401
    *,
    teacher: Any = None,  # noqa: ANN401
    teacher_tokenizer: Tokenizer | None = None,
) -> int | None:
    """Give V_eff, the number of ids that count in the student's head.

    Args:
        items: The tokenised examples.
        tokenizer: The student's.
        student: A model.
        teacher: A teacher that shares the student's ids, else None.
        teacher_tokenizer: None where it is not known.

    Returns:
        None for a classifier, whose head has no ids.

    Raises:
        VocabularyError: Ids mean different tokens to teacher and student, or the data has ids that
            they do not share.
    """
    tokens = max(tokenizer.get_vocab().values()) + 1
    if teacher_tokenizer is not None:
        tokens = compare_vocabularies(teacher_tokenizer, tokenizer)
    classifies = model_kind(student) == "classifier"
    models = [student] if teacher is None else [teacher, student]
    if classifies:
        vocabulary = min(tokens, *(model.config.vocab_size for model in models))
    else:
        vocabulary = shared_vocabulary(tokens, models[0], student)
    largest = max(max(item.input_ids) for item in items)
    if largest >= vocabulary:
        raise VocabularyError(
            f"the data uses token id {largest}, but teacher and student share only ids below "
            f"{vocabulary}; use the teacher's tokenizer, or train with alpha=0"
        )
    return None if classifies else vocabulary


def collator_of(
    tokenizer: Tokenizer,
    student: Any,  # noqa: ANN401
    teacher_tokenizer: Tokenizer | None = None,
    *,
    packing: bool = False,
) -> AnyCollator:
    """Make the collator for a student, and for a teacher with a tokenizer of its own.

    Args:
        tokenizer: The student's.
        student: A model.
        teacher_tokenizer: None where ids are shared.
        packing: Whether examples share rows.

    Raises:
        ConfigError: Only a causal model can be given packed rows.
    """
    kind = model_kind(student)
    if packing and kind != "causal":
        raise ConfigError([f"packing is for causal models; {type(student).__name__} is {kind}"])
    if kind == "encoder_decoder":
        return pair_collator_for(tokenizer, student)
    causal: Collator | PackingCollator = collator_for(tokenizer)
    if packing:
        causal = PackingCollator(causal.pad_id, width=student.config.hidden_size)
    if teacher_tokenizer is not None:
        return AlignedCollator(causal, collator_for(teacher_tokenizer).pad_id)
    return TextCollator(causal.pad_id) if kind == "classifier" else causal


def count_supervised(items: Sequence[TrainingItem], student: Any) -> int:  # noqa: ANN401
    """Count the predictions that one pass over the data trains."""
    if model_kind(student) == "classifier":
        return len(items)
    # A causal model does not predict the first token of a plain text; a decoder predicts all.
    first = 1 if model_kind(student) == "causal" else 0
    return sum(
        len(item.input_ids) - max(item.prompt_length, first)
        for item in items
        if isinstance(item, TokenizedExample)
    )
