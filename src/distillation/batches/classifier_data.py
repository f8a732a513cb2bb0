"""Texts with a class, for students that are classifiers.

| keys | meaning |
|---|---|
| `text`, `label` | a text and the name or number of its class |
| `text` | a text without a label, which is learned from the teacher only, so alpha must be 1 |
| `text`, `probabilities` | a text and its teacher's probability of each class, by name |
| an `Example` | its prompt is the text, its target the class; `probabilities` in its fields |

Sizes: B examples, T positions, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from ...errors import ConfigError, DataError, EmptyDataError
from ...records import Example
from ..setting_names import TooLong
from ..training_data import Record, examples_from
from .batching import Tokenizer, padded

PROBABILITIES: Final = "probabilities"
"""Key of a record, field of an example and of a batch."""
TOLERANCE: Final = 1e-3
"""Largest allowed difference of a sum of probabilities from 1."""


@dataclass(frozen=True)
class TokenizedText:
    """Token ids of one text and its class."""

    id: str
    """Id of the record it came from."""
    input_ids: tuple[int, ...]
    """Token ids with the tokenizer's own start and end tokens."""
    label: int
    """Number of the class; 0 without a label, which pure distillation does not use."""
    probabilities: tuple[float, ...] | None = None
    """Probabilities (C,) of the teacher; None if no record has any."""


def classified_examples(records: Iterable[Record]) -> list[Example]:
    """Convert texts with labels to examples, sorted by id.

    Args:
        records: In the shapes above, which may be mixed.

    Returns:
        One example per record, its prompt the text and its target the label as a text.

    Raises:
        DataError: A record has no text, or a label that is neither a text nor a whole number.
        EmptyDataError: There are no records.
    """
    given = list(records)
    examples = examples_from(given, _text_and_label)
    pairs = zip(examples, given, strict=True)
    return sorted(
        (_with_probabilities(*pair, number) for number, pair in enumerate(pairs, start=1)),
        key=lambda example: example.id,
    )


def _with_probabilities(example: Example, record: Record, number: int) -> Example:
    """Check a record's soft targets and copy them into its example."""
    found = example.fields if isinstance(record, Example) else record
    given = found.get(PROBABILITIES)
    if given is None:
        return example
    shares = list(given.values()) if isinstance(given, Mapping) else []
    if (
        not all(isinstance(s, (int, float)) and 0.0 <= s <= 1.0 for s in shares)
        or abs(sum(shares) - 1.0) > TOLERANCE
    ):
        raise DataError(
            f"is {str(given)[:80]}; give the probability of each class, 0 to 1, that add up to 1",
            row=number,
            column=PROBABILITIES,
        )
    return replace(example, fields={**example.fields, PROBABILITIES: dict(given)})


def classes_of(examples: Sequence[Example]) -> list[str]:
    """List the classes that labels and probabilities name, sorted."""
    named = {example.target for example in examples if example.target is not None}
    return sorted(named.union(*(example.fields.get(PROBABILITIES, ()) for example in examples)))


def soft_targets(example: Example, classes: Mapping[str, int]) -> tuple[float, ...] | None:
    """Return the teacher's probabilities (C,), or certainty of the label; None without either.

    Raises:
        DataError: A class is unknown.
    """
    given = example.fields.get(PROBABILITIES)
    if given is None:
        if example.target is None:
            return None
        given = {example.target: 1.0}
    row = [0.0] * len(classes)
    for name, share in given.items():
        row[_label(replace(example, target=name), classes, True)] += float(share)
    return tuple(row)


def _text_and_label(record: object, number: int) -> tuple[str, str | None]:
    if not isinstance(record, Mapping) or "text" not in record:
        given = (
            f"has the keys {', '.join(repr(key) for key in record)}"
            if isinstance(record, Mapping)
            else f"is a {type(record).__name__}"
        )
        raise DataError(f"{given}; a classifier learns from text, label", row=number)
    text, label = record["text"], record.get("label")
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"is {text!r}; a text is needed", row=number, column="text")
    if label is None or (isinstance(label, str) and not label.strip()):
        return text, None
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise DataError(f"is {label!r}; give a name or a number", row=number, column="label")
    return text, str(label)


def tokenize_texts(
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    classes: Mapping[str, int],
    *,
    max_length: int = 512,
    too_long: TooLong = "error",
    labels_needed: bool = True,
) -> list[TokenizedText]:
    """Turn texts into token ids and labels into class numbers, in the order given.

    Args:
        examples: From `classified_examples`.
        tokenizer: The student's.
        classes: Class name -> number, the model's `config.label2id`. A label may also be a number.
        max_length: Most tokens of a text.
        too_long: `truncate` cuts the end of a text.
        labels_needed: Whether a text without a label is an error.

    Raises:
        DataError: A label is unknown or missing, or a text does not fit.
        EmptyDataError: There is no example.
    """
    if not examples:
        raise EmptyDataError("there are no training examples; give at least one")
    texts = [example.prompt for example in examples]
    options = {"truncation": True, "max_length": max_length} if too_long == "truncate" else {}
    encoded: list[list[int]] = tokenizer(texts, split_special_tokens=True, **options)["input_ids"]
    soft = any(PROBABILITIES in example.fields for example in examples)
    items = []
    for example, ids in zip(examples, encoded, strict=True):
        if len(ids) > max_length:
            raise DataError(
                f"example {example.id!r} has {len(ids)} tokens; max_length is {max_length}. Raise "
                "it, shorten the record, or set too_long='truncate'"
            )
        label = _label(example, classes, labels_needed)
        row = soft_targets(example, classes) if soft else None
        if soft and row is None:
            raise DataError(f"example {example.id!r} has neither label nor probabilities")
        items.append(TokenizedText(example.id, tuple(ids), label, row))
    return items


def _label(example: Example, classes: Mapping[str, int], needed: bool) -> int:
    if example.target is None:
        if needed:
            raise DataError(
                f"example {example.id!r} has no label; label it, or learn from the teacher alone "
                "with alpha=1"
            )
        return 0
    if example.target in classes:
        return classes[example.target]
    if example.target.isdecimal() and int(example.target) in set(classes.values()):
        return int(example.target)
    raise DataError(
        f"example {example.id!r} has the label {example.target!r}; the model knows "
        f"{', '.join(list(classes)[:20])}"
    )


def shared_classes(teacher: Any, student: Any) -> dict[str, int]:  # noqa: ANN401
    """Return the classes of teacher and student, which must have the same numbers.

    Raises:
        ConfigError: They differ.
    """
    ours: dict[str, int] = dict(student.config.label2id)
    theirs = ours if teacher is None else dict(teacher.config.label2id)
    if ours != theirs:
        raise ConfigError(
            [f"the teacher's classes are {theirs}, the student's {ours}; set the student's "
             "config.label2id and id2label to those of the teacher"]
        )  # fmt: skip
    return ours


@dataclass(frozen=True)
class TextCollator:
    """Pad texts on the right into one batch of a classifier."""

    pad_id: int
    """Id written into padding; never attended to."""

    def __call__(self, items: Sequence[TokenizedText]) -> dict[str, Tensor]:
        """Build `input_ids` and `attention_mask`, (B, T) int64, and `labels`, (B,); where there are
        soft targets `probabilities`, (B, C)."""
        batch = {
            "input_ids": padded([item.input_ids for item in items], self.pad_id),
            "attention_mask": padded([(1,) * len(item.input_ids) for item in items], 0),
            "labels": torch.tensor([item.label for item in items]),
        }
        rows = [item.probabilities for item in items if item.probabilities is not None]
        return batch | ({PROBABILITIES: torch.tensor(rows)} if rows else {})
