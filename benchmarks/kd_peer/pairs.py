"""Random students and teachers, and the examples they run on, the same for every system."""

from __future__ import annotations

import hashlib
import random
from typing import Any, Final

import torch
from cases import BATCH, PAIRS, DataName, Family, Sizes
from stillroom.distillation.batches.batching import TokenizedExample

EXAMPLES: Final = 64
DATA_SEED: Final = 7
POSITIONS: Final = 1024
FIRST_ID: Final = 4
"""Ids below are left to padding and other special tokens."""
PAD_ID: Final = 0

LENGTHS: Final[dict[str, tuple[tuple[int, int], tuple[int, int]]]] = {
    "answer-heavy": ((16, 64), (32, 192)),
    "prompt-heavy": ((192, 384), (32, 128)),
    "rows-8192": ((512, 512), (512, 512)),
}
"""Tokens of prompt and completion, from and to, both drawn uniformly."""
BATCHES: Final = {"rows-8192": 16}


def examples(pair: str, data: DataName) -> list[TokenizedExample]:
    """Draw the examples; lengths depend on the data set alone, ids on the vocabulary too."""
    prompts, completions = LENGTHS[data]
    source = random.Random(DATA_SEED)
    lengths = [(source.randint(*prompts), source.randint(*completions)) for _ in range(EXAMPLES)]
    vocabulary = PAIRS[pair].vocabulary
    return [
        TokenizedExample(
            str(number),
            tuple(source.randrange(FIRST_ID, vocabulary) for _ in range(prompt + completion)),
            prompt,
        )
        for number, (prompt, completion) in enumerate(lengths)
    ]


def fingerprint(items: list[TokenizedExample]) -> str:
    """Hash ids and prompt lengths, so that every run can show that it saw the same data."""
    text = repr([(item.input_ids, item.prompt_length) for item in items])
    return hashlib.sha256(text.encode()).hexdigest()


def batch_size(data: str) -> int:
    """Give the examples of a micro-batch."""
    return BATCHES.get(data, BATCH)


def student_of(pair: str) -> Any:  # noqa: ANN401 - transformers is untyped
    """Make the student; equal weights at every call."""
    return _model(PAIRS[pair].family, PAIRS[pair].student, PAIRS[pair].vocabulary, seed=0)


def teacher_of(pair: str) -> Any:  # noqa: ANN401
    """Make the teacher; equal weights at every call."""
    return _model(PAIRS[pair].family, PAIRS[pair].teacher, PAIRS[pair].vocabulary, seed=1)


def _model(family: Family, sizes: Sizes, vocabulary: int, *, seed: int) -> Any:  # noqa: ANN401
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    config_type, model_type = {
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "llama": (LlamaConfig, LlamaForCausalLM),
    }[family]
    torch.manual_seed(seed)
    config = config_type(
        vocab_size=vocabulary,
        hidden_size=sizes.width,
        intermediate_size=sizes.feed_forward,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.heads,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=False,
        attention_dropout=0.0,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=PAD_ID,
    )
    config._attn_implementation = "sdpa"
    return model_type(config)
