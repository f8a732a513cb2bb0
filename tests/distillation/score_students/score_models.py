"""Tiny models with random weights, saved as pretrained ones, and texts with moods to score."""

import numpy as np
import torch
from stillroom.distillation.score_students.score_examples import ScoreExamples
from stillroom.inference.checkpoints.load_student import save_checkpoint
from stillroom.inference.score_students.protocol import StudentFacts
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

GOOD, BAD = ("sunny", "happy", "bright"), ("gloomy", "awful", "broken")
FACTS = StudentFacts(("joy", "reach"), "v" * 64, filter_name="mood", filter_version="1.0")


def mood_examples(n, seed, *, before=""):
    """Texts whose joy shows in their words, and whose reach shows in their loudness."""
    rng = np.random.default_rng(seed)
    texts, scores = [], []
    for _ in range(n):
        good, loud = rng.random() < 0.5, rng.random() < 0.5
        words = [*rng.choice(GOOD if good else BAD, 2), "LOUD!" if loud else "quiet", "day", "日本"]
        texts.append(f"A {words[0]} title\n\n{before}{' '.join(rng.permutation(words))}")
        scores.append([8.0 if good else 2.0, 7.0 if loud else 3.0])
    return ScoreExamples(texts, np.array(scores), np.ones(n))


def byte_tokenizer():
    """One token per byte, so that digits stand alone as in the tokenizers of real decoders."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(["<pad>", "<end>", *letters])}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<end>")


def word_tokenizer():
    """One token per word, with [CLS] and [SEP] around a text."""
    words = ["<pad>", "<end>", "[CLS]", "[SEP]", "[UNK]", *GOOD, *BAD, "loud", "quiet", "day",
             "x", "title", "[", "]", "..."]  # fmt: skip
    inner = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<end>", cls_token="[CLS]",
        sep_token="[SEP]", unk_token="[UNK]",
    )  # fmt: skip


def save_encoder(folder):
    tokenizer = word_tokenizer()
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64,
                   num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=256,
                   hidden_dropout_prob=0.1, pad_token_id=0)
    )  # fmt: skip
    save_checkpoint(folder, model.eval(), tokenizer, {})
    return str(folder)


def save_decoder(folder):
    tokenizer = byte_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64,
                    num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                    max_position_embeddings=256, bos_token_id=None, eos_token_id=1, pad_token_id=0)
    )  # fmt: skip
    save_checkpoint(folder, model.eval(), tokenizer, {})
    return str(folder)
