"""Every architecture on the allow-list: saved, checked, loaded, and decoded like transformers."""

from __future__ import annotations

import pytest
from stillroom.errors import CheckpointError
from stillroom.inference.checkpoints.config_allowlist import MODEL_TYPES
from stillroom.inference.checkpoints.load_student import (
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from stillroom.inference.generate import generate_texts
from tiny_model import make_architecture, make_tokenizer, peer_generate
from transformers import AutoConfig, AutoModelForCausalLM

PROMPTS = ["gold is", "a", "Question: What is the symbol of silver?\n\nAnswer:"]


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_saved_loaded_and_decoded_like_transformers(kind, tmp_path):
    model, tokenizer = make_architecture(kind), make_tokenizer()
    folder = save_checkpoint(tmp_path / kind, model, tokenizer, {})
    assert verify_checkpoint(folder)["status"] == "complete"
    loaded = load_checkpoint(folder, device="cpu")
    answers = generate_texts(loaded, PROMPTS, max_new_tokens=16)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        wanted = peer_generate(model, tokenizer(prompt)["input_ids"], 16, pad_token_id=0)
        assert list(answer.token_ids) == wanted
    assert len({token for answer in answers for token in answer.token_ids}) > 3


def test_other_architectures_are_not_saved(tmp_path):
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64, "rotary_dim": 8}
    config = AutoConfig.for_model("gptj", vocab_size=400, **sizes)
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(CheckpointError, match="'gptj'"):
        save_checkpoint(tmp_path / "gptj", model, make_tokenizer(), {})
    assert not (tmp_path / "gptj").exists()
