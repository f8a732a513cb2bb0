"""Classifiers in batches of texts of unlike length: each text is scored as it is alone."""

from __future__ import annotations

import json

import pytest
import torch
from stillroom.errors import ConfigError
from stillroom.inference.checkpoints.load_student import load_checkpoint
from stillroom.inference.checkpoints.padding import agree_on_padding
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

TEXTS = ["gold", "gold is a metal and so is tin", "neon is a gas", "tin is"]
WORDS = ["<s>", "</s>", "<unk>", "<pad>", *sorted({w for text in TEXTS for w in text.split()}), "a"]
VOCABULARY = {word: number for number, word in enumerate(dict.fromkeys(WORDS))}
V = len(VOCABULARY)


def make_tokenizer(*, ends=False, **names):
    words = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if ends:
        words.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 1)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=words, **names)


def make_classifier(kind, **settings):
    torch.manual_seed(0)
    sizes = {"vocab_size": V, "max_position_embeddings": 32, "num_labels": 3}
    if kind == "gpt2":
        sizes |= {"n_embd": 16, "n_layer": 2, "n_head": 2}
    else:
        sizes |= {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
                  "num_attention_heads": 2}  # fmt: skip
    if kind in ("llama", "qwen2", "phi3"):
        sizes["num_key_value_heads"] = 2
    own = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None, "initializer_range": 0.5}
    config = AutoConfig.for_model(kind, **(sizes | own | settings))
    return AutoModelForSequenceClassification.from_config(config).eval()


@torch.inference_mode()
def scores(model, tokenizer, texts):
    fed = tokenizer(texts, return_tensors="pt", padding=len(texts) > 1, return_token_type_ids=False)
    return model(**fed).logits


def check_batches(model, tokenizer):
    alone = torch.cat([scores(model, tokenizer, [text]) for text in TEXTS])
    assert len(alone.unique(dim=0)) == len(TEXTS), "equal scores prove little"
    torch.testing.assert_close(scores(model, tokenizer, TEXTS), alone, rtol=1e-4, atol=1e-5)


END = {"eos_token": "</s>"}
TOKENIZERS = {
    "only an end token": ({}, END),
    "an end token after every text": ({"ends": True}, {**END, "unk_token": "<unk>"}),
    "padding with the end token": ({}, {**END, "pad_token": "</s>"}),
    "padding of its own": ({}, {**END, "pad_token": "<pad>"}),
    "no end token": ({}, {"unk_token": "<unk>"}),
}


@pytest.mark.parametrize("case", TOKENIZERS)
@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen2", "phi3", "bert", "distilbert"])
def test_a_batch_is_scored_as_its_texts_alone(kind, case, tmp_path):
    options, names = TOKENIZERS[case]
    given = make_classifier(kind)
    given.save_pretrained(tmp_path)
    make_tokenizer(**options, **names).save_pretrained(tmp_path)
    loaded = load_checkpoint(tmp_path, device="cpu", kinds=("classifier",))
    check_batches(loaded.model, loaded.tokenizer)
    # Alone, a text is scored as transformers scores it with the folder as it was.
    untouched = make_tokenizer(**options, **names)
    for text in TEXTS:
        wanted = scores(given, untouched, [text])
        found = scores(loaded.model, loaded.tokenizer, [text])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("pad", [0, 3, -1, V + 5])
def test_the_config_names_another_padding_token_than_the_tokenizer(kind, pad, tmp_path):
    make_classifier(kind).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"pad_token_id": pad}
    (tmp_path / "config.json").write_text(json.dumps(config))
    make_tokenizer(eos_token="</s>", pad_token="</s>").save_pretrained(tmp_path)
    loaded = load_checkpoint(tmp_path, device="cpu", kinds=("classifier",))
    check_batches(loaded.model, loaded.tokenizer)
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id == 1


def test_two_models_share_what_both_know():
    tokenizer = make_tokenizer(eos_token="</s>", pad_token="<pad>")
    first, second = make_classifier("llama"), make_classifier("gpt2", pad_token_id=2)
    assert agree_on_padding(tokenizer, first, second) == 3
    assert (first.config.pad_token_id, second.config.pad_token_id) == (3, 3)
    narrow = make_classifier("gpt2", vocab_size=3)
    assert agree_on_padding(tokenizer, first, narrow) == 1
    assert tokenizer.pad_token == "</s>"


def test_an_encoder_keeps_its_own_padding():
    """RoBERTa counts places from there."""
    model = make_classifier("roberta", pad_token_id=3)
    agree_on_padding(make_tokenizer(eos_token="</s>", pad_token="<s>"), model)
    assert model.config.pad_token_id == 3


def test_a_tokenizer_without_any_special_token_is_refused():
    with pytest.raises(ConfigError, match=r"set tokenizer\.pad_token to one of its tokens"):
        agree_on_padding(make_tokenizer(), make_classifier("llama"))
