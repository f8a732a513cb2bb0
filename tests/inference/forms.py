"""Tokenizers of the kinds that models come with, and answers drawn at random under a constraint."""

from __future__ import annotations

import json
from functools import cache

import numpy
from stillroom.inference.constrained.grammar import constrain
from tiny_model import PAIRS, make_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = [*PAIRS, *PAIRS.values(), '{"a": 1, "b": [true, null]}']


def without_tags():
    """Like GPT-2's."""
    tokenizer = make_tokenizer()
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


@cache
def byte_level():
    """Like Qwen's, with tokens around tool calls that are no special tokens."""
    tokenizer = without_tags()
    tokenizer.add_tokens(["<tool_call>", "</tool_call>"])
    return tokenizer


@cache
def with_prefix():
    """Puts a space before every text."""
    return make_tokenizer()


@cache
def sentencepiece():
    """Like Llama 2's: spaces as a sign of their own, and bytes for what has no token."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    named = ["<unk>", "<s>", "</s>"]
    all_bytes = [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=named + all_bytes, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    written = json.loads(tokenizer.to_str())  # bytes are no special tokens, as in real ones
    written["added_tokens"] = [t for t in written["added_tokens"] if t["content"] in named]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(written)),
        eos_token="</s>",
        unk_token="<unk>",
        bos_token="<s>",
    )


def whole_words():
    """Cannot write most texts."""
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "</s>": 1}, unk_token="a"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


TOKENIZERS = {"byte level": byte_level, "prefix": with_prefix, "sentencepiece": sentencepiece}


def fits(grammar, tokenizer, text):
    """Let llguidance itself judge whether a text has a form."""
    matcher = constrain(grammar, tokenizer, [tokenizer.eos_token_id])._matcher
    ids = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def draw(grammar, tokenizer, seed, *, lead="", most=300):
    """Draw an answer from all that a form allows; None where it is not complete by then."""
    chance = numpy.random.default_rng(seed)
    constraint = constrain(grammar, tokenizer, [tokenizer.eos_token_id], lead=lead)
    made: list[int] = []
    for _ in range(most):
        token = int(chance.choice(numpy.flatnonzero(constraint.mask(made).numpy())))
        if token == tokenizer.eos_token_id:
            break
        made.append(token)
        if constraint.accept(token):
            break
    else:
        return None
    return tokenizer.decode(made, skip_special_tokens=True, clean_up_tokenization_spaces=False)
