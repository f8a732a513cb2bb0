"""Turn examples into batches: token ids, supervised positions, padding, the order of an epoch.

Prompt and completion are tokenised separately, so that serving sees the prompt ids of training.
Labels are -100 on the prompt and on padding. They are shifted by one in `supervised_rows` and
`supervised_positions` only.

Sizes: B examples, T positions, H hidden size, V vocabulary, N supervised positions.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Sampler

from ...errors import ConfigError, DataError, EmptyDataError
from ...inference.prompt_tokens.prompt_ids import answer_end, answer_text, prompt_ids
from ...records import Example
from ..setting_names import IGNORED, TooLong

logger = logging.getLogger(__name__)

WINDOWS_PER_BUCKET: Final = 4
"""Optimizer steps whose examples are sorted by length together. A larger number saves padding, but
where tasks differ in length each step then holds one task only. 4 saves an eighth of a step's time
for the demo's student."""

Tokenizer = Any
"""A transformers tokenizer; its classes are skipped by the type checker."""


@dataclass(frozen=True)
class TeacherTokens:
    """The same text in the tokens of a teacher with another tokenizer; see `text_alignment`."""

    input_ids: tuple[int, ...]
    aligned: tuple[tuple[int, int], ...]
    """(index in the student's ids, in the teacher's) of tokens that begin at the same character."""


@dataclass(frozen=True)
class TokenizedExample:
    """Token ids of one example."""

    id: str
    """Id of the record it came from."""
    input_ids: tuple[int, ...]
    """Prompt, completion and end token."""
    prompt_length: int
    """Number of ids at the start that are not supervised."""
    weights: tuple[float, ...] | None = None
    """Weight of each supervised id in the loss; None for 1 everywhere."""
    teacher: TeacherTokens | None = None
    """Set where the teacher has another tokenizer."""


def supervised_rows(values: Tensor, labels: Tensor, *, shift: bool = True) -> tuple[Tensor, Tensor]:
    """Select the supervised positions.

    Args:
        values: (B, T, H) hidden states, (B, T, V) logits, or a classifier's logits (B, C).
        labels: (B, T) token ids as given to the model, or (B,) classes; -100 where nothing is
            supervised.
        shift: Whether the value at index i predicts the label at index i + 1, see `model_kinds`.

    Returns:
        Values (N, H, V or C) and their labels (N,), in reading order.
    """
    if shift:
        values, labels = values[:, :-1], labels[:, 1:]
    kept = labels != IGNORED
    return values[kept], labels[kept]


def supervised_positions(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Find where a causal model predicts a supervised label, in any row of the batch.

    Returns:
        Ascending positions (P,), and the shifted labels that are predicted there (B, P).
    """
    targets = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)  # (B, T)
    positions = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)
    return positions, targets[:, positions]


def supervised_weights(batch: Mapping[str, Tensor], *, shift: bool = True) -> Tensor | None:
    """Select the weights of the supervised positions: (N,), None for 1 everywhere."""
    weights, first = batch.get("weights"), int(shift)  # (B, T), one per label
    return None if weights is None else weights[:, first:][batch["labels"][:, first:] != IGNORED]


def tokenize_examples(
    examples: Iterable[Example],
    tokenizer: Tokenizer,
    *,
    max_length: int = 512,
    too_long: TooLong = "error",
) -> list[TokenizedExample]:
    """Turn labelled examples into token ids, in the order given.

    An example with an empty prompt is a plain text, which is supervised as a whole. Of all others
    only the answer is supervised, with the token that ends it.

    Args:
        examples: Each with a target.
        tokenizer: Tokenizer of the student, with an end token. Its chat template is used, if any.
        max_length: Most tokens of prompt, completion and end token together; at least 2.
        too_long: `error` names the first example that does not fit. `truncate` cuts the end of the
            completion, with its end token, or, where the prompt alone is too long, the beginning of
            the prompt; one warning counts both.

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
    prompts = prompt_ids(tokenizer, [example.asked for example in listed])
    texts = [completion_text(example, tokenizer) for example in listed]
    turn_end, text_end = int(answer_end(tokenizer) or 0), int(tokenizer.eos_token_id)
    ends = [turn_end if example.prompt else text_end for example in listed]
    # Names of special tokens in a record are read as plain text, as in serving.
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
        _fit(example, prompt, [*completion, end], max_length, too_long, cut)
        for example, prompt, completion, end in zip(listed, prompts, completions, ends, strict=True)
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
    """Return one weight per completion token, the end token included."""
    start, weight = example.focus or (0, 1.0)
    start += len(text) - len(example.target or "")
    # A token may begin with the blank before its word, so its last character decides.
    return (*(weight if end > start else 1.0 for _, end in offsets), 1.0)


@dataclass
class _Cuts:
    """Numbers of completions and prompts that were truncated to `max_length`."""

    completions: int = 0
    prompts: int = 0

    def report(self, total: int, max_length: int) -> None:
        if self.completions or self.prompts:
            logger.warning(
                "max_length %d: of %d examples, %d lost the end of their completion and %d the "
                "beginning of their prompt",
                max_length, total, self.completions, self.prompts,
            )  # fmt: skip


def completion_text(example: Example, tokenizer: Tokenizer) -> str:
    """Return the text after the prompt: what separates the two for this tokenizer, and the target.

    Raises:
        DataError: The example has no target.
    """
    if example.target is None or not example.target.strip():
        raise DataError(
            f"example {example.id!r} has no target to train on; label it or drop it",
            row=example.source.row if example.source else None,
        )
    return answer_text(tokenizer, example.asked, example.target)


def _fit(
    example: Example,
    prompt: list[int],
    completion: list[int],
    max_length: int,
    too_long: TooLong,
    cut: _Cuts,
) -> TokenizedExample:
    """Cut prompt and completion to `max_length`, or refuse the example."""
    length = len(prompt) + len(completion)
    if length > max_length:
        if too_long == "error":
            raise DataError(
                f"example {example.id!r} has {len(prompt)} prompt and {len(completion)} completion "
                f"tokens; max_length is {max_length}. Raise it, shorten the record, or set "
                "too_long='truncate'",
                row=example.source.row if example.source else None,
            )
        # At least half of the tokens are left to the completion, as far as it needs them.
        longest_prompt = max(max_length - len(completion), max_length // 2)
        if len(prompt) > longest_prompt:
            prompt = prompt[len(prompt) - longest_prompt :]
            cut.prompts += 1
        if len(prompt) + len(completion) > max_length:
            completion = completion[: max_length - len(prompt)]
            cut.completions += 1
    return TokenizedExample(example.id, (*prompt, *completion), len(prompt))


@dataclass(frozen=True)
class Collator:
    """Pad token ids on the right into one batch.

    The mask is made from lengths: found by the padding token's id, padding would include the end of
    each example where the padding token is the end token.
    """

    pad_id: int
    """Id written into padding; never attended to and never supervised."""

    def __call__(self, items: Sequence[TokenizedExample]) -> dict[str, Tensor]:
        """Build `input_ids`, `attention_mask` and `labels`, (B, T) int64; see `forward`."""
        batch = fill_rows([[place] for place in range(len(items))], items, self.pad_id)
        batch["attention_mask"] = (batch.pop("documents") >= 0).long()
        del batch["position_ids"]
        return batch


def fill_rows(
    rows: Sequence[Sequence[int]], items: Sequence[TokenizedExample], pad_id: int
) -> dict[str, Tensor]:
    """Write examples into rows, each given by indices into `items`, with padding at the end.

    Returns:
        `input_ids`, `labels`, `position_ids` (from 0 in each example and in the padding) and
        `documents` (the index in `items`; -1 on padding), each (R, L) int64; `weights` (R, L) float
        where an example has weights.
    """
    width = max(sum(len(items[place].input_ids) for place in row) for row in rows)
    shape = (len(rows), width)
    input_ids, labels = torch.full(shape, pad_id), torch.full(shape, IGNORED)
    documents, weights = torch.full(shape, -1), torch.ones(shape)
    position_ids = torch.zeros(shape, dtype=torch.int64)
    for number, row in enumerate(rows):
        begin = 0
        for place in row:
            item = items[place]
            ids = torch.tensor(item.input_ids)
            end = begin + len(ids)
            input_ids[number, begin:end] = ids
            position_ids[number, begin:end] = torch.arange(len(ids))
            documents[number, begin:end] = place
            # The first token is not predicted; in a packed row the example before must not do so.
            # Trainer counts labels to get the divisor, for GPT-2 including that of the first token.
            start = max(item.prompt_length, 1)
            labels[number, begin + start : end] = ids[start:]
            if item.weights is not None:
                weights[number, begin + item.prompt_length : end] = torch.tensor(item.weights)
            begin = end
        position_ids[number, begin:] = torch.arange(width - begin)
    batch = {"input_ids": input_ids, "labels": labels, "position_ids": position_ids}
    batch["documents"] = documents
    if any(item.weights is not None for item in items):
        batch["weights"] = weights
    return batch


def padding_id(tokenizer: Tokenizer) -> int:
    """Return the id of the tokenizer's padding token, or of its end token without one."""
    pad = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if pad is None else pad)


def collator_for(tokenizer: Tokenizer) -> Collator:
    """Make the collator of a tokenizer."""
    return Collator(padding_id(tokenizer))


def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Fill rows of ids up to the longest, on the right: (B, T) int64."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *(filler,) * (width - len(row))] for row in rows])


def batch_order(
    lengths: Sequence[int], *, batch_size: int, accumulation: int = 1, seed: int = 0, epoch: int = 0
) -> list[list[int]]:
    """Order the examples of one epoch.

    A pure function of its arguments, so a resumed run continues with the same batches. Examples are
    shuffled, and sorted by length inside buckets of some optimizer steps. An optimizer step holds
    the same examples however `batch_size * accumulation` is split. The last step may be smaller.

    Args:
        lengths: Tokens per example.
        batch_size: Examples per micro-batch.
        accumulation: Micro-batches per optimizer step.
        seed: Seed of the run.
        epoch: Counted from 0; each has its own order.

    Returns:
        Micro-batches of indices into `lengths`.
    """
    window = batch_size * accumulation
    order = list(range(len(lengths)))
    # Python's own generator, seeded by text, gives the same order on every machine and version.
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
    """Sampler that yields `batch_order` to a `DataLoader`; arguments as in `batch_order`."""

    drop_last: Final = False  # accelerate reads this and batch_size

    def __init__(
        self, lengths: Sequence[int], *, batch_size: int, accumulation: int = 1, seed: int = 0
    ) -> None:
        """Begin with epoch 0."""
        self.lengths, self.batch_size = list(lengths), batch_size
        self.accumulation, self.seed, self.epoch = accumulation, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the Trainer calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the micro-batches of the chosen epoch."""
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
