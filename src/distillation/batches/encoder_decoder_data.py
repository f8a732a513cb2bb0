"""Prompts and targets for encoder-decoders, whose encoder reads the prompt.

A label is the token that the decoder has to write at the same position, so the loss shifts nothing;
the decoder's inputs, `decoder_input_ids`, are shifted.

Sizes: B examples, T positions of the encoder, S of the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...errors import ConfigError, DataError, EmptyDataError
from ...records import Example
from ..setting_names import IGNORED, TooLong
from .batching import TokenizedExample, Tokenizer, padded, padding_id


def tokenize_pairs(
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    *,
    max_length: int = 512,
    too_long: TooLong = "error",
) -> list[TokenizedExample]:
    """Turn prompts and targets into token ids, in the order given.

    Both sides are tokenised separately, the prompt with the tokenizer's own start and end tokens,
    the target with an end token.

    Args:
        examples: Each with a prompt and a target.
        tokenizer: The student's; needs an end token.
        max_length: Most tokens of either side.
        too_long: `truncate` cuts the end of a side, with its end token.

    Returns:
        One item per example; the encoder reads the first `prompt_length` ids.

    Raises:
        ConfigError: The tokenizer has no end token.
        DataError: An example lacks a side, or does not fit.
        EmptyDataError: There is no example.
    """
    if tokenizer.eos_token_id is None:
        raise ConfigError(["the tokenizer has no end token; set tokenizer.eos_token"])
    if not examples:
        raise EmptyDataError("there are no training examples; give at least one")
    for example in examples:
        if not example.prompt.strip() or not (example.target or "").strip():
            raise DataError(
                f"example {example.id!r} has no prompt or no target; an encoder-decoder reads one "
                "and writes the other"
            )
    read = tokenizer([e.prompt for e in examples], split_special_tokens=True)["input_ids"]
    written = tokenizer(
        text_target=[e.target for e in examples],
        add_special_tokens=False,
        split_special_tokens=True,
    )["input_ids"]
    items = []
    for example, prompt, target in zip(examples, read, written, strict=True):
        sides = [list(prompt), [*target, int(tokenizer.eos_token_id)]]
        longest = max(len(side) for side in sides)
        if longest > max_length and too_long == "error":
            raise DataError(
                f"example {example.id!r} has {longest} tokens on one side; max_length is "
                f"{max_length}. Raise it, shorten the record, or set too_long='truncate'"
            )
        prompt, target = (side[:max_length] for side in sides)
        items.append(TokenizedExample(example.id, (*prompt, *target), len(prompt)))
    return items


@dataclass(frozen=True)
class PairCollator:
    """Pad both sides on the right into one batch of an encoder-decoder."""

    pad_id: int
    """Id written into padding; never attended to and never supervised."""
    start_id: int
    """The decoder's first input, `config.decoder_start_token_id`."""

    def __call__(self, items: Sequence[TokenizedExample]) -> dict[str, Tensor]:
        """Build one batch.

        Returns:
            `input_ids` and `attention_mask` (B, T); `decoder_input_ids`, `decoder_attention_mask`
            and `labels` (B, S).
        """
        prompts = [item.input_ids[: item.prompt_length] for item in items]
        targets = [item.input_ids[item.prompt_length :] for item in items]
        inputs = [(self.start_id, *target[:-1]) for target in targets]
        return {
            "input_ids": padded(prompts, self.pad_id),
            "attention_mask": padded([(1,) * len(p) for p in prompts], 0),
            "decoder_input_ids": padded(inputs, self.pad_id),
            "decoder_attention_mask": padded([(1,) * len(t) for t in inputs], 0),
            "labels": padded(targets, IGNORED),
        }


def pair_collator_for(tokenizer: Tokenizer, model: Any) -> PairCollator:  # noqa: ANN401
    """Make the collator of a tokenizer and an encoder-decoder.

    Raises:
        ConfigError: The model has no start token for its decoder.
    """
    start = model.config.decoder_start_token_id
    if start is None:
        raise ConfigError(
            [f"{type(model).__name__} has no config.decoder_start_token_id; set it (T5: the "
             "padding token's id)"]
        )  # fmt: skip
    return PairCollator(padding_id(tokenizer), int(start))
