"""Two tokenizers that cut one text otherwise, and the two models that read it."""

from __future__ import annotations

import kd_models
from stillroom.distillation.batches.batching import Collator, tokenize_examples
from stillroom.distillation.batches.text_alignment import AlignedCollator, align_examples
from stillroom.distillation.teacher.online import OnlineTeacher, UniversalTeacher
from stillroom.records import Example
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "the symbol of gold is Au",
    "silver is a soft white metal",
    "the cup of tin and the ring of gold",
    "größer als naïve 💡 Ideen",
    "a ring",
    "iron rusts; silver does not",
]
PIECES = kd_models.tokenizer(TEXTS, size=300)
"""Byte-level, with merges."""


def letters(texts=TEXTS):
    """A tokenizer with a token per character, and one per common word."""
    characters = sorted({character for text in texts for character in text})
    words = ["[end]", "?", *characters, "the", "gold", "silver", " of"]
    made = Tokenizer(
        models.BPE({w: n for n, w in enumerate(dict.fromkeys(words))}, [], unk_token="?")
    )
    made.add_tokens(["the", "gold", "silver", " of"])
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="[end]", pad_token="[end]")


def words(texts=TEXTS, size=60):
    """A tokenizer of words and their parts, with another vocabulary."""
    made = Tokenizer(models.BPE(unk_token="[unk]"))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size, special_tokens=["[unk]", "[end]"], show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="[end]", pad_token="[end]")


LETTERS = letters()
WORDS = words()


def examples():
    """Pairs, and plain texts, which have no prompt."""
    return [
        Example(f"e{n}", "" if n % 3 == 0 else f"Say {n}:", text, "text")
        for n, text in enumerate(TEXTS)
    ]


def aligned_items(student=PIECES, teacher=LETTERS, *, given=None, max_length=64, **limits):
    given = examples() if given is None else given
    limits = {"max_length": max_length, **limits}
    items = tokenize_examples(given, student, **limits)
    return align_examples(given, items, student, teacher, **limits)


def collator(teacher=LETTERS, student=None):
    return AlignedCollator(student or Collator(0), teacher.pad_token_id)


def universal_teacher(model):
    return UniversalTeacher(OnlineTeacher(model))
