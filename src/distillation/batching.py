"""From examples to batches: token ids, what is supervised, padding, and the order of an epoch.

Prompt and completion are tokenised apart, so that the prompt's ids at serving are those of
training. Labels are -100 on the prompt and on padding; the shift by one happens in
`supervised_rows` and nowhere else.

Sizes: B examples, T positions, H hidden size, V vocabulary, N supervised positions.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import torch
from torch import Tensor
from torch.utils.data import Sampler

from ..errors import ConfigError, DataError, EmptyDataError
from ..inference.choices import prompt_ids
from ..prompts import join_of
from ..records import Example

logger = logging.getLogger(__name__)

IGNORED: Final = -100
"""Label of a position that is not supervised; the value transformers and torch use."""
WINDOWS_PER_BUCKET: Final = 4
"""Optimizer steps sorted by length together. More saves padding, but where tasks differ in length
each step then holds one task only. 4 took an eighth off the step of the demo's student."""

TooLong = Literal["error", "truncate"]
Tokenizer = Any
"""A transformers tokenizer; its classes are skipped by the type checker."""


@dataclass(frozen=True)
class TokenizedExample:
    """Token ids of one example."""

    id: str
    """Id of the record it came from."""
    input_ids: tuple[int, ...]
    """Prompt, completion and end token."""
    prompt_length: int
    """How many of the first ids are not supervised."""
    weights: tuple[float, ...] | None = None
    """How much each supervised id counts in the loss; None for 1 everywhere."""


def supervised_rows(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Select the positions that are trained: the only place with the causal shift.

    The value at index i predicts the token at index i + 1.

    Args:
        values: (B, T, H) hidden states or (B, T, V) logits of a causal model.
        labels: (B, T) token ids as given to the model, -100 where nothing is supervised.

    Returns:
        Values (N, H or V) and their labels (N,), in reading order.
    """
    targets = labels[:, 1:]  # (B, T - 1)
    kept = targets != IGNORED
    return values[:, :-1][kept], targets[kept]


def supervised_weights(batch: Mapping[str, Tensor]) -> Tensor | None:
    """Select the weights of the supervised positions: (N,), None for 1 everywhere."""
    weights = batch.get("weights")  # (B, T), one per token as the labels
    return None if weights is None else weights[:, 1:][batch["labels"][:, 1:] != IGNORED]


def tokenize_examples(
    examples: Iterable[Example],
    tokenizer: Tokenizer,
    *,
    max_length: int = 512,
    too_long: TooLong = "error",
) -> list[TokenizedExample]:
    """Turn labelled examples into token ids, in the order given.

    An example with an empty prompt is a plain text: all of it is supervised.

    Args:
        examples: Each with a target.
        tokenizer: The student's; needs an end token.
        max_length: Most tokens of prompt, completion and end token together; at least 2.
        too_long: `error` names the first example that does not fit. `truncate` cuts the
            completion's end (the end token is then not trained, because the text does not end
            there) or, where the prompt alone is too long, the prompt's beginning; both are counted
            in one warning.

    Returns:
        One item per example.

    Raises:
        ConfigError: `max_length` is below 2, or the tokenizer has no end token.
        DataError: An example has no target, an empty completion, or does not fit.
        EmptyDataError: There is no example.
    """
    faults = []
    if max_length < 2:
        faults.append(f"max_length is {max_length!r}; allowed is 2 or more")
    if tokenizer.eos_token_id is None:
        faults.append("the tokenizer has no end token; set tokenizer.eos_token")
    if faults:
        raise ConfigError(faults)
    listed = list(examples)
    if not listed:
        raise EmptyDataError("there are no training examples; give at least one")
    prompts = prompt_ids(tokenizer, [example.prompt for example in listed])
    texts = [_completion(example) for example in listed]
    # Names of special tokens in a record are plain text, in training as in serving.
    options = {"add_special_tokens": False, "split_special_tokens": True}
    if any(example.focus is not None for example in listed):
        options["return_offsets_mapping"] = True
    encoded = tokenizer(texts, **options)
    completions = encoded["input_ids"]
    focused = {
        example.id: _focus_weights(example, text, encoded["offset_mapping"][place])
        for place, (example, text) in enumerate(zip(listed, texts, strict=True))
        if example.focus is not None
    }
    cut = _Cuts()
    items = [
        _fit(example, prompt, [*completion, int(tokenizer.eos_token_id)], max_length, too_long, cut)
        for example, prompt, completion in zip(listed, prompts, completions, strict=True)
    ]
    cut.report(len(items), max_length)
    return [
        replace(item, weights=focused[item.id][: len(item.input_ids) - item.prompt_length])
        if item.id in focused
        else item
        for item in items
    ]


def _focus_weights(
    example: Example, text: str, offsets: Sequence[tuple[int, int]]
) -> tuple[float, ...]:
    """Give one weight per completion token, the end token included."""
    start, weight = example.focus or (0, 1.0)
    start += len(text) - len(example.target or "")
    # A token's offsets may begin with the blank before its word; its last character tells.
    return (*(weight if end > start else 1.0 for _, end in offsets), 1.0)


@dataclass
class _Cuts:
    """How many examples lost something to `max_length`."""

    completions: int = 0
    prompts: int = 0

    def report(self, total: int, max_length: int) -> None:
        if self.completions or self.prompts:
            logger.warning(
                "max_length %d: of %d examples, %d lost the end of their completion and %d the "
                "beginning of their prompt",
                max_length, total, self.completions, self.prompts,
            )  # fmt: skip


def _completion(example: Example) -> str:
    if example.target is None or not example.target.strip():
        raise DataError(
            f"example {example.id!r} has no target to train on; label it or drop it",
            row=example.source.row if example.source else None,
        )
    return join_of(example.prompt) + example.target if example.prompt else example.target


def _fit(
    example: Example,
    prompt: list[int],
    completion: list[int],
    max_length: int,
    too_long: TooLong,
    cut: _Cuts,
) -> TokenizedExample:
    """Bring prompt and completion within `max_length`, by the policy."""
    length = len(prompt) + len(completion)
    if length > max_length:
        if too_long == "error":
            raise DataError(
                f"example {example.id!r} has {len(prompt)} prompt and {len(completion)} completion "
                f"tokens; max_length is {max_length}. Raise it, shorten the record, or set "
                "too_long='truncate'",
                row=example.source.row if example.source else None,
            )
        # A prompt may keep at most half of the room, so that something is left to learn from.
        room_for_prompt = max(max_length - len(completion), max_length // 2)
        if len(prompt) > room_for_prompt:
            prompt = prompt[len(prompt) - room_for_prompt :]
            cut.prompts += 1
        if len(prompt) + len(completion) > max_length:
            completion = completion[: max_length - len(prompt)]
            cut.completions += 1
    return TokenizedExample(example.id, (*prompt, *completion), len(prompt))


@dataclass(frozen=True)
class Collator:
    """Pad token ids on the right into one batch.

    The mask follows positions, never token ids: where the padding token is the end token, a search
    for its id would take the end out of training.
    """

    pad_id: int
    """Id written into padding; never attended to and never supervised."""

    def __call__(self, items: Sequence[TokenizedExample]) -> dict[str, Tensor]:
        """Build `input_ids`, `attention_mask` and `labels`, each (B, T) int64.

        With examples that have weights, `weights` (B, T) float as well.
        """
        shape = (len(items), max(len(item.input_ids) for item in items))
        input_ids = torch.full(shape, self.pad_id)
        attention_mask = torch.zeros(shape, dtype=torch.int64)
        labels = torch.full(shape, IGNORED)
        weights = torch.ones(shape)
        for row, item in enumerate(items):
            length = len(item.input_ids)
            ids = torch.tensor(item.input_ids)
            input_ids[row, :length] = ids
            attention_mask[row, :length] = 1
            # Nothing predicts the first token. For models whose class transformers 5.23 does not
            # know as causal (GPT-2) it counts it all the same, and the divisor would be too large.
            start = max(item.prompt_length, 1)
            labels[row, start:length] = ids[start:]
            if item.weights is not None:
                weights[row, item.prompt_length : length] = torch.tensor(item.weights)
        batch = {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
        if any(item.weights is not None for item in items):
            batch["weights"] = weights
        return batch


def collator_for(tokenizer: Tokenizer) -> Collator:
    """Make the collator that pads with the tokenizer's padding token, else with its end token."""
    pad = tokenizer.pad_token_id
    return Collator(int(tokenizer.eos_token_id if pad is None else pad))


def batch_order(
    lengths: Sequence[int], *, batch_size: int, accumulation: int = 1, seed: int = 0, epoch: int = 0
) -> list[list[int]]:
    """Order the examples of one epoch.

    It is a pure function of its arguments, so that a resumed run goes on with the same batches.
    Examples are shuffled, sorted by length inside buckets of some optimizer steps, and dealt out.
    One optimizer step holds the same examples however `batch_size * accumulation` is split. The
    last step may be smaller.

    Args:
        lengths: Tokens per example.
        batch_size: Examples per micro-batch.
        accumulation: Micro-batches per optimizer step.
        seed: Of the run.
        epoch: Counted from 0; each has its own order.

    Returns:
        Micro-batches of indices into `lengths`.
    """
    window = batch_size * accumulation
    order = list(range(len(lengths)))
    # Seeded by text: Python's own generator gives the same order on every machine and version.
    source = random.Random(f"{seed} {epoch}")
    source.shuffle(order)
    whole = len(order) - len(order) % window
    windows: list[list[int]] = []
    for start in range(0, whole, window * WINDOWS_PER_BUCKET):
        bucket = sorted(
            order[start : min(start + window * WINDOWS_PER_BUCKET, whole)],
            key=lambda index: lengths[index],
        )
        windows += [bucket[i : i + window] for i in range(0, len(bucket), window)]
    source.shuffle(windows)
    if whole < len(order):
        windows.append(order[whole:])
    return [w[i : i + batch_size] for w in windows for i in range(0, len(w), batch_size)]


class BatchOrder(Sampler[list[int]]):
    """Give `batch_order` to a `DataLoader`, epoch by epoch.

    Args:
        lengths: Tokens per example.
        batch_size: Examples per micro-batch.
        accumulation: Micro-batches per optimizer step.
        seed: Of the run.
    """

    drop_last: Final = (
        False  # accelerate reads this and batch_size when it deals batches to processes
    )

    def __init__(
        self, lengths: Sequence[int], *, batch_size: int, accumulation: int = 1, seed: int = 0
    ) -> None:
        """Begin with epoch 0."""
        self.lengths = list(lengths)
        self.batch_size = batch_size
        self.accumulation = accumulation
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the Trainer calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Give the micro-batches of the chosen epoch."""
        return iter(
            batch_order(
                self.lengths,
                batch_size=self.batch_size,
                accumulation=self.accumulation,
                seed=self.seed,
                epoch=self.epoch,
            )
        )

    def __len__(self) -> int:
        """Count micro-batches."""
        return -(-len(self.lengths) // self.batch_size)
