"""Classifiers and encoder-decoders: saved, checked, loaded where they are asked for, refused
elsewhere."""

import json

import pytest
import torch
from stillroom.errors import CheckpointError
from stillroom.inference.checkpoints.load_student import (
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from tiny_model import make_tokenizer
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
)

V = 400
IDS = torch.tensor([[3, 5, 7, 9]])
SIZES = {
    "vocab_size": V,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pad_token_id": 0,
    "id2label": {0: "red", 1: "green", 2: "blue"},
    "label2id": {"red": 0, "green": 1, "blue": 2},
}


def bert():
    return BertForSequenceClassification(BertConfig(**SIZES))


def distilbert():
    sizes = {"vocab_size": V, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
    return DistilBertForSequenceClassification(DistilBertConfig(**sizes, num_labels=2))


def llama_classifier():
    return LlamaForSequenceClassification(LlamaConfig(**SIZES))


def t5():
    return T5ForConditionalGeneration(
        T5Config(vocab_size=V, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
                 decoder_start_token_id=0)
    )  # fmt: skip


KINDS = {
    "bert": (bert, "classifier"),
    "distilbert": (distilbert, "classifier"),
    "llama": (llama_classifier, "classifier"),
    "t5": (t5, "encoder_decoder"),
}


@pytest.fixture(params=KINDS)
def saved(request, tmp_path):
    make, kind = KINDS[request.param]
    torch.manual_seed(0)
    model = make().eval()
    run = {"status": "complete"}
    return save_checkpoint(tmp_path / "m", model, make_tokenizer(), run), model, kind


def logits(model):
    fed = {"decoder_input_ids": IDS} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return model(input_ids=IDS, **fed).logits


def test_a_saved_model_is_loaded_with_its_head(saved):
    folder, model, kind = saved
    loaded = load_checkpoint(folder, device="cpu", kinds=(kind,)).model
    assert type(loaded) is type(model)
    assert torch.equal(logits(loaded), logits(model))
    assert loaded.config.id2label == model.config.id2label
    assert verify_checkpoint(folder)["status"] == "complete"


def test_it_is_refused_where_text_is_generated(saved):
    folder, _, kind = saved
    with pytest.raises(CheckpointError, match=f"of kind '{kind}'; here 'causal' is needed"):
        load_checkpoint(folder)


def test_an_encoder_without_a_head_is_refused(tmp_path):
    sizes = {key: value for key, value in SIZES.items() if "label" not in key}
    folder = save_checkpoint(tmp_path / "m", BertModel(BertConfig(**sizes)), make_tokenizer(), {})
    with pytest.raises(CheckpointError, match="without a classification head"):
        load_checkpoint(folder, kinds=("classifier",))


def test_a_decoder_that_says_it_is_an_encoder_decoder_is_refused(saved):
    folder, _, kind = saved
    config = json.loads((folder / "config.json").read_text())
    config.update(is_encoder_decoder=True, model_type="llama")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="is_encoder_decoder is true; allowed"):
        load_checkpoint(folder, kinds=(kind,))
