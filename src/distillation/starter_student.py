"""The starter teacher: a tokenizer and a small decoder, trained from scratch on one table.

It knows nothing but the table, and its model card says so. With it, all steps from a table to a
student run on two cores without a network; with a network, any causal model on the hub can be the
teacher instead.

The recipe was found by experiments on the elements table: Muon for the matrices, AdamW for the
rest, varied wordings, and mostly examples about judging an answer, which is learned last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ..errors import ConfigError, EmptyDataError
from ..prompts import join_of
from ..records import Example
from .distiller import DistillationSummary, ModelDistiller
from .settings import DistillationConfig

END_TOKEN = "<|end|>"
TOKENIZER_EXAMPLES = 20_000
"""Number of examples that the tokenizer is trained on."""
STARTER = "starter"
"""Model name of a starter teacher."""


@dataclass(frozen=True)
class StarterSize:
    """Shape of a starter teacher."""

    layers: int = 5
    """Number of layers. It is odd, so that a student of every second layer has less than half of
    the parameters."""
    width: int = 128
    """Hidden size."""
    heads: int = 2
    """Attention heads, of 64 dimensions each."""
    vocabulary: int = 1400
    """Most tokens of the vocabulary; small tables give fewer."""
    positions: int = 512
    """Most tokens of prompt and answer together; raised if an example is longer."""


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, which can encode any text.

    Args:
        texts: What the model will read and write.
        vocabulary: Most tokens, at least 257 for all bytes and the end token.

    Raises:
        ConfigError: The vocabulary is too small.
        EmptyDataError: There are no texts.
    """
    if vocabulary < 257:
        raise ConfigError([f"vocabulary is {vocabulary}; bytes and end token alone take 257"])
    if not texts:
        raise EmptyDataError("there are no texts to train a tokenizer on")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_TOKEN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END_TOKEN, pad_token=END_TOKEN
    )


def new_model(tokenizer: PreTrainedTokenizerFast, size: StarterSize, *, seed: int) -> Any:  # noqa: ANN401
    """Make an untrained Llama decoder with tied embeddings for a tokenizer.

    Raises:
        ConfigError: The width does not divide by twice the heads.
    """
    size = replace(size, vocabulary=len(tokenizer))
    return new_shape(size, seed=seed, end_id=tokenizer.eos_token_id, pad_id=tokenizer.pad_token_id)


def new_shape(
    size: StarterSize,
    *,
    layers: int | None = None,
    seed: int,
    end_id: int | None = None,
    pad_id: int | None = None,
) -> Any:  # noqa: ANN401
    """Make an untrained Llama decoder of a size, or with another number of layers.

    Raises:
        ConfigError: The width does not divide by twice the heads.
    """
    if size.width % (2 * size.heads):
        raise ConfigError([f"width {size.width} does not divide by twice the {size.heads} heads"])
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=size.width * 8 // 3 // 32 * 32,
        num_hidden_layers=layers or size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=size.positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end_id,
        pad_token_id=pad_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def _text(example: Example) -> str:
    return example.prompt + join_of(example.prompt) + (example.target or "")


def _longest(stream: Sequence[Example], tokenizer: PreTrainedTokenizerFast) -> int:
    """Count the tokens of the longest example, rounded up; rotary positions cost nothing."""
    longest = sorted({_text(e) for e in stream}, key=len)[-100:]  # also the longest in tokens
    most = max(len(ids) for ids in tokenizer(longest)["input_ids"])
    return -(-(most + 16) // 64) * 64


def untrained_starter(
    stream: Sequence[Example], *, size: StarterSize | None = None, seed: int
) -> tuple[PreTrainedTokenizerFast, Any]:
    """Train a tokenizer on examples, and make an untrained model with enough positions for them.

    Args:
        stream: Labelled examples.
        size: Shape of the model.
        seed: Seed of the weights.

    Returns:
        The tokenizer and the model.
    """
    size = size or StarterSize()
    # A tokenizer from more examples of a table is no better.
    texts = [_text(example) for example in stream[:TOKENIZER_EXAMPLES]]
    tokenizer = train_tokenizer(texts, size.vocabulary)
    size = replace(size, positions=max(size.positions, _longest(stream, tokenizer)))
    return tokenizer, new_model(tokenizer, size, seed=seed)


def train_starter(
    stream: Sequence[Example],
    config: DistillationConfig,
    *,
    size: StarterSize | None = None,
    work_dir: str | Path | None = None,
) -> tuple[ModelDistiller, DistillationSummary]:
    """Train a tokenizer and a teacher on examples.

    Args:
        stream: Labelled examples with varied wording.
        config: Batch size, learning rates, schedule, seed; alpha must be 0.
        size: Shape of the model.
        work_dir: Keeps checkpoints, so that the same call continues after a crash.

    Returns:
        A distiller with the trained model and its tokenizer, for the caller to save, and a summary.

    Raises:
        ConfigError: alpha is not 0, but there is no teacher.
        DataError: An example does not fit into the model's positions.
    """
    if config.alpha != 0.0:
        raise ConfigError([f"alpha is {config.alpha}; a starter has no teacher, so it must be 0"])
    distiller = ModelDistiller(config)
    distiller.tokenizer, distiller.student_model = untrained_starter(
        stream, size=size, seed=config.seed
    )
    summary = distiller.distill(stream, work_dir=work_dir)
    return distiller, summary
