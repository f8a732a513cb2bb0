"""Tiny random models of each family, with random labels and batches for them."""

from __future__ import annotations

import kd_models
import torch
from stillroom.distillation.batches.batching import TokenizedExample
from stillroom.distillation.batches.classifier_data import TextCollator, TokenizedText
from stillroom.distillation.batches.encoder_decoder_data import PairCollator
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2ForSequenceClassification,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

CLASSES = 3
SIZES = {
    "vocab_size": kd_models.V,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
DECODER = {**SIZES, "num_key_value_heads": 1, "bos_token_id": None, "eos_token_id": 0}


def _decoder(model, config, seed, *, width=16, layers=2, **options):
    torch.manual_seed(seed)
    sizes = DECODER | {"hidden_size": width, "num_hidden_layers": layers}
    return kd_models.sharpen(model(config(**sizes | options)))


def qwen2(seed=0, **options):
    return _decoder(Qwen2ForCausalLM, Qwen2Config, seed, tie_word_embeddings=True, **options)


def qwen3(seed=0, **options):
    return _decoder(Qwen3ForCausalLM, Qwen3Config, seed, head_dim=8, **options)


def gemma(seed=0, **options):
    return _decoder(GemmaForCausalLM, GemmaConfig, seed, head_dim=8, **options)


def gemma2(seed=0, **options):
    """Its logits are capped, so only the model itself can make them."""
    return _decoder(
        Gemma2ForCausalLM, Gemma2Config, seed, head_dim=8, sliding_window=4,
        final_logit_softcapping=5.0, **options,
    )  # fmt: skip


def gemma3(seed=0, **options):
    return _decoder(
        Gemma3ForCausalLM, Gemma3TextConfig, seed, head_dim=8, sliding_window=4, **options
    )


def bert(seed=0, *, width=16, layers=4, classes=CLASSES):
    torch.manual_seed(seed)
    config = BertConfig(**SIZES | {"hidden_size": width, "num_hidden_layers": layers},
                        num_labels=classes, hidden_dropout_prob=0.0,
                        attention_probs_dropout_prob=0.0)  # fmt: skip
    return _sure(BertForSequenceClassification(config))


def distilbert(seed=0, *, width=16, layers=2, classes=CLASSES):
    torch.manual_seed(seed)
    config = DistilBertConfig(vocab_size=kd_models.V, dim=width, n_layers=layers, n_heads=2,
                              hidden_dim=2 * width, max_position_embeddings=64, dropout=0.0,
                              attention_dropout=0.0, seq_classif_dropout=0.0, num_labels=classes,
                              pad_token_id=0)  # fmt: skip
    return _sure(DistilBertForSequenceClassification(config))


def gpt2_classifier(seed=0):
    config = kd_models.gpt2(seed).config
    config.pad_token_id, config.num_labels = 0, CLASSES
    torch.manual_seed(seed)
    return GPT2ForSequenceClassification(config)


def t5(seed=0, *, width=16, layers=2, decoder_layers=None):
    torch.manual_seed(seed)
    config = T5Config(vocab_size=kd_models.V, d_model=width, d_kv=8, d_ff=2 * width,
                      num_layers=layers, num_decoder_layers=decoder_layers or layers, num_heads=2,
                      dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0,
                      eos_token_id=1)  # fmt: skip
    return T5ForConditionalGeneration(config)


def _sure(model):
    """Make random class logits differ by whole units."""
    with torch.no_grad():
        model.classifier.weight.mul_(20.0)
    return model


def texts(count=12, seed=0):
    source = torch.Generator().manual_seed(seed)
    items = []
    for number in range(count):
        length = int(torch.randint(3, 12, (), generator=source))
        ids = torch.randint(1, kd_models.V, (length,), generator=source).tolist()
        items.append(TokenizedText(str(number), tuple(ids), ids[0] % CLASSES))
    return items


def pairs(count=12, seed=0):
    """Prompt and target of unequal lengths; the target ends with the end token 1."""
    source = torch.Generator().manual_seed(seed)
    items = []
    for number in range(count):
        lengths = torch.randint(2, 9, (2,), generator=source).tolist()
        prompt, target = (
            torch.randint(2, kd_models.V, (n,), generator=source).tolist() for n in lengths
        )
        items.append(TokenizedExample(str(number), (*prompt, *target, 1), len(prompt)))
    return items


TEXT_COLLATOR = TextCollator(0)
PAIR_COLLATOR = PairCollator(0, start_id=0)
